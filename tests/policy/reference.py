"""A second, slow evaluator of the policy language, written for being read: IAM User Guide, "Policy evaluation logic".

It works on decoded JSON documents and one request at a time, compiles nothing and shares no code with the
engine, so that the two agree only where both follow the language.

Where AWS's documentation leaves a reading open the answer is `None`, "cannot tell": a Deny statement then applies
and an Allow statement does not.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache, partial
from ipaddress import ip_address, ip_network
from typing import Any

Document = Mapping[str, Any]
Answer = bool | None

ALLOWED, EXPLICIT_DENY, IMPLICIT_DENY = "allowed", "explicitDeny", "implicitDeny"

_ANY = "any run"
_ONE = "one character"
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_DEFAULTED = re.compile(r"(.+), '(.*)'")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z|[+-][0-9]{2}:[0-9]{2})")


@dataclass(frozen=True)
class Question:
    """One request and every policy in its way."""

    principal: Mapping[str, str]
    action: str
    resource: str = "*"
    resource_account: str | None = None
    single: Mapping[str, str] = field(default_factory=dict)
    many: Mapping[str, Sequence[str]] = field(default_factory=dict)
    identity: Sequence[Document] = ()
    boundary: Document | None = None
    session: Sequence[Document] | None = None
    scps: Sequence[Sequence[Document]] = ()
    rcps: Sequence[Document] = ()
    resource_policy: Document | None = None
    trust: Document | None = None


# Three-valued logic: True, False, and None for "cannot tell".


def every(answers: Iterable[Answer]) -> Answer:
    collected = list(answers)
    if False in collected:
        return False
    return None if None in collected else True


def some(answers: Iterable[Answer]) -> Answer:
    collected = list(answers)
    if True in collected:
        return True
    return None if None in collected else False


def negate(answer: Answer) -> Answer:
    return None if answer is None else not answer


# Texts with wildcards and variables: a sequence of tokens, each a literal character (a tuple of one) or a wildcard.

Token = str | tuple[str]
Pattern = tuple[Token, ...]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def literal(text: str) -> Pattern:
    return tuple((character,) for character in text)


def globbed(text: str) -> Pattern:
    return tuple({"*": _ANY, "?": _ONE}.get(character, (character,)) for character in text)


def expand(text: str, question: Question, variables: bool, glob: bool) -> Pattern | None:
    """`text` with its variables replaced; None where one has no value and no default."""
    plain = globbed if glob else literal
    if not variables:
        return plain(text)
    tokens: list[Token] = []
    position = 0
    for found in _VARIABLE.finditer(text):
        tokens += plain(text[position : found.start()])
        position = found.end()
        inner = found.group(1)
        if inner in ("*", "?", "$"):
            tokens += literal(inner)
            continue
        defaulted = _DEFAULTED.fullmatch(inner)
        key = defaulted.group(1) if defaulted else inner
        value = value_of(key, question)
        if value is None and defaulted:
            value = defaulted.group(2)
        if value is None:
            return None
        tokens += literal(value)
    return (*tokens, *plain(text[position:]))


def glob_matches(pattern: Pattern, text: str) -> bool:
    @lru_cache(None)
    def rest(i: int, j: int) -> bool:
        if i == len(pattern):
            return j == len(text)
        if pattern[i] == _ANY:
            return rest(i + 1, j) or (j < len(text) and rest(i, j + 1))
        return j < len(text) and (pattern[i] == _ONE or pattern[i] == (text[j],)) and rest(i + 1, j + 1)

    return rest(0, 0)


def split_arn_pattern(pattern: Pattern, written: Pattern) -> list[Pattern]:
    """Six parts at most, cut at the colons that the policy's author wrote."""
    parts: list[list[Token]] = [[]]
    for token, author in zip(pattern, written, strict=True):
        if author == (":",) and len(parts) < 6:
            parts.append([])
        else:
            parts[-1].append(token)
    return [tuple(part) for part in parts]


def mark_author(text: str, question: Question, variables: bool) -> Pattern:
    """As `expand` with wildcards, but what a variable put in is blanked: only the author's colons stay colons."""
    if not variables:
        return globbed(text)
    tokens: list[Token] = []
    position = 0
    for found in _VARIABLE.finditer(text):
        tokens += globbed(text[position : found.start()])
        position = found.end()
        put_in = expand(found.group(0), question, True, True)
        tokens += literal("\0" * len(put_in or ()))
    return (*tokens, *globbed(text[position:]))


def segmented(text: str, arn: str, question: Question, variables: bool) -> Answer:
    """Whether the six parts of `arn` match those of the pattern one by one."""
    pattern = expand(text, question, variables, glob=True)
    if pattern is None:
        return False
    if variables and _VARIABLE.fullmatch(text):
        return glob_matches(pattern, arn)
    parts = split_arn_pattern(pattern, mark_author(text, question, variables))
    actual = arn.split(":", 5)
    return len(parts) == len(actual) == 6 and all(map(glob_matches, parts, actual))


# Request context


def value_of(key: str, question: Question) -> str | None:
    for name, value in question.single.items():
        if name.lower() == key.lower():
            return value
    return None


def values_of(key: str, question: Question) -> list[str] | None:
    for name, values in question.many.items():
        if name.lower() == key.lower():
            return list(values)
    value = value_of(key, question)
    return None if value is None else [value]


# Condition operators: each answers whether one request value matches one policy value.


class Unreadable(Exception):
    """The request's value is not of the operator's type."""


def number(text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise Unreadable(text)
    return Decimal(text)


def instant(text: str) -> Decimal:
    if _NUMBER.fullmatch(text):
        return Decimal(text)
    try:
        if _DATE.fullmatch(text):
            day = date.fromisoformat(text)
            moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
        elif _INSTANT.fullmatch(text):
            moment = datetime.fromisoformat(text)
        else:
            raise Unreadable(text)
    except ValueError as error:
        raise Unreadable(text) from error
    difference = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return Decimal(difference.days * 86400 + difference.seconds) + Decimal(difference.microseconds) / 1_000_000


def boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise Unreadable(text)
    return text.lower() == "true"


def decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise Unreadable(text) from error


def string_equals(wanted: str, actual: str, question: Question, variables: bool) -> bool:
    pattern = expand(wanted, question, variables, glob=False)
    return pattern is not None and glob_matches(pattern, actual)


def string_equals_ignoring_case(wanted: str, actual: str, question: Question, variables: bool) -> bool:
    pattern = expand(wanted, question, variables, glob=False)
    return pattern is not None and glob_matches(literal("".join(token[0] for token in pattern).lower()), actual.lower())


def string_like(wanted: str, actual: str, question: Question, variables: bool) -> bool:
    pattern = expand(wanted, question, variables, glob=True)
    return pattern is not None and glob_matches(pattern, actual)


def arn_like(wanted: str, actual: str, question: Question, variables: bool) -> bool:
    if len(actual.split(":", 5)) != 6:
        raise Unreadable(actual)
    return bool(segmented(wanted, actual, question, variables))


def in_range(wanted: str, actual: str, question: Question, variables: bool) -> bool:
    try:
        address = ip_address(actual)
    except ValueError as error:
        raise Unreadable(actual) from error
    return address in ip_network(wanted, strict=False)


Reader = Callable[[str], Any]
Test = Callable[[str, str, Question, bool], bool]


def compare(read: Reader, relation: str, wanted: str, actual: str, question: Question, variables: bool) -> bool:
    left, right = read(actual), read(wanted)
    answer: bool = {
        "Equals": left == right,
        "LessThan": left < right,
        "LessThanEquals": left <= right,
        "GreaterThan": left > right,
        "GreaterThanEquals": left >= right,
    }[relation]
    return answer


def binary_equals(wanted: str, actual: str, question: Question, variables: bool) -> bool:
    return decoded(actual) == decoded(wanted)


def operator_table() -> dict[str, tuple[Test, bool]]:
    table: dict[str, tuple[Test, bool]] = {
        "StringEquals": (string_equals, False),
        "StringNotEquals": (string_equals, True),
        "StringEqualsIgnoreCase": (string_equals_ignoring_case, False),
        "StringNotEqualsIgnoreCase": (string_equals_ignoring_case, True),
        "StringLike": (string_like, False),
        "StringNotLike": (string_like, True),
        "ArnEquals": (arn_like, False),
        "ArnLike": (arn_like, False),
        "ArnNotEquals": (arn_like, True),
        "ArnNotLike": (arn_like, True),
        "IpAddress": (in_range, False),
        "NotIpAddress": (in_range, True),
        "BinaryEquals": (binary_equals, False),
        "Bool": (partial(compare, boolean, "Equals"), False),
    }
    readers: dict[str, Reader] = {"Numeric": number, "Date": instant}
    for kind, read in readers.items():
        table[f"{kind}NotEquals"] = (partial(compare, read, "Equals"), True)
        for relation in ("Equals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals"):
            table[f"{kind}{relation}"] = (partial(compare, read, relation), False)
    return table


OPERATORS = operator_table()


def value_satisfies(name: str, wanted: list[str], actual: str, question: Question, variables: bool) -> Answer:
    test, negated = OPERATORS[name]
    try:
        matched = any(test(value, actual, question, variables) for value in wanted)
    except Unreadable:
        return None if negated else False
    return not matched if negated else matched


def condition_holds(operator: str, key: str, wanted: list[str], question: Question, variables: bool) -> Answer:
    values = values_of(key, question) or None
    if operator == "Null":
        return any((value.lower() == "true") == (values is None) for value in wanted)
    quantifier, _, name = operator.rpartition(":")
    if_exists = name.endswith("IfExists")
    name = name.removesuffix("IfExists")
    negated = OPERATORS[name][1]
    if quantifier == "ForAllValues":
        return every(value_satisfies(name, wanted, value, question, variables) for value in values or ())
    if quantifier == "ForAnyValue":
        if values is None:
            return None if if_exists else False
        return some(value_satisfies(name, wanted, value, question, variables) for value in values)
    if values is None:
        return if_exists or negated
    if len(values) > 1:
        return None
    return value_satisfies(name, wanted, values[0], question, variables)


def conditions_hold(statement: Document, question: Question, variables: bool) -> Answer:
    return every(
        condition_holds(operator, key, [as_text(value) for value in listed(wanted)], question, variables)
        for operator, block in statement.get("Condition", {}).items()
        for key, wanted in block.items()
    )


# Statements


def action_matches(pattern: str, action: str) -> bool:
    return glob_matches(globbed(pattern.lower()), action.lower())


def actions_match(statement: Document, question: Question) -> bool:
    if "Action" in statement:
        return any(action_matches(pattern, question.action) for pattern in listed(statement["Action"]))
    return not any(action_matches(pattern, question.action) for pattern in listed(statement["NotAction"]))


def resource_matches(pattern: str, question: Question, variables: bool) -> Answer:
    """None: it matches only if a wildcard may cross one of the first five colons, stand in the service or complete an
    ARN, or a variable stand before the fifth colon.
    """
    if pattern == "*":
        return True
    early_variable = variables and "${" in pattern and pattern.partition("${")[0].count(":") < 5
    doubtful = early_variable or set("*?") & set("".join(pattern.split(":")[2:3]))
    if not doubtful and segmented(pattern, question.resource, question, variables):
        return True
    for reading in (pattern, pattern + ":*") if pattern.count(":") < 5 else (pattern,):
        whole = expand(reading, question, variables, glob=True)
        if whole is not None and glob_matches(whole, question.resource):
            return None
    return False


def resources_match(statement: Document, question: Question, variables: bool) -> Answer:
    if "Resource" in statement:
        return some(resource_matches(pattern, question, variables) for pattern in listed(statement["Resource"]))
    if "NotResource" not in statement:
        return True
    answers: list[Answer] = []
    for pattern in listed(statement["NotResource"]):
        unset = expand(pattern, question, variables, glob=True) is None
        answers.append(None if unset else resource_matches(pattern, question, variables))
    return negate(some(answers))


def entry_match(kind: str, entry: str, principal: Mapping[str, str]) -> str | None:
    """How one entry of a `Principal` names the caller: `direct`, `parent`, `account`, `everyone` or not at all."""
    caller, arn, parent = principal["kind"], principal["arn"], principal.get("parent")
    if kind == "Federated":
        return "direct" if caller == "PROVIDER" and entry == arn else None
    if kind == "Service":
        return "direct" if caller == "SERVICE" and entry == arn else None
    if kind == "CanonicalUser":
        return None
    if entry == "*":
        return "everyone"
    if caller not in ("ROOT", "USER", "ASSUMED_ROLE", "FEDERATED_USER"):
        return None
    account = principal["account"]
    if entry in (account, f"arn:aws:iam::{account}:root"):
        return "account"
    if caller == "ASSUMED_ROLE":
        if entry == arn:
            return "direct"
        if entry == principal.get("unique_id"):
            return "parent"
        name = (parent or "").rpartition("/")[2]
        is_role = entry.startswith(f"arn:aws:iam::{account}:role/")
        return "parent" if is_role and entry.rpartition("/")[2] == name else None
    if caller == "FEDERATED_USER":
        if entry == arn:
            return "direct"
        return "parent" if entry == parent else None
    return "direct" if entry in (arn, principal.get("unique_id")) else None


def entries(element: Any) -> list[tuple[str, str]]:
    if element == "*":
        return [("AWS", "*")]
    return [(kind, entry) for kind, values in element.items() for entry in listed(values)]


def principal_matches(statement: Document, question: Question) -> set[str]:
    """The ways in which the statement reaches the caller; empty where it does not."""
    if "Principal" not in statement and "NotPrincipal" not in statement:
        return {"everyone"}
    element = statement.get("Principal", statement.get("NotPrincipal"))
    ways = {entry_match(kind, entry, question.principal) for kind, entry in entries(element)} - {None}
    if "Principal" in statement:
        return {way for way in ways if way is not None}
    caller = question.principal["kind"]
    if statement["Effect"] == "Allow":
        everyone_else = "account" if caller in ("ROOT", "USER", "ASSUMED_ROLE", "FEDERATED_USER") else "everyone"
        return set() if ways else {everyone_else}
    if caller in ("USER", "ASSUMED_ROLE", "FEDERATED_USER") and question.boundary is not None:
        return {"everyone"}
    needed = {
        "ROOT": {"account"},
        "USER": {"direct", "account"},
        "ASSUMED_ROLE": {"direct", "parent", "account"},
        "FEDERATED_USER": {"direct", "parent", "account"},
    }.get(caller, {"direct"})
    if "parent" not in question.principal:
        needed = needed - {"parent"}
    exempt = "everyone" in ways or needed <= ways
    return set() if exempt else {"everyone"}


def applies(statement: Document, document: Document, question: Question) -> Answer:
    variables = document.get("Version") == "2012-10-17"
    return every(
        [
            actions_match(statement, question),
            resources_match(statement, question, variables),
            conditions_hold(statement, question, variables),
        ]
    )


def denies(document: Document | None, question: Question) -> bool:
    if document is None:
        return False
    return any(
        statement["Effect"] == "Deny"
        and principal_matches(statement, question)
        and applies(statement, document, question) is not False
        for statement in listed(document["Statement"])
    )


def grants(document: Document | None, question: Question) -> set[str]:
    """The ways in which Allow statements of the document reach the caller; empty where none does."""
    ways: set[str] = set()
    if document is not None:
        for statement in listed(document["Statement"]):
            if statement["Effect"] == "Allow" and applies(statement, document, question) is True:
                ways |= principal_matches(statement, question)
    return ways


# The decision


def account_of_resource(question: Question) -> str:
    if question.resource_account is not None:
        return question.resource_account
    parts = question.resource.split(":", 5)
    if len(parts) == 6 and re.fullmatch("[0-9]{12}", parts[4]):
        return parts[4]
    return question.principal["account"]


def verdict(question: Question) -> str:
    """`allowed`, `explicitDeny` or `implicitDeny`."""
    caller = question.principal["kind"]
    resource_policy = question.trust if question.trust is not None else question.resource_policy
    own = caller in ("USER", "ASSUMED_ROLE", "FEDERATED_USER")
    signed = own or caller == "ROOT"

    in_the_way: list[Document | None] = [resource_policy, *question.rcps]
    if signed:
        in_the_way += [policy for level in question.scps for policy in level]
        in_the_way += question.session or ()
    if own:
        in_the_way += [*question.identity, question.boundary]
    if any(denies(document, question) for document in in_the_way):
        return EXPLICIT_DENY

    granted = grants(resource_policy, question)
    if not signed:
        foreign = caller == "PROVIDER" and question.principal["account"] not in ("", account_of_resource(question))
        unfit = question.trust is not None and (foreign or caller == "ANONYMOUS")
        return ALLOWED if granted and not unfit else IMPLICIT_DENY

    scp = all(any(grants(policy, question) for policy in level) for level in question.scps)
    from_root = caller == "ROOT" or (caller == "FEDERATED_USER" and "parent" not in question.principal)
    identity = from_root or any(grants(policy, question) for policy in question.identity)
    boundary = not own or question.boundary is None or bool(grants(question.boundary, question))
    session = question.session is None or any(grants(policy, question) for policy in question.session)
    caller_side = identity and boundary and session and scp

    if question.principal["account"] != account_of_resource(question):
        allowed = caller_side and bool(granted)
    elif question.trust is not None:
        named = "direct" in granted or ("parent" in granted and boundary and session)
        delegated = bool(granted & {"account", "everyone"}) and caller_side
        allowed = (named and scp) or delegated
    else:
        bypassed = bool(granted & {"direct", "everyone"}) or ("parent" in granted and boundary and session)
        allowed = (bypassed and scp) or caller_side
    return ALLOWED if allowed else IMPLICIT_DENY
