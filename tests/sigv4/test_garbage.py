"""Whatever arrives is read or refused: nothing else escapes, and nothing unsigned passes."""

import contextlib
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.errors import BrokerError
from broker.sigv4 import AWS, S3, HttpRequest, SigningKeys, check_scope, check_time, matches, present
from tests.sigv4.signing import EMPTY_SHA256, SECRET, signed, verify

surrogates = st.characters(min_codepoint=0xD800, max_codepoint=0xDFFF, categories=["Cs"])
anything = st.text(st.characters(), max_size=30)
dates = st.sampled_from(["20150830T123600Z", "Sun, 30 Aug 2015 12:36:00 GMT", "20150230T123600Z", ""]) | anything
credentials = st.sampled_from(["AKID/20150830/us-east-1/sts/aws4_request", "////", "a/b/c/d"]) | anything
lists = st.sampled_from(["host", "host;x-amz-date", "a;host", "host;host", ";"]) | anything
payloads = st.sampled_from([EMPTY_SHA256, "UNSIGNED-PAYLOAD"]) | anything
signatures = st.sampled_from(["0" * 64]) | anything


def joined(parts: Sequence[str]) -> str:
    return "AWS4-HMAC-SHA256 " + ", ".join(
        f"{name}={value}" for name, value in zip(("Credential", "SignedHeaders", "Signature"), parts, strict=True)
    )


authorizations = st.tuples(credentials, lists, signatures).map(joined) | anything
presigned = st.fixed_dictionaries(
    {},
    optional={
        "X-Amz-Algorithm": st.just("AWS4-HMAC-SHA256") | anything,
        "X-Amz-Credential": credentials,
        "X-Amz-SignedHeaders": lists,
        "X-Amz-Signature": signatures,
        "X-Amz-Date": dates,
        "X-Amz-Expires": st.sampled_from(["60", "0", "-1"]) | anything,
        "X-Amz-Content-Sha256": payloads,
    },
).map(lambda pairs: "&".join(f"{name}={value}" for name, value in pairs.items()))
headers = st.lists(
    st.tuples(st.sampled_from(["Host", "X-Amz-Date", "Date", "X-Amz-Content-Sha256", "A"]) | anything, dates | payloads)
)


@given(
    where=st.sampled_from(["method", "path", "query", "name", "header", "signature"]),
    text=st.text(surrogates, min_size=1),
)
def test_text_that_no_bytes_decode_to_is_refused(where: str, text: str) -> None:
    sent = signed("GET", "/?Action=a", headers={"x-a": "b"})
    if where == "signature":
        bent = sent.with_header("Authorization", f"{sent.request.header('authorization')}{text}")
    else:
        bent = {
            "method": sent.bent(method=f"GET{text}"),
            "path": sent.bent(path=f"/{text}"),
            "query": sent.bent(query=f"Action=a{text}"),
            "name": sent.bent(query=f"Action=a&{text}=1"),
            "header": sent.with_header("x-a", f"b{text}"),
        }[where]
    for rules in (AWS, S3):
        with pytest.raises(BrokerError):
            verify(bent, rules)


@given(
    method=st.sampled_from(["GET", "POST"]) | anything,
    path=st.just("/") | anything,
    query=st.just("") | presigned | anything,
    headers=headers,
    authorization=st.none() | authorizations,
)
@settings(max_examples=400)
def test_nothing_unsigned_passes(
    method: str, path: str, query: str, headers: list[tuple[str, str]], authorization: str | None
) -> None:
    if authorization is not None:
        headers = [*headers, ("Authorization", authorization)]
    request = HttpRequest(method, path, query, headers)
    with contextlib.suppress(BrokerError):
        presented = present(request)
        for rules in (AWS, S3):
            assert not matches(request, presented, EMPTY_SHA256, b"k" * 32, rules)
        check_time(presented, presented.timestamp)
        check_scope(presented, services=())
        key = SigningKeys().derive(SECRET, presented)
        assert not matches(request, presented, EMPTY_SHA256, key)
