"""A machine's certificate in place of credentials: AssumeRoleWithCertificate."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from broker.cli.client import NoAnswer, post, require_address, tls

_ACTION = "AssumeRoleWithCertificate"
_F = TypeVar("_F", bound=Callable[..., Any])
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def options(function: _F) -> _F:
    """`--certificate`, `--key` and `--provider`."""
    certificate = click.option(
        "--certificate", type=_FILE, help="PEM: this machine's certificate, in place of credentials; and its issuers'."
    )
    key = click.option("--key", type=_FILE, help="PEM: the key of the certificate, if it is not in the same file.")
    provider = click.option(
        "--provider", metavar="PROVIDER_ARN", help="Who vouches for the certificate, if it could be several."
    )
    return certificate(key(provider(function)))


def assume(
    endpoint: str, parameters: Mapping[str, str], certificate: Path, key: Path | None, provider: str | None
) -> dict[str, Any]:
    """The result of AssumeRoleWithCertificate.

    Raises:
        ClickException: the gateway refused or did not answer, or a file cannot be used.
    """
    if require_address(endpoint).scheme != "https":
        raise click.UsageError("--certificate needs an https endpoint; TLS is what proves who has its key")
    named = {"ProviderArn": provider} if provider is not None else {}
    form = {"Action": _ACTION, "Version": "2011-06-15", **named, **parameters}
    try:
        return post(endpoint, "/", form, answer=_ACTION, context=tls(certificate, key))
    except NoAnswer as error:
        raise click.ClickException(
            f"{error.message}. If it answers others, it does not accept this certificate: it must be from an authority "
            "in the gateway's client_ca, for clients, and not expired."
        ) from error
