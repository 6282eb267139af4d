"""Which certificates are accepted, and which are not."""

import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from providers.contract import ClientCertificate
from providers.errors import ProofExpired, ProofRejected, ProviderUnavailable
from tests.fakes.certificates import CLIENT, HOUR, SERVER, CertificateAuthority, Holder, name, pem
from tests.fakes.clock import Clock
from tests.providers.x509.conftest import MakeProvider

SECOND = timedelta(seconds=1)
NOT_CRITICAL, CRITICAL = False, True


def shown(holder: Holder) -> ClientCertificate:
    return ClientCertificate(holder.chain)


async def refusal(make: MakeProvider, holder: Holder, *authorities: bytes) -> str:
    """The reason for the refusal."""
    with pytest.raises(ProofRejected) as refused:
        await make(*authorities).verify(shown(holder))
    return refused.value.reason


def usage(**true: bool) -> x509.KeyUsage:
    """A key usage with what is named, and nothing else."""
    names = "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign"
    every = dict.fromkeys(f"{names} crl_sign encipher_only decipher_only".split(), False)
    return x509.KeyUsage(**(every | true))


@pytest.mark.parametrize(
    "issued",
    [
        {},
        {"key": ec.generate_private_key(ec.SECP384R1())},
        {"key": ec.generate_private_key(ec.SECP521R1())},
        {"key": rsa.generate_private_key(65537, 2048)},
        {"usages": (SERVER, CLIENT)},
        {"alternatives": [x509.DNSName("build-7.acme.test")]},
        {"extensions": [(x509.BasicConstraints(ca=False, path_length=None), CRITICAL)]},
        {"extensions": [(usage(digital_signature=True), CRITICAL)]},
        {"usages": (), "extensions": [(x509.ExtendedKeyUsage([CLIENT]), CRITICAL)]},
    ],
)
async def test_what_the_authority_issued_for_clients_is_accepted(
    provider: MakeProvider, authority: CertificateAuthority, issued: dict[str, Any]
) -> None:
    identity = await provider().verify(shown(authority.issue(**issued)))
    assert identity.subject == "CN=client"


@pytest.mark.parametrize(
    "issued",
    [
        {"usages": (SERVER,)},
        {"usages": ()},
        {"usages": (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)},
        {"key": rsa.generate_private_key(65537, 1024)},
        {"key": ec.generate_private_key(ec.SECP224R1())},
        {"extensions": [(x509.BasicConstraints(ca=True, path_length=None), CRITICAL)]},
        {"extensions": [(usage(key_cert_sign=True), CRITICAL)]},
        {"extensions": [(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), CRITICAL)]},
    ],
)
async def test_what_is_not_a_client_s_or_not_strong_enough_is_refused(
    provider: MakeProvider, authority: CertificateAuthority, issued: dict[str, Any]
) -> None:
    assert await refusal(provider, authority.issue(**issued)) == "path"


async def test_validity_is_judged_at_each_request(
    provider: MakeProvider, authority: CertificateAuthority, clock: Clock
) -> None:
    one, proof = provider(), shown(authority.issue(begins=SECOND, ends=3 * SECOND))
    with pytest.raises(ProofRejected, match="not valid yet"):
        await one.verify(proof)
    clock.advance(SECOND)
    await one.verify(proof)
    clock.advance(2 * SECOND)
    with pytest.raises(ProofExpired, match="get a new one"):
        await one.verify(proof)


async def test_an_authority_past_its_time_vouches_for_nobody(provider: MakeProvider, clock: Clock) -> None:
    root = CertificateAuthority(now=clock(), life=HOUR)
    between = CertificateAuthority("Between", parent=CertificateAuthority("Root", now=clock()), life=HOUR)
    assert between.parent is not None
    for made, trusted in ((root, root), (between, between.parent)):
        one, proof = provider(trusted.pem), shown(made.issue(ends=3 * HOUR))
        identity = await one.verify(proof)
        assert identity.session_until == made.certificate.not_valid_after_utc
        clock.advance(2 * HOUR)
        with pytest.raises(ProofRejected, match="not accepted"):
            await one.verify(proof)
        clock.advance(-2 * HOUR)


async def test_the_session_ends_with_the_certificate(provider: MakeProvider, authority: CertificateAuthority) -> None:
    holder = authority.issue(ends=timedelta(minutes=20))
    identity = await provider().verify(shown(holder))
    assert identity.session_until == identity.expires_at == holder.certificate.not_valid_after_utc


class TestPaths:
    async def test_other_authorities_and_self_signed_ones_are_refused(
        self, provider: MakeProvider, authority: CertificateAuthority
    ) -> None:
        namesake = CertificateAuthority("Test CA")
        assert await refusal(provider, namesake.issue()) == "path"
        presented = Holder(namesake.issue().certificate, namesake.key, (namesake.certificate,))
        assert await refusal(provider, presented) == "path"
        assert await refusal(provider, Holder(authority.certificate, authority.key)) == "path"
        assert await refusal(provider, Holder(namesake.certificate, namesake.key)) == "path"

    async def test_authorities_between_are_presented_or_configured(self, provider: MakeProvider) -> None:
        root = CertificateAuthority("Root")
        middle = CertificateAuthority("Middle", parent=root)
        last = CertificateAuthority("Last", parent=middle)
        holder = last.issue()
        assert await refusal(provider, holder, root.pem) == "path"
        whole = Holder(holder.certificate, holder.key, (middle.certificate, last.certificate, root.certificate))
        await provider(root.pem).verify(shown(whole))
        alone = Holder(holder.certificate, holder.key)
        assert await refusal(provider, alone, pem(root.certificate, middle.certificate)) == "path"
        await provider(pem(last.certificate, root.certificate, middle.certificate)).verify(shown(alone))

    async def test_what_another_configured_authority_issued_is_not_trusted_by_itself(
        self, provider: MakeProvider
    ) -> None:
        root = CertificateAuthority("Root")
        stranger = CertificateAuthority("Root")
        between = CertificateAuthority("Between", parent=stranger)
        assert await refusal(provider, between.issue(), pem(root.certificate, between.certificate)) == "path"
        await provider(between.pem).verify(shown(between.issue()))

    async def test_a_holder_is_no_authority(self, provider: MakeProvider, authority: CertificateAuthority) -> None:
        holder = authority.issue()
        forger = CertificateAuthority("client", key=holder.key)
        forged = forger.issue()
        assert await refusal(provider, Holder(forged.certificate, forged.key, (holder.certificate,))) == "path"

    async def test_the_length_of_paths_is_limited(self, provider: MakeProvider) -> None:
        root = CertificateAuthority("Root", extensions=[])
        limited = CertificateAuthority("One", parent=root)
        limit = x509.BasicConstraints(ca=True, path_length=0)
        certificate = root.sign(
            name("One"),
            limited.key,
            begins=-HOUR,
            ends=HOUR,
            extensions=[(limit, CRITICAL), (usage(key_cert_sign=True), CRITICAL)],
        )
        await provider(root.pem).verify(shown(Holder(*_pair(limited.issue()), (certificate,))))
        below = CertificateAuthority("Two", parent=limited)
        chain = (below.certificate, certificate)
        assert await refusal(provider, Holder(*_pair(below.issue()), chain), root.pem) == "path"

        deep, more = root, []
        for number in range(7):
            deep = CertificateAuthority(f"Level {number}", parent=deep)
            more.append(deep.certificate)
            if number == 5:
                await provider(root.pem).verify(shown(Holder(*_pair(deep.issue()), tuple(more))))
        assert await refusal(provider, Holder(*_pair(deep.issue()), tuple(more)), root.pem) == "path"

    async def test_an_authority_must_be_one_that_signs(self, provider: MakeProvider) -> None:
        root = CertificateAuthority("Root")
        middle = CertificateAuthority("Middle", parent=root)
        holder = middle.issue()
        authority = (x509.BasicConstraints(ca=True, path_length=None), CRITICAL)
        for extensions, accepted in (
            ([authority], True),
            ([authority, (usage(key_cert_sign=True), CRITICAL)], True),
            ([authority, (usage(crl_sign=True), CRITICAL)], False),
            ([authority, (x509.ExtendedKeyUsage([SERVER]), NOT_CRITICAL)], False),
            ([(x509.BasicConstraints(ca=False, path_length=None), CRITICAL)], False),
            ([], False),
        ):
            made = root.sign(name("Middle"), middle.key, begins=-HOUR, ends=HOUR, extensions=extensions)
            presented = Holder(*_pair(holder), (made,))
            if accepted:
                await provider(root.pem).verify(shown(presented))
            else:
                assert await refusal(provider, presented, root.pem) == "path"

    async def test_signatures_with_sha_1_are_refused(
        self, provider: MakeProvider, clock: Clock, tmp_path: Path
    ) -> None:
        clock.advance(HOUR)
        holder, trusted = _by_openssl(tmp_path, "-sha256")
        assert (await provider(trusted).verify(shown(holder))).session_name == "old"
        holder, trusted = _by_openssl(tmp_path, "-sha1")
        assert await refusal(provider, holder, trusted) == "path"


class TestNameConstraints:
    @pytest.mark.parametrize(
        ("permitted", "inside", "outside"),
        [
            (x509.DNSName("acme.test"), x509.DNSName("a.acme.test"), x509.DNSName("a.evil.test")),
            (x509.RFC822Name("acme.test"), x509.RFC822Name("a@acme.test"), x509.RFC822Name("a@evil.test")),
        ],
    )
    async def test_they_hold(
        self, provider: MakeProvider, permitted: x509.GeneralName, inside: x509.GeneralName, outside: x509.GeneralName
    ) -> None:
        root = CertificateAuthority("Root")
        for constraints, good, bad in (
            (x509.NameConstraints([permitted], None), inside, outside),
            (x509.NameConstraints(None, [permitted]), outside, inside),
        ):
            for critical in (CRITICAL, NOT_CRITICAL):
                narrow = CertificateAuthority("Narrow", parent=root, extensions=[(constraints, critical)])
                identity = await provider(root.pem).verify(shown(narrow.issue(alternatives=[good])))
                # Its authority could have written any subject.
                assert not [key for key in identity.attributes if key.startswith("x509:subject/")]
                assert identity.session_name is None
                assert identity.subject == "CN=client"
                assert await refusal(provider, narrow.issue(alternatives=[bad]), root.pem) == "path"
                assert await refusal(provider, narrow.issue(alternatives=[good, bad]), root.pem) == "path"
                # A trusted authority is held to its own constraints, too.
                assert await refusal(provider, narrow.issue(alternatives=[bad]), narrow.pem) == "path"

    @pytest.mark.parametrize("critical", [CRITICAL, NOT_CRITICAL])
    @pytest.mark.parametrize("kind", [x509.DirectoryName(name("client")), x509.UniformResourceIdentifier("acme.test")])
    async def test_those_that_nobody_checks_are_refused(
        self, provider: MakeProvider, kind: x509.GeneralName, critical: bool
    ) -> None:
        root = CertificateAuthority("Root")
        for constraints in (x509.NameConstraints([kind], None), x509.NameConstraints(None, [kind])):
            narrow = CertificateAuthority("Narrow", parent=root, extensions=[(constraints, critical)])
            assert await refusal(provider, narrow.issue(), root.pem) == "path"


class TestMalformed:
    @pytest.mark.parametrize("chain", [(), (b"",), (b"\x30\x03\x02\x01\x01",), (b"not a certificate",)])
    async def test_it_is_refused(self, provider: MakeProvider, chain: tuple[bytes, ...]) -> None:
        with pytest.raises(ProofRejected) as refused:
            await provider().verify(ClientCertificate(chain))
        assert refused.value.reason == "malformed"

    async def test_every_altered_byte_is_refused(self, provider: MakeProvider, authority: CertificateAuthority) -> None:
        one, certificate = provider(), authority.issue().certificate
        original, signed = certificate.public_bytes(Encoding.DER), certificate.tbs_certificate_bytes
        for place in range(start := original.index(signed), start + len(signed)):
            altered = original[:place] + bytes([original[place] ^ 1]) + original[place + 1 :]
            with pytest.raises((ProofRejected, ProofExpired)):
                await one.verify(ClientCertificate((altered,)))

    @pytest.mark.parametrize("oid", ["2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.31", "2.5.29.37"])
    async def test_extensions_that_cannot_be_read_are_refused(
        self, provider: MakeProvider, authority: CertificateAuthority, oid: str
    ) -> None:
        garbled = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), b"\x30\x05garb")
        usages = () if oid == "2.5.29.37" else (CLIENT,)
        holder = authority.issue(usages=usages, extensions=[(garbled, NOT_CRITICAL)])
        assert await refusal(provider, holder) in ("path", "malformed")

    async def test_too_many_are_refused(self, provider: MakeProvider, authority: CertificateAuthority) -> None:
        holder = authority.issue()
        many = Holder(*_pair(holder), (authority.certificate,) * 10)
        assert await refusal(provider, many) == "malformed"
        await provider().verify(shown(Holder(*_pair(holder), (authority.certificate,) * 9)))

    async def test_files_that_became_unusable_are_no_verdict(
        self, provider: MakeProvider, authority: CertificateAuthority
    ) -> None:
        for one in (provider(b"gone"), provider(lists=b"gone"), provider(pem(authority.issue().certificate))):
            with pytest.raises(ProviderUnavailable) as unusable:
                await one.verify(shown(authority.issue()))
            assert unusable.value.reason == "configuration"


def _pair(holder: Holder) -> tuple[x509.Certificate, Any]:
    return holder.certificate, holder.key


def _by_openssl(directory: Path, digest: str) -> tuple[Holder, bytes]:
    """A certificate by OpenSSL, whose library still signs with SHA-1, and its authority's."""
    (directory / "client.ext").write_text("extendedKeyUsage = clientAuth\n")
    for command in (
        "req -x509 -newkey rsa:2048 -nodes -subj /CN=Old -keyout ca.key -out ca.pem",
        "req -new -newkey rsa:2048 -nodes -subj /CN=old -keyout old.key -out old.csr",
        f"x509 -req -in old.csr -CA ca.pem -CAkey ca.key {digest} -extfile client.ext -out old.pem",
    ):
        subprocess.run(["openssl", *command.split()], cwd=directory, check=True, capture_output=True)
    certificate = x509.load_pem_x509_certificate((directory / "old.pem").read_bytes())
    return Holder(certificate, ec.generate_private_key(ec.SECP256R1())), (directory / "ca.pem").read_bytes()
