"""Recorded deliveries, and how they are signed and sent."""

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
from callhooks_tools.providers.jambonz.commands.tools import TOOLS_FOLDER as OWN_TOOLS
from callhooks_tools.providers.jambonz.plan.builder import read_plan_file
from callhooks_tools.stack.recordings import (
    Delivery,
    DeliveryUnusable,
    NewCallIds,
    access_of_env_vars,
    as_sent_by,
    begun,
    delivery_of_body,
    read_delivery,
)
from callhooks_tools.stack.stack import ConsoleAccess

from tests.senders import SENDERS, SIGNING_KEY, TOKEN, Sender, bird_voice, jambonz_event
from tests.sip_clients import ClientContainer
from tests.stacks import PROVIDERS, stack_credentials
from tests.support import EVENTS, NOW, PUBLIC_URL, ROOT, WEBHOOK_SECRET, Answer, Container, template
from tests.tool_caller import ToolContainer
from tests.unit.providers.jambonz.test_action import Phone

DEFAULT_PLAN = read_plan(read_plan_file(ROOT / "layers" / "call_plan" / "call_plan.yaml"))
# What is told to anybody is kept nowhere.
RECORDED = [
    path
    for provider in PROVIDERS
    for path in sorted((EVENTS / provider).glob("*.json"))
    if path.stem != "application_variables"
]
NAMES_NO_CALL = [EVENTS / "jambonz" / f"{name}.json" for name in ("streaming_event", "tokens_result")]
NAMES_NO_CALL += [path for path in RECORDED if path.stem.startswith("client_auth")]
PROBES = [path for path in RECORDED if path.name.startswith("probe_")]
CREDENTIALS = stack_credentials(
    jambonz={"username": "jambonz", "password": "s3cr3t", "webhook_secret": WEBHOOK_SECRET},
    wavix=TOKEN,
    bird=SIGNING_KEY,
    voipstudio=TOKEN,
    console=ConsoleAccess(username="console", password="s3cr3t"),
)


def changed(**members: object) -> str:
    return json.dumps({**read_delivery(EVENTS / "wavix" / "ringing.json").event, **members})


def sent(delivery: Delivery) -> Delivery:
    provider = delivery.provider
    return as_sent_by(provider, delivery, CREDENTIALS.of(provider), NOW, base_url=PUBLIC_URL)


def container_for(delivery: Delivery) -> Container | ClientContainer | ToolContainer | Phone | Sender:
    """A container of the function that the delivery goes to."""
    if delivery.provider != "jambonz":
        return SENDERS[delivery.provider]()
    path = delivery.request.path
    if path == CLIENT_AUTH_PATH:
        return ClientContainer()
    if path.startswith("/webhooks/tool/"):
        return ToolContainer(load_toolbox(OWN_TOOLS))
    if path.startswith("/webhooks/call/flows/"):
        return Phone(DEFAULT_PLAN)
    return Container() if path == "/webhooks/call" else jambonz_event()


def receive(delivery: Delivery) -> tuple[Answer, int]:
    """The answer of the provider's function, and how many items it leaves."""
    container = container_for(delivery)
    answer = container.receive(dict(delivery.event))
    return answer, len(container.database.items)


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}/{path.stem}")
class TestEveryRecordedDelivery:
    def test_carries_no_frozen_signature(self, path: Path) -> None:
        assert "signature" not in json.dumps(read_delivery(path).event["headers"]).lower()

    def test_is_taken_when_it_is_sent_now(self, path: Path) -> None:
        answer, items = receive(sent(read_delivery(path)))
        assert (answer.statusCode, items) == (200, 0 if path in PROBES else 1)

    def test_is_refused_as_it_lies_there(self, path: Path) -> None:
        delivery = read_delivery(path)
        # A GET of jambonz cannot be held to its signature.
        refused = delivery.provider != "jambonz" or delivery.request.method != "GET"
        assert receive(delivery)[0].statusCode == (401 if refused else 200)

    def test_lies_in_the_folder_of_its_provider(self, path: Path) -> None:
        assert read_delivery(path).provider == path.parent.name

    def test_goes_to_a_route_of_the_template(self, path: Path) -> None:
        routes = {
            f"{event['Properties']['Method']} {event['Properties']['Path']}"
            for function in template()["Resources"].values()
            for event in function["Properties"].get("Events", {}).values()
            if event["Type"] == "HttpApi"
        }
        event = read_delivery(path).event
        request = Request.from_event(event)
        assert request.route in routes
        assert event["routeKey"] == request.route
        method, _, route = request.route.partition(" ")
        assert (method, route.format(**request.path_parameters)) == (request.method, request.path)


def test_headers_of_the_transport_are_left_to_the_client() -> None:
    headers = read_delivery(EVENTS / "jambonz" / "new_call.json").headers_to_send
    assert not {"host", "content-length", "connection"} & set(headers)


@pytest.mark.parametrize(
    "path",
    [path for path in RECORDED if read_delivery(path).request.body and path not in NAMES_NO_CALL],
    ids=lambda path: path.stem,
)
def test_a_new_call_id_makes_another_call_of_it_and_leaves_the_rest(path: Path) -> None:
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
def test_a_body_that_names_no_call_cannot_be_renewed(body: str, tmp_path: Path) -> None:
    path = tmp_path / "event.json"
    path.write_text(changed(body=body))
    with pytest.raises(DeliveryUnusable, match="has no call id to renew"):
        NewCallIds().renew(read_delivery(path), path)


@pytest.mark.parametrize(
    "path",
    [EVENTS / "jambonz" / "new_call_get.json", EVENTS / "voipstudio" / "probe_post_empty.json", *NAMES_NO_CALL],
    ids=lambda path: path.stem,
)
def test_what_need_name_no_call_stays_as_it_is(path: Path) -> None:
    assert NewCallIds().renew(read_delivery(path), path) == read_delivery(path)


def test_the_events_of_a_call_stay_together_under_their_new_id() -> None:
    new_ids = NewCallIds()
    for provider, count in (("wavix", 1), ("voipstudio", 1), ("bird", 2)):
        sender = SENDERS[provider]()
        for path in sorted((EVENTS / provider).glob("*ringing.json")) + sorted((EVENTS / provider).glob("*hold.json")):
            sender.receive(dict(sent(new_ids.renew(read_delivery(path), path)).event))
        assert len({item["pk"]["S"] for item in sender.items}) == count


def renewed(new_ids: NewCallIds, name: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The body and the query of a recording of jambonz under new ids."""
    path = EVENTS / "jambonz" / f"{name}.json"
    request = new_ids.renew(read_delivery(path), path).request
    return json.loads(request.body), dict(request.query)


def test_the_legs_of_a_call_stay_together_under_their_new_ids() -> None:
    new_ids = NewCallIds()
    call, _ = renewed(new_ids, "new_call")
    leg, _ = renewed(new_ids, "call_status_dial_leg_ringing")
    adulting, _ = renewed(new_ids, "session_adulting")
    vendor, query = renewed(new_ids, "llm_event_openai")
    assert call["call_sid"] != json.loads(read_delivery(EVENTS / "jambonz" / "new_call.json").request.body)["call_sid"]
    assert leg["parent_call_sid"] == adulting["parent_call_info"]["call_sid"] == query["call"] == call["call_sid"]
    assert adulting["call_sid"] == leg["call_sid"] != call["call_sid"]
    assert (query["hook"], vendor["type"]) == ("llm.eventHook", "response.done")


def test_the_call_that_took_another_out_of_a_queue_gets_a_new_id_as_well() -> None:
    path = EVENTS / "jambonz" / "queue_event_leave_dequeued.json"
    old = json.loads(read_delivery(path).request.body)
    new, _ = renewed(NewCallIds(), path.stem)
    assert new["dequeuer"]["call_sid"] != old["dequeuer"]["call_sid"]
    assert {**new["dequeuer"], "call_sid": ""} == {**old["dequeuer"], "call_sid": ""}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_body_alone_is_sent_as_its_provider_sends_it(provider: str, tmp_path: Path) -> None:
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


def test_what_is_no_webhook_cannot_be_sent() -> None:
    event = {**read_delivery(EVENTS / "wavix" / "ringing.json").event, "rawPath": "/calls"}
    with pytest.raises(DeliveryUnusable, match="/calls is no webhook"):
        _ = Delivery(event).provider


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        ("{", "not a JSON object"),
        ("[]", "not a JSON object"),
        ("{}", "not an HTTP API event"),
        ('{"event_type": "ringing"}', "A body alone is sent with --as PROVIDER"),
        (changed(requestContext=None), "requestContext: Input should be"),
        (changed(requestContext={}), "requestContext.http: Field required"),
        (changed(body={"uuid": "1"}), "body: Input should be a valid string"),
        (changed(body="!!!", isBase64Encoded=True), "marked as base64 and is not"),
        (changed(headers={"x": "\u00e9"}), "headers.x"),
    ],
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
    access = access_of_env_vars(EVENTS / "local-env.json", "jambonz")
    container = Container()
    container.secrets.password = access["password"]
    container.secrets.webhook_secrets = []
    assert container.receive(dict(read_delivery(EVENTS / "jambonz" / "new_call.json").event)).statusCode == 200


def test_sam_local_gives_every_function_of_jambonz_the_same_credentials() -> None:
    # callhooks event takes those of one of them, whichever function the event is for.
    variables = json.loads((EVENTS / "local-env.json").read_text())
    first, *others = [values for function, values in variables.items() if function.startswith("Jambonz")]
    assert "JambonzClientAuthFunction" in variables
    assert all(values == first for values in others)


@pytest.mark.parametrize("name", ["wavix/ringing", "voipstudio/call_ringing", "voipstudio/probe_get"])
def test_sam_local_has_the_tokens_of_recorded_deliveries(name: str) -> None:
    delivery = read_delivery(EVENTS / f"{name}.json")
    access = access_of_env_vars(EVENTS / "local-env.json", delivery.provider)
    sender = SENDERS[delivery.provider]()
    sender.secrets.text = json.dumps({"token": access["token"]})
    assert sender.receive(dict(delivery.event)).statusCode == 200


def test_sam_local_has_a_key_to_sign_bird_s_deliveries_with() -> None:
    delivery = read_delivery(EVENTS / "bird" / "voice_inbound_ringing.json")
    access = access_of_env_vars(EVENTS / "local-env.json", "bird")
    # sam local knows no public URL: what is signed is the host that the event was recorded with.
    signed = as_sent_by("bird", delivery, access, NOW, base_url="")
    sender = bird_voice(public_url="", secret={"signing_key": access["signing_key"]})
    assert sender.receive(dict(signed.event)).statusCode == 200


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_env_vars_file_without_credentials_is_told(provider: str, tmp_path: Path) -> None:
    path = tmp_path / "env.json"
    path.write_text("{}")
    with pytest.raises(DeliveryUnusable, match="no credentials"):
        access_of_env_vars(path, provider)


def test_a_call_that_begins_now_takes_as_long_as_the_recorded_one() -> None:
    names = ("call_setup", "answered", "completed")
    recorded = [read_delivery(EVENTS / "wavix" / f"{name}.json") for name in names]
    now = datetime(2027, 3, 1, 23, 59, 50, 700_000, tzinfo=UTC)
    documents = [json.loads(delivery.request.body) for delivery in begun(now, recorded)]
    assert [document["event_time"] for document in documents] == [
        "2027-03-01T23:59:50.118Z",
        "2027-03-01T23:59:56.402Z",
        "2027-03-02T00:00:38.900Z",
    ]
    assert documents[2]["call_answered"] == "2027-03-01T23:59:56.402Z"
    assert documents[0]["from"] == json.loads(recorded[0].request.body)["from"]


def test_a_moment_keeps_the_form_that_its_provider_gives_it() -> None:
    (moved,) = begun(datetime(2027, 3, 1, tzinfo=UTC), [read_delivery(EVENTS / "voipstudio" / "call_hold.json")])
    document = json.loads(moved.request.body)
    assert (document["start_time"], document["event_time"]) == ("2027-03-01 00:00:00", "2027-03-01 00:00:15")


def test_what_tells_no_moment_is_left_as_it_is() -> None:
    recorded = [read_delivery(EVENTS / "jambonz" / "new_call.json")]
    assert begun(datetime(2027, 3, 1, tzinfo=UTC), recorded) == recorded
