"""A certificate authority: what it issues is right in every way unless a test says otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
HOUR = timedelta(hours=1)


def name(common_name: str, **more: str) -> x509.Name:
    """A distinguished name: `name("alice", ORGANIZATION_NAME="Acme")`."""
    pairs = [("COMMON_NAME", common_name), *more.items()]
    return x509.Name([x509.NameAttribute(getattr(NameOID, kind), value) for kind, value in pairs])


@dataclass(frozen=True, slots=True)
class Holder:
    """A certificate, its key, and the authorities' certificates that its holder presents along with it."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)
    authorities: tuple[x509.Certificate, ...] = ()

    @property
    def chain(self) -> tuple[bytes, ...]:
        """As TLS carries it: DER, its own first."""
        return tuple(each.public_bytes(Encoding.DER) for each in (self.certificate, *self.authorities))

    def files(self, directory: Path, name: str = "client") -> tuple[Path, Path]:
        """PEM files of the certificates and of the key."""
        directory.mkdir(parents=True, exist_ok=True)
        files = directory / f"{name}.pem", directory / f"{name}.key"
        files[0].write_bytes(pem(self.certificate, *self.authorities))
        files[1].write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return files


class CertificateAuthority:
    """A root, or with `parent` one between. `now`: the instant that validity is counted from."""

    def __init__(
        self,
        common_name: str = "Test CA",
        *,
        parent: "CertificateAuthority | None" = None,
        now: datetime | None = None,
        key: PrivateKey | None = None,
        signs_lists: bool = True,
        life: timedelta = 48 * HOUR,
        extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    ) -> None:
        self.now: datetime = now or (parent.now if parent is not None else datetime.now(UTC))
        self.parent = parent
        self.key = key if key is not None else ec.generate_private_key(ec.SECP256R1())
        self._name = name(common_name)
        usage = x509.KeyUsage(False, False, False, False, False, True, signs_lists, False, False)
        own = [(x509.BasicConstraints(ca=True, path_length=None), True), (usage, True), *extensions]
        signer = parent if parent is not None else self
        self.certificate = signer.sign(self._name, self.key, begins=-HOUR, ends=life, extensions=own)

    @property
    def pem(self) -> bytes:
        """Its certificate."""
        return pem(self.certificate)

    def issue(
        self,
        subject: x509.Name | str = "client",
        *,
        alternatives: Sequence[x509.GeneralName] = (),
        usages: Sequence[x509.ObjectIdentifier] = (CLIENT,),
        key: PrivateKey | None = None,
        begins: timedelta = -HOUR,
        ends: timedelta = HOUR,
        extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    ) -> Holder:
        """A certificate for a holder. `begins`, `ends`: from the authority's instant on."""
        own = list(extensions)
        if alternatives:
            own.append((x509.SubjectAlternativeName(alternatives), False))
        if usages:
            own.append((x509.ExtendedKeyUsage(usages), False))
        key = key if key is not None else ec.generate_private_key(ec.SECP256R1())
        subject = name(subject) if isinstance(subject, str) else subject
        certificate = self.sign(subject, key, begins=begins, ends=ends, extensions=own)
        return Holder(certificate, key, (self.certificate,) if self.parent is not None else ())

    def sign(
        self,
        subject: x509.Name,
        key: PrivateKey,
        *,
        begins: timedelta,
        ends: timedelta,
        extensions: Sequence[tuple[x509.ExtensionType, bool]],
    ) -> x509.Certificate:
        """A certificate with just these extensions, and the two that name keys."""
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now + begins)
            .not_valid_after(self.now + ends)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self.key, hashes.SHA256())

    def revocation_list(
        self,
        *revoked: x509.Certificate,
        begins: timedelta = -HOUR,
        ends: timedelta = HOUR,
        key: PrivateKey | None = None,
        extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    ) -> bytes:
        """A list, PEM. `key`: who signs in this authority's name."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._name)
            .last_update(self.now + begins)
            .next_update(self.now + ends)
        )
        for each in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(each.serial_number).revocation_date(self.now)
            builder = builder.add_revoked_certificate(entry.build())
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(key if key is not None else self.key, hashes.SHA256()).public_bytes(Encoding.PEM)


def pem(*certificates: x509.Certificate) -> bytes:
    """Several certificates as one file."""
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)
