"""Language models in calls use the tools of the deployed application."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from callhooks_tools.stack.recordings import Delivery, NewCallIds

from tests.running_stack import RunningStack


def in_a_new_call(running: RunningStack, name: str, ids: NewCallIds | None = None) -> Delivery:
    """Return a recorded tool hook of a new call, signed."""
    return running.signed((ids or NewCallIds()).renew(running.recorded(name), Path(f"{name}.json")))


def items_of(running: RunningStack, delivery: Delivery) -> list[dict[str, Any]]:
    call_sid = dict(delivery.request.query)["call"]
    return [item for item in running.items() if item.get("call_id") == {"S": call_sid}]


def test_a_tool_knows_the_call_that_it_runs_in(running: RunningStack) -> None:
    # This needs the permissions to read the initial webhook and to look up the caller's calls.
    ids = NewCallIds()
    new_call = running.signed(ids.renew(running.recorded("new_call"), Path("new_call.json")))
    assert running.post(new_call).status_code == 200
    response = running.post(in_a_new_call(running, "tool_ultravox", ids))
    result = json.loads(response.json()["result"])
    assert isinstance(result["calls"], list)
    assert "note" not in result


def test_ten_simultaneous_tool_hooks_are_all_answered_and_stored_once(running: RunningStack) -> None:
    delivery = in_a_new_call(running, "tool_openai")
    with ThreadPoolExecutor(10) as pool:
        responses = list(pool.map(running.post, [delivery] * 10))
    assert {response.status_code for response in responses} == {200}
    assert {response.json()["type"] for response in responses} == {"conversation.item.create"}
    assert len(items_of(running, delivery)) == 1
