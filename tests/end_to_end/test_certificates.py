"""AssumeRoleWithCertificate at a gateway that serves TLS: who gets a role, who does not, and until when."""

import hashlib
import http.client
import json
import ssl
import time
import urllib.error
import urllib.parse
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Self

import pytest
from cryptography import x509

from tests.end_to_end.certificate_world import (
    ACTION,
    OPERATOR,
    Authorities,
    account,
    assume,
    build_machine,
    keys,
    provider_arn,
    write_world,
)
from tests.end_to_end.refusals import refused
from tests.end_to_end.unsigned_client import Refusal, ask
from tests.end_to_end.world import DEV, role_arn
from tests.fakes.certificates import HOUR, SERVER, CertificateAuthority, Holder, name
from tests.fakes.redis import RedisServer
from tests.gateway import Gateway, running
from tests.waiting import until

AUTHORITIES = Authorities()
BRANCH = CertificateAuthority("Branch", parent=AUTHORITIES.machines)
MACHINE = build_machine(AUTHORITIES.machines)
ACCOUNT = account(MACHINE)
OTHER = AUTHORITIES.machines.issue(
    name("build-8", ORGANIZATION_NAME="Other", ORGANIZATIONAL_UNIT_NAME="build", COUNTRY_NAME="de"),
    alternatives=[
        x509.DNSName("build-8.acme.test"),
        x509.DNSName("test.acme.test"),
        x509.UniformResourceIdentifier("spiffe://evil.test/build/7"),
        x509.RFC822Name("build@evil.test"),
    ],
)
SELF_SIGNED = CertificateAuthority("build-7")
SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory: Path = tmp_path_factory.mktemp("gateway")
    authority = write_world(directory, AUTHORITIES, ACCOUNT)
    (directory / "machines.crl").write_bytes(
        AUTHORITIES.machines.revocation_list() + BRANCH.revocation_list(begins=-2 * HOUR)
    )
    with (
        RedisServer(directory / "redis") as server,
        running(Gateway(directory, store=server.url, authority=authority)) as gateway,
    ):
        yield gateway


def issue(common_name: str = "build-9", **bend: Any) -> Holder:
    return AUTHORITIES.machines.issue(name(common_name, ORGANIZATION_NAME="Acme"), **bend)


def whoami(gateway: Gateway, credentials: dict[str, str]) -> Any:
    return gateway.client(credentials=credentials).get_caller_identity()


def test_a_machine_gets_a_role(gateway: Gateway) -> None:
    found = assume(gateway, MACHINE, "by-cn")
    assert found["Arn"] == f"arn:aws:sts::{DEV}:assumed-role/by-cn/build-7"
    assert whoami(gateway, found)["Arn"] == found["Arn"]
    assert whoami(gateway, found)["UserId"] == found["AssumedRoleId"]


@pytest.mark.parametrize("role", keys(MACHINE))
def test_each_condition_key_admits_the_one_and_not_the_other(gateway: Gateway, role: str) -> None:
    assert assume(gateway, MACHINE, role)["Arn"].endswith(f"assumed-role/{role}/build-7")
    with pytest.raises(Refusal) as denied:
        assume(gateway, OTHER, role)
    assert (denied.value.status, denied.value.code) == (403, "AccessDenied")
    assert denied.value.message.startswith(f"Not authorized to perform sts:{ACTION} Encoded authorization failure")


def test_the_issuer_is_the_one_right_above(gateway: Gateway) -> None:
    assert assume(gateway, BRANCH.issue("site-1"), "by-issuer")["Arn"].endswith("by-issuer/site-1")
    with pytest.raises(Refusal, match="AccessDenied"):
        assume(gateway, MACHINE, "by-issuer")


def test_methods_and_provider(gateway: Gateway) -> None:
    assert assume(gateway, MACHINE, "by-method")["Arn"].endswith("by-method/build-7")


def test_a_deny_holds(gateway: Gateway) -> None:
    assume(gateway, issue("build-1"), "not-tests")
    with pytest.raises(Refusal, match="AccessDenied"):
        assume(gateway, issue("test-1"), "not-tests")


def test_a_session_name_that_is_not_the_holder_s_can_be_refused(gateway: Gateway) -> None:
    assert assume(gateway, MACHINE, "by-cn", RoleSessionName="at-work")["Arn"].endswith("by-cn/at-work")
    with pytest.raises(Refusal, match="AccessDenied"):
        assume(gateway, MACHINE, "by-session-name", RoleSessionName="at-work")


def test_a_common_name_that_is_no_session_s(gateway: Gateway) -> None:
    holder = issue("Build Machine")
    with pytest.raises(Refusal, match="400 ValidationError RoleSessionName is required"):
        assume(gateway, holder, "by-o")
    assert assume(gateway, holder, "by-o", RoleSessionName="machine")["Arn"].endswith("by-o/machine")


def test_tags_and_source_identity(gateway: Gateway) -> None:
    tags = {"Tags.member.1.Key": "env", "Tags.member.1.Value": "prod"}
    assert assume(gateway, MACHINE, "tagged", **tags)["PackedPolicySize"] == "1"
    with pytest.raises(Refusal, match="AccessDenied"):
        assume(gateway, MACHINE, "by-cn", **tags)
    assert assume(gateway, MACHINE, "identified", SourceIdentity="build-7")["SourceIdentity"] == "build-7"
    with pytest.raises(Refusal, match="AccessDenied"):
        assume(gateway, MACHINE, "identified", SourceIdentity="build-8")


def test_the_chain_knows_where_it_began(gateway: Gateway) -> None:
    def chained(common_name: str, *names: str) -> Any:
        holder = BRANCH.issue(common_name, alternatives=[x509.DNSName(each) for each in names])
        client = gateway.client(credentials=assume(gateway, holder, "by-issuer"))
        return client.assume_role(RoleArn=role_arn("next", DEV), RoleSessionName="chained")

    for names in (["site-1.acme.test"], ["site-1.acme.test", "other.acme.test"]):
        assert chained("site-1", *names)["AssumedRoleUser"]["Arn"].endswith("next/chained")
    for common_name, host in (("site-2", "site-1.acme.test"), ("site-1", "site-2.acme.test")):
        with refused("AccessDenied"):
            chained(common_name, host)


class TestWhoIsRefused:
    @pytest.mark.parametrize(
        ("holder", "reason"),
        [
            (AUTHORITIES.strangers.issue("build-7"), "path"),
            (issue(usages=()), "path"),
            (CertificateAuthority("Guests", parent=AUTHORITIES.strangers).issue("build-7"), "path"),
        ],
    )
    def test_past_the_handshake(self, gateway: Gateway, holder: Holder, reason: str) -> None:
        for named in ("by-cn", "guests", "no-such-role"):
            with pytest.raises(Refusal) as refusal:
                assume(gateway, holder, named)
            assert (refusal.value.status, refusal.value.code) == (400, "InvalidIdentityToken")
            assert refusal.value.message.startswith("The certificate is not accepted: it must come from an authority")
            assert gateway.audit[-1]["additionalEventData"]["reason"] == reason
            assert gateway.audit[-1]["userIdentity"] == {"type": "Unknown"}

    @pytest.mark.parametrize(
        ("holder", "reason"),
        [
            (CertificateAuthority("Machines").issue("build-7"), "unable to get local issuer certificate"),
            (Holder(SELF_SIGNED.certificate, SELF_SIGNED.key), "self-signed certificate"),
            (issue(ends=-SECOND), "certificate has expired"),
            (issue(begins=HOUR, ends=2 * HOUR), "certificate is not yet valid"),
            (issue(usages=(SERVER,)), "unsuitable certificate purpose"),
        ],
        ids=["a namesake's", "self-signed", "expired", "not valid yet", "a server's"],
    )
    def test_in_the_handshake(self, gateway: Gateway, holder: Holder, reason: str) -> None:
        with pytest.raises((urllib.error.URLError, ssl.SSLError, ConnectionError), match=r"(?i)alert|reset|closed|EOF"):
            assume(gateway, holder, "by-cn")
        until(lambda: f"was refused in the handshake: {reason}" in gateway.log)

    def test_who_presents_none(self, gateway: Gateway) -> None:
        with pytest.raises(Refusal, match="403 MissingAuthenticationToken No client certificate was presented"):
            assume(gateway, None, "by-cn")
        assert gateway.audit[-1]["additionalEventData"] == {"reason": "no_certificate"}

    def test_headers_of_proxies_are_not_believed(self, gateway: Gateway) -> None:
        text = urllib.parse.quote(ssl.DER_cert_to_PEM_cert(MACHINE.chain[0]))
        headers = {
            "X-SSL-Client-Cert": text,
            "X-Forwarded-Client-Cert": f"Cert={text}",
            "X-SSL-Client-Verify": "SUCCESS",
        }
        with pytest.raises(Refusal, match="403 MissingAuthenticationToken"):
            ask(gateway, ACTION, {"RoleArn": role_arn("by-cn", DEV)}, headers=headers)

    def test_roles_that_are_not_there_or_not_for_machines(self, gateway: Gateway) -> None:
        for named in ("no-such-role", "people", "guests"):
            with pytest.raises(Refusal) as refusal:
                assume(gateway, MACHINE, named)
            assert (refusal.value.status, refusal.value.code) == (403, "AccessDenied")

    def test_parameters_that_nobody_knows(self, gateway: Gateway) -> None:
        with pytest.raises(Refusal, match=r"400 ValidationError .*'SerialNumber' is not one that this action takes"):
            assume(gateway, MACHINE, "by-cn", SerialNumber=f"arn:aws:iam::{DEV}:mfa/x")
        with pytest.raises(Refusal, match="400 ValidationError"):
            assume(gateway, MACHINE, "by-cn", ProviderArn=f"arn:aws:iam::{DEV}:ldap-provider/x")


class TestWhoVouches:
    def test_where_several_do_one_must_be_named(self, gateway: Gateway) -> None:
        guest = AUTHORITIES.guests.issue("visitor")
        assert assume(gateway, guest, "guests")["Arn"].endswith("guests/visitor")
        for named in ("both", "by-cn", "no-such-role"):
            with pytest.raises(Refusal) as refusal:
                assume(gateway, guest, named)
            assert (refusal.value.status, refusal.value.code) == (400, "ValidationError")
            for provider in ("guests", "visitors"):
                assert provider_arn(provider) in refusal.value.message
        assume(gateway, guest, "both", ProviderArn=provider_arn("visitors"))
        with pytest.raises(Refusal, match="AccessDenied"):
            assume(gateway, guest, "guests", ProviderArn=provider_arn("visitors"))

    def test_the_named_one_alone_is_asked(self, gateway: Gateway) -> None:
        assume(gateway, MACHINE, "by-cn", ProviderArn=provider_arn("machines"))
        with pytest.raises(Refusal, match="400 InvalidIdentityToken The certificate is not accepted"):
            assume(gateway, MACHINE, "by-cn", ProviderArn=provider_arn("guests"))
        with pytest.raises(Refusal, match="400 InvalidIdentityToken No certificate provider found"):
            assume(gateway, MACHINE, "by-cn", ProviderArn=provider_arn("nowhere"))

    def test_the_role_may_be_left_out_where_one_admits(self, gateway: Gateway) -> None:
        guest = AUTHORITIES.guests.issue("visitor")
        with pytest.raises(Refusal, match="400 ValidationError RoleArn is required") as several:
            assume(gateway, guest, None, ProviderArn=provider_arn("guests"))
        assert role_arn("both", DEV) in several.value.message
        found = assume(gateway, guest, None, ProviderArn=provider_arn("visitors"))
        assert found["Arn"].endswith("assumed-role/both/visitor")
        found = assume(gateway, AUTHORITIES.machines.issue("test-2"), None)
        assert found["Arn"].endswith("assumed-role/by-method/test-2")


class TestDuration:
    def test_a_session_ends_with_the_certificate(self, gateway: Gateway) -> None:
        holder = AUTHORITIES.machines.issue("build-7", ends=timedelta(minutes=20))
        found = assume(gateway, holder, "by-method", DurationSeconds="7200")
        cut = holder.certificate.not_valid_after_utc - _instant(found["Expiration"])
        assert timedelta(0) <= cut <= SECOND
        long = AUTHORITIES.machines.issue("build-7", ends=24 * HOUR)
        found = assume(gateway, long, "by-method", DurationSeconds="7200")
        assert timedelta(hours=1, minutes=56) < _instant(found["Expiration"]) - datetime.now(UTC) <= 2 * HOUR

    def test_an_open_connection_outlives_no_certificate(self, gateway: Gateway) -> None:
        born = datetime.now(UTC) - AUTHORITIES.machines.now
        holder = AUTHORITIES.machines.issue("build-7", ends=born + 12 * SECOND)
        with Connection(gateway, tls(gateway, holder)) as connection:
            assert connection.ask("by-cn")[0] == 200
            left = holder.certificate.not_valid_after_utc - datetime.now(UTC)
            time.sleep(max(0.0, left.total_seconds()) + 0.1)
            status, body = connection.ask("by-cn")
            assert status == 400
            assert "<Code>ExpiredTokenException</Code>" in body
            assert connection.opened == 1


class TestConnections:
    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_a_resumed_one_has_the_whole_certificate(self, gateway: Gateway, version: ssl.TLSVersion) -> None:
        context = tls(gateway, BRANCH.issue("site-2"))
        context.minimum_version = context.maximum_version = version
        with Connection(gateway, context) as first:
            assert first.ask("by-issuer")[0] == 200
            # While the first one is open: one that ends without a farewell takes its session with it.
            with Connection(gateway, context, session=first.socket.session) as second:
                assert second.ask("by-issuer")[0] == 200
                assert second.socket.session_reused == (version is ssl.TLSVersion.TLSv1_2)

    def test_an_authority_below_another_can_be_all_that_is_trusted(self, tmp_path: Path, redis: RedisServer) -> None:
        authority = write_world(tmp_path, AUTHORITIES, ACCOUNT)
        for file, content in {
            "clients.pem": BRANCH.pem,
            "machines.pem": BRANCH.pem,
            "machines.crl": BRANCH.revocation_list(),
        }.items():
            (tmp_path / file).write_bytes(content)
        with running(Gateway(tmp_path, store=redis.url, authority=authority)) as gateway:
            assert assume(gateway, BRANCH.issue("site-1"), "by-issuer")["Arn"].endswith("by-issuer/site-1")
            with pytest.raises((OSError, http.client.HTTPException)):
                assume(gateway, MACHINE, "by-cn")

    def test_others_need_no_certificate(self, gateway: Gateway) -> None:
        assert whoami(gateway, OPERATOR)["Arn"] == f"arn:aws:iam::{DEV}:user/operator"

    def test_a_proxy_s_own_certificate_is_nobody_s(self, tmp_path: Path, redis: RedisServer) -> None:
        authority = write_world(tmp_path, AUTHORITIES, ACCOUNT, trusted_proxies=["127.0.0.0/8"])
        with (
            running(Gateway(tmp_path, store=redis.url, authority=authority)) as gateway,
            pytest.raises(Refusal, match="403 MissingAuthenticationToken"),
        ):
            assume(gateway, MACHINE, "by-cn")

    def test_without_tls(self, tmp_path: Path, redis: RedisServer) -> None:
        write_world(tmp_path, AUTHORITIES, ACCOUNT)
        (tmp_path / "sojourn.yaml").write_text("")
        with running(Gateway(tmp_path, store=redis.url)) as gateway:
            with pytest.raises(Refusal, match=r"403 MissingAuthenticationToken .* call over HTTPS"):
                assume(gateway, None, "by-cn")
            assert "server.tls.client_ca is not set" in gateway.log


class TestRevocation:
    def test_a_new_list_counts_on_open_connections(self, tmp_path: Path, redis: RedisServer) -> None:
        authority = write_world(tmp_path, AUTHORITIES, ACCOUNT)
        machines, file = AUTHORITIES.machines, tmp_path / "machines.crl"
        with running(Gateway(tmp_path, store=redis.url, authority=authority, workers=2)) as gateway:
            with Connection(gateway, tls(gateway, MACHINE)) as connection:
                assert connection.ask("by-cn")[0] == 200
                for content, status, word in (
                    (machines.revocation_list(MACHINE.certificate), 400, "<Code>InvalidIdentityToken</Code>"),
                    (machines.revocation_list(), 200, "<AccessKeyId>"),
                    (machines.revocation_list(begins=-2 * HOUR, ends=-HOUR), 400, "<Code>IDPCommunicationError</Code>"),
                    (AUTHORITIES.guests.revocation_list(), 400, "<Code>IDPCommunicationError</Code>"),
                    (machines.revocation_list(key=AUTHORITIES.guests.key), 400, "<Code>IDPCommunicationError</Code>"),
                    (machines.revocation_list(), 200, "<AccessKeyId>"),
                ):
                    file.write_bytes(content)
                    until(partial(_answers, connection, status, word), f"no {status} {word}")
                file.write_bytes(b"nothing")
                until(lambda: "holds no PEM certificate revocation list" in gateway.log)
                assert connection.ask("by-cn")[0] == 200
                assert connection.opened == 1
            with pytest.raises(Refusal, match="AccessDenied"):
                assume(gateway, OTHER, "by-cn")


class TestRecord:
    def test_who_it_was_is_on_record(self, gateway: Gateway) -> None:
        assume(gateway, MACHINE, "by-cn", RoleSessionName="on-record")
        event = gateway.audit[-1]
        subject = "C=DE,OU=Build,O=Acme,CN=build-7"
        assert event["eventName"] == ACTION
        assert event["userIdentity"] == {
            "type": "CertificateUser",
            "principalId": f"{provider_arn('machines')}:{subject}",
            "userName": subject,
            "identityProvider": provider_arn("machines"),
        }
        assert event["requestParameters"]["roleSessionName"] == "on-record"
        digest = hashlib.sha256(MACHINE.chain[0]).hexdigest()
        assert event["additionalEventData"] == {"clientCertificateSha256": digest}

    def test_a_refusal_can_be_explained(self, gateway: Gateway) -> None:
        with pytest.raises(Refusal) as refusal:
            assume(gateway, OTHER, "by-dns")
        message = refusal.value.message.partition("message: ")[2]
        client = gateway.client(credentials=OPERATOR)
        decoded = json.loads(client.decode_authorization_message(EncodedMessage=message)["DecodedMessage"])
        text = json.dumps(decoded)
        assert "build-8.acme.test" in text
        assert "x509:san/dns" in text
        with refused("AccessDenied"):
            gateway.client(credentials=assume(gateway, MACHINE, "by-cn")).decode_authorization_message(
                EncodedMessage=message
            )


def tls(gateway: Gateway, holder: Holder) -> ssl.SSLContext:
    """A client's side of TLS, with a certificate."""
    context = ssl.create_default_context(cafile=gateway.authority)
    context.load_cert_chain(*holder.files(gateway.directory / "connection"))
    return context


class Connection:
    """One connection that stays open. `opened`: how often it had to be; `session`: of TLS, to be resumed."""

    def __init__(self, gateway: Gateway, context: ssl.SSLContext, *, session: ssl.SSLSession | None = None) -> None:
        self._http = _Https("localhost", gateway.port, context, session)
        self.opened = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def ask(self, role: str) -> tuple[int, str]:
        """Status and body."""
        form = urllib.parse.urlencode({"Action": ACTION, "Version": "2011-06-15", "RoleArn": role_arn(role, DEV)})
        self.opened += self._http.sock is None
        self._http.request("POST", "/", form, {"Content-Type": "application/x-www-form-urlencoded"})
        answer = self._http.getresponse()
        return answer.status, answer.read().decode()

    @property
    def socket(self) -> ssl.SSLSocket:
        """As it is now."""
        assert isinstance(self._http.sock, ssl.SSLSocket)
        return self._http.sock


class _Https(http.client.HTTPConnection):
    """As the standard library's, which offers no session to resume."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext, session: ssl.SSLSession | None) -> None:
        super().__init__(host, port, timeout=60)
        self._context, self._session = context, session

    def connect(self) -> None:
        super().connect()
        self.sock = self._context.wrap_socket(self.sock, server_hostname=self.host, session=self._session)


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _answers(connection: Connection, status: int, word: str) -> bool:
    found, body = connection.ask("by-cn")
    return found == status and word in body
