"""Reading, signing and renewing recorded deliveries."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from callhooks.providers.jambonz.llm_tools.toolbox import load_toolbox
from callhooks.providers.jambonz.plan.loader import read_plan
from callhooks.providers.jambonz.provider import CLIENT_AUTH_PATH
from callhooks.runtime.http import Request
from callhooks_tools.providers.jambonz.commands.tools import TOOLS_FOLDER as DEPLOYED_TOOLS
from callhooks_tools.providers.jambonz.plan.builder import read_plan_file
from callhooks_tools.stack.recordings import (
    Delivery,
    DeliveryUnusable,
    NewCallIds,
    as_sent_by,
    credentials_from_env_vars,
    delivery_of_body,
    read_delivery,
    starting_at,
)
from callhooks_tools.stack.stack import ConsoleAccess

from tests.senders import SENDERS, SIGNING_KEY, TOKEN, Sender, bird_voice, jambonz_event
from tests.sip_clients import ClientContainer
from tests.stacks import PROVIDERS, stack_credentials
from tests.support import EVENTS, NOW, PUBLIC_URL, ROOT, WEBHOOK_SECRET, Answer, Container, template
from tests.tool_caller import ToolContainer
from tests.unit.providers.jambonz.test_action import Phone

DEFAULT_PLAN = read_plan(read_plan_file(ROOT / "layers" / "call_plan" / "call_plan.yaml"))
# jambonz's application variables are served without credentials, so nothing is stored.
RECORDED = [
    path
    for provider in PROVIDERS
    for path in sorted((EVENTS / provider).glob("*.json"))
    if path.stem != "application_variables"
]
WITHOUT_CALL_ID = [EVENTS / "jambonz" / f"{name}.json" for name in ("streaming_event", "tokens_result")]
WITHOUT_CALL_ID += [path for path in RECORDED if path.stem.startswith("client_auth")]
PROBES = [path for path in RECORDED if path.name.startswith("probe_")]
CREDENTIALS = stack_credentials(
    jambonz={"username": "jambonz", "password": "s3cr3t", "webhook_secret": WEBHOOK_SECRET},
    wavix=TOKEN,
    bird=SIGNING_KEY,
    voipstudio=TOKEN,
    console=ConsoleAccess(username="console", password="s3cr3t"),
)


ROUTES = {
    f"{event['Properties']['Method']} {event['Properties']['Path']}"
    for function in template()["Resources"].values()
    for event in function["Properties"].get("Events", {}).values()
    if event["Type"] == "HttpApi"
}


def changed(**members: object) -> str:
    return json.dumps({**read_delivery(EVENTS / "wavix" / "ringing.json").event, **members})


def sent(delivery: Delivery) -> Delivery:
    provider = delivery.provider
    return as_sent_by(provider, delivery, CREDENTIALS.of(provider), NOW, base_url=PUBLIC_URL)


def container_for(delivery: Delivery) -> Container | ClientContainer | ToolContainer | Phone | Sender:
    """Return a container of the function that receives the delivery."""
    if delivery.provider != "jambonz":
        return SENDERS[delivery.provider]()
    path = delivery.request.path
    if path == CLIENT_AUTH_PATH:
        return ClientContainer()
    if path.startswith("/webhooks/tool/"):
        return ToolContainer(load_toolbox(DEPLOYED_TOOLS))
    if path.startswith("/webhooks/call/flows/"):
        return Phone(DEFAULT_PLAN)
    return Container() if path == "/webhooks/call" else jambonz_event()


def receive(delivery: Delivery) -> tuple[Answer, int]:
    """Return the response of the function, and the number of items that it stored."""
    container = container_for(delivery)
    answer = container.receive(dict(delivery.event))
    return answer, len(container.database.items)


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}/{path.stem}")
class TestEveryRecordedDelivery:
    def test_is_accepted_when_signed_now_and_rejected_unsigned(self, path: Path) -> None:
        delivery = read_delivery(path)
        assert "signature" not in json.dumps(delivery.event["headers"]).lower()
        answer, items = receive(sent(delivery))
        assert (answer.statusCode, items) == (200, 0 if path in PROBES else 1)
        # The signature of a GET from jambonz cannot be checked.
        is_rejected = delivery.provider != "jambonz" or delivery.request.method != "GET"
        assert receive(delivery)[0].statusCode == (401 if is_rejected else 200)

    def test_goes_to_a_route_of_the_template_and_is_in_the_folder_of_its_provider(self, path: Path) -> None:
        event = read_delivery(path).event
        request = Request.from_event(event)
        assert event["routeKey"] == request.route
        assert request.route in ROUTES
        method, _, route = request.route.partition(" ")
        assert (method, route.format(**request.path_parameters)) == (request.method, request.path)
        assert read_delivery(path).provider == path.parent.name


def test_transport_headers_are_left_to_the_http_client() -> None:
    headers = read_delivery(EVENTS / "jambonz" / "new_call.json").headers_to_send
    assert not {"host", "content-length", "connection"} & set(headers)


@pytest.mark.parametrize(
    "path",
    [path for path in RECORDED if read_delivery(path).request.body and path not in WITHOUT_CALL_ID],
    ids=lambda path: path.stem,
)
def test_a_new_call_id_makes_it_a_new_call_and_changes_nothing_else(path: Path) -> None:
    recorded = read_delivery(path)
    renewed = NewCallIds().renew(recorded, path)
    container = container_for(recorded)
    for delivery in (recorded, renewed):
        assert not container.receive(dict(sent(delivery).event)).replayed
    first, second = container.database.items.values()
    assert first["pk"] != second["pk"]
    same = ("kind", "event_name", "from", "to", "direction", "occurred_at", "provider")
    assert [first.get(name) for name in same] == [second.get(name) for name in same]


@pytest.mark.parametrize("body", ["{}", '{"event_type": "ringing"}', "not JSON", '{"uuid": ""}'])
def test_a_body_without_a_call_id_cannot_become_a_new_call(body: str, tmp_path: Path) -> None:
    path = tmp_path / "event.json"
    path.write_text(changed(body=body))
    with pytest.raises(DeliveryUnusable, match="contains no call id to replace"):
        NewCallIds().renew(read_delivery(path), path)


@pytest.mark.parametrize(
    "path",
    [EVENTS / "jambonz" / "new_call_get.json", EVENTS / "voipstudio" / "probe_post_empty.json", *WITHOUT_CALL_ID],
    ids=lambda path: path.stem,
)
def test_a_delivery_that_needs_no_call_id_stays_unchanged(path: Path) -> None:
    assert NewCallIds().renew(read_delivery(path), path) == read_delivery(path)


def test_events_of_one_call_get_the_same_new_id() -> None:
    new_ids = NewCallIds()
    for provider, count in (("wavix", 1), ("voipstudio", 1), ("bird", 2)):
        sender = SENDERS[provider]()
        for path in sorted((EVENTS / provider).glob("*ringing.json")) + sorted((EVENTS / provider).glob("*hold.json")):
            sender.receive(dict(sent(new_ids.renew(read_delivery(path), path)).event))
        assert len({item["pk"]["S"] for item in sender.items}) == count


def renewed(new_ids: NewCallIds, name: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the body and the query of a jambonz recording with new ids."""
    path = EVENTS / "jambonz" / f"{name}.json"
    request = new_ids.renew(read_delivery(path), path).request
    return json.loads(request.body), dict(request.query)


def test_legs_of_a_call_stay_linked_under_new_ids() -> None:
    new_ids = NewCallIds()
    call, _ = renewed(new_ids, "new_call")
    leg, _ = renewed(new_ids, "call_status_dial_leg_ringing")
    adulting, _ = renewed(new_ids, "session_adulting")
    vendor, query = renewed(new_ids, "llm_event_openai")
    assert call["call_sid"] != json.loads(read_delivery(EVENTS / "jambonz" / "new_call.json").request.body)["call_sid"]
    assert leg["parent_call_sid"] == adulting["parent_call_info"]["call_sid"] == query["call"] == call["call_sid"]
    assert adulting["call_sid"] == leg["call_sid"] != call["call_sid"]
    assert (query["hook"], vendor["type"]) == ("llm.eventHook", "response.done")


def test_the_call_that_dequeued_another_gets_a_new_id_too() -> None:
    path = EVENTS / "jambonz" / "queue_event_leave_dequeued.json"
    old = json.loads(read_delivery(path).request.body)
    new, _ = renewed(NewCallIds(), path.stem)
    assert new["dequeuer"]["call_sid"] != old["dequeuer"]["call_sid"]
    assert {**new["dequeuer"], "call_sid": ""} == {**old["dequeuer"], "call_sid": ""}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_bare_body_is_sent_as_its_provider_would_send_it(provider: str, tmp_path: Path) -> None:
    bodies: dict[str, dict[str, object]] = {
        "jambonz": {"call_sid": "1"},
        "wavix": {"uuid": "1", "event_type": "busy"},
        "bird": {"payload": {"id": "1", "status": "busy"}},
        "voipstudio": {"event_name": "call.missed", "call_id": 1},
    }
    path = tmp_path / "body.json"
    path.write_text(json.dumps(bodies[provider], indent=1))
    answer, items = receive(sent(delivery_of_body(path, provider)))
    assert (answer.statusCode, items) == (200, 1)


def test_a_path_that_is_not_a_webhook_cannot_be_sent() -> None:
    event = {**read_delivery(EVENTS / "wavix" / "ringing.json").event, "rawPath": "/calls"}
    with pytest.raises(DeliveryUnusable, match="/calls is not the path of a webhook"):
        _ = Delivery(event).provider


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        ("{", "not a JSON object"),
        ("[]", "not a JSON object"),
        ("{}", "not an HTTP API event"),
        ('{"event_type": "ringing"}', "only a body, add --as PROVIDER"),
        (changed(requestContext=None), "requestContext: Input should be"),
        (changed(requestContext={}), "requestContext.http: Field required"),
        (changed(body={"uuid": "1"}), "body: Input should be a valid string"),
        (changed(body="!!!", isBase64Encoded=True), "marked as base64 and is not"),
        (changed(headers={"x": "\u00e9"}), "headers.x"),
    ],
)
def test_an_invalid_delivery_file_is_reported(content: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "event.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DeliveryUnusable, match=message):
        read_delivery(path)


def test_the_sam_local_file_sets_only_declared_variables() -> None:
    # sam local silently ignores all others.
    variables = json.loads((EVENTS / "local-env.json").read_text())
    for function, values in variables.items():
        declared = template()["Resources"][function]["Properties"]["Environment"]["Variables"]
        assert set(values) <= set(declared)


def test_sam_local_credentials_accept_an_unsigned_jambonz_delivery() -> None:
    access = credentials_from_env_vars(EVENTS / "local-env.json", "jambonz")
    container = Container()
    container.secrets.password = access["password"]
    container.secrets.webhook_secrets = []
    assert container.receive(dict(read_delivery(EVENTS / "jambonz" / "new_call.json").event)).statusCode == 200


def test_all_jambonz_functions_share_the_sam_local_credentials() -> None:
    # callhooks event uses the credentials of one function for events of all of them.
    variables = json.loads((EVENTS / "local-env.json").read_text())
    first, *others = [values for function, values in variables.items() if function.startswith("Jambonz")]
    assert "JambonzClientAuthFunction" in variables
    assert all(values == first for values in others)


@pytest.mark.parametrize("name", ["wavix/ringing", "voipstudio/call_ringing", "voipstudio/probe_get"])
def test_sam_local_tokens_match_the_recorded_deliveries(name: str) -> None:
    delivery = read_delivery(EVENTS / f"{name}.json")
    access = credentials_from_env_vars(EVENTS / "local-env.json", delivery.provider)
    sender = SENDERS[delivery.provider]()
    sender.secrets.text = json.dumps({"token": access["token"]})
    assert sender.receive(dict(delivery.event)).statusCode == 200


def test_sam_local_has_a_signing_key_for_bird() -> None:
    delivery = read_delivery(EVENTS / "bird" / "voice_inbound_ringing.json")
    access = credentials_from_env_vars(EVENTS / "local-env.json", "bird")
    # sam local has no public URL, so the signature covers the host in the recording.
    signed = as_sent_by("bird", delivery, access, NOW, base_url="")
    sender = bird_voice(public_url="", secret={"signing_key": access["signing_key"]})
    assert sender.receive(dict(signed.event)).statusCode == 200


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_env_vars_file_without_credentials_is_reported(provider: str, tmp_path: Path) -> None:
    path = tmp_path / "env.json"
    path.write_text("{}")
    with pytest.raises(DeliveryUnusable, match="no credentials"):
        credentials_from_env_vars(path, provider)


def test_a_shifted_call_keeps_its_duration() -> None:
    names = ("call_setup", "answered", "completed")
    recorded = [read_delivery(EVENTS / "wavix" / f"{name}.json") for name in names]
    now = datetime(2027, 3, 1, 23, 59, 50, 700_000, tzinfo=UTC)
    documents = [json.loads(delivery.request.body) for delivery in starting_at(now, recorded)]
    times = ["2027-03-01T23:59:50.118Z", "2027-03-01T23:59:56.402Z", "2027-03-02T00:00:38.900Z"]
    assert [document["event_time"] for document in documents] == times
    assert documents[2]["call_answered"] == times[1]
    assert documents[0]["from"] == json.loads(recorded[0].request.body)["from"]


def test_a_shifted_time_keeps_its_format() -> None:
    hold, new_call = (read_delivery(EVENTS / name) for name in ("voipstudio/call_hold.json", "jambonz/new_call.json"))
    (shifted,) = starting_at(datetime(2027, 3, 1, tzinfo=UTC), [hold])
    document = json.loads(shifted.request.body)
    assert (document["start_time"], document["event_time"]) == ("2027-03-01 00:00:00", "2027-03-01 00:00:15")
    assert starting_at(datetime(2027, 3, 1, tzinfo=UTC), [new_call]) == [new_call], "a body without times"
