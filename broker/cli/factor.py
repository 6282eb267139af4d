"""A one-time code, asked for on the terminal: never an argument, which others could see."""

import click


def factor(serial_number: str | None) -> dict[str, str]:
    """The parameters that present a code of this MFA device; none where no device is named."""
    if serial_number is None:
        return {}
    code: str = click.prompt("One-time code", err=True, hide_input=True)
    return {"SerialNumber": serial_number, "TokenCode": code.replace(" ", "")}
