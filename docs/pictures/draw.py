"""Generator of the README's pictures of the console and the terminal.

    python -m docs.pictures.draw

takes screenshots of the real page with generated calls, in the system's Chromium, and records commands on a local stack
that it starts. Run it from the root of the repository (`make pictures`).
"""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from html import escape
from itertools import groupby
from pathlib import Path

from callhooks_tools.stack.private_files import make_private_folder
from callhooks_tools.stack.stack import ROOT, LocalStack
from playwright.sync_api import sync_playwright
from pydantic import JsonValue
from rich.color import blend_rgb
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

from tests.browser.conftest import NOW, PAGE, chromium, sign_in
from tests.browser.double import CallLogDouble, serving
from tests.browser.recordings import StoredCall, day_of_calls, jambonz_calls, ring_group

FOLDER = Path(__file__).parent
SCRATCH = ROOT / ".local" / "pictures"
CALLHOOKS = Path(sys.prefix) / "bin" / "callhooks"

# The console.

RECORDED_PHONE, RUNG_PHONE = "+14155550199", "+14155550100"


def draw_console() -> None:
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright, serving(CallLogDouble(PAGE, NOW)) as double:
        path = _add_a_day(double)
        browser = playwright.chromium.launch(executable_path=chromium(), args=sandbox)
        page = browser.new_page(viewport={"width": 1180, "height": 720})
        page.goto(double.url)
        sign_in(page)
        page.locator("#rows tr").nth(9).wait_for()
        page.locator("#plot svg, #plot rect").first.wait_for()
        page.screenshot(path=FOLDER / "console-list.png", animations="disabled")
        page.set_viewport_size({"width": 900, "height": 2400})
        page.goto(f"{double.url}#call={path}")
        ladder = page.locator(".ladder")
        ladder.wait_for()
        ladder.screenshot(path=FOLDER / "console-ladder.png", animations="disabled")
        browser.close()


def _add_a_day(double: CallLogDouble) -> str:
    """Store a working day, with a call through the menu near its end.

    Returns:
        The path of that call.
    """
    double.store(*day_of_calls(220, until=NOW - timedelta(minutes=6)))
    double.relate(*ring_group(NOW - timedelta(minutes=1), until=12))
    through_menu = [_dialled_as_planned(call) for call in jambonz_calls(NOW - timedelta(minutes=4)).values()]
    double.relate(*through_menu)
    return next(call.path for call in through_menu if not call.call.parent_call_id)


def _dialled_as_planned(call: StoredCall) -> StoredCall:
    """Return the call with the recorded leg's number replaced by one that the recorded verb dials."""

    def renumbered(text: str | None) -> str | None:
        return text and text.replace(RECORDED_PHONE, RUNG_PHONE)

    return StoredCall(
        tuple(
            replace(stored, body=renumbered(stored.body), event=replace(stored.event, to=renumbered(stored.event.to)))
            for stored in call.events
        )
    )


# The terminal.

COLUMNS, ROWS = 104, 27
LETTER, LINE, MARGIN, TITLE = 7.83, 18, 16, 32
MIN_PAUSE, MAX_PAUSE, BEFORE_COMMAND, AFTER_COMMAND, AT_THE_END = 0.12, 0.8, 1.2, 2.0, 6.0
START_SECONDS = 180
THEME = DIMMED_MONOKAI
SCRIPT = "press 1\ndial answered 42\n"


@dataclass(frozen=True)
class Line:
    """Line of the terminal, and the time at which it appeared."""

    seconds: float
    text: str


def draw_terminal() -> None:
    make_private_folder(SCRATCH)
    script = SCRATCH / "call.txt"
    script.write_text(SCRIPT)
    new_call = "callhooks send events/jambonz/new_call.json"
    commands = [new_call, new_call, f"callhooks call --script {script.relative_to(ROOT)}"]
    with _running() as (started, stack):
        recorded = [(command, list(_lines_of(_spawn(*command.split()[1:]), seconds=60))) for command in commands]
    lines = [Line(line.seconds, _fit_to_show(line.text, stack)) for line in _played([("make run", started), *recorded])]
    (FOLDER / "terminal.svg").write_text(_animated(lines), "utf-8")


@dataclass
class _Spawned:
    process: subprocess.Popen[bytes]
    output: int


def _spawn(*arguments: str) -> _Spawned:
    ours, theirs = pty.openpty()
    environment = os.environ | {
        "CALLHOOKS_STACK": "",
        "CALLHOOKS_STACK_FILE": str(SCRATCH / "stack.json"),
        "TERM": "xterm-256color",
        "COLUMNS": "400",  # lines are wrapped later, because replacements change their length
    }
    process = subprocess.Popen(
        [CALLHOOKS, *arguments], cwd=ROOT, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    return _Spawned(process, ours)


def _lines_of(spawned: _Spawned, *, seconds: float, until: str | None = None) -> Iterator[Line]:
    """Yield the lines of a command, up to its end or to the first line that contains `until`."""
    started, rest = time.monotonic(), b""
    while time.monotonic() - started < seconds:
        try:
            read = os.read(spawned.output, 4096)
        except OSError:  # the other side of the terminal is closed
            return
        *complete, rest = (rest + read).split(b"\n")
        for line in complete:
            text = line.decode("utf-8").rstrip("\r")
            yield Line(time.monotonic() - started, text)
            if until and until in text:
                return
    raise TimeoutError(f"{spawned.process.args!r} did not finish in time")


@contextmanager
def _running() -> Iterator[tuple[list[Line], LocalStack]]:
    spawned = _spawn("run", "--port", "0")
    try:
        lines = list(_lines_of(spawned, seconds=START_SECONDS, until="Ctrl-C"))
        yield lines, LocalStack.read(SCRATCH / "stack.json")
    finally:
        spawned.process.send_signal(signal.SIGINT)
        spawned.process.wait(30)


def _played(recorded: Sequence[tuple[str, Sequence[Line]]]) -> Iterator[Line]:
    """Yield all lines on one time line, with long pauses shortened and bursts slowed down for reading."""
    now = 0.0
    for command, lines in recorded:
        now += BEFORE_COMMAND
        yield Line(now, f"\x1b[1;32m$\x1b[0m \x1b[1m{command}\x1b[0m")
        before = 0.0
        for line in lines:
            now += min(max(line.seconds - before, MIN_PAUSE), MAX_PAUSE)
            before = line.seconds
            yield Line(now, line.text)
        now += AFTER_COMMAND
        yield Line(now, "")


def _fit_to_show(text: str, stack: LocalStack) -> str:
    """Replace secrets and the paths and port of this machine."""
    for secret in _texts_in(stack.credentials.model_dump(mode="json")):
        if len(secret) >= 20:
            text = text.replace(secret, "•" * 12)
    port = re.compile(rf"(?<=127\.0\.0\.1:){stack.base_url.rpartition(':')[2]}\b")
    text = port.sub("8080", text).replace(f"{SCRATCH.relative_to(ROOT)}/", ".local/")
    return text.replace(str(ROOT), "~/callhooks").replace(str(Path(sys.prefix)), "~/callhooks/.venv")


def _texts_in(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for member in value.values():
            yield from _texts_in(member)


SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-labelledby="title about">
<title id="title">Terminal recording: make run, and a call</title>
<desc id="about">make run builds the template, deploys it to a local AWS engine and prints URLs and credentials.
callhooks send delivers a recorded call of jambonz and gets verbs; a duplicate gets the same answer.
callhooks call walks through a call with a script.</desc>
<style>
text {{ font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, 'Liberation Mono', 'DejaVu Sans Mono', monospace;
  fill: {ink}; white-space: pre }}
.lines {{ transform: translateY(-{all}px); animation: lines {seconds:.1f}s step-end infinite }}
@keyframes lines {{ {frames} }}
@media (prefers-reduced-motion: reduce) {{ .lines {{ animation: none }} }}
</style>
<clipPath id="window"><rect y="{title}" width="{width}" height="{rows}"/></clipPath>
<rect width="{width}" height="{height}" rx="8" fill="{paper}"/>
<g fill="#6b7280"><circle cx="20" cy="16" r="5"/><circle cx="38" cy="16" r="5"/><circle cx="56" cy="16" r="5"/></g>
<g clip-path="url(#window)"><g transform="translate({margin} {bottom})"><g class="lines">
{texts}
</g></g></g>
</svg>
"""


def _animated(lines: Sequence[Line]) -> str:
    """Return the SVG of a terminal whose last line is at the bottom; moving all lines up shows one after another."""
    console = Console(width=COLUMNS)
    rows: list[tuple[float, Text]] = []
    for line in lines:
        text = Text.from_ansi(line.text)
        rows += [(line.seconds, row) for row in (text.divide(range(COLUMNS, len(text), COLUMNS)) if text else [text])]
    seconds = rows[-1][0] + AT_THE_END
    shown, frames = 0, ["0% { transform: translateY(0) }"]
    for at, group in groupby(rows, lambda row: row[0]):
        shown += len(list(group))
        frames.append(f"{100 * at / seconds:.2f}% {{ transform: translateY(-{shown * LINE}px) }}")
    return SVG.format(
        width=round(COLUMNS * LETTER + 2 * MARGIN),
        height=TITLE + ROWS * LINE + MARGIN,
        title=TITLE,
        rows=ROWS * LINE,
        margin=MARGIN,
        bottom=TITLE + ROWS * LINE,
        all=shown * LINE,
        seconds=seconds,
        frames=" ".join(frames),
        ink=_hex(THEME.foreground_color),
        paper=_hex(THEME.background_color),
        texts="\n".join(
            f'<text y="{number * LINE + 13}">{_spans(row, console)}</text>'
            for number, (_, row) in enumerate(rows)
            if row.plain
        ),
    )


def _spans(row: Text, console: Console) -> str:
    return "".join(
        f"<tspan{_look(segment.style or Style())}>{escape(segment.text, quote=False)}</tspan>"
        for segment in row.render(console)
        if segment.text
    )


def _look(style: Style) -> str:
    colour = style.color.get_truecolor(THEME) if style.color else THEME.foreground_color
    if style.dim:
        colour = blend_rgb(colour, THEME.background_color, 0.25)
    fill = f' fill="{_hex(colour)}"' if colour != THEME.foreground_color else ""
    return fill + (' font-weight="bold"' if style.bold else "")


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


if __name__ == "__main__":
    draw_console()
    draw_terminal()
