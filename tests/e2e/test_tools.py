"""Language models in calls use the tools of the deployed application."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from callhooks_tools.stack.recordings import Delivery, NewCallIds

from tests.running_stack import RunningStack
from tests.support import EVENTS

RECORDED = sorted(path.stem for path in (EVENTS / "jambonz").glob("tool_*.json"))


def in_a_new_call(running: RunningStack, name: str, ids: NewCallIds | None = None) -> Delivery:
    """Return a recorded tool hook of a new call, signed."""
    return running.signed((ids or NewCallIds()).renew(running.recorded(name), Path(f"{name}.json")))


def items_of(running: RunningStack, delivery: Delivery) -> list[dict[str, Any]]:
    call_sid = dict(delivery.request.query)["call"]
    return [item for item in running.items() if item.get("call_id") == {"S": call_sid}]


@pytest.mark.parametrize("name", RECORDED)
def test_every_recorded_tool_hook_is_answered_with_an_object_and_stored(running: RunningStack, name: str) -> None:
    delivery = in_a_new_call(running, name)
    response = running.post(delivery)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert isinstance(response.json(), dict)
    assert ("There is no tool with this name" in response.text) is name.startswith("tool_unknown")
    (item,) = items_of(running, delivery)
    assert (item["kind"], item["answer"]) == ({"S": "tool.called"}, {"S": response.text})


def test_a_tool_knows_the_call_that_it_runs_in(running: RunningStack) -> None:
    # This needs the permissions to read the initial webhook and to look up the caller's calls.
    ids = NewCallIds()
    new_call = running.signed(ids.renew(running.recorded("new_call"), Path("new_call.json")))
    assert running.post(new_call).status_code == 200
    response = running.post(in_a_new_call(running, "tool_ultravox", ids))
    result = json.loads(response.json()["result"])
    assert isinstance(result["calls"], list)
    assert "note" not in result


def test_a_duplicate_gets_the_first_answer_and_is_stored_once(running: RunningStack) -> None:
    delivery = in_a_new_call(running, "tool_openai")
    first, duplicate = running.post(delivery), running.post(delivery)
    assert (first.text, duplicate.headers["idempotent-replayed"]) == (duplicate.text, "true")
    assert "idempotent-replayed" not in first.headers
    assert len(items_of(running, delivery)) == 1


def test_ten_simultaneous_tool_hooks_are_all_answered_and_stored_once(running: RunningStack) -> None:
    delivery = in_a_new_call(running, "tool_openai")
    with ThreadPoolExecutor(10) as pool:
        responses = list(pool.map(running.post, [delivery] * 10))
    assert {response.status_code for response in responses} == {200}
    assert {response.json()["type"] for response in responses} == {"conversation.item.create"}
    assert len(items_of(running, delivery)) == 1


def test_an_invalid_tool_hook_gets_an_error_that_the_model_can_read(running: RunningStack) -> None:
    event = running.recorded("tool_elevenlabs").event
    response = running.post(running.signed(Delivery({**event, "body": "not JSON", "isBase64Encoded": False})))
    assert response.status_code == 200
    data = response.json()["data"]
    assert (data["is_error"], json.loads(data["result"])) == (True, {"error": "The body is not JSON."})


def test_unauthenticated_requests_run_no_tool(running: RunningStack) -> None:
    before = len(running.items())
    url = f"{running.stack.base_url}/webhooks/tool/openai"
    assert httpx.post(url, json={"tool_call_id": "1", "name": "opening_hours", "args": {}}).status_code == 401
    assert len(running.items()) == before


def test_the_command_sends_tool_hooks_and_lists_the_tools(running: RunningStack) -> None:
    sent = running.command("send", "events/jambonz/tool_google.json", "--new-call")
    assert sent.returncode == 0, sent.stderr
    assert "POST /webhooks/tool/{vendor}  tool_google.json  200" in sent.stdout
    listed = running.command("tools", "--vendor", "openai")
    assert [tool["name"] for tool in json.loads(listed.stdout)] == ["last_calls", "opening_hours", "who_answers"]
