"""What a directory says about a password: one refusal for the caller, the reason for the audit trail."""

import re
from collections.abc import Iterator

from providers.errors import ProviderUnavailable
from providers.ldap.wire import SUCCESS, BindResult, no_verdict
from providers.refusal import refused

# Active Directory tells in its text ("… data 775, …") what the code 49 does not.
_AD_DATA = re.compile(r"\bdata ([0-9a-f]{3,4})\b")
_AD_REASONS = {
    "525": "unknown_user",
    "52e": "password",
    "530": "not_now",
    "531": "not_here",
    "532": "expired",
    "533": "disabled",
    "701": "expired",
    "773": "expired",
    "775": "locked",
}
# Result codes that are verdicts on the account: the password is wrong, or the account is shut or has none.
_VERDICTS = {
    19: "locked",  # constraintViolation: 389 Directory Server after too many attempts
    32: "unknown_user",  # noSuchObject: removed a moment ago
    48: "password",  # inappropriateAuthentication: the entry has no password
    49: "password",  # invalidCredentials
    50: "disabled",  # insufficientAccessRights: no right to authenticate
    53: "disabled",  # unwillingToPerform: inactivated
}
# PasswordPolicyResponseValue's error (draft-behera-ldap-password-policy-10 §6.2). 3 to 8 concern password changes.
_POLICY_REASONS = {0: "expired", 1: "locked", 2: "expired"}


_SEQUENCE, _WARNING, _ERROR = 0x30, 0xA0, 0x81


def require_accepted(result: BindResult) -> None:
    """Return where the password was right and is good for more than changing itself.

    Raises `ProofRejected` for every verdict against it; where there is none, as `no_verdict` decides.
    """
    policy = _policy_reason(result.policy)
    if result.code == SUCCESS:
        if policy is not None:
            raise refused(policy)
        return
    reason = _VERDICTS.get(result.code)
    if reason is None:
        raise no_verdict(result.code, f"the server could not judge the password: {result.message}")
    told = _AD_DATA.search(result.message)
    if told is not None:
        reason = _AD_REASONS.get(told[1], reason)
    raise refused(policy or reason, f"code {result.code}")


def _policy_reason(value: bytes | None) -> str | None:
    """Why the password is not good, where the response (a SEQUENCE of an optional warning and error) says so."""
    if not value:
        return None
    elements = dict(_elements(dict(_elements(value)).get(_SEQUENCE, b"")))
    if not elements.keys() <= {_WARNING, _ERROR}:
        raise _unreadable()
    error = elements.get(_ERROR)
    return None if error is None else _POLICY_REASONS.get(int.from_bytes(error, "big"))


def _elements(encoded: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each element of a BER text; all are shorter than 128 octets here."""
    at = 0
    while at < len(encoded):
        if at + 1 == len(encoded) or encoded[at + 1] > len(encoded) - at - 2:
            raise _unreadable()
        end = at + 2 + encoded[at + 1]
        yield encoded[at], encoded[at + 2 : end]
        at = end


def _unreadable() -> ProviderUnavailable:
    return ProviderUnavailable(
        "The identity provider could not tell.", reason="result", detail="the password policy response cannot be read"
    )
