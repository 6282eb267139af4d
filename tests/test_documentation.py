"""The pages for readers: links lead somewhere, commands and options exist, metrics are those that are counted."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from broker.cli import sojourn

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "config").rglob("*.md")])
_FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_COMMAND = re.compile(r"(?:^|[ (/\"'`])sojourn ((?:[a-z][a-z-]* ?)+)([^\n]*)")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
_METRIC = re.compile(r"\bsojourn_(?:[a-z]+_)*(?:total|seconds|key|values)\b")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(page: Path) -> str:
    return _FENCED.sub("", page.read_text("utf-8"))


@cache
def anchors(page: Path) -> frozenset[str]:
    """As GitHub makes them of headings."""
    titles = (
        _LINK.sub("]", title).replace("`", "").replace("[", "").replace("]", "")
        for title in _HEADING.findall(prose(page))
    )
    return frozenset(re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles)


@pages
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(_CODE.sub("", prose(page))):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_can_be_reached_from_the_first() -> None:
    found, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in found or page.suffix != ".md":
            continue
        found.add(page)
        for link in _LINK.findall(page.read_text("utf-8")):
            target = (page.parent / link.partition("#")[0]).resolve()
            waiting += sorted(target.glob("*.md")) if target.is_dir() else [target] if target.is_file() else []
    assert {page for page in PAGES if page.parent.name in ("docs", "decisions")} - found == set()


def commands(text: str) -> Iterator[tuple[str, click.Command, str]]:
    """Each call of `sojourn` in a text: the command, and what follows its name."""
    for words, rest in _COMMAND.findall(re.sub(r" *\\\n *", " ", text)):
        command: click.Command = sojourn
        name = ""
        for word in words.split():
            found = command.get_command(click.Context(command), word) if isinstance(command, click.Group) else None
            if found is None:
                break
            command, name = found, word
        if name:
            yield name, command, re.split(r" -- |[|;)`]|&&|\$\(", rest)[0]


@pages
def test_the_options_of_commands_exist(page: Path) -> None:
    for name, command, rest in commands(page.read_text("utf-8")):
        known = {option for parameter in command.params for option in parameter.opts} | {"--help", "--version"}
        assert not set(_OPTION.findall(rest)) - known, (name, rest)


def test_commands_are_found() -> None:
    calls = [name for page in PAGES for name, _, _ in commands(page.read_text("utf-8"))]
    assert len(calls) > 50
    assert {"login", "revoke", "rotate", "github-trust", "assume", "serve"} <= set(calls)


def test_metrics_are_those_that_are_counted() -> None:
    named = {name for page in PAGES for name in _METRIC.findall(page.read_text("utf-8"))}
    counted = set(re.findall(r'"(sojourn_\w+)"', (ROOT / "broker" / "telemetry.py").read_text("utf-8")))
    assert named == counted
