"""One request on its way through a face: who signed it, what it minted, and how it ends on record."""

import contextlib
import logging
from collections.abc import Callable, Collection, Iterator

import msgspec

from broker import ids, telemetry
from broker.api.events import Event, identity_of
from broker.api.received import Received
from broker.audit import Trail, cleaned
from broker.directory.model import Snapshot
from broker.errors import BrokerError, InternalFailure, ServiceUnavailable, ValidationError
from broker.flows.caller import Caller, Wire
from broker.flows.services import Services
from broker.ids import Random
from broker.sessions.keyring import KeysUnavailable
from broker.sessions.model import Session
from broker.sigv4 import PresentedSignature
from broker.stores.contract import StoreUnavailable

log = logging.getLogger(__name__)


class Call(msgspec.Struct):
    """`minted` holds sessions until their answer is on its way. `client_certificates`: as TLS carried them, DER.

    `error`: what the request failed with, if it did.
    """

    services: Services
    snapshot: Snapshot
    wire: Wire
    event: Event
    caller: Caller | None = None
    minted: list[Session] = msgspec.field(default_factory=list)
    client_certificates: Callable[[], tuple[bytes, ...]] = tuple
    error: BrokerError | None = None

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Keep in `error` whatever the story fails with; nothing else escapes than cancellation."""
        try:
            yield
        except BrokerError as refusal:
            self.error = refusal
        except (StoreUnavailable, KeysUnavailable) as outage:
            log.warning("%s: %s", self.event.name, outage)
            self.error = ServiceUnavailable()
        except TimeoutError:
            self.error = ValidationError("The request body did not arrive in time.")
        except Exception:
            log.exception("unexpected failure in %s", self.event.name)
            self.error = InternalFailure()

    @property
    def signer(self) -> Caller:
        """The verified caller of a signed request."""
        if self.caller is None:
            raise InternalFailure
        return self.caller

    async def authenticate(self, received: Received, services: Collection[str]) -> Caller:
        """Verify the signature, scoped to one of `services`, and put the signer on record.

        Raises:
            BrokerError: as the authenticator has it.
            StoreUnavailable: a session could not be looked up.
        """
        event = self.event

        def noted(presented: PresentedSignature) -> None:
            event.region = presented.region
            event.identity = {"type": "Unknown", "accessKeyId": cleaned(presented.access_key_id, 128)}

        caller = await self.services.authenticator.verify(
            received.http,
            payload_sha256=received.body_sha256,
            snapshot=self.snapshot,
            services=services,
            noted=noted,
        )
        event.identity = identity_of(caller)
        event.account = caller.principal.account
        self.caller = caller
        return caller

    async def settle(self, trail: Trail, random: Random) -> BrokerError | None:
        """Write the audit event; where that fails, or the request did, nothing that was minted stays.

        Returns what the request failed with in the end, if it did.
        """
        error = self.error
        event_id = ids.request_id(random)
        record = self.event.record(self.wire, self.services.now(), event_id, error)
        if not await trail.recorded(record):
            error = ServiceUnavailable("The request could not be put on record; no credentials were issued. Try again.")
        if error is not None:
            for session in self.minted:
                try:
                    await self.services.sessions.discard(session)
                except StoreUnavailable as outage:
                    log.error("a session that was never handed out stays until it expires: %s", outage)
            # Its frames hold the request and, in a circle, the error itself: a body of 10 MB would stay until the
            # collector comes, and so would those of a hundred refusals more.
            error.__traceback__ = error.__cause__ = error.__context__ = None
        for session in self.minted if error is None else ():
            telemetry.SESSIONS_MINTED.labels(session.kind.value).inc()
        return error
