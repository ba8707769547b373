"""The README and the pages only refer to existing links, headings, commands, options and make targets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from callhooks_tools.cli import app

from tests.support import ROOT

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?)\s*$", re.MULTILINE)
_FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"`([^`\n]+)`")
_COMMAND = re.compile(r"(?:^\s*|[|;$(] ?|\.venv/bin/)callhooks ([^\n]*)")
_ENDS_COMMAND = re.compile(r"\s#|\s*[|;&>)]")
_TARGET = re.compile(r"(?:^\s*|`)make ([a-z][a-z-]*)")


def text_of(page: Path) -> str:
    return page.read_text("utf-8")


def prose_of(page: Path) -> str:
    """Return a page without its code blocks."""
    return re.sub(r"^    .*$", "", _FENCED.sub("", text_of(page)), flags=re.MULTILINE)


def code_of(page: Path) -> list[str]:
    """Return the lines of a page's code blocks, and its inline code."""
    text = text_of(page)
    fenced = [line for block in _FENCED.findall(text) for line in block.splitlines()[1:-1]]
    indented = [line for line in text.splitlines() if line.startswith("    ")]
    return [*fenced, *indented, *_SPAN.findall(prose_of(page))]


@cache
def anchors_of(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = _HEADING.findall(_FENCED.sub("", text_of(page)))
    plain = (re.sub(r"[`*]", "", _LINK.sub("", heading)).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


@every_page
def test_every_link_has_a_target(page: Path) -> None:
    broken = []
    for link in _LINK.findall(prose_of(page)):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            broken.append(link)
    assert broken == []


def test_the_readme_links_to_every_page_and_no_page_contains_a_placeholder() -> None:
    linked = {link.partition("#")[0] for link in _LINK.findall(text_of(ROOT / "README.md"))}
    assert {f"docs/{page.name}" for page in PAGES if page.parent.name == "docs"} <= linked
    assert [page.name for page in PAGES if "@@" in text_of(page)] == []


def commands_in(code: str) -> Iterator[list[str]]:
    """Yield the words after `callhooks` in a line of code."""
    for command in _COMMAND.findall(code):
        words = _ENDS_COMMAND.split(command)[0].split()
        if words and re.match("[a-z-]", words[0]):
            yield words


def error_in(words: list[str]) -> str | None:
    """Return the error in a command, or `None` if it is valid."""
    command: Any = typer.main.get_command(app)
    rest = list(words)
    while (known := getattr(command, "commands", None)) and rest and re.fullmatch("[a-z][a-z-]*", rest[0]):
        name = rest.pop(0)
        if name not in known:
            return f"no such command: {name}"
        command = known[name]
    parameters = list(command.params)
    if command.context_settings.get("ignore_unknown_options"):
        # Further options go to the command of the same name of `sam local`.
        parameters += import_module(f"samcli.commands.local.{command.name.replace('-', '_')}.cli").cli.params
    options = {"--help", "-h"}.union(*(parameter.opts + parameter.secondary_opts for parameter in parameters))
    unknown = [word for word in rest if re.match("--?[a-z]", word) and word.partition("=")[0] not in options]
    return f"{command.name or 'callhooks'} has no option {', '.join(unknown)}" if unknown else None


@every_page
def test_every_command_and_option_exists(page: Path) -> None:
    commands = [words for code in code_of(page) for words in commands_in(code)]
    assert {" ".join(words): error for words in commands if (error := error_in(words))} == {}


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("    .venv/bin/callhooks frobnicate", "no such command: frobnicate"),
        ("    $ .venv/bin/callhooks send --never x", "send has no option --never"),
        ("callhooks --no-such", "callhooks has no option --no-such"),
        ("callhooks plan twist", "no such command: twist"),
        ("callhooks secret add wavix --generate --stack callhooks   # one more", None),
        ("callhooks sam-local invoke F -e x.json --skip-pull-image", None),
        ("callhooks sam-local invoke F --warm-containers LAZY", "invoke has no option --warm-containers"),
        ("printf x | callhooks secret remove wavix -y", "remove has no option -y"),
    ],
)
def test_an_unknown_command_or_option_is_found(code: str, error: str | None) -> None:
    (words,) = commands_in(code)
    assert error_in(words) == error


@every_page
def test_every_make_target_exists(page: Path) -> None:
    makefile = text_of(ROOT / "Makefile")
    named = {target for code in code_of(page) for target in _TARGET.findall(code)}
    assert [target for target in sorted(named) if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []


PICTURES = [path for path in (ROOT / "docs" / "pictures").iterdir() if path.suffix in (".svg", ".png")]


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.name)
def test_a_picture_is_shown_and_small(picture: Path) -> None:
    assert f"docs/pictures/{picture.name}" in text_of(ROOT / "README.md")
    assert picture.stat().st_size < 250_000


def test_the_terminal_recording_contains_no_secret() -> None:
    shown = text_of(ROOT / "docs" / "pictures" / "terminal.svg")
    assert "Password" in shown
    assert re.findall(r"[0-9A-Za-z]{20,}", shown) == []


def test_the_readme_shows_the_costs_of_the_performance_page() -> None:
    page = (ROOT / "docs" / "performance.md").read_text("utf-8")
    readme = (ROOT / "README.md").read_text("utf-8")
    for row, words in (
        ("**receiving** (at most 2.40", "Receiving a million events costs"),
        ("**receiving, projecting,", "including projection, indexing and publishing it is"),
    ):
        (line,) = [line for line in page.splitlines() if line.startswith(f"| {row}")]
        costs = sorted(float(cell) for cell in line.split("|")[2:] if cell.strip())
        assert f"{words} ${costs[0]:.2f} to ${costs[-1]:.2f}" in readme
