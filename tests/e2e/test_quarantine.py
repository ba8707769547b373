"""The quarantine and recover commands on the deployed application."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import replace
from datetime import UTC, datetime

from callhooks.events.call_event import QuarantinedDelivery
from callhooks.events.event_item import quarantine_item
from callhooks.webhooks.webhook import quarantined
from callhooks_tools.stack.recordings import Delivery, NewCallIds, read_delivery

from tests.e2e.breakage import changed_variables
from tests.e2e.conftest import eventually
from tests.running_stack import RunningStack
from tests.support import EVENTS

UNREACHABLE = dict.fromkeys(("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_SQS"), "http://127.0.0.1:9")


def wavix_delivery(running: RunningStack, body: bytes | None = None) -> Delivery:
    """Return a signed Wavix delivery of a new call, optionally with another body."""
    path = EVENTS / "wavix" / "ringing.json"
    delivery = NewCallIds().renew(read_delivery(path), path)
    if body is not None:
        delivery = replace(delivery, event={**delivery.event, "body": body.decode()})
    return running.signed(delivery)


def table_holds(running: RunningStack, pk: str, sk: str = "") -> bool:
    reply = running.client("dynamodb").query(
        TableName=running.stack.events_table,
        KeyConditionExpression="pk = :pk AND begins_with(sk, :sk)",
        ExpressionAttributeValues={":pk": {"S": pk}, ":sk": {"S": sk or "event#"}},
        ConsistentRead=True,
    )
    return bool(reply["Items"])


def test_a_quarantined_delivery_is_listed_shown_and_stays_if_unreadable(running: RunningStack) -> None:
    text = f"{{ broken {uuid.uuid4()} \x1b[2J"
    broken = wavix_delivery(running, text.encode())
    answer = running.post(broken)
    assert (answer.status_code, answer.json()["status"]) == (202, "quarantined")

    listed = running.command("quarantine", "list", "--provider", "wavix", "--days", "2")
    (row,) = [line for line in listed.stdout.splitlines() if f"/{broken.request.body_hash[:8]} " in line]
    assert row.rstrip().endswith("POST /webhooks/wavix/{token}  The body is not JSON.")

    shown = running.command("quarantine", "show", row.split()[0])
    key = shown.stdout.splitlines()[0]
    assert re.fullmatch(rf"wavix/\d{{4}}-\d\d-\d\d/{broken.request.body_hash}", key)
    assert text.replace("\x1b", "\\x1b") in shown.stdout
    assert running.stack.credentials.of("wavix")["token"] not in shown.stdout

    retried = running.command("quarantine", "retry", key)
    assert (retried.returncode, retried.stdout) == (1, "Deliveries: 1 still not parsed.\n")
    assert table_holds(running, f"quarantine#wavix#{key.split('/')[1]}", broken.request.body_hash)


def test_a_quarantined_delivery_that_is_readable_now_becomes_a_call(running: RunningStack) -> None:
    request = wavix_delivery(running).request._replace(
        route="POST /webhooks/wavix/{token}", path_parameters={"token": "t"}
    )
    delivery = QuarantinedDelivery("wavix", "There was a fault.", datetime.now(UTC))
    item = quarantine_item(delivery, request, quarantined("There was a fault."), retention_days=90)
    running.client("dynamodb").put_item(TableName=running.stack.events_table, Item=item)

    _, provider, day = item["pk"]["S"].split("#")
    retried = running.command("quarantine", "retry", f"{provider}/{day}/{item['sk']['S']}")
    assert (retried.returncode, retried.stdout) == (0, "Deliveries: 1 stored.\n"), retried.stderr
    pk = f"wavix#{json.loads(request.body)['uuid']}"
    assert table_holds(running, pk)
    assert not table_holds(running, item["pk"]["S"], item["sk"]["S"])
    eventually(lambda: table_holds(running, pk, "call"))


def test_events_that_are_only_in_the_log_are_recovered(running: RunningStack) -> None:
    lost = wavix_delivery(running)
    with changed_variables(running, "WavixCallFunction", lambda known: {**known, **UNREACHABLE}):
        assert running.post(lost).status_code == 503
    pk = f"wavix#{json.loads(lost.request.body)['uuid']}"
    assert not table_holds(running, pk)

    recovered = running.command("recover", "--since", "1h")
    assert recovered.returncode == 0, recovered.stderr
    assert " recovered" in recovered.stdout
    assert table_holds(running, pk)
    second = running.command("recover", "--since", "1h")
    assert "recovered" not in second.stdout
    assert "already stored" in second.stdout
    # The sender's own retry is a duplicate.
    assert running.post(lost).headers["idempotent-replayed"] == "true"
