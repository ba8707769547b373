"""`callhooks replay` and `callhooks forget` on the deployed stack."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from callhooks.events.call_event import Kind

from tests.calls import make_event
from tests.e2e import test_projector
from tests.e2e.conftest import eventually
from tests.e2e.test_projector import Projection
from tests.projection import bus_schema, stored_item
from tests.running_stack import CALLHOOKS
from tests.support import ROOT

LONG_AGO = datetime(2020, 11, 21, 6, 30, tzinfo=UTC)

projection = test_projector.projection


def put_call(projection: Projection, number: str) -> list[str]:
    """Store an old call, wait until it is projected, and return the ids of its events in order."""
    call_id = str(uuid.uuid4())
    kinds = (Kind.INITIATED, Kind.RINGING, Kind.ANSWERED, Kind.DTMF, Kind.HELD, Kind.RESUMED, Kind.COMPLETED)
    events = [replace(make_event(kind, second, from_=number), call_id=call_id) for second, kind in enumerate(kinds)]
    for event in events:
        projection.put(stored_item(replace(event, received_at=LONG_AGO), retention_days=0))
    pk = f"jambonz#{call_id}"
    projection.call_of(pk, len(events))
    return [f"{pk}/{event.dedupe_key}" for event in events]


def new_number() -> str:
    """Return a unique caller. It is a SIP user, because documentation numbers are few."""
    return f"user-{uuid.uuid4()}"


def test_a_replay_publishes_the_same_events_as_the_projector(projection: Projection) -> None:
    number = new_number()
    ids = put_call(projection, number)
    pk = ids[0].partition("/")[0]
    assert len({event["detail"]["id"] for event in projection.published(pk, len(ids))}) == len(ids)

    replayed = projection.running.command("replay", "--provider", "jambonz", "--number", number, "--rate", "100")
    assert replayed.returncode == 0, replayed.stderr
    assert f"Replayed {len(ids)} events to the bus" in replayed.stdout
    replays = projection.published(pk, len(ids))
    assert sorted(event["detail"]["id"] for event in replays) == ids
    for event in replays:
        bus_schema().validate(event["detail"])
        assert event["source"] == "callhooks.jambonz"
        assert event["detail"]["call"]["event_count"] == len(ids)


@dataclass
class Endpoint:
    """HTTP endpoint that receives replayed events."""

    url: str
    received: list[Any] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        return [event["id"] for event in self.received]


@contextmanager
def listening() -> Iterator[Endpoint]:
    endpoint = Endpoint("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            endpoint.received.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    endpoint.url = f"http://127.0.0.1:{server.server_port}/calls?token=t0ken"
    threading.Thread(target=server.serve_forever).start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()


def test_a_killed_replay_resumes_without_a_gap(projection: Projection) -> None:
    number = new_number()
    ids = put_call(projection, number)
    running = projection.running
    with listening() as endpoint:
        process = subprocess.Popen(
            [CALLHOOKS, "replay", "--number", number, "--rate", "2", "--url", endpoint.url],
            env={**os.environ, "CALLHOOKS_STACK_FILE": str(running.folder / "stack.json"), "NO_PROXY": "127.0.0.1"},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        eventually(lambda: len(endpoint.received), lambda received: received >= 3)
        process.send_signal(signal.SIGKILL)
        output, errors = process.communicate(timeout=30)
        killed_after = len(endpoint.received)
        assert process.returncode == -signal.SIGKILL, errors

        resumed = running.command("replay", "--resume", "--rate", "1000")
        assert resumed.returncode == 0, resumed.stderr
        assert f" to {endpoint.url.partition('/calls')[0]}" in resumed.stdout
        assert "t0ken" not in output + errors + resumed.stdout + resumed.stderr
        second = running.command("replay", "--resume")
        assert second.stderr == "This stack has no replay to resume.\n"
    assert list(dict.fromkeys(endpoint.ids)) == ids
    # Only an event that was in flight may be sent twice.
    assert len(endpoint.ids) <= len(ids) + 1
    assert killed_after < len(ids)


def test_forget_deletes_one_person_only(projection: Projection) -> None:
    theirs, other = new_number(), new_number()
    forgotten, other_pk = (put_call(projection, number)[0].partition("/")[0] for number in (theirs, other))
    before = projection.running.items()

    done = projection.running.command("forget", theirs, "--yes")
    assert done.returncode == 0, done.stderr
    assert "calls as caller or callee       1" in done.stdout
    assert theirs not in done.stdout + done.stderr
    keys = {(item["pk"]["S"], item["sk"]["S"]) for item in projection.running.items()}
    assert keys == {(item["pk"]["S"], item["sk"]["S"]) for item in before if item["pk"]["S"] != forgotten}
    assert projection.item(forgotten) is None
    assert projection.item(other_pk) is not None
