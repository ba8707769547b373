"""`make mutations`: takes each safeguard away, one at a time, and says which test fails.

Works on a copy of the sources in a temporary folder. A safeguard that can be taken away without a failing test is a
failure of this command.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from callhooks_tools.stack.stack import ROOT
from callhooks_tools.stack.terminal import console

LAYER = Path("layers/callhooks/callhooks")
COPIED = ("bench", "docs", "events", "functions", "layers", "requirements", "tests", "tools")
JAMBONZ = "tests/unit/providers/jambonz"
WRITER, REUSED, WEBHOOKS = (
    "tests/unit/events/test_event_writer.py",
    "tests/unit/events/test_reused_ids.py",
    "tests/unit/webhooks/test_event_webhooks.py",
)
NEW_CALL, ACTION, CLIENTS, TOOLS = (
    f"{JAMBONZ}/test_new_call.py",
    f"{JAMBONZ}/test_action.py",
    f"{JAMBONZ}/test_client_auth.py",
    f"{JAMBONZ}/llm_tools",
)


@dataclass(frozen=True)
class Mutation:
    """A safeguard taken away: in a file of the layer, the text `old` becomes `new`, and one of the tests must fail."""

    safeguard: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTATIONS = (
    # Nobody in.
    Mutation(
        "Basic is compared",
        "providers/jambonz/authentication.py",
        "    if not sum(\n",
        "    if not 1 + sum(\n",
        (NEW_CALL,),
    ),
    Mutation(
        "a signature is compared",
        "providers/jambonz/authentication.py",
        "if not sum(hmac.compare_digest(one, other)",
        "if not 1 + sum(hmac.compare_digest(one, other)",
        (NEW_CALL,),
    ),
    Mutation(
        "a signature grows old", "providers/jambonz/authentication.py", "> TOLERANCE_SECONDS", "> 10**12", (NEW_CALL,)
    ),
    Mutation(
        "a signature has one time",
        "providers/jambonz/authentication.py",
        '.count("t") == 1',
        '.count("t") > 0',
        (NEW_CALL, JAMBONZ),
    ),
    Mutation(
        "a GET names no call",
        "providers/jambonz/new_call.py",
        "if sender.lacks_signature and",
        "if False and",
        (NEW_CALL,),
    ),
    Mutation(
        "client authentication by GET fails",
        "providers/jambonz/client_auth.py",
        "if request.sender.lacks_signature:",
        "if False:",
        (CLIENTS,),
    ),
    Mutation(
        "the call in a URL is signed",
        "providers/jambonz/authentication.py",
        "call_id if signed else None",
        "call_id",
        (JAMBONZ,),
    ),
    Mutation(
        "a digest is used once",
        "providers/jambonz/client_auth.py",
        "if used and not clients.claim_nonce",
        "if False and not clients.claim_nonce",
        (CLIENTS,),
    ),
    Mutation(
        "a client who cannot be looked up is not let in",
        "providers/jambonz/client_auth.py",
        "outcome = ClientRefusal.NOT_CHECKED",
        "raise",
        (CLIENTS,),
    ),
    Mutation("a token is compared", "providers/url_token.py", "if not sum(", "if not 1 + sum(", (WEBHOOKS,)),
    Mutation(
        "a token is compared in constant time",
        "providers/url_token.py",
        'hmac.compare_digest(given, token.encode("utf-8"))',
        'given == token.encode("utf-8")',
        ("tests/unit/webhooks/test_constant_time.py",),
    ),
    Mutation(
        "addresses can be limited",
        "providers/url_token.py",
        "if self._allowed and",
        "if False and",
        ("tests/unit/providers/test_wavix.py",),
    ),
    Mutation(
        "Bird's signature is compared",
        "providers/bird.py",
        "if not sum(",
        "if not 1 + sum(",
        (WEBHOOKS, "tests/unit/providers/test_bird.py"),
    ),
    Mutation(
        "Bird's signature grows old",
        "providers/bird.py",
        "<= self._window",
        "<= now - now + self._window * 99",
        (WEBHOOKS, "tests/unit/providers/test_bird.py"),
    ),
    Mutation(
        "a session is signed",
        "call_log/session.py",
        "if hmac.compare_digest(_mac(",
        "if True or hmac.compare_digest(_mac(",
        ("tests/unit/call_log",),
    ),
    Mutation(
        "credentials are checked before AWS is asked",
        "webhooks/pipeline.py",
        "        self._webhook.precheck_credentials(request, now)\n",
        "",
        (NEW_CALL, WEBHOOKS),
    ),
    Mutation(
        "a rotated secret is taken up",
        "webhooks/pipeline.py",
        "newer = self._credentials.newer()",
        "newer = None",
        (NEW_CALL, WEBHOOKS),
    ),
    Mutation(
        "refused requests are no load on the secret store",
        "webhooks/credentials.py",
        "< REFRESH_INTERVAL_SECONDS",
        "< 0",
        (NEW_CALL, WEBHOOKS),
    ),
    Mutation(
        "cached secrets outlive an outage",
        "webhooks/credentials.py",
        "            return False\n        return True",
        "            raise\n        return True",
        (NEW_CALL, WEBHOOKS),
    ),
    # Nothing twice.
    Mutation(
        "an event is written once",
        "events/event_table.py",
        '"attribute_not_exists(pk)"',
        '"attribute_exists(pk) OR attribute_not_exists(pk)"',
        ("tests/integration/functions/test_new_call.py", "tests/integration/functions/test_event_functions.py"),
    ),
    Mutation(
        "a repeat gets the first answer",
        "events/event_table.py",
        "if first is None else answer_of(first)",
        "",
        (NEW_CALL, REUSED, WRITER, ACTION),
    ),
    Mutation(
        "a reused id is no repeat",
        "events/event_table.py",
        "if first is None or is_repeat(item, first):",
        "if True:",
        (REUSED,),
    ),
    Mutation(
        "a write that the SDK repeated is no repeat",
        "events/event_table.py",
        "if first is not None and not _same_write(",
        "if first is not None and (True or ",
        (NEW_CALL, WEBHOOKS, REUSED),
    ),
    Mutation(
        "other hooks are other events",
        "providers/jambonz/hook.py",
        "_hashed(request.method, request.path, query, _mark(request))",
        "_hashed(query, _mark(request))",
        (JAMBONZ,),
    ),
    Mutation(
        "a tool runs once",
        "providers/jambonz/llm_tools/runner.py",
        "self._run_once(key=key,",
        "self._run_all(key=key,",
        (TOOLS,),
    ),
    # Nothing lost.
    Mutation(
        "what the table rejects goes to the queue",
        "events/event_writer.py",
        "elif self._spill(item, answer, failure):",
        "elif False:",
        (WRITER, NEW_CALL),
    ),
    Mutation(
        "what the queue rejects goes to the log",
        "events/event_writer.py",
        "        self.log(item, failure)\n        return",
        "        return",
        (WRITER, NEW_CALL),
    ),
    Mutation(
        "what nobody stored is not acknowledged",
        "events/event_writer.py",
        "        if self._store.holds(item):\n            is_repeat",
        "        if True:\n            is_repeat",
        (WRITER, NEW_CALL, WEBHOOKS),
    ),
    Mutation(
        "what is refused for good is not spilled",
        "events/event_writer.py",
        "if is_refused_for_good(cause):",
        "if False:",
        (NEW_CALL, WEBHOOKS),
    ),
    Mutation(
        "what is in the log alone is sent again",
        "webhooks/pipeline.py",
        "if result.outcome is WriteOutcome.LOGGED and",
        "if False and",
        (WEBHOOKS,),
    ),
    Mutation(
        "no fault of ours loses a delivery",
        "webhooks/pipeline.py",
        "return self._quarantine(request, NOT_PROCESSED, deadline)",
        "raise",
        (NEW_CALL, WEBHOOKS),
    ),
    Mutation(
        "what is not understood is kept",
        "webhooks/pipeline.py",
        "return self._quarantine(request, problem.detail, deadline)",
        "raise",
        (WEBHOOKS,),
    ),
    Mutation(
        "what the database refuses is quarantined",
        "webhooks/pipeline.py",
        "return self._quarantine(request, REFUSED_BY_DATABASE, deadline, answer)",
        "pass",
        (NEW_CALL, WEBHOOKS),
    ),
    Mutation(
        "a message that cannot be stored stays in the queue",
        "events/spill_queue.py",
        "            failed.append(message)\n",
        "",
        ("tests/unit/events/test_spill_queue.py",),
    ),
    Mutation(
        "the drainer leaves itself time",
        "events/spill_queue.py",
        "if seconds_left() > RESERVED_SECONDS:",
        "if True:",
        ("tests/unit/events/test_spill_queue.py",),
    ),
    Mutation(
        "a table that is silent is left alone",
        "runtime/aws_clients.py",
        "            raise CircuitOpenError\n",
        "            return\n",
        ("tests/unit/runtime/test_aws_clients.py", "tests/integration/functions/test_outage.py"),
    ),
    # An answer in time, and one call from its events.
    Mutation(
        "a call gets the fallback while secrets cannot be read",
        "webhooks/pipeline.py",
        "if webhook.fallback is not None and webhook.handles_new_calls and webhook.is_new_call",
        "if False and webhook.is_new_call",
        (NEW_CALL,),
    ),
    Mutation(
        "a call gets the fallback whatever raises",
        "webhooks/pipeline.py",
        "if self._webhook.handles_new_calls and self._webhook.fallback is not None:",
        "if False:",
        (NEW_CALL,),
    ),
    Mutation(
        "a function that cannot start gives the fallback",
        "webhooks/bootstrap.py",
        "if self._receiver else fallback_payload(self._fallback)",
        "",
        ("tests/integration/functions/test_new_call.py", NEW_CALL),
    ),
    Mutation(
        "a body is limited",
        "webhooks/pipeline.py",
        "if len(request.body) > MAX_BODY_BYTES:",
        "if False:",
        (NEW_CALL, WEBHOOKS),
    ),
    Mutation(
        "there is no write without time for it",
        "events/event_writer.py",
        "if seconds_left() >= STORE_SECONDS or",
        "if True or",
        (WRITER,),
    ),
    Mutation(
        "identifiers that are no keys are hashed",
        "events/event_item.py",
        "        and _PLAIN_ID.fullmatch(identifier)\n",
        "",
        (NEW_CALL,),
    ),
    Mutation(
        "events are folded in their own order",
        "calls/call.py",
        "_Fold(sorted(known.values(), key=position), hints)",
        "_Fold(list(known.values()), hints)",
        ("tests/unit/calls/test_call.py",),
    ),
    Mutation(
        "the text of an exception is not logged",
        "runtime/errors.py",
        '    return f"{type(error).__name__} at {place}"',
        '    return f"{error} at {place}"',
        (NEW_CALL, "tests/unit/webhooks/test_masking.py"),
    ),
)


def failing_test(mutation: Mutation, folder: Path) -> str | None:
    """Return the first test that fails without a safeguard; `None` where all pass.

    Raises:
        ValueError: the text that is to be changed does not stand in the file exactly once.
    """
    path = folder / LAYER / mutation.file
    text = path.read_text("utf-8")
    if text.count(mutation.old) != 1:
        raise ValueError(f"{mutation.safeguard}: {mutation.file} has {mutation.old!r} {text.count(mutation.old)} times")
    path.write_text(text.replace(mutation.old, mutation.new), "utf-8")
    try:
        return first_failure(mutation.tests, folder)
    finally:
        path.write_text(text, "utf-8")


def first_failure(tests: Sequence[str], folder: Path) -> str | None:
    """Return the first of these tests that fails; `None` where all pass."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header", *tests],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder / 'layers' / 'callhooks'}:{folder / 'tools'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    return failed[1] if failed and done.returncode == 1 else None


def main(
    only: Annotated[str, typer.Option(help="Take away the safeguards whose name has this text in it.")] = "",
) -> None:
    """Take each safeguard away, and say which test fails."""
    survivors = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for copied in COPIED:
            shutil.copytree(ROOT / copied, folder / copied, ignore=shutil.ignore_patterns("__pycache__"))
        for file in ("Makefile", "README.md", "CHANGELOG.md", "pyproject.toml", "samconfig.toml", "template.yaml"):
            shutil.copy(ROOT / file, folder / file)
        chosen = [mutation for mutation in MUTATIONS if only in mutation.safeguard]
        for tests in sorted({test for mutation in chosen for test in mutation.tests}):
            test = first_failure((tests,), folder)
            if test:
                console.print(f"{test} fails while every safeguard is there.", soft_wrap=True)
                raise typer.Exit(1)
            console.print(f"{tests} passes with every safeguard in place", soft_wrap=True)
        for mutation in chosen:
            test = failing_test(mutation, folder)
            survivors += test is None
            console.print(f"{mutation.safeguard}: {test or 'NO TEST FAILS'}", soft_wrap=True)
    if survivors:
        console.print(f"{survivors} safeguards can be taken away unseen.")
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
