"""Puts the gateway together: settings, store, keys, flows and faces become one web application."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import aiohttp
from aiohttp import web

from broker import telemetry
from broker.api import admin, iam, sts
from broker.api.authz.face import AuthzFace
from broker.api.connections import Connections, without_version
from broker.api.health import Health
from broker.api.oauth.face import OAuthFace
from broker.api.oauth.metadata import Metadata
from broker.api.pages import password, roles, security_keys
from broker.api.pages.face import PageFace
from broker.api.pages.layout import asset
from broker.api.query import QueryFace
from broker.api.saml import acs as saml_acs
from broker.api.saml import login as saml_login
from broker.api.saml.metadata import Metadata as SamlMetadata
from broker.api.well_known import WellKnown
from broker.audit import Trail
from broker.clock import Now
from broker.directory.directory import Directory, Refused, Reloaded
from broker.directory.entries import Entries
from broker.directory.security_keys import SecurityKeys
from broker.federation import Providers
from broker.flows.authenticate import Authenticator
from broker.flows.denials import Denials
from broker.flows.guessing import Guessing
from broker.flows.pace import Pace
from broker.flows.recheck import Recheck
from broker.flows.resealing import Resealing
from broker.flows.second_factor import StoredDeviceStates
from broker.flows.services import Services
from broker.ids import Random
from broker.saml_federation import SamlProviders
from broker.sealing import MasterKeys, new_master_key, parse_master_key
from broker.sessions.key_use import KeyUse
from broker.sessions.keyring import Keyring
from broker.sessions.sessions import Sessions
from broker.sessions.shared_secrets import guessing_key, saml_signing_key
from broker.sessions.tickets import Tickets
from broker.settings import Settings
from broker.sigv4 import SigningKeys
from broker.stores.contract import Store, StoreUnavailable
from broker.stores.once import StoreOnce
from providers.totp import Totp, otpauth_url, qr_code
from providers.webauthn import WebAuthn

HEAD_LIMIT = 16_384
"""Bytes of a request line or of one header: a presigned URL carries a session token of up to 4 KB."""
CONNECTIONS = web.AppKey("connections", Connections)
_LAG_EVERY = 0.5
_KEYS_WITHIN = 2.0

log = logging.getLogger(__name__)


def build(
    directory: Directory, store: Store, masters: MasterKeys, trail: Trail, *, now: Now, random: Random
) -> web.Application:
    """The application of one process, made on its event loop. Its background work starts and ends with it."""
    settings = directory.snapshot.settings
    keyring = Keyring(store, masters, now=now, rotate_every=settings.keys.rotate_every)
    sessions = Sessions(
        store,
        keyring,
        masters,
        issuer=settings.public_url,
        now=now,
        random=random,
        on_replicas=settings.store.wait_for_replicas,
    )
    outgoing = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64, limit_per_host=4), trust_env=False)
    once = StoreOnce(store, now)
    providers = Providers(outgoing, once, now)
    service_key = saml_signing_key(store, masters)
    saml = SamlProviders(outgoing, once, service_key, now)
    hashing_key = guessing_key(store, masters, random)
    entries = Entries(store, masters, now=now, random=random)
    key_use = KeyUse(store, masters, now)
    services = Services(
        directory=directory,
        entries=entries,
        security_keys=SecurityKeys(store, now=now, random=random),
        sessions=sessions,
        keyring=keyring,
        key_use=key_use,
        authenticator=Authenticator(sessions, SigningKeys(), now),
        denials=Denials(masters, now),
        federation=providers,
        guessing=Guessing(store, settings.guessing, key=hashing_key.value, now=now),
        pace=Pace(store, hashing_key.value),
        codes=Totp(StoredDeviceStates(store), now=now),
        picture=lambda seed, user, account: qr_code(otpauth_url(seed, user=user, account=account)),
        ceremonies=_ceremonies(settings.public_url),
        saml=saml,
        tickets=Tickets(store, masters, random),
        now=now,
        random=random,
    )
    apis = {each.VERSION: each.SERVICE for each in (sts, iam, admin)}
    query = QueryFace(services, apis, trail, random)
    oauth = OAuthFace(services, trail, random)
    authz = AuthzFace(services, trail, random)
    pages = PageFace(services, trail, random)
    sealed = (entries, hashing_key, service_key, keyring)
    resealing = Resealing(store, masters, key_use, sealed, trail, now, random)
    health = Health(store.ping, keyring, lambda: resealing.problems)
    well_known = WellKnown(settings.public_url, keyring)

    connections = Connections()
    application = web.Application(
        handler_args={"max_line_size": HEAD_LIMIT, "max_field_size": HEAD_LIMIT, "auto_decompress": False},
    )
    application[CONNECTIONS] = connections
    application.on_response_prepare.append(without_version)
    routes = [
        web.get("/", query.handle, allow_head=False),
        web.post("/", query.handle),
        web.post("/oauth2/token", oauth.token),
        web.post("/oauth2/introspect", oauth.introspect),
        web.post("/oauth2/revoke", oauth.revoke),
        web.post("/authorize", authz.authorize),
        web.get("/auth/request", authz.auth_request, allow_head=False),
        web.route("*", "/auth/ext_authz/{path:.*}", authz.ext_authz),
        web.get("/saml/metadata", SamlMetadata(services).document),
        web.get("/saml/login", pages.door("BeginSamlSignIn", saml_login.begin, recorded=False), allow_head=False),
        web.post("/saml/acs", pages.door("SamlSignIn", saml_acs.receive)),
        web.get("/login", pages.door("ShowSignIn", password.show, recorded=False), allow_head=False),
        web.post("/login", pages.door("PasswordSignIn", password.enter)),
        web.get("/login/key", pages.door("ShowSecurityKey", security_keys.ask, recorded=False), allow_head=False),
        web.post("/login/key", pages.door("SecurityKeySignIn", security_keys.use)),
        web.post("/login/key/without", pages.door("SkipSecurityKey", security_keys.go_without, recorded=False)),
        web.get("/login/keys", pages.door("ShowSecurityKeys", security_keys.show, recorded=False), allow_head=False),
        web.post("/login/keys", pages.door("EnableMFADevice", security_keys.register)),
        web.post("/login/keys/remove", pages.door("DeactivateMFADevice", security_keys.remove)),
        web.post("/login/keys/leave", pages.door("LeaveSecurityKeys", security_keys.leave, recorded=False)),
        web.get("/login/roles", pages.door("ChooseRole", roles.show, recorded=False), allow_head=False),
        web.post("/login/roles", pages.door("ChooseRole", roles.choose)),
        web.post("/login/credentials", pages.door("RedeemCode", roles.redeem, json=True)),
        web.get("/assets/{digest}/{name}", asset),
        web.get("/.well-known/oauth-authorization-server", Metadata(settings.public_url).document),
        web.get("/health/live", health.live),
        web.get("/health/ready", health.ready),
        web.get("/metrics", health.metrics),
        web.get("/.well-known/jwks.json", well_known.jwks),
        web.get("/.well-known/openid-configuration", well_known.openid_configuration),
    ]
    application.add_routes(
        web.RouteDef(each.method, each.path, connections.watched(each.handler), each.kwargs) for each in routes
    )
    application.on_startup.append(lambda _: _read_keys(keyring))
    application.cleanup_ctx.append(
        _background(
            keyring.keep_fresh,
            resealing.keep_resealing,
            sessions.usage.keep_writing,
            directory.watch,
            partial(saml.watch, lambda: directory.snapshot),
            Recheck(services, store, trail, random).keep_rechecking,
            _watch_lag,
        )
    )
    application.on_cleanup.append(lambda _: _close(saml, providers, store, trail))
    return application


def _ceremonies(public_url: str) -> WebAuthn | None:
    try:
        return WebAuthn(public_url)
    except ValueError as error:
        log.info("no security keys on the sign-in page: %s", error)
        return None


async def _read_keys(keyring: Keyring) -> None:
    """Before the first request, where the store answers: a worker that was started anew is whole at once."""
    with contextlib.suppress(StoreUnavailable, TimeoutError):
        async with asyncio.timeout(_KEYS_WITHIN):
            await keyring.refresh()


def _background(*jobs: Callable[[], Awaitable[None]]) -> Callable[[web.Application], AsyncIterator[None]]:
    async def run(_application: web.Application) -> AsyncIterator[None]:
        tasks = [asyncio.ensure_future(job()) for job in jobs]
        for task in tasks:
            task.add_done_callback(_ended)
        yield
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task

    return run


def _ended(task: asyncio.Future[None]) -> None:
    """Background work never ends by itself; a worker without it is replaced by a whole one."""
    if not task.cancelled():
        log.critical("background work failed, the worker ends", exc_info=task.exception())
        os.kill(os.getpid(), signal.SIGTERM)


async def _close(saml: SamlProviders, providers: Providers, store: Store, trail: Trail) -> None:
    await saml.close()
    await providers.close()
    await store.close()
    await asyncio.to_thread(trail.close)


async def _watch_lag() -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _LAG_EVERY
        await asyncio.sleep(_LAG_EVERY)
        telemetry.LOOP_LAG.observe(max(0.0, loop.time() - due))


def report_reload(masters: MasterKeys, result: Reloaded | Refused) -> None:
    """Tell the operator how a reload went; `masters` become those that are configured now."""
    if isinstance(result, Refused):
        telemetry.CONFIGURATION_REFUSED.inc()
        log.error("configuration refused, the one before stays in force: %s", result.error)
        return
    telemetry.CONFIGURATION_LOADED.set_to_current_time()
    log.info("configuration loaded")
    for warning in result.snapshot.warnings:
        log.warning("%s", warning)
    for section in result.restart_needed:
        log.warning("the change of %s takes effect at the next start", section)
    before = masters.current_id
    try:
        masters.adopt(_configured(result.snapshot.settings))
    except (OSError, ValueError) as error:
        log.error("the master keys before stay in force: %s", error)
    if masters.current_id != before:
        log.warning("master key %s is used for what is new, in place of %s", masters.current_id, before)


def master_keys(settings: Settings, random: Random) -> MasterKeys:
    """The configured master keys, else the one under the state directory, made at the first start (mode 0600).

    Raises:
        ValueError: the file does not hold a master key.
        OSError: it cannot be read or made.
    """
    path = _made_master_key(settings)
    if not settings.keys.master and not path.exists():
        fresh = settings.state / f"{path.name}.{os.getpid()}"
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
            file.write(new_master_key(random) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
        fresh.unlink()
    return MasterKeys(_configured(settings), random)


def _configured(settings: Settings) -> Sequence[bytes]:
    if settings.keys.master:
        return settings.keys.master
    path = _made_master_key(settings)
    try:
        return [parse_master_key(path.read_text("ascii"))]
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _made_master_key(settings: Settings) -> Path:
    return settings.state / "master-key"
