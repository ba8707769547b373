"""Text from providers and callers cannot control the terminal when commands print it."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from types import SimpleNamespace

import pytest
from callhooks_tools.cli import app
from callhooks_tools.commands import rebuild as rebuild_command
from callhooks_tools.commands import recover as recover_command
from callhooks_tools.commands import replay as replay_command
from callhooks_tools.commands.rebuild import Rebuilt, Result
from callhooks_tools.commands.recover import Recovered, RecoveryOutcome
from callhooks_tools.recovery.replay_state import ReplayPosition
from callhooks_tools.stack import terminal
from callhooks_tools.stack.terminal import pretty
from rich.console import Console
from typer.testing import CliRunner

HOSTILE = "\x1b[2J\x1b]0;title\x07\r\n\x08\x85\x9b31m\u00ad\u061c\u200b\u200d\u202e\u2028\u2066\ufeff\U000e0041"
ESCAPED = r"\x1b[2J\x1b]0;title\x07\r\n\x08\x85\x9b31m\xad\u061c\u200b\u200d\u202e\u2028\u2066\ufeff\U000e0041"


def rebuild(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = Rebuilt(f"wavix#{HOSTILE}", Result.FAILED, f"an item is not a valid event (ValueError: {HOSTILE})")
    table = SimpleNamespace(events_table="events"), SimpleNamespace(client=lambda _: None)
    monkeypatch.setattr(rebuild_command, "stack_in_aws", lambda _: table[::-1])
    monkeypatch.setattr(rebuild_command, "partitions_of_calls", lambda *_: [failed.pk])
    monkeypatch.setattr(rebuild_command, "rebuild_call", lambda *_: failed)
    assert CliRunner().invoke(app, ["rebuild"]).exit_code == 1


def rebuild_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CliRunner().invoke(app, ["rebuild", "--call", f"nobody/{HOSTILE}"]).exit_code == 2


def replay(monkeypatch: pytest.MonkeyPatch) -> None:
    place = ReplayPosition("", f"wavix#{HOSTILE}", "e")
    replay_command._report_problem(place, f"an item is not a valid event (ValueError: {HOSTILE})")  # noqa: SLF001


def recover(monkeypatch: pytest.MonkeyPatch) -> None:
    recover_command._report(Recovered(HOSTILE, RecoveryOutcome.UNREADABLE, f"no item: {HOSTILE}"))  # noqa: SLF001


@pytest.mark.parametrize("command", [rebuild, rebuild_of_one, replay, recover])
def test_errors_with_hostile_text_are_one_line_of_printable_text(
    command: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = StringIO()
    errors = Console(file=printed, highlight=False, soft_wrap=True, emoji=False, markup=False)
    for module in (rebuild_command, replay_command, recover_command, terminal):
        monkeypatch.setattr(module, "errors", errors)
    command(monkeypatch)
    line = printed.getvalue().removesuffix("\n")
    assert line.isprintable()
    assert ESCAPED in line


@pytest.mark.parametrize("text", [json.dumps({"say": HOSTILE}, ensure_ascii=False), f"not JSON: {HOSTILE}"])
def test_a_response_is_shown_in_lines_of_printable_text(text: str) -> None:
    shown = pretty(text)
    assert all(line.isprintable() for line in shown.split("\n"))
    if text.startswith("{"):
        assert json.loads(shown) == {"say": HOSTILE}
