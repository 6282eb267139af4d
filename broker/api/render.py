"""Answers of the AWS Query protocol as XML and JSON.

A result is a tree of dicts (structures), `Entries` (maps), lists and tuples, text, numbers, booleans and aware
datetimes; None is an absent member. Characters that XML 1.0 cannot carry become U+FFFD in both renderings.
"""

import functools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from broker.clock import iso8601
from broker.errors import BrokerError, InvalidAction

STS = "https://sts.amazonaws.com/doc/2011-06-15/"
IAM = "https://iam.amazonaws.com/doc/2010-05-08/"
AWS_FAULT = "http://webservices.amazon.com/AWSFault/2005-15-09"

JSON_TYPE = "application/json"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_ILLEGAL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_SPECIAL = re.compile(f"[&<>\r]|{_ILLEGAL.pattern}")
_PLAIN = re.compile(r"[ -%'-;=?-~]*")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}


@dataclass(frozen=True, slots=True)
class Entries:
    """A map: `<entry><key>…</key><value>…</value></entry>` in XML, an object in JSON."""

    items: Mapping[str, object]


# Named: a union written in place is built anew at every call.
_LISTS = (list, tuple)
_NESTED = (dict, list, tuple, Entries)


def success(
    action: str, result: Mapping[str, object] | None, request_id: str, *, namespace: str = STS, json: bool = False
) -> bytes:
    """The answer of `action`; a `result` of None leaves the result element out, as IAM's modifying actions do."""
    if json:
        body: dict[str, object] = {} if result is None else {f"{action}Result": _plain(result)}
        body["ResponseMetadata"] = {"RequestId": request_id}
        return msgspec.json.encode({f"{action}Response": body})
    lines = [f'<{action}Response xmlns="{namespace}">\n']
    if result is not None:
        _element(f"{action}Result", result, "  ", lines)
    lines.append(
        f"  <ResponseMetadata>\n    <RequestId>{_text(request_id)}</RequestId>\n  </ResponseMetadata>\n"
        f"</{action}Response>\n"
    )
    return "".join(lines).encode("utf-8")


def failure(error: BrokerError, request_id: str, *, namespace: str = STS, json: bool = False) -> bytes:
    """The error document; without a message where the error's is empty."""
    kind = "Sender" if error.status < 500 else "Receiver"
    if json:
        body = {"Code": error.code, "Message": _legal(error.message), "Type": kind}
        if not error.message:
            del body["Message"]
        return msgspec.json.encode({"Error": body, "RequestId": request_id})
    if isinstance(error, InvalidAction):
        namespace = AWS_FAULT
    message = f"    <Message>{_text(error.message)}</Message>\n" if error.message else ""
    return (
        f'<ErrorResponse xmlns="{namespace}">\n  <Error>\n    <Type>{kind}</Type>\n    <Code>{error.code}</Code>\n'
        f"{message}  </Error>\n  <RequestId>{_text(request_id)}</RequestId>\n</ErrorResponse>\n"
    ).encode()


def _element(name: str, value: object, indent: str, lines: list[str]) -> None:
    start, end = _tags(name, indent)
    if isinstance(value, str):
        lines.append(f"{start}{_text(value)}{end}")
    elif isinstance(value, _NESTED):
        before = len(lines)
        lines.append(f"{start}\n")
        _children(value, indent + "  ", lines)
        if len(lines) == before + 1:
            lines[before] = f"{indent}<{name}/>\n"
        else:
            lines.append(indent + end)
    elif value is not None:
        lines.append(f"{start}{_scalar(value)}{end}")


def _children(value: object, indent: str, lines: list[str]) -> None:
    if isinstance(value, dict):
        for name, member in value.items():
            _element(name, member, indent, lines)
    elif isinstance(value, _LISTS):
        for member in value:
            _element("member", member, indent, lines)
    elif isinstance(value, Entries):
        for key, member in value.items.items():
            _element("entry", {"key": key, "value": member}, indent, lines)


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return repr(value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return iso8601(value)
    raise TypeError(f"a result cannot hold a {type(value).__name__}")


def _plain(value: object) -> object:
    if isinstance(value, str):
        return _legal(value)
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items() if member is not None}
    if isinstance(value, _LISTS):
        return [_plain(member) for member in value if member is not None]
    if isinstance(value, Entries):
        return {_legal(key): _plain(member) for key, member in value.items.items() if member is not None}
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, datetime) and value.tzinfo is not None:
        return int(value.timestamp())
    raise TypeError(f"a result cannot hold a {type(value).__name__}")


def _legal(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else _ILLEGAL.sub("\ufffd", text)


def _text(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    return _SPECIAL.sub(lambda found: _ENTITIES.get(found[0], "\ufffd"), text)


@functools.lru_cache(maxsize=1024)
def _tags(name: str, indent: str) -> tuple[str, str]:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be an element")
    return f"{indent}<{name}>", f"</{name}>\n"
