"""The server's side of TLS, and what it says of client certificates that it refuses."""

import logging
import ssl

from broker.settings import Settings

log = logging.getLogger(__name__)


class _Handshake(ssl.SSLObject):
    """One connection. A handshake that fails is otherwise silent: the client sees an alert, the operator nothing."""

    def do_handshake(self) -> None:
        """As it is, with a line in the log where the client's certificate does not get through."""
        try:
            super().do_handshake()
        except ssl.SSLCertVerificationError as error:
            log.info("a client certificate was refused in the handshake: %s", error.verify_message)
            raise


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """TLS 1.2 or newer, None where TLS is not configured. Clients may, and need not, present certificates."""
    tls = settings.server.tls
    if tls is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.sslobject_class = _Handshake
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.certificate.path, tls.private_key.path)
    if tls.client_ca is not None:
        context.load_verify_locations(cadata=tls.client_ca.content.decode("ascii"))
        context.verify_mode = ssl.CERT_OPTIONAL
        # Whatever stands there is trusted, roots or not. Python's defaults differ from version to version.
        context.verify_flags = ssl.VERIFY_X509_TRUSTED_FIRST | ssl.VERIFY_X509_PARTIAL_CHAIN
        # A ticket would bring back the client's certificate without those of the authorities that it sent along.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    return context
