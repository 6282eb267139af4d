"""Where the metadata of an identity provider comes from: a text, or an address that is read again and again."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import aiohttp

from providers.contract import Now
from providers.errors import ProofError, ProviderUnavailable
from providers.fetch import FetchFailed, fetch, require_web_origin
from providers.saml.metadata import MAX_BYTES, IdpMetadata, MetadataFault
from providers.saml.times import text
from providers.saml.workers import Workers

_LOG = logging.getLogger(__name__)


class MetadataSource(Protocol):
    """`fault`: what is wrong with the newest document, for the operator; None while nothing is known to be."""

    fault: str | None

    @property
    def known(self) -> IdpMetadata | None:
        """The metadata as read last, whatever its age; None before."""

    async def current(self) -> IdpMetadata:
        """Metadata in force. Raises `ProviderUnavailable`."""

    async def close(self) -> None:
        """Stop what runs in the background."""


class FixedMetadata:
    """A `MetadataSource` from a text, parsed when it is first asked for."""

    def __init__(self, document: str, *, workers: Workers, now: Now) -> None:
        self.fault: str | None = None
        self._document = document.encode("utf-8")
        self._workers = workers
        self._now = now
        self._metadata: IdpMetadata | None = None

    @property
    def known(self) -> IdpMetadata | None:
        return self._metadata

    async def current(self) -> IdpMetadata:
        if self._metadata is None and self.fault is None:
            try:
                self._metadata = await self._workers.parse_metadata(self._document)
            except MetadataFault as error:
                self.fault = str(error)
        if self._metadata is not None and _expired(self._metadata, self._now):
            self.fault = _expiry(self._metadata)
        if self._metadata is None or self.fault is not None:
            raise _unusable(self.fault)
        return self._metadata

    async def close(self) -> None:
        """Nothing runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """In seconds. Metadata is read again when older than `refresh`; past `maximum_age` a sign-in waits for that.

    `retry`: between the starts of two attempts. `timeout` bounds one.
    """

    refresh: float = 3_600
    maximum_age: float = 7_200
    retry: float = 30
    timeout: float = 10


class RemoteMetadata:
    """A `MetadataSource` at an address, signed by one of `certificates` (DER). Belongs to the loop that first asks it.

    The last good document serves until its `validUntil`, whatever the address answers. At most one fetch runs.
    """

    def __init__(
        self,
        url: str,
        certificates: Sequence[bytes],
        *,
        session: aiohttp.ClientSession,
        workers: Workers,
        now: Now,
        times: Times | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises `ValueError` for an address that is not https (or http on loopback), and without a certificate."""
        require_web_origin(url, allow_http=True)
        if not certificates:
            raise ValueError("metadata from an address needs a certificate that it is signed with")
        self.fault: str | None = None
        self._url = url
        self._certificates = tuple(certificates)
        self._session = session
        self._workers = workers
        self._now = now
        self._times = times if times is not None else Times()
        self._monotonic = monotonic
        self._metadata: IdpMetadata | None = None
        self._fetched_at = 0.0
        self._attempted_at: float | None = None
        self._fetching: asyncio.Task[None] | None = None

    @property
    def known(self) -> IdpMetadata | None:
        return self._metadata

    async def current(self) -> IdpMetadata:
        metadata = self._metadata
        age = self._monotonic() - self._fetched_at
        if metadata is None or age > self._times.maximum_age or _expired(metadata, self._now):
            attempt = self._attempt()
            if attempt is not None:
                await asyncio.wait([attempt])  # its end by `close` is not the end of whoever waits for it
            metadata = self._metadata
        elif age > self._times.refresh:
            self._attempt()
        if metadata is None:
            raise _unusable(self.fault)
        if _expired(metadata, self._now):
            self.fault = self.fault or _expiry(metadata)
            raise _unusable(self.fault)
        return metadata

    async def close(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    def _attempt(self) -> asyncio.Task[None] | None:
        """The fetch that runs, or a new one; None where the last began less than `retry` ago."""
        now = self._monotonic()
        if self._fetching is None and (self._attempted_at is None or now - self._attempted_at >= self._times.retry):
            self._attempted_at = now
            self._fetching = asyncio.create_task(self._fetch())
        return self._fetching

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(self._times.timeout):
                document = await fetch(self._session, self._url, tls=None, max_bytes=MAX_BYTES)
                metadata = await self._workers.parse_metadata(document, self._certificates)
            if _expired(metadata, self._now):
                raise MetadataFault(_expiry(metadata))  # noqa: TRY301 - handled as any other fault of the document
            self._metadata, self._fetched_at, self.fault = metadata, self._monotonic(), None
        except TimeoutError:
            self._report(f"{self._url} did not answer within {self._times.timeout} s")
        except (FetchFailed, MetadataFault, ProofError) as error:
            self._report(str(error))
        finally:
            self._fetching = None

    def _report(self, fault: str) -> None:
        self.fault = fault
        _LOG.warning("SAML metadata of %s: %s", self._url, fault)


def _expired(metadata: IdpMetadata, now: Now) -> bool:
    return metadata.valid_until is not None and now() >= metadata.valid_until


def _expiry(metadata: IdpMetadata) -> str:
    return f"its validUntil, {text(metadata.valid_until)}, has passed" if metadata.valid_until is not None else ""


def _unusable(fault: str | None) -> ProviderUnavailable:
    return ProviderUnavailable("The metadata of the identity provider cannot be used.", reason="metadata", detail=fault)
