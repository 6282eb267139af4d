"""Requests signed by botocore, as a server receives them."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from broker.errors import InvalidClientTokenId, SignatureDoesNotMatch
from broker.sigv4 import AWS, S3, HttpRequest, Rules, SigningKeys, check_scope, check_time, matches, present

ACCESS_KEY_ID = "ASIAQNZGKIQY56JQ7WML"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
FORM = "application/x-www-form-urlencoded; charset=utf-8"


@dataclass(frozen=True)
class Signed:
    """A request and its body."""

    request: HttpRequest
    body: bytes
    service: str = "sts"

    def bent(self, body: bytes | None = None, **changes: Any) -> "Signed":
        """The same with parts of the request, or the body, replaced."""
        return replace(self, request=replace(self.request, **changes), body=self.body if body is None else body)

    def with_header(self, name: str, value: str | None) -> "Signed":
        """The same with one header set, or removed for None."""
        kept = [(other, old) for other, old in self.request.headers if other.lower() != name.lower()]
        return self.bent(headers=kept if value is None else [*kept, (name, value)])


def signed(
    method: str = "POST",
    target: str = "/",
    *,
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    token: str | None = None,
    service: str = "sts",
    region: str = "us-east-1",
    presign: int | None = None,
    secret: str = SECRET,
) -> Signed:
    """A request that botocore signed now; `presign` is the expiry in seconds of a presigned one."""
    credentials = Credentials(ACCESS_KEY_ID, secret, token)
    aws_request = AWSRequest(method=method, url=f"http://127.0.0.1:8080{target}", headers=headers or {})
    if presign is not None:
        # botocore would move a body into the query; without one it signs as for any body (S3) or none.
        query_signer = S3SigV4QueryAuth if service == "s3" else SigV4QueryAuth
        query_signer(credentials, service, region, presign).add_auth(aws_request)
    else:
        aws_request.data = body
        (S3SigV4Auth if service == "s3" else SigV4Auth)(credentials, service, region).add_auth(aws_request)
    parts = urlsplit(aws_request.url)
    received = [("Host", "127.0.0.1:8080"), *aws_request.headers.items(), ("Accept-Encoding", "identity")]
    return Signed(HttpRequest(method, parts.path or "/", parts.query, received), body, service)


def verify(sent: Signed, rules: Rules | None = None) -> None:
    """What an authentication does, for one known access key.

    Raises:
        BrokerError: refused.
    """
    presented = present(sent.request)
    check_time(presented, presented.timestamp)
    check_scope(presented, services={sent.service})
    if presented.access_key_id != ACCESS_KEY_ID:
        raise InvalidClientTokenId
    key = SigningKeys().derive(SECRET, presented)
    payload = hashlib.sha256(sent.body).hexdigest()
    if not matches(sent.request, presented, payload, key, rules or (S3 if sent.service == "s3" else AWS)):
        raise SignatureDoesNotMatch
