"""`callhooks` as a program: its help, options, start, hints and completion."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import typer
from callhooks_tools.cli import COMMANDS, app
from callhooks_tools.stack.terminal import callhooks
from typer.testing import CliRunner

from tests.commands import done
from tests.support import ROOT

WITHOUT_JSON = {
    "run": "starts the local stack and runs until Ctrl-C",
    "sam-local invoke": "prints what sam local prints",
    "sam-local start-api": "runs until Ctrl-C",
    "event": "prints JSON, for sam local",
    "openapi": "prints JSON, the OpenAPI document",
    "sign": "prints a header, for curl",
    "forget": "removes; it shows numbers only to the person who confirms",
    "secret add": "changes a secret",
    "secret remove": "changes a secret",
    "clients add": "changes a client",
    "clients remove": "changes a client",
    "control transfer": "changes a call",
    "control hangup": "changes a call",
    "control answer": "changes a call",
    "control record": "changes a call",
    "bird subscribe": "changes subscriptions",
    "bird update": "changes subscriptions",
    "bird pause": "changes subscriptions",
    "bird resume": "changes subscriptions",
    "bird remove": "changes subscriptions",
    "wavix subscribe": "changes subscriptions",
    "wavix remove": "changes subscriptions",
    "jambonz webhook-secret": "changes a secret",
}
"""The commands that list and show nothing, or whose only format other programs define."""


@cache
def every_command() -> dict[str, Any]:
    """Return all commands and groups by their words, such as `secret list`."""
    return dict(_walk((), typer.main.get_command(app)))


def _walk(words: tuple[str, ...], command: Any) -> Iterator[tuple[str, Any]]:
    yield " ".join(words), command
    for name in getattr(command, "commands", {}):
        yield from _walk((*words, name), command.commands[name])


def commands_that_run() -> dict[str, Any]:
    return {words: command for words, command in every_command().items() if not hasattr(command, "commands")}


def options_of(command: Any) -> set[str]:
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}


def test_every_command_has_json_unless_it_lists_and_shows_nothing() -> None:
    without = {words for words, command in commands_that_run().items() if "--json" not in options_of(command)}
    assert without == set(WITHOUT_JSON)


def test_every_command_explains_itself_with_h_and_shows_no_type_for_a_flag() -> None:
    for words in every_command():
        shown = done(CliRunner().invoke(app, [*words.split(), "-h"], env={"COLUMNS": "200", "NO_COLOR": "1"}))
        assert "Usage: " in shown, words
        assert "<bool>" not in shown, words
        assert re.search(r"--help +-h ", shown), words


def test_a_wrong_command_line_ends_every_command_with_2() -> None:
    for words, command in every_command().items():
        if command.context_settings.get("ignore_unknown_options"):
            continue
        result = CliRunner().invoke(app, [*words.split(), "--no-such-option"])
        assert (result.exit_code, result.stdout) == (2, ""), words


def test_the_list_of_commands_has_a_short_line_for_each() -> None:
    lines = {name: summary for name, (_, summary) in COMMANDS.items()}
    assert {name: line for name, line in lines.items() if not 10 < len(line) <= 70 or not line.endswith(".")} == {}


def test_the_version_is_the_one_of_the_package() -> None:
    assert done(CliRunner().invoke(app, ["--version"])) == f"callhooks {version('callhooks-tools')}\n"


def test_each_paragraph_of_a_help_text_is_one_line() -> None:
    # Typer keeps line breaks after the first paragraph, whatever the width of the terminal.
    helps = {words: str(command.help).split("\n\n")[1:] for words, command in commands_that_run().items()}
    assert [words for words, paragraphs in helps.items() if any("\n" in text.strip() for text in paragraphs)] == []


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "200", **environment}
    )


PROGRAM = "import sys; sys.argv[0] = 'callhooks'; from callhooks_tools.cli import main; main()"
MODULES = """
import sys
from callhooks_tools.cli import app
app(sys.argv[1:], standalone_mode=False)
print(sorted(name for name in sys.modules if name.startswith("callhooks_tools.")))
print(sorted({"aiohttp", "boto3", "callhooks", "httpx", "pydantic"} & set(sys.modules)))
"""


def test_the_help_imports_no_command_and_no_large_package() -> None:
    modules, large = python("-c", MODULES, "--help").stdout.splitlines()[-2:]
    assert "callhooks_tools.commands" not in modules
    assert large == "[]"


def test_a_command_does_not_import_the_others() -> None:
    modules, large = python("-c", MODULES, "secret", "--help").stdout.splitlines()[-2:]
    assert large == "['pydantic']"
    assert re.findall(r"callhooks_tools\.commands\.\w+", modules) == ["callhooks_tools.commands.secret"]


def seconds_of(*arguments: str) -> float:
    before = os.times()
    assert python(*arguments).returncode == 0
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def test_the_help_starts_in_a_small_multiple_of_the_import_of_typer() -> None:
    pairs = [(seconds_of("-c", PROGRAM, "--help"), seconds_of("-c", "import typer")) for _ in range(5)]
    assert median(shown / imported for shown, imported in pairs) < 3.5


@pytest.mark.parametrize(
    ("shell", "request_of", "expected"),
    [
        ("bash", {"COMP_WORDS": "callhooks qua", "COMP_CWORD": "1"}, ["quarantine"]),
        ("bash", {"COMP_WORDS": "callhooks secret ", "COMP_CWORD": "2"}, ["list", "add", "remove"]),
        ("bash", {"COMP_WORDS": "callhooks secret list --j", "COMP_CWORD": "3"}, ["--json"]),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "callhooks qua"}, ["quarantine"]),
        ("fish", {"_TYPER_COMPLETE_ARGS": "callhooks qua", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}, ["quarantine"]),
    ],
)
def test_a_shell_completes_commands_and_options(shell: str, request_of: dict[str, str], expected: list[str]) -> None:
    script = python("-c", PROGRAM, _CALLHOOKS_COMPLETE=f"source_{shell}").stdout
    assert f"_CALLHOOKS_COMPLETE=complete_{shell}" in script
    completed = python("-c", PROGRAM, _CALLHOOKS_COMPLETE=f"complete_{shell}", **request_of).stdout
    assert re.findall(r"(?m)^(?:_arguments '\*: :\(\()?\"?(-*[a-z]+)", completed) == expected


@pytest.mark.parametrize(
    ("called", "on_path", "expected"),
    [
        ("here/.venv/bin/callhooks", None, ".venv/bin/callhooks"),
        ("here/.venv/bin/callhooks", "here/.venv/bin", "callhooks"),
        ("here/.venv/bin/callhooks", "other/bin", ".venv/bin/callhooks"),
        ("other/bin/callhooks", None, "{root}/other/bin/callhooks"),
        ("a folder/callhooks", None, "'{root}/a folder/callhooks'"),
        ("here/pytest", "other/bin", "callhooks"),
    ],
)
def test_a_hint_names_the_command_as_the_user_can_paste_it(
    called: str, on_path: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("here/.venv/bin/callhooks", "other/bin/callhooks", "a folder/callhooks", "here/pytest"):
        program = tmp_path / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.touch(0o755)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("PATH", str(tmp_path / on_path) if on_path else str(tmp_path))
    monkeypatch.setattr(sys, "argv", [str(tmp_path / called)])
    assert callhooks("urls") == f"{expected.format(root=tmp_path)} urls"


def test_no_message_names_the_command_without_that_function() -> None:
    names = "|".join(map(re.escape, COMMANDS))
    hint = re.compile(rf": callhooks (?:{names})\b")
    sources = [*(ROOT / "tools").rglob("*.py"), *(ROOT / "layers" / "callhooks" / "callhooks").rglob("*.py")]
    assert [path.name for path in sources if hint.search(path.read_text("utf-8"))] == []
