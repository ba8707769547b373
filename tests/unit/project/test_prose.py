"""The prose check finds phrases with their lines, and skips code and quotations."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import typer

from tests import prose
from tests.prose import find, find_in_javascript, find_in_markdown, find_in_python


@pytest.mark.parametrize(
    "text",
    [
        "The log tells the reason.", "Whoever sends it waits.", "It stops by itself.", "It stores it, else it fails.",
        "A list of all there is.", "It starts anew.", "Look for those that failed.", "The time is that of the sender.",
        "Such as cannot be stored.", "A sender who proves itself.", "The file beside it.", "It is to be stored.",
        "The log shows what came of it.", "More than what fits.", "An event is kept once.", "Take it as it came.",
    ],
)  # fmt: skip
def test_a_phrase_is_found(text: str) -> None:
    (finding,) = find(text)
    assert finding.line == 1
    assert finding.suggestion


@pytest.mark.parametrize(
    "text",
    [
        "callhooks cannot tell two such events apart.", "How each promise is kept.", "The fix is to run it again.",
        "The command that of course works.", "The event is stored as it is.", "What is stored",
        "Verbs such as those of a wait hook.", "It costs more than those of Lambda.",
    ],
)  # fmt: skip
def test_plain_english_is_not_found(text: str) -> None:
    assert list(find(text)) == []


def test_the_line_of_a_phrase_that_wraps_is_the_one_where_it_begins() -> None:
    assert [(one.line, one.phrase) for one in find_in_markdown("# Page\n\nSome text by\nitself.\n")] == [
        (3, "by itself")
    ]


def test_code_and_quotations_in_documents_are_skipped() -> None:
    page = 'Run `told`, see "No end told".\n\n    told\n\n```\ntold\n```\n\n> told\n\nthose `files` that exist\n'
    assert list(find_in_markdown(page)) == []


def test_comments_strings_docstrings_and_test_names_of_modules_are_checked() -> None:
    module = (
        '"""What it is."""\n\n# Told later.\ntold = "not told"\n\n\ndef test_who_is_told() -> None: told = "told"\n'
    )
    assert [(one.line, one.phrase) for one in sorted(find_in_python(module))] == [
        (1, "What"), (3, "Told"), (4, "told"), (7, "told"),
    ]  # fmt: skip


def test_comments_of_several_lines_and_names_of_classes_are_checked() -> None:
    module = "# It stops by\n# itself.\n\nclass TestWhoIsTold: pass\n\n\nasync def test_it_is_told(): pass\n"
    assert [(one.line, one.phrase) for one in sorted(find_in_python(module))] == [
        (1, "by itself"), (4, "Told"), (7, "told"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("page.md", "It is told.\n"), ("module.py", "# It is told.\n"), ("page.js", "// It is told.\n"),
        ("template.yaml", "Description: It is told\n"),
    ],
)  # fmt: skip
def test_the_check_fails_for_a_phrase_in_any_kind_of_file(
    name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text(text)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    monkeypatch.setattr(prose, "ROOT", tmp_path)
    with pytest.raises(typer.Exit) as ended:
        prose.main()
    assert ended.value.exit_code == 1
    assert f'{name}:1: "told"' in capsys.readouterr().out


def test_comments_and_strings_of_scripts_are_checked() -> None:
    script = 'const told = f(told);\n// Told later.\nshow("not told");\n/* It\n is told. */\n'
    assert [(one.line, one.phrase) for one in find_in_javascript(script)] == [(2, "Told"), (3, "told"), (5, "told")]
