"""`make bench`: every benchmark, or those named on the command line."""

import importlib
import sys

BENCHMARKS = ("sts", "oidc", "authorize", "middleware", "logins", "sessions", "stages", "policy")
ON_REQUEST = ("failover",)


def main() -> None:
    """Run, print, save."""
    names = sys.argv[1:] or BENCHMARKS
    if unknown := {*names} - {*BENCHMARKS, *ON_REQUEST}:
        sys.exit(f"no benchmark: {', '.join(sorted(unknown))}; there are {', '.join((*BENCHMARKS, *ON_REQUEST))}")
    for name in names:
        table = importlib.import_module(f"benchmarks.{name}").run()
        print(table, flush=True)
        table.save(name)


if __name__ == "__main__":
    main()
