"""Security keys as a relying party knows them (WebAuthn Level 3 §4, "credential record")."""

from dataclasses import dataclass

from providers.errors import ProofRejected


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A key pair of an authenticator, made for this relying party.

    `public_key`: a COSE key (RFC 9052 §7). `sign_count`: 0 where the authenticator does not count.
    `backup_eligible`: the private key may be copied to other devices. `transports`: how to reach it, as it says itself.
    """

    id: bytes
    public_key: bytes
    aaguid: bytes
    sign_count: int
    backup_eligible: bool
    transports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asserted:
    """Which credential signed, and what it counts to now."""

    credential_id: bytes
    sign_count: int


def not_accepted(reason: str, detail: str | None = None) -> ProofRejected:
    """One sentence for whatever is wrong; `reason` and `detail` are for audit and metrics only."""
    return ProofRejected("The security key was not accepted. Sign in again.", reason=reason, detail=detail)
