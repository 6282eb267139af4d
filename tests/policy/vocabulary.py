"""Policies and requests made at random of a small vocabulary, so that they often meet."""

from typing import Any

from hypothesis import strategies as st

from tests.policy.reference import OPERATORS, Question
from tests.policy.suite import principals

A, B = "111122223333", "444455556666"
ROLE = f"arn:aws:iam::{A}:role/deploy"
BUCKET = "arn:aws:s3:::home"

ACTIONS = ["*", "s3:*", "s3:Get*", "S3:getobject", "s3:PutObject", "sts:*", "sts:AssumeRole", "sts:Assume?ole"]
STS_ACTIONS = ["sts:*", "sts:AssumeRole", "sts:TagSession", "sts:Assume?ole*", "sts:AssumeRoleWithWebIdentity"]
RESOURCES = [
    "*",
    f"{BUCKET}/*",
    f"{BUCKET}/alice/x",
    f"{BUCKET}/${{aws:username}}/*",
    f"{BUCKET}/${{aws:PrincipalTag/none, 'alice'}}/?",
    f"{BUCKET}/${{aws:PrincipalTag/none}}/*",
    f"{BUCKET}/${{*}}",
    "arn:aws:s*:::home/*",
    "arn:aws:s3:*",
    "arn:aws:*:*:*:*",
    f"arn:aws:sns:*:{A}:topic",
    "arn:aws:s3:${aws:username}::home/*",
    "arn:aws:iam::${example:one}:role/*",
    f"arn:aws:iam::{A}:role/*",
    ROLE,
]
REQUESTED = [f"{BUCKET}/alice/x", f"{BUCKET}/*", BUCKET, "*", ROLE, f"arn:aws:sns:eu-west-1:{B}:x:{A}:topic"]
NAMED = [
    "*", A, B, f"arn:aws:iam::{A}:root", f"arn:aws:iam::{A}:user/alice", ROLE, f"arn:aws:iam::{B}:role/partner",
    f"arn:aws:sts::{A}:assumed-role/deploy/ci", f"arn:aws:sts::{A}:federated-user/guest", "AIDAALICEALICEALICE22",
    "AROADEPLOYDEPLOYDEP22", f"arn:aws:iam::{B}:user/mallory",
]  # fmt: skip
OTHERS = [
    {"Service": "lambda.amazonaws.com"},
    {"Federated": f"arn:aws:iam::{A}:saml-provider/corp"},
    {"Federated": f"arn:aws:iam::{A}:oidc-provider/token.actions.githubusercontent.com"},
]
TEXTS = ["alice", "ALICE", "al*", "*", "", "${aws:username}", "${aws:PrincipalTag/none}", "${*}", "a${?}b"]
WHOLE_ARN = "${example:one}"
"""Without variables it is no ARN, and a fault."""
VALUES = {
    "String": TEXTS,
    "Numeric": ["7", "7.0", "10", "-1"],
    "Date": ["2026-01-01", "2026-01-01T02:00:00+02:00", "1767225600", "2027-06-01T00:00:00.5Z"],
    "Bool": ["true", "FALSE"],
    "Binary": ["YWxpY2U=", "eA=="],
    "Ip": ["10.0.0.0/8", "10.1.2.3", "2001:db8::/32"],
    "NotIp": ["10.0.0.0/8", "0.0.0.0/0"],
    "Arn": [
        ROLE,
        "arn:aws:iam::*:role/*",
        f"arn:aws:iam::{A}:role/${{aws:username}}",
        "arn:*:*:*:*:*",
        "${example:one}",
    ],
}
KEYS = ["aws:username", "AWS:UserName", "example:one", "example:list", "example:none"]
CONTEXT_VALUES = ["alice", "deploy", "*", "7", "10.0", "1767225600", "2026-01-01T00:00:00Z", "true", "10.1.2.3",
                  "2001:db8::1", "YWxpY2U=", ROLE, A, ""]  # fmt: skip


def any_of(values: list[Any]) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


def some_of(values: list[Any]) -> st.SearchStrategy[Any]:
    """One, alone or in a list, or several."""
    return any_of(values) | st.lists(any_of(values), min_size=1, max_size=3)


@st.composite
def conditions(draw: st.DrawFn, variables: bool) -> dict[str, Any]:
    if draw(st.integers(0, 9)) == 0:
        return {"Null": {draw(any_of(KEYS)): draw(some_of(["true", "false"]))}}
    name = draw(any_of(sorted(OPERATORS)))
    values = next(values for start, values in VALUES.items() if name.startswith(start))
    if not variables:
        values = [value for value in values if value != WHOLE_ARN]
    quantifier = draw(any_of(["", "", "ForAllValues:", "ForAnyValue:"]))
    operator = quantifier + name + draw(any_of(["", "", "IfExists"]))
    return {operator: {draw(any_of(KEYS)): draw(some_of(values))}}


@st.composite
def documents(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    statements = []
    version = draw(any_of([{"Version": "2012-10-17"}] * 4 + [{"Version": "2008-10-17"}, {}]))
    for _ in range(draw(st.integers(1, 3))):
        statement: dict[str, Any] = {"Effect": "Deny" if kind == "rcp" else draw(any_of(["Allow"] * 3 + ["Deny"]))}
        actions = STS_ACTIONS if kind == "trust" else ACTIONS
        statement[draw(any_of(["Action"] * 4 + ["NotAction"]))] = draw(some_of(actions))
        if kind != "trust":
            statement[draw(any_of(["Resource"] * 4 + ["NotResource"]))] = draw(some_of(RESOURCES))
        if kind == "rcp":
            statement["Principal"] = "*"
        elif kind in ("resource", "trust"):
            element = draw(any_of(["Principal"] * 4 + ["NotPrincipal"])) if kind == "resource" else "Principal"
            statement[element] = draw(some_of(NAMED).map(lambda names: {"AWS": names}) | any_of([*OTHERS, "*"]))
        if draw(st.booleans()):
            statement["Condition"] = draw(conditions(version.get("Version") == "2012-10-17"))
        statements.append(statement)
    return {**version, "Statement": statements}


def layer(kind: str, least: int = 0) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(documents(kind), min_size=least, max_size=2)


@st.composite
def questions(draw: st.DrawFn) -> Question:
    trust = draw(st.none() | documents("trust"))
    return Question(
        principal=principals()[draw(any_of(sorted(principals())))],
        action=draw(any_of(["sts:AssumeRole", "sts:TagSession", "s3:GetObject", "s3:PutObject"])),
        resource=ROLE if trust else draw(any_of(REQUESTED)),
        resource_account=draw(st.none() | any_of([A, B])),
        single=draw(st.dictionaries(any_of(["aws:username", "example:one"]), any_of(CONTEXT_VALUES), max_size=2)),
        many=draw(st.dictionaries(st.just("Example:List"), st.lists(any_of(CONTEXT_VALUES), max_size=2))),
        identity=draw(layer("identity")),
        boundary=draw(st.none() | documents("boundary")),
        session=draw(st.none() | layer("session")),
        scps=draw(st.lists(layer("scp", 1), max_size=2)),
        rcps=draw(layer("rcp")),
        resource_policy=None if trust else draw(st.none() | documents("resource")),
        trust=trust,
    )
