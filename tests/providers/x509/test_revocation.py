"""Revocation lists: nobody gets in whom a list names, and nobody where no list can tell."""

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from providers.contract import ClientCertificate
from providers.errors import ProofRejected, ProviderUnavailable
from providers.x509.files import revocation_lists
from tests.fakes.certificates import HOUR, CertificateAuthority, Holder
from tests.fakes.clock import Clock
from tests.providers.x509.conftest import MakeProvider


async def unavailable(make: MakeProvider, holder: Holder, lists: bytes, *authorities: bytes) -> str | None:
    """The detail of a refusal for want of a verdict."""
    with pytest.raises(ProviderUnavailable, match="cannot be told") as refused:
        await make(*authorities, lists=lists).verify(ClientCertificate(holder.chain))
    assert refused.value.reason == "crl"
    return refused.value.detail


async def test_whom_the_list_names_is_refused(provider: MakeProvider, authority: CertificateAuthority) -> None:
    revoked, other = authority.issue("revoked"), authority.issue("other")
    one = provider(lists=authority.revocation_list(revoked.certificate))
    with pytest.raises(ProofRejected, match="has been revoked") as refused:
        await one.verify(ClientCertificate(revoked.chain))
    assert refused.value.reason == "revoked"
    assert f"{revoked.certificate.serial_number:x}" in (refused.value.detail or "")
    assert (await one.verify(ClientCertificate(other.chain))).subject == "CN=other"
    assert (await provider().verify(ClientCertificate(revoked.chain))).subject == "CN=revoked"


async def test_a_list_counts_within_its_time(
    provider: MakeProvider, authority: CertificateAuthority, clock: Clock
) -> None:
    holder, revoked = authority.issue(), authority.issue()
    one = provider(lists=authority.revocation_list(revoked.certificate, begins=timedelta(0), ends=timedelta(minutes=5)))
    await one.verify(ClientCertificate(holder.chain))
    for step in (timedelta(minutes=5), timedelta(minutes=-6)):
        clock.advance(step)
        with pytest.raises(ProviderUnavailable):
            await one.verify(ClientCertificate(holder.chain))
        with pytest.raises(ProofRejected):
            await one.verify(ClientCertificate(revoked.chain))


async def test_a_list_must_be_the_authority_s_own(provider: MakeProvider, authority: CertificateAuthority) -> None:
    holder = authority.issue()
    forged = authority.revocation_list(key=ec.generate_private_key(ec.SECP256R1()))
    assert await unavailable(provider, holder, forged) == "there is no list of CN=Test CA"
    assert await unavailable(provider, holder, CertificateAuthority("Other").revocation_list())
    namesake = CertificateAuthority("Other", key=authority.key)
    assert await unavailable(provider, holder, namesake.revocation_list())
    await provider(lists=forged + authority.revocation_list()).verify(ClientCertificate(holder.chain))


async def test_an_authority_must_be_one_that_signs_lists(provider: MakeProvider) -> None:
    silent = CertificateAuthority(signs_lists=False)
    assert await unavailable(provider, silent.issue(), silent.revocation_list(), silent.pem)


async def test_the_newest_of_several_counts(provider: MakeProvider, authority: CertificateAuthority) -> None:
    holder = authority.issue()
    old, new = (
        authority.revocation_list(begins=-2 * HOUR),
        authority.revocation_list(holder.certificate, begins=-HOUR),
    )
    for lists in (old + new, new + old):
        with pytest.raises(ProofRejected):
            await provider(lists=lists).verify(ClientCertificate(holder.chain))


async def test_authorities_on_the_way_are_looked_up_too(provider: MakeProvider) -> None:
    root = CertificateAuthority("Root")
    between = CertificateAuthority("Between", parent=root)
    holder = between.issue()
    proof = ClientCertificate(holder.chain)
    await provider(root.pem, lists=root.revocation_list() + between.revocation_list()).verify(proof)
    for alone in (root.revocation_list(), between.revocation_list()):
        assert await unavailable(provider, holder, alone, root.pem)
    revoked = root.revocation_list(between.certificate) + between.revocation_list()
    for configured in (root.pem, root.pem + between.pem):
        with pytest.raises(ProofRejected, match="has been revoked"):
            await provider(configured, lists=revoked).verify(proof)


@pytest.mark.parametrize(
    ("bend", "fault"),
    [
        ({"extensions": [(x509.DeltaCRLIndicator(1), True)]}, "not complete"),
        (
            {"extensions": [(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)]},
            "not complete",
        ),
        (
            {
                "extensions": [
                    (
                        x509.IssuingDistributionPoint(
                            full_name=None,
                            relative_name=None,
                            only_contains_user_certs=False,
                            only_contains_ca_certs=True,
                            only_some_reasons=None,
                            indirect_crl=False,
                            only_contains_attribute_certs=False,
                        ),
                        False,
                    )
                ]
            },
            "not complete",
        ),
    ],
)
def test_lists_that_do_not_say_all_are_refused(
    authority: CertificateAuthority, bend: dict[str, Any], fault: str
) -> None:
    assert len(revocation_lists(authority.revocation_list() + authority.revocation_list())) == 2
    with pytest.raises(ValueError, match=fault):
        revocation_lists(authority.revocation_list() + authority.revocation_list(**bend))


def test_a_list_must_say_when_the_next_one_comes(authority: CertificateAuthority) -> None:
    made = x509.load_pem_x509_crl(authority.revocation_list())
    whole, signed = made.public_bytes(Encoding.DER), made.tbs_certlist_bytes
    version = signed.index(b"\x02\x01\x01")
    following = signed.index(b"\x17\x0d", signed.index(b"\x17\x0d") + 15)
    without = _sequence(signed[version:following] + signed[following + 15 :])
    bent = x509.load_der_x509_crl(_sequence(without + whole[whole.index(signed) + len(signed) :]))
    assert bent.next_update_utc is None
    with pytest.raises(ValueError, match="does not say when the next one comes"):
        revocation_lists(bent.public_bytes(Encoding.PEM))


def _sequence(content: bytes) -> bytes:
    """DER, with a length of two bytes at the most."""
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([0x81, size]) if size < 256 else b"\x82" + size.to_bytes(2, "big")
    return b"\x30" + length + content
