"""The signer's side of Signature Version 4 (header form), for our own command line and for resource servers."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

from broker.sigv4.presented import ALGORITHM, HttpRequest, PresentedSignature
from broker.sigv4.signature import signature_of, signing_key


@dataclass(frozen=True, slots=True)
class SigningCredentials:
    """An access key, and the session token that belongs to it where it is temporary."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


def signed_headers(
    method: str,
    url: str,
    body: bytes,
    credentials: SigningCredentials,
    *,
    region: str,
    service: str,
    now: datetime,
    headers: Mapping[str, str],
) -> dict[str, str]:
    """`headers` and those of the signature, all of them signed. `url` has a path."""
    parts = urlsplit(url)
    amz_date = now.strftime("%Y%m%dT%H%M%SZ")
    signed = {name.lower(): value for name, value in headers.items()}
    signed |= {"host": parts.netloc, "x-amz-date": amz_date}
    if credentials.session_token is not None:
        signed["x-amz-security-token"] = credentials.session_token
    request = HttpRequest(method, parts.path, parts.query, list(signed.items()))
    presented = PresentedSignature(
        algorithm=ALGORITHM,
        access_key_id=credentials.access_key_id,
        date=amz_date[:8],
        region=region,
        service=service,
        terminator="aws4_request",
        signed_headers=tuple(sorted(signed)),
        signature="",
        amz_date=amz_date,
        date_text=amz_date,
        timestamp=now,
        session_token=credentials.session_token,
        presigned=False,
        expires=None,
    )
    key = signing_key(credentials.secret_access_key, presented.date, region, service)
    signature = signature_of(request, presented, hashlib.sha256(body).hexdigest(), key)
    if signature is None:
        raise ValueError("the request cannot be signed")
    signed["authorization"] = (
        f"{ALGORITHM} Credential={credentials.access_key_id}/{presented.scope}, "
        f"SignedHeaders={';'.join(presented.signed_headers)}, Signature={signature}"
    )
    return signed
