"""What an encoded authorization message holds, and for whom."""

import json
import os
from datetime import UTC, datetime

import pytest

from broker.errors import AccessDenied, InvalidAuthorizationMessage
from broker.flows.denials import MAXIMUM_CHARACTERS, Denials
from broker.policy import Kind, Policies, Principal, PrincipalKind, Request, RequestContext, parse
from broker.sealing import MasterKeys
from tests.end_to_end.world import DEV, PROD, allow, document

PROVIDER = f"arn:aws:iam::{DEV}:oidc-provider/issuer.test"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def denial(context: RequestContext, *, owner: str = DEV) -> tuple[Denials, AccessDenied]:
    """Of somebody with another subject than the role expects."""
    expected = {"StringEquals": {"issuer.test:sub": "expected"}}
    statement = allow("sts:AssumeRoleWithWebIdentity", principal={"Federated": PROVIDER}, condition=expected)
    trust = parse(json.dumps(document(statement)), Kind.TRUST, name="trust policy")
    principal = Principal(PrincipalKind.PROVIDER, PROVIDER, DEV)
    role = f"arn:aws:iam::{owner}:role/r"
    request = Request(principal, "sts:AssumeRoleWithWebIdentity", role, context, owner)
    denials = Denials(MasterKeys([b"k" * 32], os.urandom), lambda: NOW)
    return denials, denials.denied("No.", request, Policies(resource=trust), note="a note")


def message_of(error: AccessDenied) -> str:
    return error.message.rpartition(" ")[2]


def test_of_a_thousand_claims_some_are_told() -> None:
    claims = {f"issuer.test:claim{number}": os.urandom(4).hex() for number in range(1000)}
    denials, error = denial(RequestContext(claims | {"issuer.test:sub": "another"}))
    message = message_of(error)
    assert len(message) <= MAXIMUM_CHARACTERS
    decoded = json.loads(denials.decode(message, account=DEV))
    assert len(decoded["context"]["conditions"]["items"]) == 200
    assert "another" in json.dumps(decoded["explanation"])


def test_a_trust_policy_is_explained_in_its_own_account_alone() -> None:
    denials, error = denial(RequestContext({"issuer.test:sub": "another", "iam:ResourceTag/Team": "ops"}), owner=PROD)
    told = {account: denials.decode(message_of(error), account=account) for account in (DEV, PROD)}
    for secret in ("expected", "ops", "a note"):
        assert secret in told[PROD] and secret not in told[DEV]
    with pytest.raises(InvalidAuthorizationMessage):
        denials.decode(message_of(error), account="999999999999")
