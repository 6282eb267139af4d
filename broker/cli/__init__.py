"""The `sojourn` command: one module a subcommand, imported when it is asked for."""

import getpass
import importlib
import sys
import warnings

import click

COMMANDS = {
    "serve": "broker.cli.serve",
    "check": "broker.cli.check",
    "init": "broker.cli.init",
    "generate": "broker.cli.generate",
    "simulate": "broker.cli.simulate",
    "whoami": "broker.cli.whoami",
    "assume": "broker.cli.assume",
    "sessions": "broker.cli.sessions",
    "keys": "broker.cli.keys",
    "login": "broker.cli.login",
    "github-trust": "broker.cli.github_trust",
}
"""Command to module; the module's `command` is it."""


class _Commands(click.Group):
    def list_commands(self, _context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _context: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name]).command
        return command


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sojourn")
def sojourn() -> None:
    """Short-lived credentials for your own infrastructure, over the AWS STS protocol."""


def main() -> None:
    """Run the command line; exit 0 for success, 1 for a no, 2 for wrong usage."""
    if sys.stdout is None or sys.stderr is None:
        # What is opened next would take its number, and get what is printed.
        sys.exit("Error: standard output and standard error must not be closed")
    warnings.filterwarnings("ignore", category=getpass.GetPassWarning)  # a secret that comes through a pipe
    try:
        sojourn.main(standalone_mode=True)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except UnicodeEncodeError as error:
        click.echo(f"Error: an argument, a variable or the answer has what is no {error.encoding} text", err=True)
        sys.exit(2)
    except OSError as error:
        sys.exit(f"Error: standard output cannot be written: {error.strerror}")
