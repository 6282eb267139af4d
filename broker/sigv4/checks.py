"""Time and scope of a presented signature, with AWS's sentences."""

import re
from collections.abc import Collection
from datetime import datetime, timedelta

from broker.errors import InvalidClientTokenId, SignatureDoesNotMatch
from broker.sigv4.presented import PresentedSignature

_WINDOW = timedelta(minutes=15)
TERMINATOR = "aws4_request"

_REGION = re.compile(r"[A-Za-z0-9-]{0,64}")
_SERVICE = re.compile(r"[A-Za-z0-9-]{1,64}")
_ACCESS_KEY_ID = re.compile(r"[A-Za-z0-9_]{1,128}")


def check_time(presented: PresentedSignature, now: datetime, *, honour_expires: bool = False) -> None:
    """Refuse a request dated more than fifteen minutes from `now`.

    With `honour_expires` a presigned request lives as long as its `X-Amz-Expires` says instead, where it has one
    (services other than STS).

    Raises:
        SignatureDoesNotMatch: expired or not yet current.
    """
    lifetime = _WINDOW
    if honour_expires and presented.presigned and presented.expires is not None:
        lifetime = timedelta(seconds=presented.expires)
    if presented.timestamp < now - lifetime:
        raise SignatureDoesNotMatch(
            f"Signature expired: {presented.amz_date} is now earlier than {_basic(now - lifetime)} "
            f"({_basic(now)} - {_span(lifetime)})"
        )
    if presented.timestamp > now + _WINDOW:
        raise SignatureDoesNotMatch(
            f"Signature not yet current: {presented.amz_date} is still later than {_basic(now + _WINDOW)} "
            f"({_basic(now)} + {_span(_WINDOW)})"
        )


def check_scope(
    presented: PresentedSignature, *, services: Collection[str], regions: Collection[str] = frozenset()
) -> None:
    """Refuse a credential scope of another region, service, terminator or day.

    Empty `regions` admit any; empty `services` likewise (a request to somebody else that is only judged here).

    Raises:
        SignatureDoesNotMatch: every sentence that applies.
        InvalidClientTokenId: the access key id is not one that could exist.
    """
    faults = ""
    if not _REGION.fullmatch(presented.region) or (regions and presented.region not in regions):
        faults += "Credential should be scoped to a valid region. "
    if not _SERVICE.fullmatch(presented.service) or (services and presented.service not in services):
        faults += "Credential should be scoped to correct service"
        faults += f": {' or '.join(repr(service) for service in sorted(services))}. " if services else ". "
    if presented.terminator != TERMINATOR:
        faults += f"Credential should be scoped with a valid terminator: '{TERMINATOR}'. "
    if presented.date != presented.amz_date[:8]:
        faults += (
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"{presented.date[:64]!a} != '{presented.amz_date[:8]}', from '{presented.date_text}'."
        )
    if faults:
        raise SignatureDoesNotMatch(faults)
    if not _ACCESS_KEY_ID.fullmatch(presented.access_key_id):
        raise InvalidClientTokenId


def _basic(instant: datetime) -> str:
    return instant.strftime("%Y%m%dT%H%M%SZ")


def _span(length: timedelta) -> str:
    seconds = int(length.total_seconds())
    return f"{seconds} sec." if seconds % 60 else f"{seconds // 60} min."
