"""What it costs to try a password: hashes by Argon2id (RFC 9106), judged by OWASP's Password Storage Cheat Sheet.

A configuration is only read, so a hash that has become too cheap with the years cannot be replaced when its user signs
in; the operator is told instead.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from broker.directory.reading import DeclaredAccount
from broker.settings import Fault

_COST = re.compile(r"\$m=([0-9]+),t=([0-9]+),p=([0-9]+)\$")
_MINIMA: Final = ((47_104, 1), (19_456, 2), (12_288, 3), (9_216, 4), (7_168, 5))
"""KiB and passes, each pair as good as the others."""
_MOST: Final = (131_072, 10, 8)
"""KiB, passes and lanes that the gateway bears; a hash beyond them is never tried."""


def password_warnings(declared: Mapping[str, DeclaredAccount]) -> Iterator[Fault]:
    """Hashes that are too cheap, and those with which nobody can sign in."""
    for account in declared.values():
        for user in account.users:
            doubt = _doubt(user.password_hash) if user.password_hash is not None else None
            if doubt is not None:
                yield user.place(
                    ("LoginProfile", "PasswordHash"), f"{doubt}: make one by sojourn generate password-hash"
                )


def _doubt(encoded: str) -> str | None:
    found = _COST.search(encoded)
    cost = tuple(map(int, found.groups())) if found is not None else (0, 0, 0)
    if any(each > most for each, most in zip(cost, _MOST, strict=True)):
        return "nobody can sign in with this hash, which costs more than 128 MiB, 10 passes or 8 lanes"
    memory, passes, _ = cost
    if not any(memory >= least and passes >= times for least, times in _MINIMA):
        return "this hash is cheaper to guess than one of 19 MiB and two passes, the minimum"
    return None
