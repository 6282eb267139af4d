"""A posted Response: the signed assertion in it, and the rules of Web browser SSO (SAML Core §2, Profiles §4.1.4.3).

Order: bytes, grammar, signatures, and only then values, which come from the bytes that were signed. What an unsigned
Response says about itself (Status, Destination, InResponseTo) can only make it be refused.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import saml2.saml
from lxml import etree
from saml2 import SAMLError
from saml2.validate import MustValueError, NotValid

from providers.errors import ProofExpired, ProofRejected
from providers.saml.attributes import Values
from providers.saml.document import decode, malformed, parse
from providers.saml.encryption import decrypted, undecryptable
from providers.saml.grammar import require_grammar
from providers.saml.names import BEARER, ENTITY, SAML, SAMLP, SUCCESS, UNSPECIFIED
from providers.saml.signature import VerificationKey, canonical_bytes, signature_of, signed_bytes
from providers.saml.times import instant

MAX_AGE: Final = timedelta(minutes=5)  # AWS: "Token must be redeemed within 5 minutes of issuance"
_ASSERTION: Final = f"{{{SAML}}}Assertion"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What a response is held against. `in_response_to`: None for an unsolicited one."""

    issuer: str
    keys: tuple[VerificationKey, ...]
    audiences: frozenset[str]
    recipients: frozenset[str]
    in_response_to: str | None
    decryption_keys: tuple[bytes, ...] = field(default=(), repr=False)
    skew: timedelta
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedAssertion:
    """Everything in it was signed by the issuer. `expires_at`: from then on, skew included, it is refused."""

    id: str
    issued_at: datetime
    expires_at: datetime
    authenticated_at: datetime
    session_until: datetime | None
    issuer: str
    subject: str
    subject_format: str
    recipient: str
    attributes: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """What a response says before anything is verified: for choosing the provider that may verify it."""

    unverified_issuer: str | None
    unverified_in_response_to: str | None


def peek(raw: str) -> Presented:
    """CPU-bound. Raises `ProofRejected` for what is not a Response."""
    root = parse(decode(raw))
    if root.tag != f"{{{SAMLP}}}Response":
        raise malformed("it is not a SAML 2.0 Response.", reason="root")
    issuer = root.findtext(f"{{{SAML}}}Issuer") or root.findtext(f"{_ASSERTION}/{{{SAML}}}Issuer")
    return Presented(unverified_issuer=issuer, unverified_in_response_to=root.get("InResponseTo"))


def verify_response(raw: str, expected: Expectation) -> VerifiedAssertion:
    """Pure and CPU-bound. Raises `ProofRejected` or `ProofExpired`."""
    root = parse(decode(raw))
    _require_success(root)
    require_grammar(root, f"{{{SAMLP}}}Response")
    assertion = _verified(root, expected)
    _require_response(root, expected)
    return _read(assertion, expected)


def _require_success(root: etree._Element) -> None:
    status = root.find(f"{{{SAMLP}}}Status/{{{SAMLP}}}StatusCode")
    if status is not None and status.get("Value") != SUCCESS:
        raise ProofRejected(
            "The identity provider did not sign the user in.",
            reason="status",
            detail=f"status {(status.get('Value') or '')[:200]}",
        )


def _verified(root: etree._Element, expected: Expectation) -> Any:
    """The assertion, read from the bytes that its own signature covers, or else the response's."""
    plain, encrypted = root.find(_ASSERTION), root.find(f"{{{SAML}}}EncryptedAssertion")
    if (plain is None) == (encrypted is None):
        raise malformed("it must hold exactly one assertion.", reason="assertions")
    signature = signature_of(root)
    if signature is not None:
        signed = parse(signed_bytes(root, signature, expected.keys))
        plain, encrypted = signed.find(_ASSERTION), signed.find(f"{{{SAML}}}EncryptedAssertion")
    if encrypted is not None:
        return _model(_opened(encrypted, expected, required=signature is None))
    if plain is None:
        raise malformed("it holds no assertion.", reason="assertions")
    return _model(_signed_assertion(plain, expected.keys, required=signature is None))


def _opened(encrypted: etree._Element, expected: Expectation, *, required: bool) -> bytes:
    assertion = decrypted(encrypted, expected.decryption_keys)
    try:
        require_grammar(assertion, _ASSERTION)
        return _signed_assertion(assertion, expected.keys, required=required)
    except ProofRejected as error:
        raise undecryptable(f"{error.reason}: {error.detail or error.sentence}") from error


def _signed_assertion(assertion: etree._Element, keys: Iterable[VerificationKey], *, required: bool) -> bytes:
    signature = signature_of(assertion)
    if signature is not None:
        return signed_bytes(assertion, signature, keys)
    if required:
        raise ProofRejected("Response signature invalid", reason="unsigned", detail="nothing is signed")
    return canonical_bytes(assertion)


def _model(canonical: bytes) -> Any:
    try:
        assertion = saml2.saml.assertion_from_string(canonical)
        if assertion is None:
            raise malformed("it holds no assertion.", reason="assertions")
        assertion.verify()
    except (SAMLError, NotValid, MustValueError, ValueError) as error:
        raise malformed("the assertion is not as SAML has it.", reason="model", detail=str(error)) from error
    return assertion


def _require_response(root: etree._Element, expected: Expectation) -> None:
    if root.get("Version") != "2.0":
        raise malformed("its version is not 2.0.", reason="version")
    _require_issued(_time(root.get("IssueInstant")), expected)
    issuer = root.find(f"{{{SAML}}}Issuer")
    if issuer is not None:
        _require_issuer(issuer.text, issuer.get("Format"), expected)
    destination = root.get("Destination")
    if destination is None and signature_of(root) is not None:
        raise ProofRejected("A signed response must have a Destination.", reason="destination")
    if destination is not None and destination not in expected.recipients:
        raise ProofRejected("The response was sent to another destination.", reason="destination")
    _require_in_response_to(root.get("InResponseTo"), expected)


def _read(assertion: Any, expected: Expectation) -> VerifiedAssertion:
    if assertion.version != "2.0":
        raise malformed("the assertion's version is not 2.0.", reason="version")
    _require_issuer(assertion.issuer.text, assertion.issuer.format, expected)
    _require_audience(assertion.conditions, expected)
    issued_at = _time(assertion.issue_instant)
    _require_issued(issued_at, expected)
    recipient, confirmed_until = _confirmation(assertion.subject, expected)
    _require_begun(assertion.conditions.not_before, expected)
    ends = [issued_at + MAX_AGE, confirmed_until]
    if assertion.conditions.not_on_or_after:
        ends.append(_time(assertion.conditions.not_on_or_after))
    expires_at = min(ends) + expected.skew
    authenticated, sessions = _statements(assertion, expected)
    if expected.now >= expires_at:
        raise _expired()
    name_id = assertion.subject.name_id
    if name_id is None or not (name_id.text or "").strip():
        raise ProofRejected("Not authorized to perform sts:AssumeRoleWithSAML", reason="subject")
    return VerifiedAssertion(
        id=assertion.id,
        issued_at=issued_at,
        expires_at=expires_at,
        authenticated_at=authenticated,
        session_until=sessions,
        issuer=expected.issuer,
        subject=name_id.text,
        subject_format=name_id.format or UNSPECIFIED,
        recipient=recipient,
        attributes=_attributes(assertion),
    )


def _require_issuer(text: str | None, form: str | None, expected: Expectation) -> None:
    if text != expected.issuer or form not in (None, "", ENTITY):
        raise ProofRejected("Issuer not present in specified provider", reason="issuer")


def _require_in_response_to(value: str | None, expected: Expectation) -> None:
    if value != expected.in_response_to:
        raise ProofRejected("The response does not answer the request that was sent.", reason="in_response_to")


def _require_audience(conditions: Any, expected: Expectation) -> None:
    """Of every restriction one audience must be ours (SAML Core §2.5.1.4)."""
    restrictions = conditions.audience_restriction
    ours = [expected.audiences.intersection(each.text for each in restriction.audience) for restriction in restrictions]
    if not ours or not all(ours):
        raise ProofRejected("Response does not contain the required audience.", reason="audience")


def _require_issued(issued_at: datetime, expected: Expectation) -> None:
    if issued_at > expected.now + expected.skew:
        raise _not_yet()
    if expected.now >= issued_at + MAX_AGE + expected.skew:
        raise _expired()


def _require_begun(not_before: str | None, expected: Expectation) -> None:
    if not_before and expected.now < _time(not_before) - expected.skew:
        raise _not_yet()


def _confirmation(subject: Any, expected: Expectation) -> tuple[str, datetime]:
    """The Recipient and until when the bearer is confirmed."""
    (confirmation,) = subject.subject_confirmation
    if confirmation.method != BEARER:
        raise ProofRejected("The subject is not confirmed by bearer.", reason="confirmation")
    bounds = confirmation.subject_confirmation_data
    if bounds.recipient not in expected.recipients:
        raise ProofRejected("The response was made for another recipient.", reason="recipient")
    _require_in_response_to(bounds.in_response_to, expected)
    _require_begun(bounds.not_before, expected)
    return bounds.recipient, _time(bounds.not_on_or_after)


def _statements(assertion: Any, expected: Expectation) -> tuple[datetime, datetime | None]:
    """The latest authentication, and the earliest end of a session at the identity provider."""
    authenticated = [_time(statement.authn_instant) for statement in assertion.authn_statement]
    if max(authenticated) > expected.now + expected.skew:
        raise _not_yet()
    ends = [_time(text) for each in assertion.authn_statement if (text := each.session_not_on_or_after)]
    session_until = min(ends, default=None)
    if session_until is not None and expected.now >= session_until:
        raise _expired()
    return max(authenticated), session_until


def _attributes(assertion: Any) -> Values:
    """By Name; one Name in several places is one attribute. A value that is a NameID counts as its text."""
    values: dict[str, tuple[str, ...]] = {}
    for statement in assertion.attribute_statement:
        for attribute in statement.attribute:
            found = tuple(_value(value) for value in attribute.attribute_value)
            values[attribute.name] = values.get(attribute.name, ()) + found
    return values


def _value(value: Any) -> str:
    texts = [value.text, *(element.text for element in value.extension_elements)]
    return "".join(text.strip() if len(texts) > 1 else text for text in texts if text)


def _time(text: str | None) -> datetime:
    try:
        return instant(text or "")
    except ValueError as error:
        raise malformed(f"{error}.", reason="time") from error


def _not_yet() -> ProofRejected:
    return ProofRejected("The response is not yet valid.", reason="not_yet_valid")


def _expired() -> ProofExpired:
    return ProofExpired("Token must be redeemed within 5 minutes of issuance", reason="expired")
