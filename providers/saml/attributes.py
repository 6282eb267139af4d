"""Attributes of an assertion as AWS reads them (STS AssumeRoleWithSAML, IAM User Guide "SAML assertions")."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from providers.errors import ProofRejected

Values = Mapping[str, tuple[str, ...]]

_AWS: Final = "https://aws.amazon.com/SAML/Attributes/"
_PRINCIPAL_TAG: Final = f"{_AWS}PrincipalTag:"
_NAME_FORM = re.compile(r"[A-Za-z0-9_+=,.@-]{2,64}")
_ROLE = re.compile(r"arn:[a-z-]{3,32}:iam::[0-9]{12}:role/\S{1,600}")
_PROVIDER = re.compile(r"arn:[a-z-]{3,32}:iam::[0-9]{12}:saml-provider/[A-Za-z0-9._-]{1,128}")
_MAX_TAGS: Final = 50
_MAX_TAG_KEY: Final = 128
_MAX_TAG_VALUE: Final = 256
_SESSION_SECONDS = range(900, 43_201)

_EDU_PERSON = [
    "affiliation",
    "nickname",
    "orgdn",
    "orgunitdn",
    "primaryaffiliation",
    "principalname",
    "entitlement",
    "primaryorgunitdn",
    "scopedaffiliation",
    "targetedid",
    "assurance",
]
_EDU_ORG = ("homepageuri", "identityauthnpolicyuri", "legalname", "superioruri", "whitepagesuri")
_CLAIMS: Final = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
_X500 = {
    "2.5.4.3": "commonName",
    "2.5.4.4": "surname",
    "2.5.4.42": "givenName",
    "2.4.5.42": "givenName",  # as AWS's page prints it
    "2.5.4.45": "x500UniqueIdentifier",
    **{
        f"0.9.2342.{arc}.1.{number}": key
        for arc in ("19200300.100", "19200300100")  # the second as AWS's page prints it
        for number, key in ((1, "uid"), (3, "mail"), (45, "organizationStatus"))
    },
}
CONDITION_KEYS: Final[Mapping[str, str]] = {
    **{f"urn:oid:{oid}": f"saml:{key}" for oid, key in _X500.items()},
    **{oid: f"saml:{key}" for oid, key in _X500.items()},
    **{f"urn:oid:1.3.6.1.4.1.5923.1.1.1.{n}": f"saml:eduperson{key}" for n, key in enumerate(_EDU_PERSON, 1)},
    **{f"urn:oid:1.3.6.1.4.1.5923.1.2.1.{n}": f"saml:eduorg{key}" for n, key in enumerate(_EDU_ORG, 2)},
    "urn:oid:2.5.4.3": "saml:cn",
    f"{_CLAIMS}name": "saml:name",
    f"{_CLAIMS}givenname": "saml:givenName",
    f"{_CLAIMS}surname": "saml:surname",
    f"{_CLAIMS}emailaddress": "saml:mail",
    "http://schemas.xmlsoap.org/claims/CommonName": "saml:commonName",
    "http://schemas.microsoft.com/ws/2008/06/identity/claims/primarygroupsid": "saml:primaryGroupSID",
}
"""Attribute Name to condition key."""

_SINGLE: Final = frozenset(
    f"saml:eduperson{key}" for key in ("orgdn", "primaryaffiliation", "primaryorgunitdn", "principalname")
)
MULTIVALUED: Final = frozenset(CONDITION_KEYS.values()) - _SINGLE


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionAttributes:
    """What AWS's own attributes ask for. `roles`: (role ARN, provider ARN)."""

    roles: tuple[tuple[str, str], ...]
    session_name: str
    duration: timedelta | None
    tags: Mapping[str, str]
    transitive_tag_keys: tuple[str, ...]
    source_identity: str | None


def session_attributes(attributes: Values) -> SessionAttributes:
    """Raises `ProofRejected` with AWS's sentences."""
    tags, transitive = _tags(attributes)
    return SessionAttributes(
        roles=tuple(dict.fromkeys(_pair(value) for value in attributes.get(f"{_AWS}Role", ()))),
        session_name=_session_name(attributes),
        duration=_duration(attributes),
        tags=tags,
        transitive_tag_keys=transitive,
        source_identity=_source_identity(attributes),
    )


def condition_keys(attributes: Values) -> dict[str, tuple[str, ...]]:
    """The `saml:` keys of directory attributes. Raises `ProofRejected` for several values where AWS knows one."""
    keys: dict[str, tuple[str, ...]] = {}
    for name, values in attributes.items():
        key = CONDITION_KEYS.get(name)
        if key is not None and values:
            keys[key] = tuple(dict.fromkeys(keys.get(key, ()) + values))
    for key in keys.keys() & _SINGLE:
        if len(keys[key]) > 1:
            raise _refused(f"{key} has several values in AuthnResponse", "attributes")
    return keys


def _pair(value: str) -> tuple[str, str]:
    first, _, second = (part.strip() for part in value.partition(","))
    for role, provider in ((first, second), (second, first)):
        if _ROLE.fullmatch(role) and _PROVIDER.fullmatch(provider):
            return role, provider
    raise _refused("Role in AuthnResponse must be the ARNs of a role and of a SAML provider, with a comma", "role")


def _session_name(attributes: Values) -> str:
    values = attributes.get(f"{_AWS}RoleSessionName", ())
    if not values:
        raise _refused("RoleSessionName is required in AuthnResponse", "session_name")
    if len(values) != 1 or _NAME_FORM.fullmatch(values[0]) is None:
        raise _refused("RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}", "session_name")
    return values[0]


def _source_identity(attributes: Values) -> str | None:
    values = attributes.get(f"{_AWS}SourceIdentity", ())
    if not values:
        return None
    if len(values) != 1 or _NAME_FORM.fullmatch(values[0]) is None:  # a colon is not of the form, so "aws:" is not
        raise _refused(
            'Source Identity must match [a-zA-Z_0-9+=,.@-]{2,64} and not begin with "aws:"', "source_identity"
        )
    return values[0]


def _duration(attributes: Values) -> timedelta | None:
    values = attributes.get(f"{_AWS}SessionDuration", ())
    if not values:
        return None
    if len(values) != 1 or re.fullmatch(r"[0-9]{1,5}", values[0]) is None or int(values[0]) not in _SESSION_SECONDS:
        raise _refused("SessionDuration in AuthnResponse must be a number between 900 and 43200", "session_duration")
    return timedelta(seconds=int(values[0]))


def _tags(attributes: Values) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """Which characters a tag may hold is the broker's to check, as for all tags."""
    tags: dict[str, str] = {}
    for name, values in attributes.items():
        if name.startswith(_PRINCIPAL_TAG):
            if len(values) != 1:
                raise _bad_tags("a tag has one value")
            tags[name.removeprefix(_PRINCIPAL_TAG)] = values[0]
    if len(tags) > _MAX_TAGS:
        raise _bad_tags(f"there are more than {_MAX_TAGS}")
    if any(not 0 < len(key) <= _MAX_TAG_KEY or len(value) > _MAX_TAG_VALUE for key, value in tags.items()):
        raise _bad_tags("a key or a value is empty or too long")
    keys = {key.casefold() for key in tags}
    if len(keys) != len(tags):
        raise _bad_tags("a key is given twice; keys compare without case")
    transitive = attributes.get(f"{_AWS}TransitiveTagKeys", ())
    if not keys.issuperset(key.casefold() for key in transitive):
        raise _bad_tags("a transitive key is not among the tags")
    return tags, tuple(dict.fromkeys(transitive))


def _bad_tags(why: str) -> ProofRejected:
    return _refused(f"The session tags in AuthnResponse are not valid: {why}", "session_tags")


def _refused(sentence: str, reason: str) -> ProofRejected:
    return ProofRejected(sentence, reason=reason)
