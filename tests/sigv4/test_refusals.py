"""What is refused before any key is looked up, in AWS's order and words."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from broker.errors import (
    BrokerError,
    IncompleteSignature,
    InvalidClientTokenId,
    MalformedQueryString,
    MissingAuthenticationToken,
    SignatureDoesNotMatch,
)
from broker.sigv4 import S3, HttpRequest, SigningKeys, check_scope, check_time, present, signing_key
from broker.sigv4.signature import canonical_request
from tests.sigv4.signing import EMPTY_SHA256, FORM, SECRET, Signed, signed, verify

DATE = "20150830T123600Z"
NOW = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
CREDENTIAL = "AKIDEXAMPLE/20150830/us-east-1/sts/aws4_request"
PARTS = f"Credential={CREDENTIAL}, SignedHeaders=host;x-amz-date, Signature={'0' * 64}"
GOOD = f"AWS4-HMAC-SHA256 {PARTS}"
ISO_TEXT = "Date must be in ISO-8601 'basic format'. Got '{}'. See http://en.wikipedia.org/wiki/ISO_8601"
MISMATCH = SignatureDoesNotMatch().message


def received(authorization: str | None = GOOD, *, query: str = "", **headers: str | None) -> HttpRequest:
    """A request with a well-formed signature; keywords set (or, by None, remove) headers."""
    values = {"host": "sts.amazonaws.com", "x-amz-date": DATE, "authorization": authorization}
    values |= {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpRequest("POST", "/", query, [(name, value) for name, value in values.items() if value is not None])


def presigned(**changes: str | None) -> HttpRequest:
    """A request with a well-formed signature in its query; keywords set (or, by None, remove) X-Amz-… parameters."""
    values: dict[str, str | None] = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": CREDENTIAL,
        "X-Amz-Date": DATE,
        "X-Amz-SignedHeaders": "host",
        "X-Amz-Signature": "0" * 64,
    }
    values |= {f"X-Amz-{name.replace('_', '-')}": value for name, value in changes.items()}
    query = "&".join(f"{name}={value}" for name, value in values.items() if value is not None)
    return HttpRequest("GET", "/", query, [("host", "sts.amazonaws.com")])


def test_a_wellformed_signature_is_read() -> None:
    presented = present(received())
    assert presented.access_key_id == "AKIDEXAMPLE"
    assert presented.scope == "20150830/us-east-1/sts/aws4_request"
    assert presented.signed_headers == ("host", "x-amz-date")
    assert (presented.timestamp, presented.presigned, presented.session_token) == (NOW, False, None)
    assert present(presigned()).presigned


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        # Step 3: the query's escapes.
        (received(query="a=%4"), MalformedQueryString, "Incomplete trailing escape % sequence"),
        (received(query="a=%"), MalformedQueryString, "Incomplete trailing escape % sequence"),
        (received(query="a=%zz&b"), MalformedQueryString, "Illegal hex character in escape % pattern: %zz"),
        (received(query="%ff=a"), MalformedQueryString, "The query string or form is not encoded in UTF-8"),
        (received(None, query="a=%4"), MalformedQueryString, "Incomplete trailing escape % sequence"),
        # Step 4: one signature.
        (received(query="X-Amz-Algorithm=AWS4-HMAC-SHA256"), SignatureDoesNotMatch, ""),
        (received(query="X-Amz-Signature=00"), SignatureDoesNotMatch, ""),
        (received(query="X-Amz-Security-Token=t"), SignatureDoesNotMatch, ""),
        (received("", query="X-Amz-Algorithm=AWS4-HMAC-SHA256"), SignatureDoesNotMatch, ""),
        (received(None), MissingAuthenticationToken, "Request is missing Authentication Token"),
        (
            received(None, query="x-amz-algorithm=AWS4-HMAC-SHA256"),
            MissingAuthenticationToken,
            "Request is missing Authentication Token",
        ),
        (presigned(Algorithm=None), MissingAuthenticationToken, "Request is missing Authentication Token"),
        # Step 5: the algorithm.
        (received("Bearer x"), IncompleteSignature, "Unsupported AWS 'algorithm': 'Bearer'."),
        (received(""), IncompleteSignature, "Unsupported AWS 'algorithm': ''."),
        (
            received(f"AWS4-ECDSA-P256-SHA256 {PARTS}"),
            IncompleteSignature,
            "Unsupported AWS 'algorithm': 'AWS4-ECDSA-P256-SHA256'.",
        ),
        (
            received(f"aws4-hmac-sha256 {PARTS}"),
            IncompleteSignature,
            "Unsupported AWS 'algorithm': 'aws4-hmac-sha256'.",
        ),
        (presigned(Algorithm="AWS4"), IncompleteSignature, "Unsupported AWS 'algorithm': 'AWS4'."),
        # Step 6: key=value.
        (
            received("AWS4-HMAC-SHA256 Credential"),
            IncompleteSignature,
            (
                "'Credential' not a valid key=value pair (missing equal-sign) in Authorization header: "
                "'AWS4-HMAC-SHA256 Credential'."
            ),
        ),
        (
            received("AWS4-HMAC-SHA256"),
            IncompleteSignature,
            "'' not a valid key=value pair (missing equal-sign) in Authorization header: 'AWS4-HMAC-SHA256'.",
        ),
        (
            received(f"{GOOD}, Signature={'1' * 64}"),
            IncompleteSignature,
            "'Signature' is not expected here in Authorization header.",
        ),
        (received(f"{GOOD}, Extra=1"), IncompleteSignature, "'Extra' is not expected here in Authorization header."),
        # Step 7: missing pieces.
        (
            received("AWS4-HMAC-SHA256 Signature=00", x_amz_date=None),
            IncompleteSignature,
            (
                "Authorization header requires 'Credential' parameter. "
                "Authorization header requires 'SignedHeaders' parameter. "
                "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
                "Authorization=AWS4-HMAC-SHA256"
            ),
        ),
        (
            received(f"AWS4-HMAC-SHA256 Credential={CREDENTIAL}, Signature=, SignedHeaders="),
            IncompleteSignature,
            (
                "Authorization header requires 'Signature' parameter. "
                "Authorization header requires 'SignedHeaders' parameter. Authorization=AWS4-HMAC-SHA256"
            ),
        ),
        (
            presigned(Credential=None, Signature=None, SignedHeaders=None, Date=None),
            IncompleteSignature,
            (
                "AWS query-string parameters must include 'X-Amz-Credential'. "
                "AWS query-string parameters must include 'X-Amz-Signature'. "
                "AWS query-string parameters must include 'X-Amz-SignedHeaders'. "
                "AWS query-string parameters must include 'X-Amz-Date'. Re-examine the query-string parameters."
            ),
        ),
        # Step 8: the host is signed, and the list is one that a signer makes.
        (
            received(GOOD.replace("host;", "")),
            SignatureDoesNotMatch,
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
        ),
        (
            presigned(SignedHeaders="Host"),
            SignatureDoesNotMatch,
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
        ),
        (received(GOOD.replace("host;x-amz-date", "x-amz-date;host")), SignatureDoesNotMatch, MISMATCH),
        (received(GOOD.replace("host;", "host;host;")), SignatureDoesNotMatch, MISMATCH),
        (
            received(GOOD.replace("host;", "".join(f"a{number:03};" for number in range(255)) + "host;")),
            SignatureDoesNotMatch,
            MISMATCH,
        ),
        (received(GOOD.replace("host;", ";host;")), SignatureDoesNotMatch, MISMATCH),
        (received(GOOD.replace("host;", "Accept;host;")), SignatureDoesNotMatch, MISMATCH),
        (received(GOOD.replace("host;", "a b;host;")), SignatureDoesNotMatch, MISMATCH),
        (received(GOOD.replace("host;", "a\nb;host;")), SignatureDoesNotMatch, MISMATCH),
        (received(x_amz_security_token="t"), SignatureDoesNotMatch, MISMATCH),
        # Step 9: the date.
        (received(x_amz_date="2015-08-30T12:36:00Z"), IncompleteSignature, ISO_TEXT.format("2015-08-30T12:36:00Z")),
        (received(x_amz_date="20150830T123600"), IncompleteSignature, ISO_TEXT.format("20150830T123600")),
        (received(x_amz_date="20151330T123600Z"), IncompleteSignature, ISO_TEXT.format("20151330T123600Z")),
        (received(x_amz_date="20150830T123660Z"), IncompleteSignature, ISO_TEXT.format("20150830T123660Z")),
        (received(x_amz_date="٢0150830T123600Z"), IncompleteSignature, ISO_TEXT.format("٢0150830T123600Z")),
        (
            presigned(Date="Sun, 30 Aug 2015 12:36:00 GMT"),
            IncompleteSignature,
            ISO_TEXT.format("Sun, 30 Aug 2015 12:36:00 GMT"),
        ),
        (presigned(Date="20150830"), IncompleteSignature, ISO_TEXT.format("20150830")),
        (
            received(x_amz_date=None, date="Sun, 30 Foo 2015 12:36:00 GMT"),
            IncompleteSignature,
            ISO_TEXT.format("Sun, 30 Foo 2015 12:36:00 GMT"),
        ),
        # Step 11: five elements.
        (
            received(GOOD.replace("/aws4_request", "")),
            IncompleteSignature,
            (
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, "
                "got 'AKIDEXAMPLE/20150830/us-east-1/sts'"
            ),
        ),
        (
            presigned(Credential="a/b/c/d/e/f"),
            IncompleteSignature,
            (
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, "
                "got 'a/b/c/d/e/f'"
            ),
        ),
        # Expiry: an ASCII integer within SigV4's range.
        *(
            (
                presigned(Expires=text),
                IncompleteSignature,
                "X-Amz-Expires must be a number of seconds from 1 to 604800.",
            )
            for text in ("", "0", "-1", "604801", "1e3", "nan", "inf", "%D9%A1", "60%20", "1_0", "9" * 400)
        ),
    ],
)
def test_refusals(request_: HttpRequest, error: type[BrokerError], message: str) -> None:
    with pytest.raises(BrokerError) as refusal:
        present(request_)
    assert (type(refusal.value), refusal.value.message) == (error, message)


@pytest.mark.parametrize(
    "name", ["Authorization", "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256", "Host"]
)
@pytest.mark.parametrize("same", [True, False])
def test_a_header_given_twice_is_refused(name: str, same: bool) -> None:
    sent = signed(token="t", headers={"X-Amz-Content-Sha256": EMPTY_SHA256})
    value = sent.request.header(name.lower())
    assert value is not None
    again = sent.bent(headers=[*sent.request.headers, (name.lower(), value if same else "other")])
    with pytest.raises(IncompleteSignature, match="more than once"):
        present(again.request)


@pytest.mark.parametrize("name", ["Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature"])
def test_a_signing_parameter_given_twice_is_refused(name: str) -> None:
    request = presigned(Expires="60")
    twice = HttpRequest("GET", "/", f"{request.query}&%58-Amz-{name}=60", request.headers)
    with pytest.raises(IncompleteSignature, match=f"'X-Amz-{name}' is given more than once"):
        present(twice)


def test_a_presigned_request_takes_no_token_from_a_header() -> None:
    request = presigned()
    with pytest.raises(IncompleteSignature, match="query string only"):
        present(HttpRequest("GET", "/", request.query, [*request.headers, ("X-Amz-Security-Token", "t")]))


def test_a_presigned_request_declares_one_payload_hash() -> None:
    request = presigned(**{"Content-Sha256": EMPTY_SHA256})
    assert present(request).content_sha256 == EMPTY_SHA256
    for declared, accepted in ((EMPTY_SHA256, True), ("UNSIGNED-PAYLOAD", False)):
        both = HttpRequest("GET", "/", request.query, [*request.headers, ("X-Amz-Content-Sha256", declared)])
        if accepted:
            assert present(both).content_sha256 == declared
        else:
            with pytest.raises(IncompleteSignature, match="given twice"):
                present(both)


def test_what_is_repeated_in_a_refusal_is_bounded() -> None:
    with pytest.raises(IncompleteSignature) as refusal:
        present(received("A" * 100_000))
    assert len(refusal.value.message) < 1100


def test_the_date_header_serves_without_x_amz_date() -> None:
    for text in ("Sun, 30 Aug 2015 12:36:00 GMT", DATE):
        presented = present(received(x_amz_date=None, date=text))
        assert (presented.timestamp, presented.amz_date) == (NOW, DATE)
    both = received()
    twice = HttpRequest("POST", "/", "", [*both.headers, ("Date", "one"), ("Date", "two")])
    assert present(twice).amz_date == DATE


def test_no_secret_is_shown() -> None:
    request = received(
        x_amz_security_token="s3cret", authorization=GOOD.replace("x-amz-date", "x-amz-date;x-amz-security-token")
    )
    shown = repr(request) + repr(present(request)) + repr(presigned())
    assert "s3cret" not in shown
    assert "0" * 64 not in shown


@pytest.mark.parametrize("minutes", [-15, 0, 15])
def test_fifteen_minutes_either_way_are_accepted(minutes: int) -> None:
    check_time(present(received()), NOW + timedelta(minutes=minutes))


def test_an_expired_signature_is_refused() -> None:
    with pytest.raises(SignatureDoesNotMatch) as refusal:
        check_time(present(received()), NOW + timedelta(minutes=15, seconds=1))
    assert refusal.value.message == (
        "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T125101Z - 15 min.)"
    )


def test_a_signature_of_the_future_is_refused() -> None:
    with pytest.raises(SignatureDoesNotMatch) as refusal:
        check_time(present(received()), NOW - timedelta(minutes=15, seconds=1))
    assert refusal.value.message == (
        "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z (20150830T122059Z + 15 min.)"
    )


@pytest.mark.parametrize(
    ("expires", "honour", "age", "accepted"),
    [
        ("60", False, 900, True),
        ("604800", False, 901, False),
        ("60", True, 60, True),
        ("60", True, 61, False),
        ("604800", True, 604_800, True),
        (None, True, 900, True),
        (None, True, 901, False),
    ],
)
def test_an_expiry_counts_only_where_it_is_honoured(
    expires: str | None, honour: bool, age: int, accepted: bool
) -> None:
    presented = present(presigned(Expires=expires))
    if accepted:
        check_time(presented, NOW + timedelta(seconds=age), honour_expires=honour)
    else:
        with pytest.raises(SignatureDoesNotMatch, match="Signature expired"):
            check_time(presented, NOW + timedelta(seconds=age), honour_expires=honour)


REGION = "Credential should be scoped to a valid region. "
SERVICE = "Credential should be scoped to correct service: 'sts'. "
TERMINATOR = "Credential should be scoped with a valid terminator: 'aws4_request'. "
DAY = (
    "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
    "'{}' != '20150830', from '20150830T123600Z'."
)


@pytest.mark.parametrize(
    ("scope", "message"),
    [
        ("20150830/eu-west-1/sts/aws4_request", REGION),
        ("20150830//sts/aws4_request", REGION),
        ("20150830/us-east-1/s3/aws4_request", SERVICE),
        ("20150830/us-east-1//aws4_request", SERVICE),
        ("20150830/us-east-1/STS/aws4_request", SERVICE),
        ("20150830/us-east-1/sts/aws3_request", TERMINATOR),
        ("20150829/us-east-1/sts/aws4_request", DAY.format("20150829")),
        ("/x/y/z", REGION + SERVICE + TERMINATOR + DAY.format("")),
    ],
)
def test_a_wrong_scope_is_refused(scope: str, message: str) -> None:
    presented = present(received(GOOD.replace(CREDENTIAL, f"AKIDEXAMPLE/{scope}")))
    with pytest.raises(SignatureDoesNotMatch) as refusal:
        check_scope(presented, services={"sts"}, regions={"us-east-1"})
    assert refusal.value.message == message


@pytest.mark.parametrize("region", ["", "eu-west-1", "anything-9"])
def test_any_region_is_accepted_unless_configured(region: str) -> None:
    check_scope(present(received(GOOD.replace("us-east-1", region))), services={"sts", "iam"})


@pytest.mark.parametrize("region", ["a b", "é", "x" * 65, "us:east"])
def test_a_region_that_cannot_be_one_is_refused(region: str) -> None:
    with pytest.raises(SignatureDoesNotMatch, match="valid region"):
        check_scope(present(received(GOOD.replace("us-east-1", region))), services={"sts"})


@pytest.mark.parametrize("service", ["", "s3/x", "é", "a b", "x" * 65])
def test_a_service_that_cannot_be_one_is_refused_where_any_is_admitted(service: str) -> None:
    presented = present(received())
    check_scope(presented, services=())
    with pytest.raises(SignatureDoesNotMatch, match="correct service"):
        check_scope(replace(presented, service=service), services=())


@pytest.mark.parametrize("key_id", ["", "A" * 129, "session:x", "ÅKIA", "AKIA EXAMPLE", "AKIA\n"])
def test_an_access_key_id_that_cannot_be_one_is_refused(key_id: str) -> None:
    presented = present(received(GOOD.replace("AKIDEXAMPLE", key_id)))
    with pytest.raises(InvalidClientTokenId):
        check_scope(presented, services={"sts"})


def refuse(sent: Signed) -> None:
    with pytest.raises(SignatureDoesNotMatch):
        verify(sent)


def test_another_secret_is_refused() -> None:
    refuse(signed(secret="another"))


@pytest.mark.parametrize("signature", ["", "0" * 63, "é" * 64, "\udcff", "0" * 64])
def test_a_signature_of_another_shape_is_refused(signature: str) -> None:
    sent = signed()
    start, _, _ = (sent.request.header("authorization") or "").partition("Signature=")
    with pytest.raises((SignatureDoesNotMatch, IncompleteSignature)):
        verify(sent.with_header("Authorization", f"{start}Signature={signature}"))


def test_an_upper_case_signature_is_refused() -> None:
    sent = signed()
    start, mark, signature = (sent.request.header("authorization") or "").partition("Signature=")
    assert signature != signature.upper()
    refuse(sent.with_header("Authorization", start + mark + signature.upper()))


@pytest.mark.parametrize("declared", ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "0" * 64, ""])
def test_sts_knows_no_unsigned_payload(declared: str) -> None:
    refuse(signed(body=b"Action=GetCallerIdentity", headers={"X-Amz-Content-Sha256": declared, "Content-Type": FORM}))


def test_a_replaced_body_is_refused_though_its_declared_hash_was_signed() -> None:
    sent = signed(body=b"a=1", headers={"X-Amz-Content-Sha256": EMPTY_SHA256})
    refuse(sent)
    verify(sent.bent(body=b""))


def test_s3_takes_an_unsigned_payload() -> None:
    sent = signed("PUT", "/b/k", body=b"one", service="s3", presign=60)
    verify(sent.bent(body=b"two"), S3)
    refuse(signed("PUT", "/b/k", body=b"one", service="s3").bent(body=b"two"))


def test_s3_takes_a_streaming_payload_and_no_other_word_for_one() -> None:
    for declared in ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"):
        verify(signed("PUT", "/b/k", headers={"X-Amz-Content-Sha256": declared}), S3)
    for declared in ("UNSIGNED", "STREAMING-", "STREAMING-A\n", "UNSIGNED-PAYLOADS", "unsigned-payload", "0" * 64):
        presented = replace(present(signed().request), content_sha256=declared)
        assert canonical_request(signed().request, presented, EMPTY_SHA256, S3) is None


def test_s3_takes_the_payload_of_a_signed_request_that_declares_none() -> None:
    verify(signed("PUT", "/b/k", body=b"one"), S3)


def test_a_signed_header_that_is_not_there_is_no_empty_one() -> None:
    sent = signed(headers={"x-a": ""})
    verify(sent)
    without = sent.with_header("x-a", None)
    assert canonical_request(without.request, present(without.request), EMPTY_SHA256) is None


@pytest.mark.parametrize("value", ["a\tb", "\ta b\t", "a \t  b"])
def test_blanks_in_a_header_value_count_as_one_space(value: str) -> None:
    verify(signed(headers={"x-a": "a b"}).with_header("x-a", value))


def test_a_plus_in_a_query_is_a_space() -> None:
    verify(signed("GET", "/?a=b%20c&d%20e=").bent(query="a=b+c&d+e="))
    refuse(signed("GET", "/?a=b%2Bc").bent(query="a=b+c"))


def test_a_line_feed_in_a_header_cannot_stand_for_another_header() -> None:
    sent = signed(headers={"x-a": "1", "x-b": "2"})
    refuse(sent.with_header("x-a", "1\nx-b:2").with_header("x-b", ""))
    refuse(sent.bent(method="POST\n/"))


def test_a_header_name_that_is_not_ascii_does_not_fold_into_one_that_is() -> None:
    kelvin = "x-\u212a8s"
    sent = signed(headers={"x-k8s": "1"})
    refuse(sent.with_header("x-k8s", None).with_header(kelvin, "1"))


def test_an_empty_secret_derives_no_key() -> None:
    with pytest.raises(ValueError, match="never empty"):
        signing_key("", "20150830", "us-east-1", "sts")


def test_signing_keys_are_kept_by_secret_and_scope_and_bounded() -> None:
    keys = SigningKeys(size=2)
    presented = present(received())
    one = keys.derive(SECRET, presented)
    assert one == signing_key(SECRET, "20150830", "us-east-1", "sts")
    assert keys.derive(SECRET, presented) is one
    assert keys.derive("rotated", presented) != one
    keys.derive("third", presented)
    assert len(keys) == 2
    again = keys.derive(SECRET, presented)
    assert (again, again is one) == (one, False)


def test_the_signing_key_that_was_not_used_for_longest_is_dropped() -> None:
    keys = SigningKeys(size=2)
    presented = present(received())
    first, second = keys.derive("first", presented), keys.derive("second", presented)
    assert keys.derive("first", presented) is first
    keys.derive("third", presented)
    assert keys.derive("first", presented) is first
    assert keys.derive("second", presented) is not second
