"""An account that trusts authorities for machines, with a role for each condition key, and a gateway that asks clients
for certificates."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tests.end_to_end.unsigned_client import ask
from tests.end_to_end.world import DEV, allow, deny, inline, new_key, role, role_arn
from tests.fakes.certificates import SERVER, CertificateAuthority, Holder, name, pem
from tests.gateway import Gateway, write_configuration

ACTION = "AssumeRoleWithCertificate"
OPERATOR = new_key(DEV)


def provider_arn(name: str) -> str:
    """A certificate provider's ARN."""
    return f"arn:aws:iam::{DEV}:certificate-provider/{name}"


def trusting(condition: Any = None, *, provider: str = "machines", actions: tuple[str, ...] = ()) -> dict[str, Any]:
    """A statement that admits holders of certificates."""
    principal = {"Federated": provider_arn(provider)}
    return allow([f"sts:{ACTION}", *actions], principal=principal, condition=condition)


@dataclass(frozen=True)
class Authorities:
    """Whom the gateway trusts: `machines` with a list of what it revoked, `branch` below it, `guests` without a list.

    `strangers` get through the handshake and no further; `server` issued the gateway's own certificate.
    """

    machines: CertificateAuthority = field(default_factory=lambda: CertificateAuthority("Machines"))
    guests: CertificateAuthority = field(default_factory=lambda: CertificateAuthority("Guests"))
    strangers: CertificateAuthority = field(default_factory=lambda: CertificateAuthority("Strangers"))
    server: CertificateAuthority = field(default_factory=lambda: CertificateAuthority("Server"))

    @property
    def clients(self) -> bytes:
        """Those of all clients."""
        return pem(self.machines.certificate, self.guests.certificate, self.strangers.certificate)


def build_machine(authority: CertificateAuthority) -> Holder:
    """The machine that the roles of `keys` are for."""
    subject = name("build-7", ORGANIZATION_NAME="Acme", ORGANIZATIONAL_UNIT_NAME="Build", COUNTRY_NAME="DE")
    return authority.issue(
        subject,
        alternatives=[
            x509.DNSName("build-7.acme.test"),
            x509.DNSName("*.build.acme.test"),
            x509.UniformResourceIdentifier("spiffe://acme.test/build/7"),
            x509.RFC822Name("build@acme.test"),
            x509.IPAddress(ipaddress.ip_address("10.1.2.3")),
        ],
    )


def keys(machine: Holder) -> dict[str, Any]:
    """A condition by the name of a role for each key, which only that machine meets."""
    certificate = machine.certificate
    return {
        "by-cn": {"StringEquals": {"x509:subject/CN": "build-7"}},
        "by-o": {"StringEquals": {"x509:subject/O": "Acme"}},
        "by-ou": {"StringEquals": {"x509:subject/OU": "Build"}},
        "by-c": {"StringEquals": {"x509:subject/C": "DE"}},
        "by-serial": {"StringEquals": {"x509:serial": f"{certificate.serial_number:040x}"}},
        "by-fingerprint": {"StringEquals": {"x509:fingerprint": certificate.fingerprint(hashes.SHA256()).hex()}},
        "by-dns": {"ForAnyValue:StringEquals": {"x509:san/dns": "build-7.acme.test"}},
        "by-every-dns": {"ForAllValues:StringLike": {"x509:san/dns": "*build*"}, "Null": {"x509:san/dns": "false"}},
        "by-uri": {"ForAnyValue:StringLike": {"x509:san/uri": "spiffe://acme.test/build/*"}},
        "by-email": {"ForAnyValue:StringEquals": {"x509:san/email": "build@acme.test"}},
        "by-ip": {"ForAnyValue:StringEquals": {"x509:san/ip": "10.1.2.3"}},
        "by-session-name": {"StringEquals": {"sts:RoleSessionName": "${x509:subject/CN}", "x509:subject/O": "Acme"}},
    }


def account(machine: Holder) -> dict[str, Any]:
    """The account."""
    return {
        "Account": DEV,
        "Users": [
            {
                "UserName": "operator",
                "AccessKeys": [OPERATOR],
                "Policies": inline(allow("sts:DecodeAuthorizationMessage", "*")),
            }
        ],
        "CertificateProviders": [
            {"Name": "machines", "CaFile": "machines.pem", "CrlFile": "machines.crl"},
            {"Name": "guests", "CaFile": "guests.pem"},
            {"Name": "visitors", "CaFile": "guests.pem"},
        ],
        "Roles": [
            *(role(each, trusting(condition)) for each, condition in keys(machine).items()),
            role(
                "by-issuer",
                trusting({"StringEquals": {"x509:issuer/CN": "Branch"}}),
                Policies=inline(allow("sts:AssumeRole", "*")),
            ),
            role(
                "by-method",
                trusting(
                    {
                        "ForAnyValue:StringEquals": {"sojourn:AuthenticationMethods": "pop"},
                        "StringEquals": {"aws:FederatedProvider": provider_arn("machines")},
                        "Null": {"aws:MultiFactorAuthPresent": "true"},
                    }
                ),
                MaxSessionDuration=43200,
            ),
            role(
                "not-tests",
                trusting(),
                deny(
                    f"sts:{ACTION}",
                    principal={"Federated": provider_arn("machines")},
                    condition={"StringLike": {"x509:subject/CN": "test-*"}},
                ),
            ),
            role(
                "tagged",
                trusting({"StringEquals": {"aws:RequestTag/env": "prod"}}, actions=("sts:TagSession",)),
            ),
            role(
                "identified",
                trusting(
                    {"StringEquals": {"sts:SourceIdentity": "${x509:subject/CN}"}}, actions=("sts:SetSourceIdentity",)
                ),
            ),
            role("guests", trusting(provider="guests")),
            role("both", trusting(provider="guests"), trusting(provider="visitors")),
            role("people", allow("sts:AssumeRole", principal={"AWS": f"arn:aws:iam::{DEV}:root"})),
            role(
                "next",
                allow(
                    "sts:AssumeRole",
                    principal={"AWS": role_arn("by-issuer", DEV)},
                    condition={
                        "StringEquals": {
                            "aws:FederatedProvider": provider_arn("machines"),
                            "x509:subject/CN": "site-1",
                            "x509:issuer/CN": "Branch",
                        },
                        "ForAnyValue:StringEquals": {"x509:san/dns": "site-1.acme.test"},
                    },
                ),
            ),
        ],
    }


def write_world(directory: Path, authorities: Authorities, account: Any, **server: Any) -> Path:
    """The configuration; the file of the authority of the gateway's own certificate."""
    directory.mkdir(parents=True, exist_ok=True)
    authorities.server.issue("localhost", alternatives=[x509.DNSName("localhost")], usages=(SERVER,)).files(
        directory, "server"
    )
    for file, content in {
        "clients.pem": authorities.clients,
        "machines.pem": authorities.machines.pem,
        "guests.pem": authorities.guests.pem,
        "authority.pem": authorities.server.pem,
        "machines.crl": authorities.machines.revocation_list(),
    }.items():
        (directory / file).write_bytes(content)
    tls = {"certificate": "server.pem", "private_key": "server.key", "client_ca": "clients.pem"}
    write_configuration(directory, {"dev": account}, {"server": {"tls": tls, **server}})
    return directory / "authority.pem"


def assume(gateway: Gateway, holder: Holder | None, role_name: str | None, **parameters: str) -> dict[str, str]:
    """The elements of the result. Raises `Refusal`."""
    certificate = holder.files(gateway.directory / f"{holder.certificate.serial_number:x}") if holder else None
    named = {"RoleArn": role_arn(role_name, DEV)} if role_name is not None else {}
    return ask(gateway, ACTION, named | parameters, opener=gateway.opener_with(certificate))
