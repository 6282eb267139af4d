"""`make bench`: every benchmark, or those named on the command line."""

import importlib
import sys

BENCHMARKS = ("sts", "oidc", "authorize", "middleware", "logins", "stages", "policy")


def main() -> None:
    """Run, print, save."""
    for name in sys.argv[1:] or BENCHMARKS:
        table = importlib.import_module(f"benchmarks.{name}").run()
        print(table, flush=True)
        table.save(name)


if __name__ == "__main__":
    main()
