"""What a certificate says of its holder, as condition keys (RFC 5280 §4.1.2 and §4.2.1.6)."""

from collections.abc import Mapping
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

_ATTRIBUTES: Final = {
    NameOID.COMMON_NAME: "CN",
    NameOID.ORGANIZATION_NAME: "O",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OU",
    NameOID.COUNTRY_NAME: "C",
    NameOID.STATE_OR_PROVINCE_NAME: "ST",
    NameOID.LOCALITY_NAME: "L",
    NameOID.STREET_ADDRESS: "STREET",
    NameOID.DOMAIN_COMPONENT: "DC",
    NameOID.USER_ID: "UID",
    NameOID.SERIAL_NUMBER: "serialNumber",
    NameOID.EMAIL_ADDRESS: "emailAddress",
    NameOID.TITLE: "title",
    NameOID.GIVEN_NAME: "GN",
    NameOID.SURNAME: "SN",
}
"""The short names of RFC 4519, and OpenSSL's; whatever else there is stands under its dotted object identifier."""

ALTERNATIVES: Final = ("x509:san/dns", "x509:san/uri", "x509:san/email", "x509:san/ip")
CARRIED: Final = (
    "x509:subject/CN",
    "x509:san/dns",
    "x509:san/uri",
    "x509:issuer/CN",
    "x509:serial",
    "x509:fingerprint",
)


def attributes(leaf: x509.Certificate, *, with_subject: bool) -> Mapping[str, tuple[str, ...]]:
    """Condition key to values. Raises what reading a certificate raises."""
    found = {
        "x509:serial": (serial(leaf),),
        "x509:fingerprint": (leaf.fingerprint(hashes.SHA256()).hex(),),
        **_name("x509:issuer", leaf.issuer),
        **(_name("x509:subject", leaf.subject) if with_subject else {}),
    }
    return found | {key: values for key, values in _alternatives(leaf).items() if values}


def serial(certificate: x509.Certificate) -> str:
    """Hexadecimal, lower case, whole bytes."""
    digits = f"{certificate.serial_number:x}"
    return digits.zfill(len(digits) + len(digits) % 2)


def _name(prefix: str, name: x509.Name) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for attribute in name:
        key = f"{prefix}/{_ATTRIBUTES.get(attribute.oid, attribute.oid.dotted_string)}"
        value = attribute.value if isinstance(attribute.value, str) else attribute.value.hex()
        found[key] = (*found.get(key, ()), value)
    return found


def _alternatives(leaf: x509.Certificate) -> dict[str, tuple[str, ...]]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return {}
    return {
        "x509:san/dns": tuple(each.lower() for each in names.get_values_for_type(x509.DNSName)),
        "x509:san/uri": tuple(names.get_values_for_type(x509.UniformResourceIdentifier)),
        "x509:san/email": tuple(names.get_values_for_type(x509.RFC822Name)),
        "x509:san/ip": tuple(str(each) for each in names.get_values_for_type(x509.IPAddress)),
    }
