"""`make mutations`: remove the safeguards one by one, and report which test fails.

This works on a copy of the sources in a temporary folder. The command fails if a safeguard can be removed without a
failing test.
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
    """Removal of a safeguard: `old` becomes `new` in a file of the layer, and one of the tests must fail."""

    safeguard: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTATIONS = (
    # Unauthenticated requests are rejected.
    Mutation(
        "Basic credentials are compared",
        "providers/jambonz/authentication.py",
        "    if not sum(\n",
        "    if not 1 + sum(\n",
        (NEW_CALL,),
    ),
    Mutation(
        "a jambonz signature is compared",
        "providers/jambonz/authentication.py",
        "if not sum(hmac.compare_digest(one, other)",
        "if not 1 + sum(hmac.compare_digest(one, other)",
        (NEW_CALL,),
    ),
    Mutation(
        "a jambonz signature expires",
        "providers/jambonz/authentication.py",
        "> TOLERANCE_SECONDS",
        "> 10**12",
        (NEW_CALL,),
    ),
    Mutation(
        "a signature has exactly one timestamp",
        "providers/jambonz/authentication.py",
        '.count("t") == 1',
        '.count("t") > 0',
        (NEW_CALL, JAMBONZ),
    ),
    Mutation(
        "an unsigned GET cannot name a call",
        "providers/jambonz/new_call.py",
        "if sender.lacks_signature and",
        "if False and",
        (NEW_CALL,),
    ),
    Mutation(
        "client authentication over GET fails",
        "providers/jambonz/client_auth.py",
        "if request.sender.lacks_signature:",
        "if False:",
        (CLIENTS,),
    ),
    Mutation(
        "an unsigned call id in a URL is ignored",
        "providers/jambonz/authentication.py",
        "call_id if signed else None",
        "call_id",
        (JAMBONZ,),
    ),
    Mutation(
        "a SIP digest is accepted once",
        "providers/jambonz/client_auth.py",
        "if used and not clients.claim_digest",
        "if False and not clients.claim_digest",
        (CLIENTS,),
    ),
    Mutation(
        "a SIP client that cannot be looked up is rejected",
        "providers/jambonz/client_auth.py",
        "outcome = ClientRefusal.NOT_CHECKED",
        "raise",
        (CLIENTS,),
    ),
    Mutation("a URL token is compared", "providers/url_token.py", "if not sum(", "if not 1 + sum(", (WEBHOOKS,)),
    Mutation(
        "a URL token is compared in constant time",
        "providers/url_token.py",
        'hmac.compare_digest(received, token.encode("utf-8"))',
        'received == token.encode("utf-8")',
        ("tests/unit/webhooks/test_constant_time.py",),
    ),
    Mutation(
        "addresses can be restricted",
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
        "Bird's signature expires",
        "providers/bird.py",
        "<= self._window",
        "<= now - now + self._window * 99",
        (WEBHOOKS, "tests/unit/providers/test_bird.py"),
    ),
    Mutation(
        "a console session is signed",
        "call_log/session.py",
        "if hmac.compare_digest(_mac(",
        "if True or hmac.compare_digest(_mac(",
        ("tests/unit/call_log",),
    ),
    Mutation(
        "credentials are prechecked before any request to AWS",
        "webhooks/pipeline.py",
        "        self._webhook.precheck_credentials(request, now)\n",
        "",
        (NEW_CALL, WEBHOOKS),
    ),
    Mutation(
        "a rotated secret takes effect",
        "webhooks/pipeline.py",
        "newer = self._credentials.newer()",
        "newer = None",
        (NEW_CALL, WEBHOOKS),
    ),
    Mutation(
        "rejected requests do not load the secret store",
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
    # Every event is stored exactly once.
    Mutation(
        "an event is stored once",
        "events/event_table.py",
        '"attribute_not_exists(pk)"',
        '"attribute_exists(pk) OR attribute_not_exists(pk)"',
        ("tests/integration/functions/test_aws_calls.py",),
    ),
    Mutation(
        "a duplicate gets the first answer",
        "events/event_table.py",
        "if first is None else answer_of(first)",
        "",
        (NEW_CALL, REUSED, WRITER, ACTION),
    ),
    Mutation(
        "a reused id is not a duplicate",
        "events/event_table.py",
        "if first is None or is_duplicate(item, first):",
        "if True:",
        (REUSED,),
    ),
    Mutation(
        "a write that the SDK retried is not a duplicate",
        "events/event_table.py",
        "if first is not None and not _same_write(",
        "if first is not None and (True or ",
        (NEW_CALL, WEBHOOKS, REUSED),
    ),
    Mutation(
        "different hooks are different events",
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
    # No accepted event is lost.
    Mutation(
        "an event that the table rejects goes to the spill queue",
        "events/event_writer.py",
        "elif self._spill(item, answer, failure):",
        "elif False:",
        (WRITER, NEW_CALL),
    ),
    Mutation(
        "an event that the queue rejects goes to the log",
        "events/event_writer.py",
        "        self.log(item, failure)\n        return",
        "        return",
        (WRITER, NEW_CALL),
    ),
    Mutation(
        "an event that was not stored is not acknowledged",
        "events/event_writer.py",
        "        if self._store.holds(item):\n            is_duplicate",
        "        if True:\n            is_duplicate",
        (WRITER, NEW_CALL, WEBHOOKS),
    ),
    Mutation(
        "a permanently rejected event is not spilled",
        "events/event_writer.py",
        "if is_permanent_rejection(cause):",
        "if False:",
        (NEW_CALL, WEBHOOKS),
    ),
    Mutation(
        "a sender must retry an event that is only in the log",
        "webhooks/pipeline.py",
        "if result.outcome is WriteOutcome.LOGGED and",
        "if False and",
        (WEBHOOKS,),
    ),
    Mutation(
        "an internal error does not lose a delivery",
        "webhooks/pipeline.py",
        "return self._quarantine(request, NOT_PROCESSED, deadline)",
        "raise",
        (NEW_CALL, WEBHOOKS),
    ),
    Mutation(
        "an unreadable delivery is quarantined",
        "webhooks/pipeline.py",
        "return self._quarantine(request, problem.detail, deadline)",
        "raise",
        (WEBHOOKS,),
    ),
    Mutation(
        "an event that the database permanently rejects is quarantined",
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
        "the drainer reserves time to finish",
        "events/spill_queue.py",
        "if seconds_left() > RESERVED_SECONDS:",
        "if True:",
        ("tests/unit/events/test_spill_queue.py",),
    ),
    Mutation(
        "the circuit breaker stops requests to a silent table",
        "runtime/aws_clients.py",
        "            raise CircuitOpenError\n",
        "            return\n",
        ("tests/unit/runtime/test_aws_clients.py", "tests/integration/functions/test_outage.py"),
    ),
    # Calls are answered in time, and their events build the same call in any order.
    Mutation(
        "a call gets the fallback while secrets cannot be read",
        "webhooks/pipeline.py",
        "if webhook.fallback is not None and webhook.handles_new_calls and webhook.is_new_call",
        "if False and webhook.is_new_call",
        (NEW_CALL,),
    ),
    Mutation(
        "a call gets the fallback after any exception",
        "webhooks/pipeline.py",
        "if self._webhook.handles_new_calls and self._webhook.fallback is not None:",
        "if False:",
        (NEW_CALL,),
    ),
    Mutation(
        "a function that cannot start returns the fallback",
        "webhooks/bootstrap.py",
        "if self._receiver else fallback_payload(self._fallback)",
        "",
        ("tests/integration/functions/test_new_call.py", NEW_CALL),
    ),
    Mutation(
        "the size of a body is limited",
        "webhooks/pipeline.py",
        "if len(request.body) > MAX_BODY_BYTES:",
        "if False:",
        (NEW_CALL, WEBHOOKS),
    ),
    Mutation(
        "a write is not started without enough time",
        "events/event_writer.py",
        "if seconds_left() >= STORE_SECONDS or",
        "if True or",
        (WRITER,),
    ),
    Mutation(
        "identifiers that cannot be keys are hashed",
        "events/event_item.py",
        "        and _PLAIN_ID.fullmatch(identifier)\n",
        "",
        (NEW_CALL,),
    ),
    Mutation(
        "events are folded in their order of occurrence",
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
    """Return the first test that fails without a safeguard, or `None` if all tests pass.

    Raises:
        ValueError: the text to replace does not occur exactly once in the file.
    """
    path = folder / LAYER / mutation.file
    text = path.read_text("utf-8")
    if text.count(mutation.old) != 1:
        raise ValueError(
            f"{mutation.safeguard}: {mutation.file} contains {mutation.old!r} {text.count(mutation.old)} times"
        )
    path.write_text(text.replace(mutation.old, mutation.new), "utf-8")
    try:
        return first_failure(mutation.tests, folder)
    finally:
        path.write_text(text, "utf-8")


def first_failure(tests: Sequence[str], folder: Path) -> str | None:
    """Return the first of these tests that fails, or `None` if all pass."""
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
    only: Annotated[str, typer.Option(help="Remove only the safeguards whose name contains this text.")] = "",
) -> None:
    """Remove the safeguards one by one, and report which test fails."""
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
                console.print(f"{test} fails with all safeguards in place. Fix it first.", soft_wrap=True)
                raise typer.Exit(1)
            console.print(f"{tests} passes with all safeguards in place", soft_wrap=True)
        for mutation in chosen:
            test = failing_test(mutation, folder)
            survivors += test is None
            console.print(f"{mutation.safeguard}: {test or 'NO TEST FAILS'}", soft_wrap=True)
    if survivors:
        console.print(f"{survivors} safeguards can be removed without a failing test.")
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
