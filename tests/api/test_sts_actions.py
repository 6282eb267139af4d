"""The table of STS actions beside the SDK's model of the service."""

import botocore.session
import pytest

from broker.api import params, sts
from broker.errors import MalformedInput, ValidationError

MODEL = botocore.session.get_session().get_service_model("sts")
OWN = {"AssumeRoleWithCertificate", "AssumeRoleWithLDAPIdentity"}
ABSENT = {"GetDelegatedAccessToken"}
NOT_IMPLEMENTED = {"MinimumSessionTokenSize", "ProviderId", "ProvidedContexts"}


def test_every_action_of_aws_is_there_but_one() -> None:
    assert set(MODEL.operation_names) - ABSENT <= set(sts.ACTIONS)
    assert set(sts.ACTIONS) - set(MODEL.operation_names) <= OWN


def refused_as_unknown(action: str, name: str) -> bool:
    try:
        params.parse(sts.ACTIONS[action].request, {name: "x", f"{name}.member.1": "x"})
    except MalformedInput:
        return False
    except ValidationError as refusal:
        return f"'{name}' is not one that this action takes" in refusal.message
    return False


@pytest.mark.parametrize("action", sorted(set(MODEL.operation_names) - ABSENT))
def test_each_parameter_is_read_or_refused(action: str) -> None:
    shape = MODEL.operation_model(action).input_shape
    names = set(shape.members) if shape is not None else set()
    assert {name for name in names if refused_as_unknown(action, name)} <= NOT_IMPLEMENTED


@pytest.mark.parametrize("action", sorted(sts.ACTIONS))
def test_a_parameter_that_no_action_has_is_refused(action: str) -> None:
    assert refused_as_unknown(action, "Surprise")
    assert refused_as_unknown(action, "roleArn")
