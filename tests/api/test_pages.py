"""HTML as values, and what frames it."""

import time

import pytest

from broker.api.pages.face import cookie_name, secret_of
from broker.api.pages.html import Markup, element, join
from broker.api.pages.layout import Page

HOSTILE = "<script>alert('x')</script>\"&"


def test_text_is_escaped_wherever_it_stands() -> None:
    assert element("p", {"title": HOSTILE}, HOSTILE).text == (
        '<p title="&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&quot;&amp;">'
        "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&quot;&amp;</p>"
    )
    assert join("<", Markup("<br>"), None).text == "&lt;<br>"


def test_attributes_without_a_value_and_left_out() -> None:
    assert element("input", {"required": True, "hidden": False, "name": "x"}).text == '<input required name="x">'


@pytest.mark.parametrize("base", ["", "/sts"])
def test_a_page(base: str) -> None:
    response = Page(title=HOSTILE, content=[HOSTILE], posts_to=["https://idp.test"]).response(base)
    assert isinstance(response.text, str)
    assert "<script>alert" not in response.text
    assert response.text.startswith('<!doctype html>\n<html lang="en">')
    assert f'href="{base}/assets/' in response.text and f'src="{base}/assets/' in response.text
    assert response.headers["Cache-Control"] == "no-store"
    assert "form-action 'self' https://idp.test" in response.headers["Content-Security-Policy"]


def test_cookies_are_bound_to_the_host_where_there_is_tls() -> None:
    assert cookie_name("https://sts.test") == "__Host-sojourn"
    assert cookie_name("http://localhost:8080") == "sojourn"


SECRET = "s" * 43


@pytest.mark.parametrize(
    ("cookies", "found"),
    [
        (f"sojourn={SECRET}", SECRET),
        (f"a=b; sojourn={SECRET}; c", SECRET),
        (f'a="; ";sojourn={SECRET} ;', SECRET),
        (f"sojourn=; sojourn={SECRET}", SECRET),
        ("", None),
        (f"xsojourn={SECRET}", None),
        (f"a sojourn={SECRET}", None),
        (f"Sojourn={SECRET}", None),
        (f"sojourn={SECRET}x", None),
        (f"sojourn={SECRET[1:]}", None),
        (f'sojourn="{SECRET}"', None),
    ],
)
def test_a_browser_is_known_by_one_cookie(cookies: str, found: str | None) -> None:
    assert secret_of(cookies, "sojourn") == found


@pytest.mark.parametrize("odd", ["a=\udcff;", "a=b;", ";", "; ", "sojourn=;", " "])
def test_odd_cookies_take_no_time(odd: str) -> None:
    costs = []
    for _ in range(5):
        started = time.thread_time()
        assert secret_of(odd * (16_384 // len(odd)), "sojourn") is None
        costs.append(time.thread_time() - started)
    assert min(costs) < 0.02
