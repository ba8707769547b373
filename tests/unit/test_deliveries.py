"""Recorded deliveries, and how they are signed and sent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from callhooks_tools.deliveries import (
    DeliveryUnusable,
    access_of_env_vars,
    read_delivery,
    signed_for_jambonz,
    with_new_call_sid,
)
from callhooks_tools.stack import JambonzAccess

from tests.support import EVENTS, NOW, WEBHOOK_SECRET, Container, template

RECORDED = sorted(EVENTS.glob("*/*.json"))
ACCESS = JambonzAccess(username="jambonz", password="s3cr3t", webhook_secret=WEBHOOK_SECRET)


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}/{path.stem}")
class TestEveryRecordedDelivery:
    def test_carries_no_frozen_signature(self, path: Path) -> None:
        assert "signature" not in json.dumps(read_delivery(path).event["headers"]).lower()

    def test_is_taken_when_it_is_signed_for_now(self, path: Path) -> None:
        container = Container()
        assert container.receive(dict(signed_for_jambonz(read_delivery(path), ACCESS, NOW).event)).statusCode == 200

    def test_is_held_to_a_signature_where_it_has_a_body(self, path: Path) -> None:
        delivery = read_delivery(path)
        # A GET cannot be held to its signature.
        refused = delivery.request.method != "GET"
        assert Container().receive(dict(delivery.event)).statusCode == (401 if refused else 200)

    def test_goes_to_a_route_of_the_template(self, path: Path) -> None:
        routes = {
            (event["Properties"]["Method"], event["Properties"]["Path"])
            for function in template()["Resources"].values()
            for event in function["Properties"].get("Events", {}).values()
        }
        request = read_delivery(path).request
        assert (request.method, request.path) in routes


def test_headers_of_the_transport_are_left_to_the_client() -> None:
    headers = read_delivery(EVENTS / "jambonz" / "new_call.json").headers_to_send
    assert not {"host", "content-length", "connection"} & set(headers)


def test_a_new_call_sid_leaves_the_rest() -> None:
    path = EVENTS / "jambonz" / "new_call.json"
    recorded = read_delivery(path)
    renewed = json.loads(with_new_call_sid(recorded, path).request.body)
    original = json.loads(recorded.request.body)
    assert renewed.pop("call_sid") != original.pop("call_sid")
    assert renewed == original


def test_what_has_no_call_sid_cannot_be_renewed() -> None:
    path = EVENTS / "jambonz" / "new_call_get.json"
    with pytest.raises(DeliveryUnusable, match="has no call_sid to renew"):
        with_new_call_sid(read_delivery(path), path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "No such file"), ("{", "not a JSON object"), ("[]", "not a JSON object"), ("{}", "not an HTTP API event")],
)
def test_a_file_that_is_no_delivery_is_told(content: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "event.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DeliveryUnusable, match=message):
        read_delivery(path)


def test_sam_local_gets_only_variables_that_the_template_has() -> None:
    # sam local ignores all others without a word.
    variables = json.loads((EVENTS / "local-env.json").read_text())
    for function, values in variables.items():
        declared = template()["Resources"][function]["Properties"]["Environment"]["Variables"]
        assert set(values) <= set(declared)


def test_sam_local_takes_recorded_deliveries_as_they_are() -> None:
    access = access_of_env_vars(EVENTS / "local-env.json")
    container = Container()
    container.secrets.password = access.password
    container.secrets.webhook_secrets = []
    assert container.receive(dict(read_delivery(EVENTS / "jambonz" / "new_call.json").event)).statusCode == 200


def test_an_env_vars_file_without_credentials_is_told(tmp_path: Path) -> None:
    path = tmp_path / "env.json"
    path.write_text("{}")
    with pytest.raises(DeliveryUnusable, match="no credentials"):
        access_of_env_vars(path)
