"""A language model in a call asks the deployed application for tools."""

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
    """A recorded tool hook, of a call that was not seen before."""
    return running.signed((ids or NewCallIds()).renew(running.recorded(name), Path(f"{name}.json")))


def items_of(running: RunningStack, delivery: Delivery) -> list[dict[str, Any]]:
    call_sid = dict(delivery.request.query)["call"]
    return [item for item in running.items() if item.get("call_id") == {"S": call_sid}]


@pytest.mark.parametrize("name", RECORDED)
def test_every_recorded_tool_hook_is_answered_with_an_object_and_kept(running: RunningStack, name: str) -> None:
    delivery = in_a_new_call(running, name)
    response = running.post(delivery)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert isinstance(response.json(), dict)
    assert ("There is no tool of this name" in response.text) is name.startswith("tool_unknown")
    (item,) = items_of(running, delivery)
    assert (item["kind"], item["answer"]) == ({"S": "tool.called"}, {"S": response.text})


def test_a_tool_knows_the_call_it_is_asked_for_in(running: RunningStack) -> None:
    # It takes the permissions to read the first webhook and to look the caller's calls up.
    ids = NewCallIds()
    new_call = running.signed(ids.renew(running.recorded("new_call"), Path("new_call.json")))
    assert running.post(new_call).status_code == 200
    response = running.post(in_a_new_call(running, "tool_ultravox", ids))
    told = json.loads(response.json()["result"])
    assert isinstance(told["calls"], list)
    assert "note" not in told


def test_a_repeat_gets_the_first_answer_and_is_kept_once(running: RunningStack) -> None:
    delivery = in_a_new_call(running, "tool_openai")
    first, again = running.post(delivery), running.post(delivery)
    assert (first.text, again.headers["idempotent-replayed"]) == (again.text, "true")
    assert "idempotent-replayed" not in first.headers
    assert len(items_of(running, delivery)) == 1


def test_ten_deliveries_of_a_wish_at_once_are_all_answered_and_kept_once(running: RunningStack) -> None:
    delivery = in_a_new_call(running, "tool_openai")
    with ThreadPoolExecutor(10) as pool:
        responses = list(pool.map(running.post, [delivery] * 10))
    assert {response.status_code for response in responses} == {200}
    assert {response.json()["type"] for response in responses} == {"conversation.item.create"}
    assert len(items_of(running, delivery)) == 1


def test_what_is_no_wish_is_an_error_that_the_model_can_read(running: RunningStack) -> None:
    event = running.recorded("tool_elevenlabs").event
    response = running.post(running.signed(Delivery({**event, "body": "not JSON", "isBase64Encoded": False})))
    assert response.status_code == 200
    data = response.json()["data"]
    assert (data["is_error"], json.loads(data["result"])) == (True, {"error": "The body is not JSON."})


def test_who_proves_nothing_runs_nothing(running: RunningStack) -> None:
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
