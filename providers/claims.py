"""Verified claims as condition keys and session tags (IAM User Guide, "Pass session tags in AWS STS")."""

import re
from collections.abc import Mapping
from typing import TypeAlias

from providers.encoding import Json
from providers.errors import ProofRejected
from providers.jws import shown

_TAGS = "https://aws.amazon.com/tags"
_PRINCIPAL_TAGS = f"{_TAGS}/principal_tags"
_TRANSITIVE = f"{_TAGS}/transitive_tag_keys"
_SOURCE_IDENTITY = "https://aws.amazon.com/source_identity"
_MAX_DEPTH = 16  # Kubernetes' claims have two levels; the limit is for the recursion
_MAX_TAGS = 50
_MAX_TAG_KEY = 128
_MAX_TAG_VALUE = 256
_SOURCE_IDENTITY_FORM = re.compile(r"[A-Za-z0-9_+=,.@-]{2,64}")


Flat: TypeAlias = dict[str, tuple[tuple[str, ...], bool]]
"""Claim name, members of objects as `outer/inner`, to its values and whether they are a list."""


def flatten(claims: Mapping[str, Json]) -> Flat:
    """Null, empty lists and lists that hold anything but strings, numbers and booleans give nothing.

    Raises `ProofRejected` where two claims have one name (condition keys compare without case) and for objects nested
    too deeply.
    """
    flat: Flat = {}
    count = _flatten(claims, "", 0, flat)
    if len({name.casefold() for name in flat}) != count:
        raise ProofRejected("Two claims of the ID Token have the same name.", reason="claims")
    return flat


def _flatten(claims: Mapping[str, Json], path: str, depth: int, flat: Flat) -> int:
    if depth > _MAX_DEPTH:
        raise ProofRejected("The claims of the ID Token are nested too deeply.", reason="claims")
    count = 0
    for name, value in claims.items():
        if isinstance(value, str):
            flat[path + name] = ((value,), False)
        elif isinstance(value, dict):
            count += _flatten(value, f"{path}{name}/", depth + 1, flat)
            continue
        elif isinstance(value, list):
            texts = tuple(text for item in value if (text := _scalar(item)) is not None)
            if not texts or len(texts) != len(value):
                continue
            flat[path + name] = (texts, True)
        elif (text := _scalar(value)) is not None:
            flat[path + name] = ((text,), False)
        else:
            continue
        count += 1
    return count


def condition_keys(
    prefix: str, flat: Flat, *, audience: tuple[str, ...], authorized_party: str | None
) -> tuple[Mapping[str, tuple[str, ...]], frozenset[str]]:
    """`prefix:claim` to values, and the names of those that hold a list.

    Where there is an authorized party it stands in `aud`, and the audience in `oaud`, as AWS has it. An audience list
    of one is one value, so that `StringEquals` works for Kubernetes' tokens.
    Raises `ProofRejected` for a claim `oaud` where that is taken.
    """
    keys = dict(flat)
    audiences = (audience, len(audience) > 1)
    if authorized_party is None:
        keys["aud"] = audiences
    else:
        if any(name.casefold() == "oaud" for name in keys):
            raise ProofRejected("The ID Token has both azp and oaud.", reason="claims")
        keys |= {"aud": ((authorized_party,), False), "oaud": audiences}
    values = {f"{prefix}:{name}": texts for name, (texts, _) in keys.items()}
    return values, frozenset(f"{prefix}:{name}" for name, (_, several) in keys.items() if several)


def session_tags(
    claims: Mapping[str, Json], flat: Flat, mapping: Mapping[str, str]
) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """The session's tags and the keys of the transitive ones.

    From the token's tag claims, nested or flattened, and from `mapping`, tag key to claim (a nested one as
    `outer/inner`; one that the token lacks gives no tag). Which characters a tag may hold is the broker's to check,
    as for all tags.
    Raises `ProofRejected` for claims of another shape, a key given twice and AWS's limits exceeded.
    """
    found, transitive = _tag_claims(claims)
    for key, claim in mapping.items():
        texts, _ = flat.get(claim, ((), False))
        if len(texts) > 1:
            raise _bad_tags(f"the claim {shown(claim)} has several values")
        found += [(key, text) for text in texts]
    if len(found) > _MAX_TAGS or any(len(key) > _MAX_TAG_KEY or len(value) > _MAX_TAG_VALUE for key, value in found):
        raise _bad_tags("there are too many, or one is too long")
    tags = dict(found)
    keys = {key.casefold() for key in tags}
    if len(keys) != len(found):
        raise _bad_tags("a key is given twice; keys compare without case")
    if not keys.issuperset(key.casefold() for key in transitive):
        raise _bad_tags("a transitive key is not among the tags")
    return tags, transitive


def source_identity(claims: Mapping[str, Json]) -> str | None:
    """The source identity that the token sets. Raises `ProofRejected` for one that is not of AWS's form."""
    value = claims.get(_SOURCE_IDENTITY)
    if value is None:
        return None
    if not isinstance(value, str) or _SOURCE_IDENTITY_FORM.fullmatch(value) is None:
        raise ProofRejected(
            'Source Identity must match [a-zA-Z_0-9+=,.@-]{2,64} and not begin with "aws:"', reason="source_identity"
        )
    return value


def methods(claims: Mapping[str, Json]) -> frozenset[str]:
    """Authentication methods (`amr`, RFC 8176)."""
    value = claims.get("amr")
    values = value if isinstance(value, list) else [value]
    return frozenset(method for method in values if isinstance(method, str))


def _tag_claims(claims: Mapping[str, Json]) -> tuple[list[tuple[str, str]], tuple[str, ...]]:
    nested = claims.get(_TAGS, {})
    if not isinstance(nested, dict) or not nested.keys() <= {"principal_tags", "transitive_tag_keys"}:
        raise _bad_tags("the claim has another shape")
    principal_tags = nested.get("principal_tags", {})
    if not isinstance(principal_tags, dict):
        raise _bad_tags("the claim has another shape")
    flattened = {
        name.removeprefix(f"{_PRINCIPAL_TAGS}/"): value
        for name, value in claims.items()
        if name.startswith(f"{_PRINCIPAL_TAGS}/")
    }
    tags = [(key, _tag_value(value)) for source in (principal_tags, flattened) for key, value in source.items()]
    transitive = [*_texts(nested.get("transitive_tag_keys", [])), *_texts(claims.get(_TRANSITIVE, []))]
    if any(not key for key, _ in tags):
        raise _bad_tags("a key is empty")
    return tags, tuple(transitive)


def _tag_value(value: Json) -> str:
    texts = _texts([value] if isinstance(value, str) else value)
    if len(texts) != 1:
        raise _bad_tags("a tag has one value")
    return texts[0]


def _texts(value: Json) -> list[str]:
    if not isinstance(value, list):
        raise _bad_tags("the claim has another shape")
    texts = [item for item in value if isinstance(item, str)]
    if len(texts) != len(value):
        raise _bad_tags("the claim has another shape")
    return texts


def _scalar(value: Json) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) else None


def _bad_tags(why: str) -> ProofRejected:
    return ProofRejected(f"The session tags in the ID Token are not valid: {why}.", reason="session_tags")
