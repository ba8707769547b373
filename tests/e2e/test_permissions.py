"""The engine denies actions that a function's role does not allow, as soon as they are removed from the role."""

from __future__ import annotations

import json
import time

from callhooks_tools.stack.recordings import Delivery, read_delivery

from tests.e2e.breakage import without_permission
from tests.e2e.conftest import eventually
from tests.running_stack import RunningStack
from tests.support import EVENTS

FUNCTION = "WavixCallFunction"


def deliver(running: RunningStack, tag: str) -> int:
    """Deliver a new Wavix event, and return the status of the answer."""
    recorded = read_delivery(EVENTS / "wavix" / "ringing.json")
    body = json.dumps({**json.loads(recorded.request.body), "tag": tag})
    return running.post(running.signed(Delivery({**recorded.event, "body": body}))).status_code


def test_an_event_that_may_not_be_stored_waits_in_the_spill_queue(running: RunningStack) -> None:
    before = len(running.items())
    with without_permission(running, FUNCTION, "StoreEvents"):
        assert deliver(running, f"denied-{time.time_ns()}") == 200
    eventually(lambda: len(running.items()) > before)


def test_an_event_that_may_not_be_stored_or_spilled_is_not_accepted(running: RunningStack) -> None:
    with without_permission(running, FUNCTION, "StoreEvents"), without_permission(running, FUNCTION, "SpillEvents"):
        assert deliver(running, f"denied-{time.time_ns()}") == 503
