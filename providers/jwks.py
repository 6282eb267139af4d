"""Key sets of issuers (OpenID Connect Discovery 1.0 §4): fixed, or fetched, cached and kept fresh.

Invariants of a fetched set:
- At most one fetch runs, and one begins at most every `retry`, however many tokens ask for however many unknown keys.
- While the issuer answers, keys are replaced every `refresh` in the background, so one that was withdrawn is accepted
  for less than `maximum_age`.
- While it does not, the last keys serve for `stale`. Tokens of known keys wait for a fetch only where the keys have
  aged unattended (after `idle`), and then for one.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import aiohttp

from providers.encoding import json_object
from providers.errors import ProofError, ProofRejected, ProviderUnavailable
from providers.fetch import FetchFailed, fetch, origin, require_web_origin
from providers.jwk import Keys, VerificationKey, parse_key_set

_LOG = logging.getLogger(__name__)

_MAX_BYTES = 512 * 1024  # GitHub's key set has some 10 KB
# Issuers that publish their keys on another host of theirs.
_KEY_HOSTS: Mapping[str, str] = {
    "accounts.google.com": "www.googleapis.com",
    "securetoken.google.com": "www.googleapis.com",
}
_NO_KEY = (
    "Couldn't retrieve verification key from your identity provider,  "
    "please reference AssumeRoleWithWebIdentity documentation for requirements"
)


class KeySet(Protocol):
    """The keys of one issuer."""

    async def find(self, key_id: str | None, algorithm: str) -> VerificationKey:
        """Raises `ProofRejected` where the issuer has no such key, `ProviderUnavailable` where that cannot be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """In seconds; see the invariants above. `timeout` bounds a fetch: discovery, key set and parsing together.

    After `idle` without a token the background refresh sleeps until the next one.
    Raises `ValueError` where keys could age before their refresh has succeeded or failed.
    """

    refresh: float = 240
    maximum_age: float = 300
    stale: float = 86_400
    retry: float = 10
    timeout: float = 5
    idle: float = 3_600

    def __post_init__(self) -> None:
        if self.refresh + self.retry + self.timeout > self.maximum_age:
            raise ValueError("keys age before their refresh ends")


class FixedKeySet:
    """A `KeySet` from a document that the operator gave."""

    def __init__(self, document: bytes) -> None:
        """Raises `ValueError` where the document holds no usable key."""
        self._keys = parse_key_set(document)

    async def find(self, key_id: str | None, algorithm: str) -> VerificationKey:
        key = self._keys.get((key_id, algorithm))
        if key is None:
            raise _unknown(key_id, algorithm)
        return key


class RemoteKeySet:
    """A `KeySet` found by discovery. Belongs to the event loop that first asks it."""

    def __init__(
        self,
        issuer: str,
        session: aiohttp.ClientSession,
        *,
        tls: ssl.SSLContext | None = None,
        allow_http: bool = False,
        times: Times | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer = issuer
        self._session = session
        self._tls = tls
        self._allow_http = allow_http
        self._times = times if times is not None else Times()
        self._monotonic = monotonic
        self._keys: Keys = {}
        self._fetched_at: float | None = None
        self._attempted_at: float | None = None
        self._asked_at = monotonic()
        self._failure: FetchFailed | ValueError | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._closed = False

    async def find(self, key_id: str | None, algorithm: str) -> VerificationKey:
        self._asked_at = self._monotonic()
        if self._refreshing is None and not self._closed:
            self._refreshing = asyncio.create_task(self._refresh())
        aged = self._age() > self._times.maximum_age and self._failure is None
        key = None if aged else self._known(key_id, algorithm)
        if key is None:
            await self._attempt()
            key = self._known(key_id, algorithm)
        if key is None:
            raise self._missing(key_id, algorithm)
        return key

    async def close(self) -> None:
        """Stop refreshing, when the fetch that runs has ended."""
        self._closed = True
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait([self._refreshing])
        if self._fetching is not None:
            await asyncio.wait([self._fetching])  # others wait for it, and its time is bounded

    def _age(self) -> float:
        return self._monotonic() - self._fetched_at if self._fetched_at is not None else float("inf")

    def _known(self, key_id: str | None, algorithm: str) -> VerificationKey | None:
        return self._keys.get((key_id, algorithm)) if self._age() <= self._times.stale else None

    def _missing(self, key_id: str | None, algorithm: str) -> ProofError:
        if self._failure is None:
            return _unknown(key_id, algorithm)
        if isinstance(self._failure, FetchFailed):
            return ProviderUnavailable(
                "The identity provider could not be reached; try again.",
                reason="issuer_unreachable",
                detail=str(self._failure),
            )
        return ProofRejected(_NO_KEY, reason="issuer_document", detail=str(self._failure))

    async def _refresh(self) -> None:
        try:
            while self._monotonic() - self._asked_at < self._times.idle:
                await self._attempt()
                await asyncio.sleep(self._times.retry if self._failure is not None else self._until_refresh())
            self._failure = None  # what failed an hour ago says nothing about the issuer of today
        finally:
            self._refreshing = None

    def _until_refresh(self) -> float:
        return max(self._times.refresh - self._age(), self._times.retry)

    async def _attempt(self) -> None:
        """Fetch, join the fetch that runs, or return at once where one began less than `retry` ago."""
        if self._fetching is None:
            now = self._monotonic()
            if self._attempted_at is not None and now - self._attempted_at < self._times.retry:
                return
            self._attempted_at = now
            self._fetching = asyncio.create_task(self._fetch())
        await asyncio.shield(self._fetching)

    async def _fetch(self) -> None:
        failure: FetchFailed | ValueError | None = None
        try:
            async with asyncio.timeout(self._times.timeout):
                keys = await self._load()
            self._keys, self._fetched_at = keys, self._attempted_at
        except TimeoutError:
            failure = FetchFailed(f"{self._issuer} did not answer within {self._times.timeout} s")
        except (FetchFailed, ValueError) as error:
            failure = error
        finally:
            self._fetching = None
        if failure is not None and self._failure is None:
            _LOG.warning("keys of %s are not refreshed: %s", self._issuer, failure)
        elif failure is None and self._failure is not None:
            _LOG.info("keys of %s are refreshed again", self._issuer)
        self._failure = failure

    async def _load(self) -> Keys:
        discovery = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
        document = json_object(await fetch(self._session, discovery, tls=self._tls, max_bytes=_MAX_BYTES))
        if document.get("issuer") != self._issuer:
            raise ValueError(f"{discovery} speaks for another issuer")
        jwks_uri = document.get("jwks_uri")
        if not isinstance(jwks_uri, str):
            raise ValueError(f"{discovery} names no jwks_uri")  # noqa: TRY004 - as for all its other faults
        self._require_issuers_host(jwks_uri)
        body = await fetch(self._session, jwks_uri, tls=self._tls, max_bytes=_MAX_BYTES)
        return await asyncio.to_thread(parse_key_set, body)

    def _require_issuers_host(self, jwks_uri: str) -> None:
        require_web_origin(jwks_uri, allow_http=self._allow_http)
        theirs = origin(jwks_uri)
        if theirs == origin(self._issuer):
            return
        scheme, host, port = origin(self._issuer)
        if (scheme, port) != ("https", 443) or theirs != ("https", _KEY_HOSTS.get(host), 443):
            raise ValueError(f"the jwks_uri {jwks_uri} is not on the issuer's own host")


class KeySets:
    """The fetched key sets of a process: one an issuer, however many accounts trust it and whatever is reloaded."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        times: Times | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._times = times
        self._monotonic = monotonic
        self._sets: dict[tuple[str, str | None, bool], RemoteKeySet] = {}

    def of(self, issuer: str, *, ca_file: Path | None = None, allow_http: bool = False) -> RemoteKeySet:
        """Raises `OSError` for a CA file that cannot be read, `ssl.SSLError` or `ValueError` for one that is none."""
        certificates = ca_file.read_text("ascii") if ca_file is not None else None
        name = (issuer, certificates, allow_http)
        if name not in self._sets:
            tls = _tls(certificates) if certificates is not None else None
            self._sets[name] = RemoteKeySet(
                issuer,
                self._session,
                tls=tls,
                allow_http=allow_http,
                times=self._times,
                monotonic=self._monotonic,
            )
        return self._sets[name]

    async def close(self) -> None:
        """Stop refreshing; call it before the session is closed."""
        await asyncio.gather(*(keys.close() for keys in self._sets.values()))


def _tls(certificates: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=certificates)
    return context


def _unknown(key_id: str | None, algorithm: str) -> ProofRejected:
    named = "names no key" if key_id is None else "names a key that the issuer does not publish"
    return ProofRejected(f"{_NO_KEY} (the token {named} for {algorithm})", reason="key_unknown")
