"""`sojourn assume`: a role's credentials, for a shell, a profile or a command."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from broker.cli import certificate
from broker.cli.client import call, endpoint_option
from broker.cli.credentials import format_options, show, variables
from broker.cli.factor import factor


def _tags(_context: click.Context, _parameter: click.Parameter, values: Sequence[str]) -> list[tuple[str, str]]:
    pairs = [value.partition("=") for value in values]
    for key, equals, _ in pairs:
        if not (key and equals):
            raise click.BadParameter("write a tag as KEY=VALUE")
    return [(key, value) for key, _, value in pairs]


@click.command(context_settings={"ignore_unknown_options": False})
@click.argument("role_arn")
@endpoint_option
@click.option("--session-name", help="Name of the session; default: yours, or the certificate's.")
@click.option("--external-id", help="The external id that the role's trust policy asks for.")
@click.option("--duration", type=int, help="Seconds, 900 to 43200.")
@click.option("--policy", help="Inline session policy: JSON, or @FILE.")
@click.option("--policy-arn", multiple=True, help="Managed session policy; repeatable.")
@click.option("--tag", multiple=True, callback=_tags, metavar="KEY=VALUE", help="Session tag; repeatable.")
@click.option("--transitive", multiple=True, metavar="KEY", help="A tag that goes on through chains; repeatable.")
@click.option("--source-identity", help="Who is behind the session, for good.")
@click.option("--serial-number", metavar="DEVICE_ARN", help="Ask for a code of this MFA device.")
@certificate.options
@format_options
@click.option("--exec", "execute", is_flag=True, help="Run the command after -- with the credentials.")
@click.argument("argv", nargs=-1)
def command(role_arn: str, endpoint: str, argv: tuple[str, ...], **options: Any) -> None:
    """Assume ROLE_ARN with the credentials in the environment, or with a certificate.

    \b
    sojourn assume arn:aws:iam::111122223333:role/deploy --format export
    sojourn assume arn:aws:iam::111122223333:role/deploy --exec -- terraform plan
    sojourn assume arn:aws:iam::111122223333:role/build --certificate machine.pem --key machine.key --json
    """
    if bool(argv) != options["execute"]:
        raise click.UsageError("--exec and a command after -- go together")
    result = _result(endpoint, role_arn, options)
    if options["execute"]:
        environment = {**os.environ, **variables(result), "AWS_ENDPOINT_URL_STS": endpoint}
        environment.pop("AWS_PROFILE", None)
        try:
            os.execvpe(argv[0], argv, environment)
        except OSError as error:
            raise click.ClickException(f"{argv[0]}: {error.strerror}") from error
    show(result, options["shape"], as_json=options["as_json"])


def _result(endpoint: str, role_arn: str, options: dict[str, Any]) -> dict[str, Any]:
    file, key, provider = options["certificate"], options["key"], options["provider"]
    if file is None:
        if key is not None or provider is not None:
            raise click.UsageError("--key and --provider belong to --certificate")
        own = options["session_name"] or os.environ.get("USER") or "sojourn"
        parameters = _parameters(role_arn, {**options, "session_name": own})
        return call(endpoint, "AssumeRole", {**parameters, **factor(options["serial_number"])})
    if options["external_id"] is not None or options["serial_number"] is not None:
        raise click.UsageError("--external-id and --serial-number do not go with --certificate")
    return certificate.assume(endpoint, _parameters(role_arn, options), file, key, provider)


def _parameters(role_arn: str, options: dict[str, Any]) -> dict[str, str]:
    policy: str | None = options["policy"]
    if policy is not None and policy.startswith("@"):
        try:
            policy = Path(policy[1:]).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise click.BadParameter(f"{policy[1:]} cannot be read", param_hint="--policy") from error
    single = {
        "RoleArn": role_arn,
        "RoleSessionName": options["session_name"],
        "ExternalId": options["external_id"],
        "DurationSeconds": options["duration"],
        "Policy": policy,
        "SourceIdentity": options["source_identity"],
    }
    parameters = {name: str(value) for name, value in single.items() if value is not None}
    for number, arn in enumerate(options["policy_arn"], 1):
        parameters[f"PolicyArns.member.{number}.arn"] = arn
    for number, (key, value) in enumerate(options["tag"], 1):
        parameters[f"Tags.member.{number}.Key"] = key
        parameters[f"Tags.member.{number}.Value"] = value
    for number, key in enumerate(options["transitive"], 1):
        parameters[f"TransitiveTagKeys.member.{number}"] = key
    return parameters
