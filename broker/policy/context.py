"""Request context: the condition keys of one request (IAM User Guide, "AWS global condition context keys")."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

_LATIN_LOWER: Final = {code: chr(code).lower() for code in range(256)}


def fold(text: str) -> str:
    """`text` in lower case, within Latin-1 only.

    Full case folding would let letters from elsewhere (the Kelvin sign) stand for ASCII ones.
    """
    return text.lower() if text.isascii() else text.translate(_LATIN_LOWER)


class KeyType(StrEnum):
    """The type of a condition key's values."""

    STRING = "string"
    NUMERIC = "numeric"
    DATE = "date"
    BOOLEAN = "boolean"
    IP = "ip"
    ARN = "arn"
    BINARY = "binary"


@dataclass(frozen=True, slots=True)
class ContextKey:
    """What is known of a condition key: the type of its values, and whether a request may have many."""

    type: KeyType = KeyType.STRING
    many: bool = False


def _catalogue() -> dict[str, ContextKey]:
    single = {
        KeyType.STRING: """
            aws:CalledViaFirst aws:CalledViaLast aws:FederatedProvider aws:PrincipalAccount aws:PrincipalOrgID
            aws:PrincipalServiceName aws:PrincipalTag/* aws:PrincipalType aws:RequestTag/* aws:RequestedRegion
            aws:ResourceAccount aws:ResourceOrgID aws:ResourceTag/* aws:SourceAccount aws:SourceIdentity
            aws:SourceOrgID aws:SourceVpc aws:SourceVpce aws:UserAgent aws:referer aws:userid aws:username
            aws:Ec2InstanceSourceVpc aws:SourceVpceAccount aws:SourceVpceOrgID aws:VpceAccount aws:VpceOrgID
            iam:AWSServiceName iam:FIDO-FIPS-140-2-certification iam:FIDO-certification iam:PassedToService
            iam:RegisterSecurityKey iam:ResourceTag/* iam:ServiceSpecificCredentialServiceName
            sts:AWSServiceName sts:ExternalId sts:RoleSessionName sts:SourceIdentity sts:SigningAlgorithm
            sts:RequestContext/*
            saml:aud saml:cn saml:commonName saml:doc saml:edupersonnickname saml:edupersonorgdn
            saml:edupersonorgunitdn saml:edupersonprimaryaffiliation saml:edupersonprimaryorgunitdn
            saml:edupersonprincipalname saml:givenName saml:iss saml:mail saml:name saml:namequalifier
            saml:organizationStatus saml:primaryGroupSID saml:sub saml:sub_type saml:surname saml:uid
            saml:x500UniqueIdentifier
            idp:aud idp:sub idp:iss ldap:username ldap:dn
            x509:subject/* x509:issuer/* x509:serial x509:fingerprint
            cognito-identity.amazonaws.com:aud cognito-identity.amazonaws.com:sub
            accounts.google.com:aud accounts.google.com:oaud accounts.google.com:sub accounts.google.com:email
            accounts.google.com:azp www.amazon.com:app_id www.amazon.com:user_id graph.facebook.com:app_id
            graph.facebook.com:id
            s3:prefix s3:delimiter s3:x-amz-acl s3:x-amz-server-side-encryption s3:authType s3:signatureversion
            s3:VersionId s3:LocationConstraint s3:ExistingObjectTag/* s3:RequestObjectTag/*
            ec2:Region ec2:InstanceType ec2:ResourceTag/* kms:ViaService kms:CallerAccount""",
        KeyType.BOOLEAN: """
            aws:AssumedRoot aws:IsMcpServiceAction aws:MultiFactorAuthPresent aws:PrincipalIsAWSService
            aws:SecureTransport aws:ViaAWSService aws:ViaAWSMCPService""",
        KeyType.NUMERIC: """
            aws:MultiFactorAuthAge sts:DurationSeconds s3:max-keys s3:TlsVersion s3:signatureAge""",
        KeyType.DATE: "aws:CurrentTime aws:EpochTime aws:TokenIssueTime",
        KeyType.IP: "aws:SourceIp aws:VpcSourceIp aws:Ec2InstanceSourcePrivateIPv4",
        KeyType.ARN: """
            aws:PrincipalArn aws:SourceArn aws:SourceVpcArn aws:SourceVpceArn iam:PolicyARN iam:PermissionsBoundary
                        iam:AssociatedResourceArn sts:TaskPolicyArn aws:ChatbotSourceArn
            lambda:SourceFunctionArn ec2:SourceInstanceARN ecs:cluster""",
    }
    many = {
        KeyType.STRING: """
            aws:CalledVia aws:PrincipalOrgPaths aws:PrincipalServiceNamesList aws:ResourceOrgPaths aws:SourceOrgPaths
            aws:TagKeys aws:SourceVpceOrgPaths aws:VpceOrgPaths
            sts:TransitiveTagKeys sts:IdentityTokenAudience sojourn:AuthenticationMethods ldap:groups
            saml:edupersonaffiliation saml:edupersonassurance saml:edupersonentitlement
            saml:edupersonscopedaffiliation saml:eduorghomepageuri saml:eduorgidentityauthnpolicyuri
            saml:eduorglegalname saml:eduorgsuperioruri saml:eduorgwhitepagesuri saml:edupersontargetedid
            cognito-identity.amazonaws.com:amr graph.facebook.com:amr x509:san/*
            dynamodb:Attributes dynamodb:LeadingKeys s3:RequestObjectTagKeys""",
    }
    keys: dict[str, ContextKey] = {}
    for kind, names in many.items():
        keys |= dict.fromkeys(names.split(), ContextKey(kind, many=True))
    for kind, names in single.items():
        keys |= dict.fromkeys(names.split(), ContextKey(kind))
    return keys


CONTEXT_KEYS: Final[Mapping[str, ContextKey]] = MappingProxyType(_catalogue())
"""Known condition keys as AWS writes them. A name that ends in `/*` stands for every name that begins so."""

_FOLDED: Final = {fold(name): key for name, key in CONTEXT_KEYS.items()}


def context_key(name: str) -> ContextKey | None:
    """What is known of the condition key `name`, or None for an unknown one."""
    folded = fold(name)
    family, slash, _ = folded.partition("/")
    return _FOLDED.get(folded) or (_FOLDED.get(family + "/*") if slash else None)


class RequestContext:
    """The condition keys of one request. Names keep their case and are looked up without it.

    A key in `single` has one value; one in `many` has a list, where an empty list is the same as no key.
    Immutable; what condition operators read from a value (numbers, instants, addresses) is kept with it.
    """

    __slots__ = ("names", "typed", "values")

    values: dict[str, str | tuple[str, ...]]
    """By folded name; not to be changed."""
    names: dict[str, str]
    """Folded name to the name as given; not to be changed."""
    typed: dict[str, object]
    """Values that operators have read, by operator type and folded name."""

    def __init__(
        self, single: Mapping[str, str] | None = None, many: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        """Raises ValueError where two names differ in case alone: which of them would count?"""
        values: dict[str, str | tuple[str, ...]] = {}
        names: dict[str, str] = {}
        if single:
            for name, value in single.items():
                values[key := fold(name)] = value
                names[key] = name
        if many:
            for name, items in many.items():
                names[key := fold(name)] = name
                if items:
                    values[key] = tuple(items)
        if len(names) != len(single or ()) + len(many or ()):
            raise ValueError("two condition keys of the request differ in case alone, or one is given twice")
        self.values = values
        self.names = names
        self.typed = {}

    def with_values(
        self, single: Mapping[str, str] | None = None, many: Mapping[str, Sequence[str]] | None = None
    ) -> "RequestContext":
        """A context with these keys added; they replace keys of the same name."""
        added = RequestContext(single, many)
        kept = {key: value for key, value in self.values.items() if key not in added.names}
        added.values = kept | added.values
        added.names = {**self.names, **added.names}
        return added

    def get(self, name: str) -> tuple[str, ...] | None:
        """All values of a condition key, or None where it is absent."""
        value = self.values.get(fold(name))
        if isinstance(value, str):
            return (value,)
        return value

    def __contains__(self, name: str) -> bool:
        return fold(name) in self.values

    def __repr__(self) -> str:
        return f"RequestContext({', '.join(sorted(self.names.values()))})"
