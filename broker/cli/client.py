"""Calls to a running gateway: endpoint and credentials as the AWS tools take them, errors as one line."""

import configparser
import http.client
import json
import os
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlencode, urlsplit

import click

from broker.cli.credentials import shared_credentials_file
from broker.clock import utc_now
from broker.sigv4.sign import SigningCredentials, signed_headers

DEFAULT_ENDPOINT = "http://127.0.0.1:8080"
_TIMEOUT = 30.0
_LARGEST_ANSWER = 16 << 20
_FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}

_F = TypeVar("_F", bound=Callable[..., Any])


class Refused(click.ClickException):
    """The gateway refused: its code and its sentence."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code = code
        self.sentence = sentence


class NoAnswer(click.ClickException):
    """Nothing came back that could be one."""


def endpoint_option(function: _F) -> _F:
    """`--endpoint`, else `AWS_ENDPOINT_URL_STS`, else the default."""
    option = click.option(
        "--endpoint",
        envvar=["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"],
        default=DEFAULT_ENDPOINT,
        show_default=True,
        help="Address of the gateway; AWS_ENDPOINT_URL_STS is honoured.",
    )
    return option(function)


def environment_credentials() -> SigningCredentials:
    """From the AWS variables, else from the profile in the shared credentials file.

    Raises:
        ClickException: there are none, or the file is none.
    """
    key_id, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if key_id and secret:
        return SigningCredentials(key_id, secret, os.environ.get("AWS_SESSION_TOKEN") or None)
    profile = os.environ.get("AWS_PROFILE", "default")
    path, file = shared_credentials_file(), configparser.RawConfigParser()
    try:
        file.read(path, "utf-8")
    except (configparser.Error, UnicodeDecodeError):
        raise click.ClickException(f"{path} is not a file of credentials that can be read") from None
    if file.has_option(profile, "aws_access_key_id") and file.has_option(profile, "aws_secret_access_key"):
        return SigningCredentials(
            file.get(profile, "aws_access_key_id"),
            file.get(profile, "aws_secret_access_key"),
            file.get(profile, "aws_session_token", fallback=None),
        )
    raise click.ClickException(
        "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE "
        f"({path} has none of the profile {profile})"
    )


def call(endpoint: str, action: str, parameters: Mapping[str, str], *, version: str = "2011-06-15") -> dict[str, Any]:
    """Sign and send one Query request; the result element as JSON.

    Raises:
        ClickException: the gateway refused, with its code and sentence, or did not answer.
    """
    parts = require_address(endpoint)
    body = urlencode({"Action": action, "Version": version, **parameters}).encode()
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    headers = signed_headers(
        "POST",
        f"{parts.scheme}://{parts.netloc}/",
        body,
        environment_credentials(),
        region=region,
        service="sts",
        now=utc_now(),
        headers=_FORM,
    )
    return _answer(endpoint, parts, "/", body, headers, action)


def post(
    endpoint: str, path: str, fields: Mapping[str, str], *, answer: str, context: ssl.SSLContext | None = None
) -> dict[str, Any]:
    """Send a form to a path of the gateway, unsigned; the result element of `answer`. Raises as `call`."""
    parts = require_address(endpoint)
    body = urlencode(fields).encode()
    return _answer(endpoint, parts, parts.path.rstrip("/") + path, body, _FORM, answer, context)


def tls(certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """The client's side of TLS, perhaps with a certificate; `AWS_CA_BUNDLE` stands in for the system's authorities.

    Raises:
        ClickException: a file cannot be used.
    """
    bundle = os.environ.get("AWS_CA_BUNDLE") or None
    try:
        context = ssl.create_default_context(cafile=bundle)
    except OSError as error:
        raise click.ClickException(f"AWS_CA_BUNDLE names a file that cannot be used: {bundle}") from error
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, key, password=lambda: "")
        except (OSError, ValueError) as error:
            raise click.ClickException(
                f"{certificate} and its key must be PEM files that belong together, without a password"
            ) from error
    return context


def require_address(endpoint: str) -> SplitResult:
    """The parts of an http or https address. Raises `BadParameter`."""
    parts = _split(endpoint)
    if parts is None:
        raise click.BadParameter(f"{endpoint} is not an http or https address", param_hint="--endpoint")
    return parts


def _split(endpoint: str) -> SplitResult | None:
    try:
        parts = urlsplit(endpoint)
        host, port = (parts.hostname or "").encode("idna"), parts.port
    except ValueError:
        return None
    usable = parts.scheme in ("http", "https") and host and port != 0 and not set(endpoint) & {*" \t\r\n"}
    return parts if usable else None


def _answer(
    endpoint: str,
    parts: SplitResult,
    path: str,
    body: bytes,
    headers: Mapping[str, str],
    action: str,
    context: ssl.SSLContext | None = None,
) -> dict[str, Any]:
    if parts.hostname is None:
        raise click.BadParameter(f"{endpoint} names no host", param_hint="--endpoint")
    if parts.scheme == "https":
        secure = context if context is not None else tls()
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=_TIMEOUT, context=secure
        )
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=_TIMEOUT)
    try:
        connection.request("POST", path, body, {**headers, "Accept": "application/json"})
        answer = connection.getresponse()
        content = answer.read(_LARGEST_ANSWER)
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(f"{endpoint} does not answer: {error}") from error
    except ValueError:
        raise click.ClickException(
            "the credentials or the region have what no header takes, such as a line break"
        ) from None
    finally:
        connection.close()
    try:
        decoded = json.loads(content)
    except ValueError:
        raise click.ClickException(f"{endpoint} answered {answer.status} with no JSON; is it a gateway?") from None
    if answer.status != 200:
        refusal = decoded.get("Error", {})
        raise Refused(str(refusal.get("Code", answer.status)), refusal.get("Message", answer.reason))
    result: dict[str, Any] = decoded[f"{action}Response"].get(f"{action}Result", {})
    return result


def administer(endpoint: str, action: str, parameters: Mapping[str, str]) -> dict[str, Any]:
    """As `call`, of the administration API."""
    return call(endpoint, action, parameters, version="2026-11-21")
