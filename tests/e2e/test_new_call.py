"""jambonz posts new calls to the deployed application."""

from __future__ import annotations

import base64
import gzip
import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from botocore.exceptions import ClientError
from callhooks_tools.stack.recordings import Delivery
from jambonz_sdk.validator import JambonzValidator

from tests.running_stack import RunningStack
from tests.support import body_of, recorded


def items_of(running: RunningStack, delivery: Delivery) -> list[dict[str, dict[str, object]]]:
    call_sid = json.loads(delivery.request.body)["call_sid"]
    return [item for item in running.items() if item.get("call_id") == {"S": call_sid}]


def test_a_new_call_is_answered_and_stored(running: RunningStack) -> None:
    delivery = running.recorded("new_call")
    response = running.post(delivery)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    validator = JambonzValidator()
    assert validator.validate_app(response.json()) == []
    assert [error for verb in response.json() for error in validator.validate_verb(verb)] == []

    (item,) = items_of(running, delivery)
    assert item["pk"] == {"S": f"jambonz#{body_of('new_call')['call_sid']}"}
    assert item["answer"] == {"S": response.text}
    assert gzip.decompress(item["body"]["B"]).decode() == recorded("new_call")["body"]  # type: ignore[arg-type]
    assert {name: item[name]["S"] for name in ("kind", "provider", "direction", "from", "to")} == {
        "kind": "call.initiated",
        "provider": "jambonz",
        "direction": "inbound",
        "from": "+12125550187",
        "to": "+14155550123",
    }


def test_ten_simultaneous_deliveries_get_one_answer_and_are_stored_once(running: RunningStack) -> None:
    delivery = running.new_call()
    with ThreadPoolExecutor(10) as pool:
        responses = list(pool.map(running.post, [delivery] * 10))
    assert {response.status_code for response in responses} == {200}
    assert len({response.text for response in responses}) == 1
    assert len([response for response in responses if "idempotent-replayed" not in response.headers]) == 1
    assert len(items_of(running, delivery)) == 1


@pytest.mark.parametrize("name", ["new_call_outbound", "new_call_siprec", "new_call_get", "redirect_to_call_hook"])
def test_every_recorded_delivery_is_answered(running: RunningStack, name: str) -> None:
    response = running.post(running.recorded(name))
    assert response.status_code == 200
    assert response.json()


def test_an_invalid_new_call_gets_an_error(running: RunningStack) -> None:
    for body, status in ((b"\xff\xfe", 400), (b'{"call_sid": "' + b"x" * 140_000 + b'"}', 413)):
        changed = {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
        response = running.post(running.signed(Delivery({**running.recorded("new_call").event, **changed})))
        assert (response.status_code, response.json()["status"]) == (status, status)


def test_a_slash_at_the_end_of_the_url_is_the_same_hook(running: RunningStack) -> None:
    delivery = running.new_call()
    with_slash = Delivery({**delivery.event, "rawPath": "/webhooks/call/"})
    first, again = running.post(with_slash), running.post(delivery)
    assert (first.status_code, again.text) == (200, first.text)
    assert again.headers["idempotent-replayed"] == "true"
    assert len(items_of(running, delivery)) == 1
    for method, path, status in (
        ("OPTIONS", "/webhooks/call", 200),
        ("GET", "/webhooks/call", 401),
        ("POST", "/webhooks/call/events", 401),
        ("POST", "/webhooks/client-auth", 401),
    ):
        plain, slash = (httpx.request(method, f"{running.stack.base_url}{path}{end}") for end in ("", "/"))
        assert (plain.status_code, slash.status_code, slash.text) == (status, status, plain.text), path


def test_other_paths_and_methods_are_not_found(running: RunningStack) -> None:
    for method, path in (("POST", "/nothing"), ("DELETE", "/webhooks/call"), ("POST", "/webhooks/call//")):
        assert httpx.request(method, f"{running.stack.base_url}{path}").status_code == 404


def test_the_engine_checks_permissions(running: RunningStack) -> None:
    # Otherwise a function with a missing permission would work here and fail on AWS.
    iam = running.client("iam")
    iam.create_user(UserName="without-permissions")
    key = iam.create_access_key(UserName="without-permissions")["AccessKey"]
    with pytest.raises(ClientError, match="AccessDenied"):
        running.client("dynamodb", key["AccessKeyId"], key["SecretAccessKey"]).scan(
            TableName=running.stack.events_table
        )
