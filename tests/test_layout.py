"""Which way the doors open: imports only point down, and each third-party library has its homes."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent

# A package (or module) of ours, and what of ours it may import beside itself. The longest name that fits counts.
MAY_IMPORT: dict[str, set[str]] = {
    "providers": set(),
    "broker.arn": set(),
    "broker.clock": set(),
    "broker.errors": set(),
    "broker.ids": set(),
    "broker.audit": {"broker.clock"},
    "broker.logs": {"broker.clock"},
    "broker.telemetry": {"broker.clock"},
    "broker.sealing": {"broker.ids"},
    "broker.policy": {"broker.arn", "broker.clock", "broker.errors"},
    "broker.sigv4": {"broker.arn", "broker.clock", "broker.errors"},
    "broker.mapping": {"broker.errors", "broker.sigv4"},
    # Serves others' services: light to import, and nothing of the gateway.
    "broker.client": {
        "broker.clock",
        "broker.errors",
        "broker.mapping",
        "broker.sigv4",
        "providers.errors",
        "providers.fetch",
        "providers.jwks",
        "providers.jws",
    },
    "broker.settings": {"broker.arn", "broker.ids", "broker.mapping", "broker.policy", "broker.sealing"},
    "broker.stores": {"broker.clock", "broker.errors", "broker.ids"},
    "broker.directory": {
        "broker.arn",
        "broker.clock",
        "broker.errors",
        "broker.ids",
        "broker.policy",
        "broker.sealing",
        "broker.settings",
        "broker.stores.contract",
        "providers.password",
        "providers.x509.files",
    },
    "broker.sessions": {
        "broker.arn",
        "broker.clock",
        "broker.errors",
        "broker.ids",
        "broker.policy.context",
        "broker.sealing",
        "broker.stores.contract",
    },
    "broker.flows": {
        "broker.arn",
        "broker.audit",
        "broker.clock",
        "broker.directory",
        "broker.errors",
        "broker.ids",
        "broker.policy",
        "broker.sealing",
        "broker.sessions",
        "broker.settings",
        "broker.sigv4",
        "broker.stores.contract",
        "broker.telemetry",
        "providers.contract",
        "providers.devices",
        "providers.errors",
        "providers.refusal",
        "providers.security_keys",
        "providers.spelling",
    },
    "broker.api": {
        "broker.arn",
        "broker.audit",
        "broker.clock",
        "broker.directory",
        "broker.errors",
        "broker.flows",
        "broker.ids",
        "broker.logs",
        "broker.mapping",
        "broker.policy",
        "broker.sessions",
        "broker.settings",
        "broker.sigv4",
        "broker.stores.contract",
        "broker.telemetry",
        "providers.contract",
        "providers.errors",
    },
    # Wiring may import everything.
    "broker": {"broker", "providers"},
}

# A third-party library, and the only places that may import it.
HOMES: dict[str, tuple[str, ...]] = {
    "aiohttp": (
        "broker.api",
        "broker.app",
        "broker.client",
        "broker.federation",
        "broker.saml_federation",
        "broker.supervisor",
        "broker.worker",
        "providers",
    ),
    "argon2": ("providers.password",),
    "click": ("broker.cli",),
    "fido2": ("providers.webauthn",),
    "hiredis": ("broker.stores",),
    "jose": ("broker.sessions", "providers"),
    "ldap3": ("providers.ldap",),
    "lxml": ("providers.saml",),
    "prometheus_client": ("broker.telemetry",),
    "pydantic": ("broker.settings", "broker.directory"),
    "pyotp": ("providers.totp",),
    "redis": ("broker.stores",),
    "saml2": ("providers.saml",),
    "segno": ("providers.totp",),
    "uvloop": ("broker.worker",),
    "xmlsec": ("providers.saml",),
    "yaml": ("broker.settings", "broker.directory", "broker.demo"),
}


def _modules() -> dict[str, Path]:
    found = {}
    for package in ("broker", "providers"):
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = _modules()
# Read when the tests are collected: parsing after tests that exhaust the interpreter's stack is not reliable on 3.11.
TREES = {module: ast.parse(path.read_text("utf-8")) for module, path in MODULES.items()}


def _imports(module: str) -> set[str]:
    names = set()
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _within(name: str, places: set[str] | tuple[str, ...]) -> bool:
    return any(name == place or name.startswith(place + ".") for place in places)


def test_imports_point_down() -> None:
    wrong = []
    for module in MODULES:
        room = max((each for each in MAY_IMPORT if _within(module, {each})), key=len)
        allowed = MAY_IMPORT[room] | {room}
        if room == "broker":
            assert module in WIRING or _within(module, ("broker.cli",)), f"{module} belongs to no room"
        wrong += [
            f"{module} imports {name}"
            for name in _imports(module)
            if _within(name, {"broker", "providers"}) and not _within(name, allowed)
        ]
    assert wrong == []


WIRING = {
    "broker",
    "broker.__main__",
    "broker.app",
    "broker.demo",
    "broker.federation",
    "broker.saml_federation",
    "broker.supervisor",
    "broker.tls",
    "broker.worker",
}


def test_each_library_has_its_homes() -> None:
    wrong = [
        f"{module} imports {name}"
        for module in MODULES
        for name in _imports(module)
        if (library := name.partition(".")[0]) in HOMES and not _within(module, HOMES[library])
    ]
    assert wrong == []


def test_only_the_flows_that_decide_mint() -> None:
    minting = {module for module, path in MODULES.items() if ".mint(" in path.read_text("utf-8")}
    assert minting == {"broker.flows.assume", "broker.flows.root_sessions", "broker.flows.user_sessions"}


def test_whatever_rests_sealed_can_go_over_to_another_master_key() -> None:
    sealing = {module for module, path in MODULES.items() if "masters.seal(" in path.read_text("utf-8")}
    for_long = {module for module in sealing if "masters.reseal(" in MODULES[module].read_text("utf-8")}
    assert for_long == {"broker.directory.entries", "broker.sessions.shared_secrets", "broker.sessions.signing_key"}
    # A login in progress lasts minutes, an authorization message a day, a session a day and a half.
    assert sealing - for_long == {"broker.flows.denials", "broker.sessions.sessions", "broker.sessions.tickets"}


def test_only_one_place_reads_the_clock() -> None:
    reading = {
        module
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "today")
        if isinstance(node.value, ast.Name) and node.value.id in ("datetime", "date")
    }
    assert reading == {"broker.clock"}
