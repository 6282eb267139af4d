"""`sojourn login`: sign in as a person, with a browser or a password, to a role's credentials.

With a browser the program keeps a random verifier and sends its hash along; the code that comes back is worth nothing
without the verifier, whoever else on this machine sees it (RFC 7636).
"""

import base64
import hashlib
import secrets
import webbrowser
from typing import Any
from urllib.parse import urlencode

import click

from broker.arn import Arn
from broker.cli import password
from broker.cli.client import endpoint_option, post, require_address
from broker.cli.credentials import format_options, shared_credentials_file, show, write_profile
from broker.cli.loopback import Listener

_WITHIN_SECONDS = 15 * 60.0


def _provider(_context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    kind = f"{parameter.opts[0].removeprefix('--')}-provider"
    try:
        named = value is None or Arn.parse(value).resource_type == kind
    except ValueError:
        named = False
    if not named:
        raise click.BadParameter(f"name the provider by its ARN, such as arn:aws:iam::111122223333:{kind}/corp")
    return value


@click.command()
@click.option(
    "--saml",
    "saml_provider",
    metavar="PROVIDER_ARN",
    callback=_provider,
    help="Sign in at this SAML identity provider.",
)
@click.option(
    "--ldap",
    "ldap_provider",
    metavar="PROVIDER_ARN",
    callback=_provider,
    help="Sign in with a password of this directory.",
)
@click.option("--role", metavar="ROLE_ARN", help="With --ldap: the role; else you choose.")
@click.option("--serial-number", metavar="DEVICE_ARN", help="With --ldap: ask for a code of this MFA device.")
@endpoint_option
@click.option("--no-browser", is_flag=True, help="Print the address to open, and ask for the code that it ends with.")
@click.option("--profile", metavar="NAME", help="Keep the credentials in the AWS credentials file, under this profile.")
@format_options
def command(
    saml_provider: str | None,
    ldap_provider: str | None,
    role: str | None,
    serial_number: str | None,
    endpoint: str,
    no_browser: bool,
    profile: str | None,
    shape: str | None,
    as_json: bool,
) -> None:
    """Sign in at an identity provider and choose a role.

    \b
    eval "$(sojourn login --saml arn:aws:iam::111122223333:saml-provider/corp --format export)"
    sojourn login --saml arn:aws:iam::111122223333:saml-provider/corp --profile work
    sojourn login --ldap arn:aws:iam::111122223333:ldap-provider/corp --profile work
    """
    if (saml_provider is None) == (ldap_provider is None):
        raise click.UsageError("Name where to sign in: --saml PROVIDER_ARN or --ldap PROVIDER_ARN")
    if ldap_provider is None and (role is not None or serial_number is not None):
        raise click.UsageError("--role and --serial-number belong to --ldap")
    if profile is not None and not (
        profile.isprintable() and profile.strip() == profile and not set(profile) & {*"[]"}
    ):
        raise click.BadParameter("must be a name without brackets", param_hint="--profile")
    require_address(endpoint)
    if ldap_provider is not None:
        result = password.sign_in(endpoint, ldap_provider, role, serial_number)
    else:
        address = f"{endpoint.rstrip('/')}/saml/login"
        result = _by_browser(endpoint, address, {"provider": saml_provider or ""}, alone=no_browser)
    if profile is None:
        show(result, shape, as_json=as_json)
        return
    path = shared_credentials_file()
    try:
        write_profile(path, profile, result)
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{path} cannot be written: {error}") from error
    click.echo(f"{result['AssumedRoleUser']['Arn']} is profile {profile} in {path}", err=True)


def _by_browser(endpoint: str, address: str, parameters: dict[str, str], *, alone: bool) -> dict[str, Any]:
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode("ascii").rstrip("=")
    asked = {**parameters, "code_challenge": challenge}
    code = _typed(address, asked) if alone else _led_here(address, asked)
    return post(endpoint, "/login/credentials", {"code": code, "code_verifier": verifier}, answer="RedeemCode")


def _typed(address: str, asked: dict[str, str]) -> str:
    click.echo(f"Open this address, and choose a role on the page that shows {_words(asked)}:\n", err=True)
    click.echo(f"  {address}?{urlencode(asked)}\n", err=True)
    code: str = click.prompt("Code", err=True, hide_input=True)
    return code.strip()


def _led_here(address: str, asked: dict[str, str]) -> str:
    state = secrets.token_urlsafe(24)
    listener = Listener(state)
    try:
        url = f"{address}?{urlencode({**asked, 'port': listener.port, 'state': state})}"
        click.echo(f"The browser opens; choose a role on the page that shows {_words(asked)}.", err=True)
        if not webbrowser.open(url):
            click.echo(f"No browser could be started. Open this address on this machine:\n\n  {url}\n", err=True)
        code = listener.wait(_WITHIN_SECONDS)
    finally:
        listener.close()
    if code is None:
        raise click.ClickException("nobody signed in within 15 minutes")
    return code


def _words(asked: dict[str, str]) -> str:
    """As the gateway derives them from the challenge."""
    text = base64.b32encode(hashlib.sha256(asked["code_challenge"].encode()).digest()[:5]).decode("ascii")
    return f"{text[:4]}-{text[4:]}"
