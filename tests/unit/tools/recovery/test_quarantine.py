"""Deliveries in quarantine are parsed again."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from callhooks.events.call_event import CallEvent, Ignored, Kind, QuarantinedDelivery
from callhooks.events.event_item import Item, event_item, quarantine_item
from callhooks.providers import wavix
from callhooks.providers.jambonz.authentication import DEFAULT_SIGNATURE_HEADER
from callhooks.providers.jambonz.client_auth import ClientAuth, auth_response, parse_client_auth, refused
from callhooks.providers.jambonz.sip_clients import Client
from callhooks.providers.registry import providers
from callhooks.runtime.http import Request, Response, Sender
from callhooks.webhooks.webhook import quarantined
from callhooks_tools.commands.quarantine import readable
from callhooks_tools.recovery.quarantine import StillNotParsed, reparse, request_of, short_names
from callhooks_tools.stack.terminal import shown
from hypothesis import given
from hypothesis import strategies as st

from tests.senders import SENDERS, document_of
from tests.support import EVENTS, NOW, detail_attributes, template

HOW = {"JambonzSignatureHeader": DEFAULT_SIGNATURE_HEADER}
REASON = "There was a fault."
HASHES = st.text("0123456789abcdef", min_size=64, max_size=64)
WAVIX = Request(
    "POST",
    "/webhooks/wavix/tok3n",
    body=json.dumps(document_of("wavix", "ringing")).encode(),
    route="POST /webhooks/wavix/{token}",
    path_parameters={"token": "tok3n"},
)


def quarantined_item(request: Request, answer: Response | None = None, provider: str = "wavix") -> Item:
    """Return the item of a delivery in quarantine."""
    delivery = QuarantinedDelivery(provider, REASON, NOW)
    return quarantine_item(delivery, request, answer or quarantined(REASON), retention_days=90)


def client_auth() -> Request:
    event = json.loads((EVENTS / "jambonz" / "client_auth_register.json").read_text("utf-8"))
    return Request.from_event(event)._replace(route="POST /webhooks/client-auth", request_id="request-1")


def problem_of(item: Item) -> str:
    with pytest.raises(StillNotParsed) as problem:
        reparse(item, HOW)
    return str(problem.value)


def test_every_webhook_route_is_known() -> None:
    functions: Any = template()["Resources"]
    paths = {
        event["Properties"]["Path"].partition("/{")[0]
        for name, resource in functions.items()
        if resource["Type"] == "AWS::Serverless::Function" and name != "CallLogFunction"
        for event in resource["Properties"]["Events"].values()
        if event["Type"] == "HttpApi"
    }
    assert {route.fixed_path for provider in providers().values() for route in provider.routes} == paths


def test_a_delivery_that_parses_now_gives_the_original_event() -> None:
    answer = quarantined(REASON)
    made = reparse(quarantined_item(WAVIX, answer), HOW)
    event = wavix.normalise(wavix.parse_event(WAVIX), WAVIX, NOW)
    assert isinstance(event, CallEvent)
    assert event.kind is Kind.RINGING
    assert made == event_item(event, WAVIX, answer, retention_days=90)
    unlimited = quarantine_item(QuarantinedDelivery("wavix", REASON, NOW), WAVIX, answer, retention_days=0)
    assert "expires_at" not in reparse(unlimited, HOW)


@given(
    st.sampled_from(["GET", "POST"]),
    st.binary(max_size=3000),
    st.text("abc=&%2B+", max_size=20),
    st.dictionaries(st.sampled_from(["flow", "step"]), st.text("a1.-", min_size=1)),
)
def test_a_request_is_restored(method: str, body: bytes, query: str, parameters: dict[str, str]) -> None:
    request = Request(
        method,
        "/webhooks/call/flows/a/b",
        raw_query=query,
        headers={"content-type": "application/json", "messagebird-request-id": "1"},
        body=body,
        request_id="request-1",
        route=f"{method} /webhooks/call/flows/{{flow}}/{{step}}",
        path_parameters=parameters,
        sender=Sender(NOW, "1795242600.5e88", "call-1", stored_headers=("messagebird-request-id",)),
    )
    sender = request.sender._replace(stored_headers=())
    assert request_of(quarantined_item(request, provider="jambonz")) == request._replace(sender=sender)


def test_a_token_is_not_restored() -> None:
    assert "tok3n" not in repr(request_of(quarantined_item(WAVIX)))


@pytest.mark.parametrize(
    ("provider", "body"),
    # An empty body is VoIPstudio's probe.
    [(one, body) for one in SENDERS for body in ("{", "[]", "{}", "") if (one, body) != ("voipstudio", "")],
)
def test_an_unfixed_delivery_stays_for_the_same_reason(provider: str, body: str) -> None:
    sender = SENDERS[provider]()
    event = sender.event(body)
    route = {"wavix": "/webhooks/wavix/{token}", "bird": "/webhooks/bird", "voipstudio": "/webhooks/voipstudio/{token}"}
    event["requestContext"]["routeKey"] = f"POST {route[provider]}"
    answer = json.loads(sender.receive(event).body)
    assert answer["status"] == "quarantined"
    (item,) = sender.items
    assert problem_of(item) == answer["reason"] == item["reason"]["S"]


def test_a_client_keeps_the_result_that_it_got() -> None:
    request = client_auth()
    attempt = parse_client_auth(request).attempt
    registered = auth_response(ClientAuth(attempt, Client(attempt.username, attempt.realm, ha1="00")))
    for answer, kind in ((refused(REASON), "client.refused"), (registered, "client.registered")):
        made = reparse(quarantined_item(request, answer, "jambonz"), HOW)
        assert not isinstance(made, Ignored)
        assert (made["kind"]["S"], made["answer"]["S"]) == (kind, answer.body)
        if kind == "client.refused":
            assert detail_attributes(made)["reason"] == {"S": "not checked"}


def test_a_slash_at_the_end_of_the_path_is_the_same_webhook() -> None:
    slash = client_auth()._replace(path="/webhooks/client-auth/", route="POST /webhooks/client-auth/{rest+}")
    plain, other = (
        reparse(quarantined_item(request, refused(REASON), "jambonz"), HOW) for request in (client_auth(), slash)
    )
    assert not isinstance(plain, Ignored)
    assert not isinstance(other, Ignored)
    assert plain["kind"] == {"S": Kind.CLIENT_REFUSED.value}
    assert plain["sk"] == other["sk"]


def test_a_delivery_that_a_filter_now_excludes_is_ignored() -> None:
    how = {"BirdStatuses": "completed"}
    body = json.dumps(document_of("bird", "voice_inbound_busy")).encode()
    item = quarantined_item(Request("POST", "/webhooks/bird", body=body, route="POST /webhooks/bird"), provider="bird")
    assert reparse(item, how) == Ignored("filtered")


def test_a_signature_stored_by_an_earlier_version_is_found_by_its_header() -> None:
    request = Request(
        "POST",
        "/webhooks/call/events",
        headers={"graine-signature": "t=1795242600,v1=00"},
        body=b'{"call_sid": "call-1", "call_status": "completed"}',
        route="POST /webhooks/call/events",
    )
    header = {"graine-signature": {"S": request.headers["graine-signature"]}}
    item: Item = {**quarantined_item(request, provider="jambonz"), "headers": {"M": header}}
    how = {"JambonzSignatureHeader": "Graine-Signature"}
    by_its_name, by_another = reparse(item, how), reparse(item, HOW)
    assert not isinstance(by_its_name, Ignored)
    assert not isinstance(by_another, Ignored)
    assert by_its_name["occurred_at"]["S"] == "2026-11-21T06:30:00.000Z"
    assert by_its_name["sk"] != by_another["sk"]


def test_a_delivery_stored_by_an_earlier_version_is_parsed_if_possible() -> None:
    older = quarantined_item(WAVIX)
    del older["method"]
    assert reparse(older, HOW) == reparse(quarantined_item(WAVIX), HOW)

    hook = Request("POST", "/webhooks/call/events", body=b"{}", route="POST /webhooks/call/events")
    older = quarantined_item(hook, provider="jambonz")
    del older["path"]
    assert problem_of(older) == "An earlier version of callhooks stored this delivery without its path and signature."


@pytest.mark.parametrize("missing", ["received_at", "body", "answer"])
def test_a_damaged_item_or_one_of_a_removed_route_stays(missing: str) -> None:
    item = quarantined_item(WAVIX)
    del item[missing]
    assert re.match(r"It could not be processed: KeyError at \w+\.py:", problem_of(item))
    assert problem_of(quarantined_item(WAVIX._replace(route="POST /webhooks/telco"))) == "No webhook has this route."


@given(st.sets(HASHES, min_size=1, max_size=50), st.integers(1, 8))
def test_a_name_is_the_shortest_unique_prefix(hashes: set[str], min_length: int) -> None:
    found = short_names(hashes, min_length=min_length)
    assert set(found) == hashes
    for full, prefix in found.items():
        assert [one for one in hashes if one.startswith(prefix)] == [full]
        if len(prefix) > min_length:
            assert len([one for one in hashes if one.startswith(prefix[:-1])]) > 1


@given(st.binary() | st.text().map(str.encode))
def test_a_body_cannot_control_the_terminal(body: bytes) -> None:
    assert all(shown(line).isprintable() for line in readable(body))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_indented_json_is_the_same_document(document: object) -> None:
    # NaN is not equal to itself, but is written the same.
    assert json.dumps(json.loads("\n".join(readable(json.dumps(document).encode())))) == json.dumps(document)


def test_json_keeps_its_original_tokens() -> None:
    body = '{"id": 1.10, "id": 1e999, "list": [], "none": {},\n"text": "a\u202eb\x7f", "deep": [{"a": [1, 2]}]}'
    assert "|".join(shown(line) for line in readable(body.encode())) == (
        '{|  "id": 1.10,|  "id": 1e999,|  "list": [],|  "none": {},|  "text": "a\\u202eb\\x7f",|  "deep": [|    {|'
        '      "a": [|        1,|        2|      ]|    }|  ]|}'
    )
    assert [shown(line) for line in readable(b'{"id": \x1b[2J\r\n\xff\xfe')] == ['{"id": \\x1b[2J\\r', "\\xff\\xfe"]


def test_deeply_nested_json_has_a_bounded_length() -> None:
    assert len("".join(readable(b"[" * 60_000 + b"]" * 60_000))) < 10_000_000
