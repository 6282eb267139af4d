"""Query string and form body to parameters."""

import contextlib
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.api.forms import parameters
from broker.errors import BrokerError, MalformedInput, MalformedQueryString, RequestTooLarge, ValidationError

FORM = "application/x-www-form-urlencoded"
NOT_UTF8 = "The query string or form is not encoded in UTF-8"


def read(query: str = "", body: bytes = b"", content_type: str | None = FORM) -> dict[str, str]:
    return parameters(query, body, content_type=content_type, limit=1_000_000)


names = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)
characters = st.characters(
    codec="utf-8", exclude_categories=["Cc"], exclude_characters="\ufffe\uffff", include_characters="\t\r\n"
)
values = st.text(characters)
forms = st.dictionaries(names.filter(lambda name: not name.lower().startswith("x-amz-")), values, max_size=8)


@given(form=forms, plus=st.booleans(), in_query=st.booleans())
def test_any_encoded_form_is_read_back(form: dict[str, str], plus: bool, in_query: bool) -> None:
    raw = urlencode(form, quote_via=quote_plus if plus else quote, safe="")
    assert (read(raw) if in_query else read(body=raw.encode())) == form


@given(query=st.text(max_size=60), body=st.binary(max_size=60))
def test_anything_is_read_or_refused(query: str, body: bytes) -> None:
    with contextlib.suppress(MalformedQueryString, ValidationError):
        assert all(name.isascii() for name in read(query, body))


def test_query_and_body_are_taken_together() -> None:
    assert read("Version=2011-06-15", b"Action=GetCallerIdentity") == {
        "Version": "2011-06-15",
        "Action": "GetCallerIdentity",
    }


def test_an_empty_body_needs_no_content_type() -> None:
    assert read("Action=AssumeRoleWithLDAPIdentity&LDAPUsername=a", content_type=None)["LDAPUsername"] == "a"
    assert read("Action=a", content_type="application/json") == {"Action": "a"}


@pytest.mark.parametrize(
    ("query", "body"), [("A=1&A=1", b""), ("", b"A=1&A=2"), ("A=1", b"A=1"), ("%41=1", b"A=2"), ("A&A", b"")]
)
def test_a_name_given_twice_is_refused(query: str, body: bytes) -> None:
    with pytest.raises(ValidationError) as refusal:
        read(query, body)
    assert refusal.value.message == "The parameter 'A' is given more than once"


def test_names_are_exact() -> None:
    assert read("action=x&Action=y") == {"action": "x", "Action": "y"}
    assert read("Action =x".replace(" ", "")) == {"Action": "x"}


@pytest.mark.parametrize(
    ("raw", "error", "message"),
    [
        ("A=%", MalformedQueryString, "Incomplete trailing escape % sequence"),
        ("A=%4", MalformedQueryString, "Incomplete trailing escape % sequence"),
        ("A=%4g", MalformedQueryString, "Illegal hex character in escape % pattern: %4g"),
        ("%zz=1", MalformedQueryString, "Illegal hex character in escape % pattern: %zz"),
        ("A=%u0041", MalformedQueryString, "Illegal hex character in escape % pattern: %u0"),
        ("A=%ff", MalformedQueryString, NOT_UTF8),
        ("A=%c0%af", MalformedQueryString, NOT_UTF8),
        ("A=%ed%a0%80", MalformedQueryString, NOT_UTF8),
        ("%ff=A", MalformedQueryString, NOT_UTF8),
        ("A=%00", ValidationError, "The value of the parameter 'A' holds a control character"),
        ("A=%1b[0m", ValidationError, "The value of the parameter 'A' holds a control character"),
        ("A=a\x01", ValidationError, "The value of the parameter 'A' holds a control character"),
        ("A=%ef%bf%bf", ValidationError, "The value of the parameter 'A' holds a control character"),
        ("=1", ValidationError, "A parameter name has 1 to 256 printable ASCII characters"),
        ("A%00=1", ValidationError, "A parameter name has 1 to 256 printable ASCII characters"),
        ("A%0a=1", ValidationError, "A parameter name has 1 to 256 printable ASCII characters"),
        ("%C3%84=1", ValidationError, "A parameter name has 1 to 256 printable ASCII characters"),
        (f"{'A' * 257}=1", ValidationError, "A parameter name has 1 to 256 printable ASCII characters"),
        ("&".join(f"A{i}=" for i in range(501)), ValidationError, "A request has at most 500 parameters"),
        ("&" * 100_000, ValidationError, "A request has at most 500 parameters"),
    ],
)
def test_malformed_forms_are_refused(raw: str, error: type[BrokerError], message: str) -> None:
    for source in ((raw, b""), ("", raw.encode())):
        with pytest.raises(BrokerError) as refusal:
            read(*source)
        assert (type(refusal.value), refusal.value.message) == (error, message)


def test_raw_bytes_that_are_not_utf8_are_refused() -> None:
    for source in (("", b"A=\xff"), ("A=\udcff", b""), ("A=\ud800", b"")):
        with pytest.raises(MalformedQueryString, match="UTF-8"):
            read(*source)


def test_limits_are_reached_but_not_passed() -> None:
    most = "&".join(f"A{i}=" for i in range(500))
    assert len(read(most)) == 500
    assert read(f"{'A' * 256}=1")
    with pytest.raises(ValidationError, match="at most 500"):
        read("A=1", "&".join(f"B{i}=" for i in range(500)).encode())
    assert parameters("", b"A=12", content_type=FORM, limit=4)
    with pytest.raises(RequestTooLarge):
        parameters("", b"A=123", content_type=FORM, limit=4)


def test_line_breaks_and_tabs_are_text() -> None:
    assert read("A=%09%0d%0a+b") == {"A": "\t\r\n b"}


def test_presigning_parameters_belong_to_the_signature_and_only_in_the_query() -> None:
    query = "Action=a&X-Amz-Algorithm=x&X-Amz-Expires=60&X-Amz-Signature=0&X-Amz-Security-Token=t"
    assert read(query) == {"Action": "a"}
    assert read(body=b"Action=a&X-Amz-Date=x") == {"Action": "a", "X-Amz-Date": "x"}
    assert read("x-amz-date=x&X-Amz-Other=y") == {"x-amz-date": "x", "X-Amz-Other": "y"}


@pytest.mark.parametrize(
    "content_type",
    [
        FORM,
        FORM.upper(),
        f"{FORM}; charset=utf-8",
        f"{FORM};charset=UTF-8",
        f'{FORM}; charset="utf-8"',
        f"{FORM} ; charset=utf-8",
        f" {FORM}; ",
    ],
)
def test_form_content_types(content_type: str) -> None:
    assert read(body=b"A=1", content_type=content_type) == {"A": "1"}


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "application/json",
        "multipart/form-data; boundary=x",
        f"{FORM}; charset=utf-7",
        f"{FORM}; charset=latin-1",
        f"{FORM}; charset=utf-8; charset=utf-7",
        f"{FORM}x",
        f"{FORM}, application/json",
        f"{FORM}\n",
    ],
)
def test_other_content_types_are_refused(content_type: str | None) -> None:
    with pytest.raises(MalformedInput, match="content type"):
        read(body=b"A=1", content_type=content_type)


@pytest.mark.parametrize("encoding", ["gzip", "identity", ""])
def test_a_content_encoding_is_refused(encoding: str) -> None:
    with pytest.raises(MalformedInput, match="Content-Encoding"):
        parameters("A=1", content_encoding=encoding, limit=1)


def test_no_value_is_repeated_in_a_refusal() -> None:
    for raw in ("LDAPPassword=hunter2&LDAPPassword=hunter2", "LDAPPassword=hunter2%00"):
        with pytest.raises(ValidationError) as refusal:
            read(raw)
        assert "hunter2" not in refusal.value.message
