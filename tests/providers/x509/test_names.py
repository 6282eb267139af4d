"""What a certificate says, as condition keys."""

import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from providers.contract import ClientCertificate, Identity
from tests.fakes.certificates import CertificateAuthority, Holder, name
from tests.providers.x509.conftest import ARN, MakeProvider


async def identified(make: MakeProvider, holder: Holder) -> Identity:
    return await make().verify(ClientCertificate(holder.chain))


async def test_every_part_has_its_key(provider: MakeProvider, authority: CertificateAuthority) -> None:
    subject = name(
        "build-7",
        ORGANIZATION_NAME="Acme",
        ORGANIZATIONAL_UNIT_NAME="Build",
        COUNTRY_NAME="DE",
        STATE_OR_PROVINCE_NAME="Berlin",
        LOCALITY_NAME="Mitte",
        EMAIL_ADDRESS="build@acme.test",
        SERIAL_NUMBER="0815",
        PSEUDONYM="b7",
    )
    holder = authority.issue(
        subject,
        alternatives=[
            x509.DNSName("Build-7.acme.test"),
            x509.DNSName("*.acme.test"),
            x509.UniformResourceIdentifier("spiffe://acme.test/build/7"),
            x509.RFC822Name("build@acme.test"),
            x509.IPAddress(ipaddress.ip_address("2001:db8::7")),
            x509.DirectoryName(name("elsewhere")),
        ],
    )
    identity = await identified(provider, holder)
    assert identity.attributes == {
        "x509:subject/CN": ("build-7",),
        "x509:subject/O": ("Acme",),
        "x509:subject/OU": ("Build",),
        "x509:subject/C": ("DE",),
        "x509:subject/ST": ("Berlin",),
        "x509:subject/L": ("Mitte",),
        "x509:subject/emailAddress": ("build@acme.test",),
        "x509:subject/serialNumber": ("0815",),
        f"x509:subject/{NameOID.PSEUDONYM.dotted_string}": ("b7",),
        "x509:issuer/CN": ("Test CA",),
        "x509:serial": (f"{holder.certificate.serial_number:040x}",),
        "x509:fingerprint": (holder.certificate.fingerprint(hashes.SHA256()).hex(),),
        "x509:san/dns": ("build-7.acme.test", "*.acme.test"),
        "x509:san/uri": ("spiffe://acme.test/build/7",),
        "x509:san/email": ("build@acme.test",),
        "x509:san/ip": ("2001:db8::7",),
    }
    assert identity.multivalued >= {"x509:san/dns", "x509:san/uri", "x509:san/email", "x509:san/ip"}
    kept = {f"x509:{key}" for key in ["subject/CN", "san/dns", "san/uri", "issuer/CN", "serial", "fingerprint"]}
    assert set(identity.carried) == kept
    assert (identity.issuer, identity.audience, identity.methods) == (ARN, ARN, frozenset({"pop"}))
    assert identity.session_name == "build-7"
    assert identity.subject.startswith("2.5.4.65=b7,2.5.4.5=0815")


async def test_what_stands_twice_has_several_values(provider: MakeProvider, authority: CertificateAuthority) -> None:
    pairs = [(NameOID.COMMON_NAME, "alice"), (NameOID.COMMON_NAME, "admin"), (NameOID.ORGANIZATIONAL_UNIT_NAME, "a")]
    subject = x509.Name([x509.NameAttribute(*each) for each in pairs])
    identity = await identified(provider, authority.issue(subject))
    assert identity.attributes["x509:subject/CN"] == ("alice", "admin")
    assert identity.session_name is None


async def test_a_name_that_is_no_session_s_names_none(provider: MakeProvider, authority: CertificateAuthority) -> None:
    for common_name in ("a", "two words", "a\nb", "x" * 64, "ärger"):
        identity = await identified(provider, authority.issue(common_name))
        assert identity.attributes["x509:subject/CN"] == (common_name,)
        assert (identity.session_name is None) == (common_name != "x" * 64)


async def test_a_holder_without_a_subject(provider: MakeProvider, authority: CertificateAuthority) -> None:
    holder = authority.issue(x509.Name([]), alternatives=[x509.DNSName("a.test")])
    identity = await identified(provider, holder)
    assert identity.subject == holder.certificate.fingerprint(hashes.SHA256()).hex()
    assert identity.attributes["x509:san/dns"] == ("a.test",)
