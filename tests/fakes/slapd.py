"""A real slapd for a test: loopback, free ports, a directory of people and groups, TLS from a CA of its own."""

import datetime
import ipaddress
import shutil
import socket
import subprocess
import warnings
from collections.abc import Mapping
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.fakes.server import Server, free_port

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import ldap3

SUFFIX = "dc=acme,dc=test"
PEOPLE, GROUPS = f"ou=people,{SUFFIX}", f"ou=groups,{SUFFIX}"
SERVICE_DN, SERVICE_PASSWORD = f"cn=broker,{SUFFIX}", "service secret"
ROOT_DN, ROOT_PASSWORD = f"cn=root,{SUFFIX}", "root secret"

_SLAPD = shutil.which("slapd") or "/usr/sbin/slapd"
_SLAPADD = shutil.which("slapadd") or "/usr/sbin/slapadd"
_SCHEMAS = ("core", "cosine", "nis", "inetorgperson")


class Authority:
    """A private certificate authority and the certificates that it gives to servers."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.file = directory / "ca.pem"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        certificate = (
            self._certificate(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file.write_bytes(certificate.public_bytes(Encoding.PEM))

    def issue(self, directory: Path, *names: str) -> tuple[Path, Path]:
        """Certificate and key files for DNS names and IP addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives = [_general_name(name) for name in names]
        certificate = (
            self._certificate(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])]), key.public_key())
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        directory.mkdir(parents=True, exist_ok=True)
        files = directory / "server.pem", directory / "server.key"
        files[0].write_bytes(certificate.public_bytes(Encoding.PEM))
        files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return files

    def _certificate(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )


class Slapd(Server):
    """`certificate`: certificate and key files; then `ldaps_url` answers and StartTLS works. `people`: so many more
    people `uid=user0` and on, password `password0` and on. `referral`: where those are sent who ask for other trees.
    """

    def __init__(
        self,
        directory: Path,
        *,
        certificate: tuple[Path, Path] | None = None,
        people: int = 0,
        referral: str | None = None,
    ) -> None:
        self.directory = directory
        self.port, self.tls_port = free_port(), free_port()
        self._certificate = certificate
        self._people = people
        self._referral = referral

    @property
    def url(self) -> str:
        """`ldap://…` by address."""
        return f"ldap://127.0.0.1:{self.port}"

    @property
    def ldaps_url(self) -> str:
        """`ldaps://…` by name."""
        return f"ldaps://localhost:{self.tls_port}"

    def start(self) -> None:
        """Start, also again on the same data, and return when the ports answer."""
        if not Path(_SLAPD).exists():
            raise RuntimeError("slapd is not installed: apt-get install slapd")
        configuration = self.directory / "slapd.conf"
        if not configuration.exists():
            self._prepare(configuration)
        urls = f"ldap://127.0.0.1:{self.port}/"
        if self._certificate is not None:
            urls += f" ldaps://127.0.0.1:{self.tls_port}/"
        command = [_SLAPD, "-f", str(configuration), "-h", urls, "-d", "0"]
        ports = [self.port] if self._certificate is None else [self.port, self.tls_port]
        self._launch(command, lambda: all(map(_listens, ports)), failure="slapd did not start")

    def administer(self) -> ldap3.Connection:
        """A connection as the directory's administrator; errors raise."""
        server = ldap3.Server("127.0.0.1", self.port, get_info=ldap3.NONE)
        return ldap3.Connection(
            server, ROOT_DN, ROOT_PASSWORD, auto_bind=True, raise_exceptions=True, check_names=False, receive_timeout=60
        )

    def _prepare(self, configuration: Path) -> None:
        database = self.directory / "data"
        database.mkdir(parents=True)
        text = _configuration(self.directory, database, self._certificate)
        if self._referral is not None:
            text = f"referral {self._referral}\n{text}"
        configuration.write_text(text)
        content = self.directory / "content.ldif"
        content.write_text(_ldif(self._people), encoding="utf-8")
        done = subprocess.run(
            [_SLAPADD, "-q", "-f", str(configuration), "-l", str(content)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"slapadd: {done.stderr}")


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=20).close()
    except OSError:
        return False
    return True


def _configuration(directory: Path, database: Path, certificate: tuple[Path, Path] | None) -> str:
    lines = [f"include /etc/ldap/schema/{name}.schema" for name in _SCHEMAS]
    lines += ["modulepath /usr/lib/ldap", "moduleload back_mdb", "moduleload ppolicy", "moduleload memberof"]
    if certificate is not None:
        lines += [f"TLSCertificateFile {certificate[0]}", f"TLSCertificateKeyFile {certificate[1]}"]
    lines += [
        f"pidfile {directory / 'slapd.pid'}",
        "sizelimit unlimited",
        "database mdb",
        f"suffix {SUFFIX}",
        f"directory {database}",
        "maxsize 67108864",
        "dbnosync",
        f'rootdn "{ROOT_DN}"',
        f'rootpw "{ROOT_PASSWORD}"',
        "index objectClass,uid,member,memberUid,uniqueMember,entryUUID eq",
        "access to attrs=userPassword by anonymous auth by * none",
        f'access to * by dn.exact="{SERVICE_DN}" read by * none',
        "overlay memberof",
        "memberof-refint TRUE",
        "overlay ppolicy",
        f'ppolicy_default "cn=policy,{SUFFIX}"',
        "ppolicy_use_lockout",
    ]
    return "\n".join(lines) + "\n"


def _ldif(people: int) -> str:
    entries = [
        _BASE,
        *(_person(f"uid={name}", name, more=more) for name, more in _PEOPLE.items()),
        _ODD_PEOPLE,
        _GROUPS,
    ]
    entries += [
        _person(f"uid=user{i}", f"user{i}", more={"userPassword": f"password{i}", "memberOf": f"cn=staff,{GROUPS}"})
        for i in range(people)
    ]
    members = "".join(f"\nmember: uid=user{i},{PEOPLE}" for i in range(people))
    entries.append(f"dn: cn=staff,{GROUPS}\nobjectClass: groupOfNames\ncn: staff\nmember: {SERVICE_DN}{members}\n")
    return "\n".join(entries)


def _person(rdn: str, uid: str, *, base: str = PEOPLE, more: Mapping[str, str] | None = None) -> str:
    values = {"userPassword": "correct horse"} | dict(more or {})
    head = [f"dn: {rdn},{base}", "objectClass: inetOrgPerson", "objectClass: shadowAccount"]
    lines = [f"cn: {uid}", "sn: x", f"uid: {uid}", *(f"{name}: {value}" for name, value in values.items())]
    # slapadd forgets values of an attribute that do not follow one another.
    return "\n".join([*head, *sorted(lines)]) + "\n"


_BASE = f"""\
dn: {SUFFIX}
objectClass: domain
dc: acme

dn: {PEOPLE}
objectClass: organizationalUnit
ou: people

dn: {GROUPS}
objectClass: organizationalUnit
ou: groups

dn: ou=elsewhere,{SUFFIX}
objectClass: organizationalUnit
ou: elsewhere

dn: {SERVICE_DN}
objectClass: person
cn: broker
sn: broker
userPassword: {SERVICE_PASSWORD}

dn: cn=policy,{SUFFIX}
objectClass: device
objectClass: pwdPolicy
cn: policy
pwdAttribute: userPassword
pwdLockout: TRUE
pwdMaxFailure: 1000
pwdMustChange: TRUE
"""

_DEVELOPERS = f"cn=developers,{GROUPS}"
_PEOPLE: dict[str, dict[str, str]] = {
    "alice": {"departmentNumber": "42", "mail": "alice@acme.test", "memberOf": _DEVELOPERS},
    "bob": {"mail": "bob@acme.test"},
    "locked": {"pwdAccountLockedTime": "000001010000Z"},
    "mustchange": {"pwdReset": "TRUE"},
    "expired": {"shadowExpire": "1"},
    "torn": {"departmentNumber": "1\ndepartmentNumber: 2"},
    "twin": {"mail": "twins@acme.test"},
    "twin2": {"mail": "twins@acme.test"},
    "plain": {"userPassword": "p\u00e4ss w\u00f6rd"},
}

# Names with everything that DNs and filters give a meaning to.
_ODD_PEOPLE = "\n".join(
    (
        _person(r"cn=Doe\, \"Jo\" \<j\>\; x\+y\#\\z", "odd(name)*\\x"),
        _person("uid=j\u00f6rg", "j\u00f6rg", more={"uid": "another"}),
        _person("uid=stray", "stray", base=f"ou=elsewhere,{SUFFIX}"),
        _person(r"cn=\20blank\20+uid=blank", "blank"),
    )
)

_ODD_DN = rf"cn=Doe\, \"Jo\" \<j\>\; x\+y\#\\z,{PEOPLE}"
# developers in engineering in company; company in engineering again (a cycle).
_GROUPS = f"""\
dn: {_DEVELOPERS}
objectClass: groupOfNames
cn: developers
member: uid=alice,{PEOPLE}
member: {_ODD_DN}
memberOf: cn=engineering,{GROUPS}

dn: cn=engineering,{GROUPS}
objectClass: groupOfNames
cn: engineering
member: {_DEVELOPERS}
member: cn=company,{GROUPS}
memberOf: cn=company,{GROUPS}

dn: cn=company,{GROUPS}
objectClass: groupOfNames
cn: company
member: cn=engineering,{GROUPS}
memberOf: cn=engineering,{GROUPS}

dn: cn=posix,{GROUPS}
objectClass: posixGroup
cn: posix
gidNumber: 1000
memberUid: alice

dn: cn=alice,{GROUPS}
objectClass: posixGroup
cn: alice
gidNumber: 1001
memberUid: developers

dn: cn=unique,{GROUPS}
objectClass: groupOfUniqueNames
cn: unique
uniqueMember: uid=alice,{PEOPLE}
"""
