"""Encrypted assertions (XML Encryption 1.1, SAML Core §6): the service provider's keys decrypt them.

Every failure after the algorithms were read looks the same to the caller, an assertion that decrypts to one without a
valid signature included: who could tell them apart could decrypt by asking.
"""

from collections.abc import Sequence
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from lxml import etree

from providers.errors import ProofRejected
from providers.saml.document import malformed, parse, strict_base64
from providers.saml.names import CONTENT_CIPHERS, DS, OAEP_DIGESTS, OAEP_MASKS, RSA_OAEP, RSA_OAEP_MGF1P, XENC, XENC11

_MAX_KEYS = 8
_BLOCK = 16


@lru_cache(maxsize=16)
def private_key(pem: bytes) -> rsa.RSAPrivateKey:
    """Raises `ValueError` for anything but an RSA key of at least 2048 bits without a password.

    Its arithmetic is not checked, which would hold the interpreter up for 50 to 150 ms: whoever read the key has.
    """
    try:
        key = load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=True)
    except TypeError as error:
        raise ValueError("the private key has a password") from error
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < 2048:
        raise ValueError("it must be an RSA key of at least 2048 bits")
    return key


def decrypted(element: etree._Element, keys: Sequence[bytes]) -> etree._Element:
    """The root of what an EncryptedAssertion holds, as a document of its own, with one of `keys` (PEM).

    It is parsed where the namespace prefixes of its place are known. Raises `ProofRejected`.
    """
    encrypted = element.find(f"{{{XENC}}}EncryptedData")
    if encrypted is None:
        raise malformed("EncryptedAssertion lacks EncryptedData.", reason="grammar")
    method = _method(encrypted)
    cipher = CONTENT_CIPHERS.get(method.get("Algorithm") or "")
    if cipher is None:
        raise _refused("content")
    mode, key_length = cipher
    content = _cipher_value(encrypted)
    wrapped = [*element.iterdescendants(f"{{{XENC}}}EncryptedKey")]
    if not 0 < len(wrapped) <= _MAX_KEYS:
        raise malformed(f"there are {len(wrapped)} encrypted keys.", reason="grammar")
    for encrypted_key in wrapped:
        scheme = _oaep(_method(encrypted_key))
        sealed = _cipher_value(encrypted_key)
        for pem in keys:
            try:
                secret = private_key(pem).decrypt(sealed, scheme)
                if len(secret) == key_length:
                    return _tree(element, _open(mode, secret, content))
            except (ValueError, InvalidTag, ProofRejected):
                continue
    raise undecryptable()


def undecryptable(detail: str | None = None) -> ProofRejected:
    """The one refusal of whatever is wrong with an encrypted assertion or inside it, up to its signature."""
    return ProofRejected("Response signature invalid", reason="encryption", detail=detail)


def _tree(element: etree._Element, plaintext: bytes) -> etree._Element:
    declared = {prefix: uri for prefix, uri in element.nsmap.items() if prefix != "xml"}
    around = etree.tostring(etree.Element("context", nsmap=declared)).removesuffix(b"/>")
    root = parse(around + b">" + plaintext.strip() + b"</context>")
    if len(root) != 1 or (root.text or "").strip() or (root[0].tail or "").strip():
        raise undecryptable()
    return root[0]


def _open(mode: str, key: bytes, content: bytes) -> bytes:
    if mode == "GCM":
        return AESGCM(key).decrypt(content[:12], content[12:], None)
    if len(content) < 2 * _BLOCK or len(content) % _BLOCK:
        raise ValueError("not whole blocks")
    decryptor = Cipher(algorithms.AES(key), modes.CBC(content[:_BLOCK])).decryptor()
    padded = decryptor.update(content[_BLOCK:]) + decryptor.finalize()
    if not 1 <= padded[-1] <= _BLOCK:
        raise ValueError("no padding")
    return padded[: -padded[-1]]


def _oaep(method: etree._Element) -> padding.OAEP:
    algorithm = method.get("Algorithm")
    if algorithm not in (RSA_OAEP_MGF1P, RSA_OAEP):
        raise _refused("key")
    parameters = {child.tag: child.get("Algorithm") for child in method}
    digest = OAEP_DIGESTS.get(parameters.pop(f"{{{DS}}}DigestMethod", None) or f"{DS}sha1")
    mask = OAEP_MASKS.get(parameters.pop(f"{{{XENC11}}}MGF", None) or f"{XENC11}mgf1sha1")
    if digest is None or mask is None or parameters:
        raise _refused("key")
    return padding.OAEP(mgf=padding.MGF1(algorithm=mask), algorithm=digest, label=None)


def _method(encrypted: etree._Element) -> etree._Element:
    method = encrypted.find(f"{{{XENC}}}EncryptionMethod")
    if method is None:
        raise malformed("EncryptionMethod is missing.", reason="grammar")
    return method


def _cipher_value(encrypted: etree._Element) -> bytes:
    values = encrypted.findall(f"{{{XENC}}}CipherData/{{{XENC}}}CipherValue")
    if len(values) != 1:
        raise malformed("CipherValue is missing.", reason="grammar")
    try:
        return strict_base64("".join((values[0].text or "").split()))
    except ValueError as error:
        raise malformed("CipherValue is not base64.", reason="base64") from error


def _refused(what: str) -> ProofRejected:
    return ProofRejected(f"The {what} encryption algorithm of the assertion is not accepted.", reason="algorithm")
