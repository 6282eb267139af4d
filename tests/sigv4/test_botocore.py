"""Both ways with botocore's signers: what they sign is accepted, and nothing near it is."""

import hashlib
from urllib.parse import parse_qsl, quote, urlencode

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.errors import BrokerError
from broker.sigv4 import AWS, S3, present
from broker.sigv4.signature import canonical_request
from tests.sigv4.signing import ACCESS_KEY_ID, FORM, SECRET, Signed, signed, verify

words = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
parameters = st.dictionaries(words.filter(lambda name: name != "" and not name.startswith("X-Amz-")), words, max_size=4)
header_values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=20)
headers = st.dictionaries(st.from_regex(r"x-(?!amz)[a-z0-9-]{1,10}", fullmatch=True), header_values, max_size=4)
segments = st.text("abcXYZ019-_.~/ !$'()*,;=@&+ሴé", max_size=20)
tokens = st.none() | st.text("abcXYZ019+/=.", min_size=1, max_size=60)


def encoded(form: dict[str, str]) -> str:
    """As botocore sends parameters: blanks are `%20`."""
    return urlencode(form, quote_via=quote, safe="-_.~")


@given(body=st.binary(max_size=80), headers=headers, query=parameters, path=segments, token=tokens)
def test_what_botocore_signs_in_headers_is_accepted(
    body: bytes, headers: dict[str, str], query: dict[str, str], path: str, token: str | None
) -> None:
    target = f"/{quote(path, safe='/~')}?{encoded(query)}"
    verify(signed("POST", target, body=body, headers=headers, token=token))


@given(headers=headers, query=parameters, path=segments, token=tokens, expires=st.integers(1, 604_800))
def test_what_botocore_presigns_is_accepted(
    headers: dict[str, str], query: dict[str, str], path: str, token: str | None, expires: int
) -> None:
    target = f"/{quote(path, safe='/~')}?{encoded(query)}"
    sent = signed("GET", target, headers=headers, token=token, presign=expires)
    assert present(sent.request).expires == expires
    assert present(sent.request).session_token == token
    verify(sent)


@given(body=st.binary(max_size=80), query=parameters, path=segments, presign=st.none() | st.just(60))
def test_what_botocore_signs_for_s3_is_accepted(
    body: bytes, query: dict[str, str], path: str, presign: int | None
) -> None:
    target = f"/{quote(path, safe='/~')}?{encoded(query)}"
    verify(signed("PUT", target, body=body, service="s3", presign=presign))


@pytest.mark.parametrize(("signer", "rules", "service"), [(SigV4Auth, AWS, "sts"), (S3SigV4Auth, S3, "s3")])
@given(body=st.binary(max_size=40), headers=headers, query=parameters, path=segments)
@settings(max_examples=50)
def test_canonical_requests_are_botocores(
    signer: type[SigV4Auth], rules: object, service: str, body: bytes, headers: dict[str, str], query: dict[str, str],
    path: str,
) -> None:  # fmt: skip
    target = f"/{quote(path, safe='/~')}?{encoded(query)}"
    sent = signed("POST", target, body=body, headers=headers, service=service)
    ours = canonical_request(
        sent.request, present(sent.request), hashlib.sha256(body).hexdigest(), S3 if rules is S3 else AWS
    )
    kept = {
        name: value
        for name, value in sent.request.headers
        if name.lower() not in ("host", "authorization", "accept-encoding")
    }
    theirs = AWSRequest("POST", f"http://127.0.0.1:8080{sent.request.path}?{sent.request.query}", kept, body)
    assert ours == signer(Credentials(ACCESS_KEY_ID, SECRET), service, "us-east-1").canonical_request(theirs)


FORM_BODY = b"Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A111122223333%3Arole%2Fdeploy"
SENT = signed(body=FORM_BODY, headers={"Content-Type": FORM}, token="a/b+c==")
PRESIGNED = signed(
    "GET",
    "/?Action=GetCallerIdentity&Version=2011-06-15",
    headers={"x-k8s-aws-id": "cluster-1"},
    token="a/b+c==",
    presign=60,
)


def bent(text: str) -> list[str]:
    """`text` with each character replaced, dropped and doubled in turn."""
    flipped = [f"{text[:i]}{chr(ord(c) ^ 1)}{text[i + 1 :]}" for i, c in enumerate(text)]
    dropped = [text[:i] + text[i + 1 :] for i in range(len(text))]
    doubled = [text[:i] + c + text[i:] for i, c in enumerate(text)]
    return flipped + dropped + doubled


def meaning(sent: Signed) -> tuple[object, ...]:
    """What a server acts on."""
    request, presented = sent.request, present(sent.request)
    pairs = sorted(parse_qsl(request.query, keep_blank_values=True))
    path = "/" + request.path.strip("/")
    values = {name: [" ".join(v.split()) for v in request.values[name]] for name in presented.signed_headers}
    return presented, request.method, path, pairs, values, sent.body


def refused_unless_it_means_the_same(original: Signed, altered: Signed) -> None:
    try:
        verify(altered)
    except BrokerError:
        return
    assert meaning(altered) == meaning(original), altered.request


def test_the_originals_are_accepted() -> None:
    verify(SENT)
    verify(PRESIGNED)


def test_any_altered_body_byte_is_refused() -> None:
    for body in bent(FORM_BODY.decode()):
        if body.encode() != FORM_BODY:
            with pytest.raises(BrokerError):
                verify(SENT.bent(body=body.encode()))


@pytest.mark.parametrize("original", [SENT, PRESIGNED], ids=["header", "presigned"])
def test_any_altered_byte_of_the_request_line_is_refused(original: Signed) -> None:
    for method in bent(original.request.method):
        with pytest.raises(BrokerError):
            verify(original.bent(method=method))
    for path in ("", "/a", "*", "/%2F", "/.a", "/;", "/%"):
        with pytest.raises(BrokerError):
            verify(original.bent(path=path))
    for query in bent(original.request.query):
        refused_unless_it_means_the_same(original, original.bent(query=query))
    for more in ("Action=GetSessionToken", "x", "%41ction=GetSessionToken"):
        with pytest.raises(BrokerError):
            verify(original.bent(query=f"{original.request.query}&{more}".strip("&")))


@pytest.mark.parametrize("original", [SENT, PRESIGNED], ids=["header", "presigned"])
def test_any_altered_byte_of_a_signed_header_is_refused(original: Signed) -> None:
    checked = [*present(original.request).signed_headers, "authorization"]
    for name, value in original.request.headers:
        if name.lower() not in checked:
            continue
        for altered in bent(value):
            refused_unless_it_means_the_same(original, original.with_header(name, altered))
        with pytest.raises(BrokerError):
            verify(original.with_header(name, None))
        with pytest.raises(BrokerError):
            verify(original.bent(headers=[*original.request.headers, (name, value)]))


def test_the_case_of_escapes_and_header_names_does_not_matter() -> None:
    verify(PRESIGNED.bent(query=PRESIGNED.request.query.replace("%2F", "%2f")))
    verify(SENT.bent(headers=[(name.upper(), value) for name, value in SENT.request.headers]))


@pytest.mark.parametrize(
    "extra",
    [
        {"amz-sdk-invocation-id": "b1", "amz-sdk-request": "attempt=1; max=3", "content-length": "94"},
        {"X-Amz-Content-Sha256": hashlib.sha256(FORM_BODY).hexdigest(), "content-length": "94"},
        {"X-Vault-AWS-IAM-Server-ID": "vault.example", "Accept-Encoding": "identity"},
    ],
    ids=["go", "javascript", "vault"],
)
def test_further_headers_that_clients_sign_are_rebuilt(extra: dict[str, str]) -> None:
    sent = signed(body=FORM_BODY, headers={"Content-Type": FORM, **extra})
    assert set(map(str.lower, extra)) <= set(present(sent.request).signed_headers)
    refused = sent.with_header(next(iter(extra)), "other")
    with pytest.raises(BrokerError):
        verify(refused)
