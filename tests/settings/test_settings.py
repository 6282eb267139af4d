"""Settings: defaults, flags and variables over the file, references, faults that show no secret."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from broker.settings import Fault, Overrides, Settings
from broker.settings.loading import LoadedSettings, load_settings
from broker.settings.sources import Sources

MASTER = base64.b64encode(bytes(range(32))).decode()


def load(
    directory: Path, text: str, environ: Mapping[str, str] | None = None, overrides: Overrides | None = None
) -> tuple[LoadedSettings | None, list[str], list[str]]:
    (directory / "sojourn.yaml").write_text(text)
    faults: list[Fault] = []
    warnings: list[Fault] = []
    environ = environ or {}
    loaded = load_settings(Sources(directory, environ), environ, overrides or Overrides(), faults, warnings)
    return loaded, [_short(directory, fault) for fault in faults], [_short(directory, fault) for fault in warnings]


def _short(directory: Path, fault: Fault) -> str:
    return str(fault).removeprefix(f"{directory}/sojourn.yaml:")


def settings(
    directory: Path, text: str, environ: Mapping[str, str] | None = None, overrides: Overrides | None = None
) -> Settings:
    loaded, faults, warnings = load(directory, text, environ, overrides)
    assert not faults
    assert not warnings
    assert loaded is not None
    return loaded.settings


DEFAULTS = """
server:
  host: 127.0.0.1
  port: 8080
  public_url: null
  workers: 1
  tls: null
  trusted_proxies: []
store:
  url: embedded://
  wait_for_replicas: false
keys:
  master: null
  rotate_every: 30d
sts:
  regions: []
  partition: aws
  session_policy_characters: 2048
saml:
  entity_id: null
  audiences: []
  recipients: []
  signing_key: null
  encryption_keys: []
audit:
  path: null
guessing:
  user: {failures: 10, within: 15m}
  address: {failures: 100, within: 15m}
  everyone: {failures: 5000, within: 15m}
organization:
  management_account: null
proxy:
  rules: []
"""


@pytest.mark.parametrize("text", ["", "# nothing\n", "server:\nstore:\n", DEFAULTS])
def test_every_key_is_optional(tmp_path: Path, text: str) -> None:
    assert settings(tmp_path, text) == settings(tmp_path, "{}")


def test_the_defaults_are_those_of_the_contract(tmp_path: Path) -> None:
    ours = settings(tmp_path, "")
    for section, keys in yaml.safe_load(DEFAULTS).items():
        assert set(type(getattr(ours, section)).model_fields) == set(keys)
    assert ours.server.port == 8080
    assert ours.public_url == "http://localhost:8080"
    assert ours.saml_entity_id == "http://localhost:8080/saml/metadata"
    assert ours.keys.rotate_every == timedelta(days=30)
    assert ours.guessing.everyone.failures == 5000
    assert ours.guessing.user.within == timedelta(minutes=15)
    assert ours.state == tmp_path / "state"


def test_values_are_typed(tmp_path: Path) -> None:
    ours = settings(
        tmp_path,
        f"""
server:
  host: 0.0.0.0
  public_url: https://sts.acme.test/
  trusted_proxies: [10.0.0.0/8, "fd00::/8", 192.0.2.1]
keys:
  master: ["{MASTER}", {base64.b64encode(b"x" * 32).decode()}]
  rotate_every: 1d12h
proxy:
  rules:
    - host: reports.internal
      methods: [GET]
      path: /reports/{{id}}
      action: reports:GetReport
      resource: "arn:aws:reports:::report/{{id}}"
""",
    )
    assert ours.public_url == "https://sts.acme.test"
    assert ours.server.trusted_proxies[0] == ip_network("10.0.0.0/8")
    assert ours.server.trusted_proxies[2] == ip_network("192.0.2.1/32")
    assert ours.keys.master == (bytes(range(32)), b"x" * 32)
    assert ours.keys.rotate_every == timedelta(hours=36)
    assert ours.proxy.rules[0].methods == ("GET",)


@pytest.mark.parametrize(
    "url",
    [
        "embedded://",
        "redis://user:pass@127.0.0.1:6379/2",
        "rediss://h",
        "unix:///run/redis.sock?db=1",
        "unix://:secret@/run/redis.sock",
        "redis+sentinel://H1:26379,H2:26379/mymaster",
        "redis+cluster://u:p@H1:6379,H2:6379",
        "rediss+cluster://u:p@H1:6379,H2:6379?ssl_ca_certs=/ca.pem",
        "rediss+sentinel://H1:26379,H2:26379/mymaster/3?sentinel_password=p",
    ],
)
def test_store_urls(tmp_path: Path, url: str) -> None:
    assert settings(tmp_path, f"store: {{url: '{url}'}}").store.url == url


def test_flags_beat_variables_beat_the_file(tmp_path: Path) -> None:
    text = "server: {port: 1, host: 127.0.0.2, workers: 2}"
    environ = {
        "SOJOURN_PORT": "2",
        "SOJOURN_HOST": "127.0.0.3",
        "SOJOURN_PUBLIC_URL": "http://localhost:9",
        "SOJOURN_STORE": "redis://r",
        "SOJOURN_STATE": "/var/lib/sojourn",
        "SOJOURN_WORKERS": "",
    }
    ours = settings(tmp_path, text, environ, Overrides(port=3))
    assert (ours.server.port, ours.server.host, ours.server.workers) == (3, "127.0.0.3", 2)
    assert ours.public_url == "http://localhost:9"
    assert ours.store.url == "redis://r"
    assert ours.state == Path("/var/lib/sojourn")
    assert settings(tmp_path, text, environ, Overrides(state=Path("s"))).state == Path("s")


def test_faults_of_flags_and_variables_name_them(tmp_path: Path) -> None:
    _, faults, _ = load(tmp_path, "server: {port: 80}", {"SOJOURN_PORT": "many"}, Overrides(workers=0))
    assert faults == [
        "SOJOURN_PORT: server.port: must be a whole number",
        "--workers: server.workers: must be greater than or equal to 1",
    ]


def test_references_stand_anywhere_a_string_may(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "master").write_text(MASTER + "\r\n")
    text = """
store:
  url: "redis://:${env:PASSWORD}@${env:HOST}:6379"
keys:
  master:
    - ${file:secrets/master}
saml:
  entity_id: ${env:BREAKS}
"""
    environ = {"PASSWORD": "p${env:HOST}\n", "HOST": "redis.test", "BREAKS": "urn:x\n\n"}
    ours = settings(tmp_path, text, environ)
    assert ours.keys.master == (bytes(range(32)),)
    assert ours.store.url == "redis://:p${env:HOST}@redis.test:6379"
    assert ours.saml_entity_id == "urn:x\n"


FAULTY: list[tuple[str, list[str]]] = [
    ("server:\n  prot: 1\n", ["2: server: unknown key prot; did you mean port?"]),
    ("serve:\n  port: 1\n", ["1: unknown key serve; did you mean server?"]),
    ("keys:\n  rotat: 1h\n", ["2: keys: unknown key rotat; did you mean rotate_every?"]),
    ("zzz: x\n", ["1: unknown key zzz"]),
    ("state: x\n", ["1: unknown key state; did you mean store?"]),
    ("server:\n\n  port: '80'\n", ["3: server.port: must be a whole number"]),
    ("server:\n  port: 80.0\n", ["2: server.port: must be a whole number"]),
    ("server:\n  port: true\n", ["2: server.port: must be a whole number"]),
    ("server: {port: 0}\n", ["1: server.port: must be greater than or equal to 1"]),
    ("server: {port: 65536}\n", ["1: server.port: must be less than or equal to 65535"]),
    ("server: [1]\n", ["1: server: must be a mapping"]),
    ("- server\n", ["1: must be a mapping of settings"]),
    ("server: {host: 0.0.0.0}\n", ["1: server: needs public_url, because host is not a loopback address"]),
    (
        "server: {public_url: 'ftp://x'}\n",
        ["1: server.public_url: must begin with https:// or http://"],
    ),
    ("server: {public_url: 'https://u:p@x'}\n", ["1: server.public_url: must have no user, query or fragment"]),
    ("server: {public_url: 'https://x?y'}\n", ["1: server.public_url: must have no user, query or fragment"]),
    ("server: {public_url: 'https://'}\n", ["1: server.public_url: is not a URL with a host"]),
    ("server: {public_url: 'https://x:99999'}\n", ["1: server.public_url: is not a URL"]),
    (
        "server:\n  trusted_proxies:\n    - 10.0.0.0/8\n    - 10.0.0.1/8\n",
        ["4: server.trusted_proxies[1]: must be a network such as 10.0.0.0/8, without bits behind its prefix"],
    ),
    ("server: {trusted_proxies: [10]}\n", ["1: server.trusted_proxies[0]: must be a network such as 10.0.0.0/8"]),
    (
        "server:\n  tls:\n    certificate: c.pem\n",
        [
            "3: server.tls.certificate: names a file that cannot be read: No such file or directory; paths are",
            "2: server.tls.private_key is required",
        ],
    ),
    (
        "server:\n  tls:\n    certificate: c.pem\n    privat_key: k.pem\n",
        [
            "3: server.tls.certificate: names a file that cannot be read: No such file or directory; paths are",
            "4: server.tls: unknown key privat_key; did you mean private_key?",
        ],
    ),
    ("store: {url: 'embedded://x'}\n", ["1: store.url: embedded:// takes nothing behind it"]),
    ("store: {url: 'mysql://x'}\n", ["1: store.url: must begin with one of embedded://"]),
    ("store: {url: 'unix://x'}\n", ["1: store.url: unix:// needs the path of a socket"]),
    ("store: {url: 'redis://'}\n", ["1: store.url: is not a URL with a host"]),
    ("store: {url: 'redis+cluster://a:1,:2'}\n", ["1: store.url: is not a URL with a host"]),
    ("store: {url: 'redis+sentinel://a:1'}\n", ["1: store.url: redis+sentinel:// needs the name of the service"]),
    ("keys: {master: c2hvcnQ=}\n", ["1: keys.master: a master key is base64 of 32 bytes"]),
    ("keys: {master: []}\n", ["1: keys.master: must be a text or a list of texts"]),
    (f"keys: {{master: ['{MASTER}', '{MASTER}']}}\n", ["1: keys.master: has the same key twice"]),
    ("keys: {rotate_every: 30 days}\n", ["1: keys.rotate_every: must be a duration such as 90s, 15m, 1h or 30d"]),
    ("keys: {rotate_every: 0s}\n", ["1: keys.rotate_every: must be a duration such as 90s, 15m, 1h or 30d"]),
    ("keys: {rotate_every: ''}\n", ["1: keys.rotate_every: must be a duration such as 90s, 15m, 1h or 30d"]),
    ("keys: {rotate_every: 90}\n", ["1: keys.rotate_every: must be a duration such as 90s, 15m, 1h or 30d"]),
    ("keys: {rotate_every: 59m}\n", ["1: keys.rotate_every: must be at least 1h"]),
    ("sts: {session_policy_characters: 2047}\n", ["1: sts.session_policy_characters: must be greater"]),
    ("sts: {regions: [EU]}\n", ["1: sts.regions[0]: must match pattern"]),
    ("saml: {signing_key: '${file:no.pem}'}\n", ["1: the file no.pem cannot be read: No such file or directory"]),
    ("guessing: {user: {failure: 1}}\n", ["1: guessing.user: unknown key failure; did you mean failures?"]),
    (
        "organization:\n  management_account: 111122223333\n",
        ["2: organization.management_account: must be a text; put"],
    ),
    (
        "organization:\n  management_account: '11112222333'\n",
        ["2: organization.management_account: must match pattern"],
    ),
    ("audit: {path: '${env:NOPE}/a'}\n", ["1: the environment variable NOPE is not set"]),
    ("audit:\n  path: '${env:}'\n", ["2: ${env:NAME} needs the name of an environment variable"]),
    ("audit:\n  path: '${env:X'\n", ["2: ${env:NAME} and ${file:PATH} end with a brace"]),
    ("audit:\n  path: '${env:A${env:B}}'\n", ["2: ${env:NAME} and ${file:PATH} end with a brace"]),
    ("audit:\n  path: '${ENV:X}'\n", ["2: only ${env:NAME} and ${file:PATH} can be put in here"]),
    ("proxy: {rules: [{host: a}]}\n", ["1: ", "1: ", "1: ", "1: "]),
    (
        "proxy:\n  rules:\n    - {host: a, methods: [get], path: '/r', action: 'a:b', resource: '*'}\n",
        ["3: proxy.rules[0].methods[0]: must match pattern"],
    ),
    (
        "proxy:\n  rules:\n    - {host: a, methods: [GET], path: '/{id}', action: 'a:b', resource: '{ix}'}\n",
        ["3: proxy.rules[0]: resource uses a {name} that path does not have"],
    ),
    (
        "proxy:\n  rules:\n    - {host: a, methods: [GET], path: '/x{id}', action: 'a:b', resource: '*'}\n",
        ["3: proxy.rules[0]: path: {name} must fill a whole segment"],
    ),
    ("server:\n  port: x\nkeys:\n  rotate_every: x\naudit: {pth: x}\n", ["2: ", "4: ", "5: "]),
]


@pytest.mark.parametrize(("text", "expected"), FAULTY)
def test_faults_are_all_reported_with_their_lines(tmp_path: Path, text: str, expected: list[str]) -> None:
    loaded, faults, _ = load(tmp_path, text)
    assert loaded is None or "${" in text
    assert len(faults) == len(expected), faults
    for fault, start in zip(faults, expected, strict=True):
        assert fault.startswith(start)


def test_a_missing_file_is_a_fault(tmp_path: Path) -> None:
    faults: list[Fault] = []
    assert load_settings(Sources(tmp_path, {}), {}, Overrides(), faults, []) is None
    assert [str(fault) for fault in faults] == [
        f"{tmp_path}/sojourn.yaml:1: there is no such file; an empty one takes every default"
    ]


def test_of_a_limit_either_half_may_be_given(tmp_path: Path) -> None:
    limits = settings(tmp_path, "guessing: {user: {failures: 3}, everyone: {within: 1h}}\n").guessing
    assert (limits.user.failures, limits.user.within) == (3, timedelta(minutes=15))
    assert (limits.everyone.failures, limits.everyone.within) == (5000, timedelta(hours=1))


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("server:\n  host: 10.0.0.1\n  public_url: http://sts.acme.test\n", "3: credentials handed out over http://"),
        ("server:\n  trusted_proxies: [0.0.0.0/0]\n", "2: any client is believed about its address"),
    ],
)
def test_doubtful_settings_are_warned_about(tmp_path: Path, text: str, warning: str) -> None:
    loaded, faults, warnings = load(tmp_path, text)
    assert loaded is not None
    assert not faults
    assert [each.startswith(warning) for each in warnings] == [True]


def test_secrets_stay_out_of_reprs_and_texts(tmp_path: Path) -> None:
    ours = settings(tmp_path, f"store: {{url: 'redis://:hunter22@h'}}\nkeys: {{master: '{MASTER}'}}")
    for text in (repr(ours), str(ours), repr(ours.store), repr(ours.keys)):
        assert "hunter22" not in text
        assert "x00" not in text


def _certificate(directory: Path, name: str) -> None:
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
        .sign(key, SHA256())
    )
    (directory / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (directory / f"{name}.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def test_tls_files_must_belong_together(tmp_path: Path) -> None:
    _certificate(tmp_path, "a")
    _certificate(tmp_path, "b")
    ours = settings(tmp_path, "server: {tls: {certificate: a.pem, private_key: a.key, client_ca: b.pem}}")
    assert ours.server.tls is not None
    assert ours.server.tls.private_key.path == tmp_path / "a.key"
    assert ours.server.tls.client_ca is not None
    assert ours.public_url == "https://localhost:8080"
    assert "PRIVATE" not in repr(ours)
    _, faults, _ = load(tmp_path, "server: {tls: {certificate: a.pem, private_key: b.key, client_ca: b.pem}}")
    assert faults == [
        "1: server.tls: certificate and private_key must be PEM files that belong together, without a password"
    ]
    _, faults, _ = load(tmp_path, "server: {tls: {certificate: a.pem, private_key: a.key, client_ca: b.key}}")
    assert [fault.startswith("1: server.tls.client_ca: names a file without a PEM") for fault in faults] == [True]


def test_saml_keys_are_pem_files(tmp_path: Path) -> None:
    _certificate(tmp_path, "a")
    ours = settings(tmp_path, "saml: {signing_key: a.key, encryption_keys: [a.key]}")
    assert ours.saml.signing_key is not None
    assert len(ours.saml.encryption_keys) == 1
    _, faults, _ = load(tmp_path, "saml:\n  encryption_keys:\n    - a.key\n    - a.pem\n")
    assert [fault.startswith("4: saml.encryption_keys[1]: names a file without a PEM") for fault in faults] == [True]


def test_pem_content_in_the_place_of_a_path_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\nhunter22\n")
    _, faults, _ = load(tmp_path, "saml: {signing_key: '${file:key.pem}'}")
    assert len(faults) == 1
    assert "hunter22" not in faults[0]
