"""Percent-encoding against the standard library's."""

import re
from urllib.parse import quote, unquote_to_bytes

from hypothesis import given
from hypothesis import strategies as st

from broker.errors import MalformedQueryString
from broker.sigv4.encoding import canonical_component, check_escapes, decode_component, unescape

escaped = (
    st.text("=%3DdA+ \t\r\n_a\u00e9\u1234", max_size=30) | st.text(max_size=30) | st.binary(max_size=30).map(quote)
)


def is_sound(text: str) -> bool:
    return re.fullmatch(r"(?:[^%]|%[0-9A-Fa-f]{2})*", text) is not None


@given(escaped)
def test_escapes_are_told_apart(text: str) -> None:
    try:
        check_escapes(text)
    except MalformedQueryString:
        assert not is_sound(text)
    else:
        assert is_sound(text)


@given(escaped.filter(is_sound))
def test_bytes_are_those_of_the_standard_library(text: str) -> None:
    assert unescape(text) == unquote_to_bytes(text)
    assert canonical_component(text) == quote(unquote_to_bytes(text.replace("+", " ")), safe="~")


@given(st.binary(max_size=40))
def test_any_bytes_come_back(raw: bytes) -> None:
    assert unescape(quote(raw)) == raw


@given(st.text(max_size=40))
def test_any_text_comes_back(text: str) -> None:
    assert decode_component(quote(text, safe="")) == text
