"""Signatures that AWS published: the Signature Version 4 test suite and the worked examples of the documentation."""

import hashlib

import pytest

from broker.sigv4 import AWS, S3, HttpRequest, Rules, matches, present, signing_key
from tests.sigv4.signing import EMPTY_SHA256

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
S3_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
HOST = ("Host", "example.amazonaws.com")
DATE = ("X-Amz-Date", "20150830T123600Z")
VANILLA = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
TOKEN = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwt"
    "hAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVX"
    "AkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)

# name, method, path, query, further headers, body, signature: of the Signature Version 4 test suite.
SUITE = [
    ("get-vanilla", "GET", "/", "", [], "", VANILLA),
    (
        "get-vanilla-empty-query-key",
        "GET",
        "/",
        "Param1=value1",
        [],
        "",
        "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
    ),
    (
        "get-vanilla-query-order-key-case",
        "GET",
        "/",
        "Param2=value2&Param1=value1",
        [],
        "",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    (
        "get-vanilla-query-unreserved",
        "GET",
        "/",
        (
            "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
            "=-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
        ),
        [],
        "",
        "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
    ),
    (
        "get-vanilla-utf8-query",
        "GET",
        "/",
        "ሴ=bar",
        [],
        "",
        "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
    ),
    (
        "get-unreserved",
        "GET",
        "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        "",
        [],
        "",
        "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
    ),
    ("get-utf8", "GET", "/ሴ", "", [], "", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
    (
        "get-space",
        "GET",
        "/example space/",
        "",
        [],
        "",
        "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
    ),
    ("get-relative", "GET", "/example/..", "", [], "", VANILLA),
    ("get-relative-relative", "GET", "/example1/example2/../..", "", [], "", VANILLA),
    ("get-slash", "GET", "//", "", [], "", VANILLA),
    ("get-slash-dot-slash", "GET", "/./", "", [], "", VANILLA),
    (
        "get-slash-pointless-dot",
        "GET",
        "/./example",
        "",
        [],
        "",
        "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5",
    ),
    (
        "get-slashes",
        "GET",
        "//example//",
        "",
        [],
        "",
        "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
    ),
    (
        "get-header-key-duplicate",
        "GET",
        "/",
        "",
        [("My-Header1", "value2"), ("My-Header1", "value2"), ("My-Header1", "value1")],
        "",
        "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    ),
    (
        "get-header-value-order",
        "GET",
        "/",
        "",
        [("My-Header1", "value4"), ("My-Header1", "value1"), ("My-Header1", "value3"), ("My-Header1", "value2")],
        "",
        "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
    ),
    (
        "get-header-value-trim",
        "GET",
        "/",
        "",
        [("My-Header1", " value1"), ("My-Header2", ' "a   b   c"')],
        "",
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
    (
        "post-vanilla",
        "POST",
        "/",
        "",
        [],
        "",
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
    ),
    (
        "post-vanilla-query",
        "POST",
        "/",
        "Param1=value1",
        [],
        "",
        "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
    ),
    (
        "post-header-key-sort",
        "POST",
        "/",
        "",
        [("My-Header1", "value1")],
        "",
        "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
    ),
    (
        "post-header-value-case",
        "POST",
        "/",
        "",
        [("My-Header1", "VALUE1")],
        "",
        "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
    ),
    (
        "post-x-www-form-urlencoded",
        "POST",
        "/",
        "",
        [("Content-Type", "application/x-www-form-urlencoded")],
        "Param1=value1",
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ),
    (
        "post-sts-header-before",
        "POST",
        "/",
        "",
        [("X-Amz-Security-Token", TOKEN)],
        "",
        "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
    ),
]


@pytest.mark.parametrize(("method", "path", "query", "headers", "body", "signature"), [row[1:] for row in SUITE],
                         ids=[row[0] for row in SUITE])  # fmt: skip
def test_the_test_suite(
    method: str, path: str, query: str, headers: list[tuple[str, str]], body: str, signature: str
) -> None:
    names = ";".join(sorted({"host", "x-amz-date", *(name.lower() for name, _ in headers)}))
    authorization = (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    request = HttpRequest(method, path, query, [HOST, *headers, DATE, ("Authorization", authorization)])
    key = signing_key(SECRET, "20150830", "us-east-1", "service")
    assert matches(request, present(request), hashlib.sha256(body.encode()).hexdigest(), key)


def test_the_derived_key_of_the_documentation() -> None:
    """AWS General Reference, "Examples of how to derive a signing key"."""
    assert signing_key(SECRET, "20120215", "us-east-1", "iam").hex() == (
        "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"
    )


def test_the_worked_example_of_the_documentation() -> None:
    """AWS General Reference, "Signing AWS requests": IAM ListUsers."""
    headers = [
        ("Host", "iam.amazonaws.com"),
        ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),
        ("X-Amz-Date", "20150830T123600Z"),
        (
            "Authorization",
            (
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
                "SignedHeaders=content-type;host;x-amz-date, "
                "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
            ),
        ),
    ]
    request = HttpRequest("GET", "/", "Action=ListUsers&Version=2010-05-08", headers)
    key = signing_key(SECRET, "20150830", "us-east-1", "iam")
    assert matches(request, present(request), EMPTY_SHA256, key)


# Amazon S3 API Reference, "Signature Calculations for the Authorization Header" and "Using Query Parameters".
S3_EXAMPLES = [
    (
        "get-object",
        "GET",
        "/test.txt",
        "",
        [("Range", "bytes=0-9"), ("x-amz-content-sha256", EMPTY_SHA256)],
        "",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ),
    (
        "put-object",
        "PUT",
        "/test$file.text",
        "",
        [
            ("Date", "Fri, 24 May 2013 00:00:00 GMT"),
            ("x-amz-content-sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ],
        "Welcome to Amazon S3.",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ),
    (
        "get-bucket-lifecycle",
        "GET",
        "/",
        "lifecycle",
        [("x-amz-content-sha256", EMPTY_SHA256)],
        "",
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    ),
    (
        "list-objects",
        "GET",
        "/",
        "max-keys=2&prefix=J",
        [("x-amz-content-sha256", EMPTY_SHA256)],
        "",
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ),
]


@pytest.mark.parametrize(("method", "path", "query", "headers", "body", "signature"),
                         [row[1:] for row in S3_EXAMPLES], ids=[row[0] for row in S3_EXAMPLES])  # fmt: skip
def test_the_s3_examples(
    method: str, path: str, query: str, headers: list[tuple[str, str]], body: str, signature: str
) -> None:
    names = ";".join(sorted({"host", "x-amz-date", *(name.lower() for name, _ in headers)}))
    authorization = (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
        f"SignedHeaders={names},Signature={signature}"
    )
    always = [("Host", "examplebucket.s3.amazonaws.com"), ("x-amz-date", "20130524T000000Z")]
    request = HttpRequest(method, path, query, [*always, *headers, ("Authorization", authorization)])
    key = signing_key(S3_SECRET, "20130524", "us-east-1", "s3")
    assert matches(request, present(request), hashlib.sha256(body.encode()).hexdigest(), key, S3)


@pytest.mark.parametrize(("rules", "right"), [(S3, True), (AWS, False)])
def test_the_presigned_s3_example(rules: Rules, right: bool) -> None:
    query = (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )
    request = HttpRequest("GET", "/test.txt", query, [("Host", "examplebucket.s3.amazonaws.com")])
    presented = present(request)
    key = signing_key(S3_SECRET, "20130524", "us-east-1", "s3")
    assert presented.expires == 86_400
    assert matches(request, presented, EMPTY_SHA256, key, rules) is right
