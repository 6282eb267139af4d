"""AssumeRoleWithSAML with an unmodified boto3 client."""

import base64
import hashlib
import json
import socket
import time
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from botocore.exceptions import ClientError

from tests.end_to_end.person import Person
from tests.end_to_end.refusals import refused
from tests.end_to_end.saml_world import (
    CORP,
    OTHER_KEY,
    PORTAL,
    PROD_CORP,
    Corporation,
    accounts,
    gateway_of,
    with_a_past,
)
from tests.end_to_end.world import DEV, role_arn
from tests.fakes.idp import AWS, find
from tests.fakes.redis import RedisServer
from tests.gateway import Gateway, running, write_configuration
from tests.waiting import until

HOUR = timedelta(hours=1)
NOT_AUTHORIZED = "Not authorized to perform sts:AssumeRoleWithSAML"


@pytest.fixture(scope="module")
def gateway(saml_gateway: Gateway) -> Gateway:
    return saml_gateway


@pytest.fixture(scope="module")
def client(gateway: Gateway) -> Any:
    return gateway.client()


def assume(client: Any, role: str, assertion: str, provider: str = CORP, account: str = DEV, **more: Any) -> Any:
    return client.assume_role_with_saml(
        RoleArn=role_arn(role, account), PrincipalArn=provider, SAMLAssertion=assertion, **more
    )


def claims(result: Any) -> Any:
    return jwt.decode(result["Credentials"]["SessionToken"], options={"verify_signature": False})


class TestAccepted:
    @pytest.mark.parametrize("signed", [("assertion",), ("response",), ("assertion", "response")])
    def test_the_result_is_as_aws_has_it(
        self, gateway: Gateway, client: Any, corporation: Corporation, signed: tuple[str, ...]
    ) -> None:
        result = assume(client, "deploy", corporation.response(signed=signed))
        issuer = corporation.idp.entity_id
        qualifier = hashlib.sha1(f"{issuer}{DEV}/corp".encode(), usedforsecurity=False).digest()
        assert result["Subject"] == "alice"
        assert result["SubjectType"] == "persistent"
        assert result["Issuer"] == issuer
        assert result["Audience"] == f"{corporation.base}/saml/acs"
        assert result["NameQualifier"] == base64.b64encode(qualifier).decode()
        assert result["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{DEV}:assumed-role/deploy/alice@example.test"
        assert "PackedPolicySize" not in result and "SourceIdentity" not in result
        identity = gateway.client(credentials=result["Credentials"]).get_caller_identity()
        assert identity["Arn"] == result["AssumedRoleUser"]["Arn"]

    def test_conditions_see_the_attributes(self, client: Any, corporation: Corporation) -> None:
        more = {"urn:oid:0.9.2342.19200300.100.1.3": ["alice@example.test"]}
        affiliation = "urn:oid:1.3.6.1.4.1.5923.1.1.1.1"
        assume(client, "exact", corporation.response("exact", more=more | {affiliation: ["member", "staff-it"]}))
        with refused("AccessDenied", NOT_AUTHORIZED):
            assume(client, "exact", corporation.response("exact", more=more | {affiliation: ["member"]}))
        with refused("AccessDenied", NOT_AUTHORIZED):
            assume(client, "exact", corporation.response("exact", more={affiliation: ["staff"]}))
        with refused("AccessDenied", NOT_AUTHORIZED):
            assume(client, "alice-only", corporation.response("alice-only", name_id="bob"))
        assume(client, "alice-only", corporation.response("alice-only"))

    def test_tags_and_the_source_identity_are_the_sessions(self, client: Any, corporation: Corporation) -> None:
        more = {
            f"{AWS}PrincipalTag:Team": ["web"],
            f"{AWS}TransitiveTagKeys": ["team"],
            f"{AWS}SourceIdentity": ["alice"],
        }
        result = assume(client, "everything", corporation.response("everything", more=more))
        assert result["SourceIdentity"] == "alice"
        assert result["PackedPolicySize"] == 1
        assert claims(result)["principal_tags"] == {"Team": "web"}
        assume(client, "web-team", corporation.response("web-team", more={f"{AWS}PrincipalTag:team": ["web"]}))
        with refused("AccessDenied", NOT_AUTHORIZED):
            assume(client, "web-team", corporation.response("web-team", more={f"{AWS}PrincipalTag:team": ["ops"]}))

    def test_session_policies_narrow(self, client: Any, corporation: Corporation) -> None:
        admin = [{"arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}]
        assert assume(client, "deploy", corporation.response(), PolicyArns=admin)["PackedPolicySize"] >= 1

    def test_the_subject_stays_with_the_session(self, gateway: Gateway, client: Any, corporation: Corporation) -> None:
        result = assume(client, "deploy", corporation.response())
        session = gateway.client(credentials=result["Credentials"])
        with pytest.raises(ClientError) as error:
            session.assume_role(RoleArn=role_arn("missing"), RoleSessionName="chained")
        sealed = error.value.response["Error"]["Message"].partition("failure message: ")[2]
        text = session.decode_authorization_message(EncodedMessage=sealed)["DecodedMessage"]
        for key in ("saml:sub", "saml:sub_type", "saml:namequalifier", "aws:FederatedProvider"):
            assert f'"{key}"' in text
        assert "saml:iss" not in text and "saml:doc" not in text


class TestDuration:
    @pytest.mark.parametrize(
        ("asked", "said", "session", "seconds"),
        [
            (None, None, None, 3600),
            (7200, None, None, 7200),
            (7200, 900, None, 900),
            (900, 7200, None, 900),
            (7200, 3600, timedelta(minutes=10), 600),
        ],
    )
    def test_the_least_of_asked_and_said(
        self,
        client: Any,
        corporation: Corporation,
        asked: int | None,
        said: int | None,
        session: timedelta | None,
        seconds: int,
    ) -> None:
        more = {f"{AWS}SessionDuration": [str(said)]} if said is not None else {}
        response = corporation.response(more=more, session_until=session)
        wanted: dict[str, Any] = {"DurationSeconds": asked} if asked else {}
        token = claims(assume(client, "deploy", response, **wanted))
        left = token["exp"] - token["iat"]
        # Where the identity provider says when it ends, the way here has taken some of it.
        assert seconds - (0 if session is None else 240) <= left <= seconds

    def test_more_than_the_role_allows_is_refused(self, client: Any, corporation: Corporation) -> None:
        with refused("ValidationError", "exceeds the MaxSessionDuration"):
            assume(client, "deploy", corporation.response(), DurationSeconds=7201)

    def test_also_where_the_assertion_says_less(self, client: Any, corporation: Corporation) -> None:
        response = corporation.response(more={f"{AWS}SessionDuration": ["3600"]})
        with refused("ValidationError", "exceeds the MaxSessionDuration"):
            assume(client, "deploy", response, DurationSeconds=7201)


class TestRefused:
    def test_wrong_audience(self, client: Any, corporation: Corporation) -> None:
        response = corporation.response(audiences=(("https://other.test",),))
        with refused("InvalidIdentityToken", "does not contain the required audience"):
            assume(client, "deploy", response)

    def test_wrong_recipient(self, client: Any, corporation: Corporation) -> None:
        with refused("InvalidIdentityToken", "recipient"):
            assume(client, "deploy", corporation.response(recipient="https://other.test/saml/acs"))

    def test_expired(self, client: Any, corporation: Corporation) -> None:
        with refused("ExpiredTokenException", "Token must be redeemed within 5 minutes of issuance"):
            assume(client, "deploy", corporation.response(issued=-timedelta(minutes=6), authenticated=-HOUR))

    def test_another_certificate(self, client: Any, corporation: Corporation) -> None:
        with refused("InvalidIdentityToken", "Response signature invalid"):
            assume(client, "deploy", corporation.response(key=OTHER_KEY))

    def test_unsigned(self, client: Any, corporation: Corporation) -> None:
        with refused("InvalidIdentityToken", "Response signature invalid"):
            assume(client, "deploy", corporation.response(signed=()))

    def test_another_issuer(self, client: Any, corporation: Corporation) -> None:
        with refused("InvalidIdentityToken", "Issuer not present in specified provider"):
            assume(client, "deploy", corporation.response(issuer="https://other.test"))

    def test_replayed(self, gateway: Gateway, client: Any, corporation: Corporation) -> None:
        response = corporation.response()
        assume(client, "deploy", response)
        with refused("InvalidIdentityToken", "used before"):
            assume(client, "deploy", response)
        record = gateway.audit[-1]
        assert (record["eventName"], record["errorCode"]) == ("AssumeRoleWithSAML", "InvalidIdentityToken")
        assert record["additionalEventData"]["reason"] == "replayed"

    def test_an_answer_to_a_request_of_somebody_else(self, client: Any, corporation: Corporation) -> None:
        with refused("InvalidIdentityToken", "does not answer the request"):
            assume(client, "deploy", corporation.response(in_response_to="_request"))

    def test_a_role_that_is_not_in_the_attribute(self, client: Any, corporation: Corporation) -> None:
        with refused("AccessDenied", NOT_AUTHORIZED):
            assume(client, "everything", corporation.response("deploy"))

    def test_a_role_with_another_provider(self, client: Any, corporation: Corporation) -> None:
        with refused("AccessDenied", NOT_AUTHORIZED):
            assume(client, "deploy", corporation.response(provider=PORTAL))
        with refused("AccessDenied", NOT_AUTHORIZED):
            assume(client, "deploy", corporation.response(provider=PROD_CORP))

    @pytest.mark.parametrize("name", ["elsewhere", "missing"])
    def test_a_role_whose_trust_policy_does_not_admit_it(
        self, client: Any, corporation: Corporation, name: str
    ) -> None:
        with refused("AccessDenied", f"{NOT_AUTHORIZED} Encoded authorization failure message: "):
            assume(client, name, corporation.response(name))

    @pytest.mark.parametrize("attribute", ["PrincipalTag:team", "SourceIdentity"])
    def test_what_needs_a_permission_of_its_own(self, client: Any, corporation: Corporation, attribute: str) -> None:
        with refused("AccessDenied", "Not authorized to perform sts:(TagSession|SetSourceIdentity)"):
            assume(client, "deploy", corporation.response(more={f"{AWS}{attribute}": ["web"]}))

    def test_tags_with_characters_of_no_tag(self, client: Any, corporation: Corporation) -> None:
        response = corporation.response("everything", more={f"{AWS}PrincipalTag:team": ["a<b"]})
        with refused("InvalidParameterValue", "tag"):
            assume(client, "everything", response)

    def test_no_session_name(self, client: Any, corporation: Corporation) -> None:
        with refused("InvalidIdentityToken", "RoleSessionName is required in AuthnResponse"):
            assume(client, "deploy", corporation.response(name=None))
        with refused("InvalidIdentityToken", "RoleSessionName in AuthnResponse must match"):
            assume(client, "deploy", corporation.response(name="a b"))

    def test_no_subject(self, client: Any, corporation: Corporation) -> None:
        with refused("AccessDenied", NOT_AUTHORIZED):
            assume(client, "deploy", corporation.response(name_id=" "))

    def test_a_provider_that_does_not_exist(self, client: Any, corporation: Corporation) -> None:
        with refused("InvalidIdentityToken", "Specified provider doesn't exist"):
            assume(client, "deploy", corporation.response(), f"arn:aws:iam::{DEV}:saml-provider/none")

    @pytest.mark.parametrize("arn", [f"arn:aws:iam::{DEV}:oidc-provider/corp", f"arn:aws:iam::{DEV}:role/corp"])
    def test_a_provider_of_another_kind(self, client: Any, corporation: Corporation, arn: str) -> None:
        with refused("ValidationError", "Request ARN is invalid"):
            assume(client, "deploy", corporation.response(), arn)

    @pytest.mark.parametrize(
        ("assertion", "code"),
        [
            ("", "ValidationError"),
            ("AAA", "ValidationError"),
            ("A" * 100_001, "ValidationError"),
            ("not base64!", "InvalidIdentityToken"),
            (base64.b64encode(b"<Response/>").decode(), "InvalidIdentityToken"),
        ],
    )
    def test_what_is_no_response(self, gateway: Gateway, client: Any, assertion: str, code: str) -> None:
        with refused(code):
            assume(client, "deploy", assertion)
        assert not assertion or assertion not in gateway.log


HOSTILE = {
    "entity bomb": b'<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><r>&b;</r>',
    "outside entity": b'<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/passwd">]><r>&a;</r>',
    "depth": b"<a>" * 9_000 + b"</a>" * 9_000,
    "width": b"<r>" + b"<a/>" * 17_000 + b"</r>",
    "not XML": bytes(70_000),
}


class TestHostile:
    @pytest.mark.parametrize("name", HOSTILE)
    def test_documents_are_refused_soon(self, client: Any, name: str) -> None:
        began = time.monotonic()
        with refused("InvalidIdentityToken"):
            assume(client, "deploy", base64.b64encode(HOSTILE[name]).decode())
        assert time.monotonic() - began < 30  # what takes time by the square of the size takes longer

    def test_a_megabyte_is_not_even_read(self, gateway: Gateway) -> None:
        form = {"Action": "AssumeRoleWithSAML", "Version": "2011-06-15", "SAMLAssertion": "A" * 1_000_000}
        assert Person(gateway.url).post("/", form).status == 413
        assert Person(gateway.url).post("/saml/acs", form).status == 413

    def test_a_second_assertion_beside_the_signed_one(self, client: Any, corporation: Corporation) -> None:
        """Signature wrapping: whatever is put around or beside what was signed, nothing of it is read."""

        def wrap(root: Any) -> None:
            signed = find(root, "saml:Assertion")
            evil = deepcopy(signed)
            evil.set("ID", "_evil")
            evil.remove(find(evil, "ds:Signature"))
            find(evil, "saml:Subject/saml:NameID").text = "root"
            signed.addprevious(evil)

        with refused("InvalidIdentityToken"):
            assume(client, "deploy", corporation.response(after=wrap))

    def test_what_was_changed_after_signing(self, client: Any, corporation: Corporation) -> None:
        def change(root: Any) -> None:
            find(root, "saml:Assertion/saml:Subject/saml:NameID").text = "root"

        with refused("InvalidIdentityToken", "Response signature invalid"):
            assume(client, "deploy", corporation.response(after=change))


def test_the_trail_tells_who_it_was(gateway: Gateway, client: Any, corporation: Corporation) -> None:
    response = corporation.response()
    result = assume(client, "deploy", response)
    record = gateway.audit[-1]
    assert record["eventName"] == "AssumeRoleWithSAML"
    assert record["userIdentity"] == {
        "type": "SAMLUser",
        "principalId": f"{CORP}:{corporation.base}/saml/acs:alice",
        "userName": "alice",
        "identityProvider": CORP,
    }
    assert record["requestParameters"] == {"roleArn": role_arn("deploy", DEV), "principalArn": CORP}
    assert record["responseElements"]["credentials"]["accessKeyId"] == result["Credentials"]["AccessKeyId"]
    assert response not in str(gateway.audit) and response not in gateway.log


def test_what_a_stranger_s_document_says_is_cleaned_for_the_trail(
    gateway: Gateway, client: Any, corporation: Corporation
) -> None:
    with refused("InvalidIdentityToken"):
        assume(client, "deploy", corporation.response(status="urn:x\u0085{}\u2028\u009b31m"))
    assert gateway.audit[-1]["additionalEventData"]["detail"] == "status urn:x\ufffd{}\ufffd\ufffd31m"


def test_one_use_on_all_gateways_of_a_store(tmp_path: Path, corporation: Corporation) -> None:
    settings = {"server": {"public_url": corporation.base}, "keys": {"master": base64.b64encode(b"m" * 32).decode()}}
    with RedisServer(tmp_path / "redis") as redis:
        with_a_past(redis)
        first, second = (
            gateway_of(tmp_path / name, corporation.idp.metadata(), redis.url, settings=settings) for name in ("1", "2")
        )
        with running(first), running(second):
            for here, there in ((first, second), (second, first)):
                response = corporation.response()
                assume(here.client(), "deploy", response)
                with refused("InvalidIdentityToken", "used before"):
                    assume(there.client(), "deploy", response)


def test_a_provider_with_broken_metadata_is_reported_and_the_others_serve(
    tmp_path: Path, corporation: Corporation
) -> None:
    metadata = corporation.idp.metadata()
    world = accounts(metadata)
    world["dev"]["SAMLProviders"][1]["SamlMetadataDocument"] = metadata.replace("IDPSSODescriptor", "IDPDescriptor")
    settings = {"server": {"public_url": corporation.base}}
    with RedisServer(tmp_path / "redis") as redis:
        with_a_past(redis)
        write_configuration(tmp_path, world, settings)
        with running(Gateway(tmp_path, store=redis.url)) as gateway:
            assume(gateway.client(), "deploy", corporation.response())
            with refused("IDPCommunicationError", "metadata"):
                assume(gateway.client(), "elsewhere", corporation.response("elsewhere", provider=PORTAL), PORTAL)
            until(lambda: f"{PORTAL} cannot be used" in gateway.log, "the log does not tell of the broken metadata")
            assert f"{CORP} cannot be used" not in gateway.log


def test_an_address_that_never_answers_delays_no_other_provider(tmp_path: Path, corporation: Corporation) -> None:
    world = accounts(corporation.idp.metadata())
    settings = {"server": {"public_url": corporation.base}}
    with RedisServer(tmp_path / "redis") as redis, socket.create_server(("127.0.0.1", 0)) as silent:
        with_a_past(redis)
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/metadata"
        never = {"Name": "always-first", "MetadataUrl": address, "MetadataCertificateFile": "idp.pem"}
        world["dev"]["SAMLProviders"].insert(0, never | {"AllowIdpInitiated": True})
        write_configuration(tmp_path, world, settings)
        certificate = f"-----BEGIN CERTIFICATE-----\n{corporation.idp.key.base64}\n-----END CERTIFICATE-----\n"
        (tmp_path / "idp.pem").write_text(certificate)
        with running(Gateway(tmp_path, store=redis.url)) as gateway:
            began = time.monotonic()
            for _ in range(2):
                answer = Person(gateway.url).post("/saml/acs", {"SAMLResponse": corporation.response()})
                assert answer.status == 303
            assert time.monotonic() - began < 9  # a fetch is given up after 10


class TestTokenExchange:
    """RFC 8693: an assertion for a bearer token, and for credentials."""

    TYPE = "urn:ietf:params:oauth:token-type:saml2"

    def exchange(self, gateway: Gateway, assertion: str, role: str = "deploy", **more: str) -> tuple[int, Any]:
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": assertion,
            "subject_token_type": self.TYPE,
            "resource": role_arn(role, DEV),
        } | more
        answer = Person(gateway.url).post("/oauth2/token", form)
        return answer.status, json.loads(answer.text)

    @pytest.mark.parametrize("url_safe", [False, True])
    def test_credentials(self, gateway: Gateway, corporation: Corporation, url_safe: bool) -> None:
        response = corporation.response(more={f"{AWS}SessionDuration": ["900"]})
        if url_safe:
            response = response.replace("+", "-").replace("/", "_").rstrip("=")
        wanted = "urn:sojourn:params:oauth:token-type:aws-credentials"
        status, answer = self.exchange(gateway, response, requested_token_type=wanted)
        assert status == 200, answer
        assert answer["expires_in"] == 900
        identity = gateway.client(credentials=answer["aws_credentials"]).get_caller_identity()
        assert identity["Arn"].endswith("assumed-role/deploy/alice@example.test")
        assert gateway.audit[-2]["userIdentity"]["type"] == "SAMLUser"
        status, answer = self.exchange(gateway, response)
        assert (status, answer["error"]) == (400, "invalid_grant")

    def test_refused(self, gateway: Gateway, corporation: Corporation) -> None:
        for response, role, error in (
            (corporation.response("deploy"), "everything", "access_denied"),
            (corporation.response("elsewhere"), "elsewhere", "access_denied"),
            (corporation.response(signed=()), "deploy", "invalid_grant"),
            (corporation.response(issuer="https://other.test"), "deploy", "invalid_grant"),
            ("AAAA", "deploy", "invalid_grant"),
        ):
            status, answer = self.exchange(gateway, response, role)
            assert (status, answer["error"]) == (400, error), answer
        status, answer = self.exchange(gateway, corporation.response(), sojourn_session_name="somebody")
        assert (status, answer["error"]) == (400, "invalid_request")
        status, answer = self.exchange(gateway, corporation.response(), sojourn_session_name="alice@example.test")
        assert status == 200

    def test_other_kinds_of_token_stay_short(self, gateway: Gateway) -> None:
        kind = "urn:ietf:params:oauth:token-type:id_token"
        status, answer = self.exchange(gateway, "A" * 20_001, subject_token_type=kind)
        assert (status, answer["error"]) == (400, "invalid_request")


def test_after_many_refusals_a_source_is_not_heard(tmp_path: Path, corporation: Corporation) -> None:
    with running(gateway_of(tmp_path, corporation.idp.metadata(), None)) as gateway:
        client = gateway.client()
        for _ in range(100):
            with refused("InvalidIdentityToken"):
                assume(client, "deploy", "AAAA")
        with refused("Throttling", "Wait a minute"):
            assume(client, "deploy", corporation.response())
        form = {"SAMLResponse": corporation.response()}
        assert Person(gateway.url).post("/saml/acs", form).status == 429
