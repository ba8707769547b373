"""Complete calls of the simulated phone to the deployed application, and their stored events."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from callhooks.providers.jambonz.authentication import signature_header_value
from callhooks_tools.providers.jambonz.plan.verb_profiles import Profile, verb_faults
from jambonz_sdk.validator import JambonzValidator

from tests.running_stack import RunningStack
from tests.support import Clock

MENU = "+14155550150"
TO_THE_VOICEMAIL = """
# menu, wrong key, repeat, sales, busy, voicemail, hang-up
press 7
wait
press 1
dial busy
listen 12 #
"""
IN_THE_QUEUE = """
press 2
press 1
press 2125#
queue waits 2
queue bridged 30
"""
CALL_BACK = """
press 3
press 4155550177#
press 1
"""
BY_SPEECH = """
low confidence mumble
say I would like a NEW order, please
dial answered 20
"""


def make_call(running: RunningStack, folder: Path, script: str, *options: str) -> list[dict[str, Any]]:
    """Make a call from beginning to end, and return the steps that jambonz would have taken."""
    file, saved = folder / "call.txt", folder / "call.jsonl"
    file.write_text(script, "utf-8")
    done = running.command("call", "--to", MENU, "--script", str(file), "--save", str(saved), "--json", *options)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    steps: list[dict[str, Any]] = json.loads(done.stdout)
    assert steps == [json.loads(line) for line in saved.read_text("utf-8").splitlines()]
    return steps


def answers_of(steps: list[dict[str, Any]]) -> list[Any]:
    return [step["answer"] for step in steps if step["step"] == "Sent" and isinstance(step["answer"], list)]


def events_of(running: RunningStack, steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the stored events of a call and of the legs that it dialled."""
    sids = {step["body"]["call_sid"] for step in steps if step["step"] == "Sent"}
    return [item for item in running.items() if item.get("call_id", {}).get("S") in sids]


@pytest.mark.parametrize("script", [TO_THE_VOICEMAIL, IN_THE_QUEUE, CALL_BACK, BY_SPEECH])
def test_every_answer_is_valid_for_all_jambonz_versions_and_events_are_stored_once(
    running: RunningStack, tmp_path: Path, script: str
) -> None:
    steps = make_call(running, tmp_path, script)
    schemas = JambonzValidator()
    for answer in answers_of(steps):
        assert not answer or schemas.validate_app(answer) == []
        for verb in answer:
            assert schemas.validate_verb(verb) == []
            assert [fault for profile in Profile for fault in verb_faults(verb, profile)] == []
    sent = [step for step in steps if step["step"] == "Sent"]
    assert {step["status"] for step in sent} == {200}
    assert {step["attempt"] for step in sent} == {1}
    assert len(events_of(running, steps)) == len(sent)


def test_a_call_from_the_menu_to_the_voicemail(running: RunningStack, tmp_path: Path) -> None:
    steps = make_call(running, tmp_path, TO_THE_VOICEMAIL, "--env", "COMPANY=Smith & Sons", "--env", "RING_SECONDS=12")
    heard = [step["text"] for step in steps if step["step"] == "Heard"]
    assert heard[0].startswith("Thank you for calling Smith & Sons.")
    assert heard[1] == "Sorry, that is not one of the choices."
    assert heard[-1] == "Thank you. Your message has been saved. Good bye."
    (dial,) = [verb for answer in answers_of(steps) for verb in answer if verb["verb"] == "dial"]
    assert dial["timeout"] == 12, "a variable that only the first webhook contained"
    kinds = Counter(item["kind"]["S"] for item in events_of(running, steps))
    assert kinds["call.verb"] == 5
    assert {"call.initiated", "call.answered", "call.ringing", "call.busy", "call.completed"} <= set(kinds)


def test_a_caller_hears_the_digits_that_were_entered(running: RunningStack, tmp_path: Path) -> None:
    steps = make_call(running, tmp_path, CALL_BACK)
    heard = [step["text"] for step in steps if step["step"] == "Heard"]
    assert heard[-1].startswith("We will call you back at 4 1 5 5 5 5 0 1 7 7.")


def test_pressing_a_key_twice_is_two_events_and_a_retry_is_one(running: RunningStack, tmp_path: Path) -> None:
    steps = make_call(running, tmp_path, "press *\npress *\nhang up\n")
    presses = [item for item in events_of(running, steps) if item["kind"]["S"] == "call.verb"]
    assert len(presses) == 2
    last = [step for step in steps if step["step"] == "Sent" and step["hook"] == "gather.actionHook"][-1]
    access = running.stack.credentials.of("jambonz")
    body = json.dumps(last["body"]).encode()
    assert "webhook_secret" in access
    signature = signature_header_value(access["webhook_secret"], Clock().now.now(Clock().now.tzinfo), body)
    url = urlsplit(last["url"])
    retries = [
        httpx.post(
            f"{running.stack.base_url}{url.path}?{url.query}",
            content=body,
            auth=(access["username"], access["password"]),
            headers={"content-type": "application/json", "jambonz-signature": signature},
            timeout=30,
        )
        for _ in range(2)
    ]
    assert retries[0].text == retries[1].text
    assert "idempotent-replayed" in retries[1].headers
    assert len(events_of(running, steps)) == len([step for step in steps if step["step"] == "Sent"]) + 1


def test_the_variables_of_the_plan_are_public(running: RunningStack) -> None:
    response = httpx.options(f"{running.stack.base_url}/webhooks/call", headers={"accept": "application/json"})
    assert response.status_code == 200
    schema = response.json()
    assert set(schema["RING_SECONDS"]) <= {"type", "description", "default", "required", "enum", "obscure"}
    assert schema["RING_SECONDS"]["type"] == "number"
    assert "env" not in schema
