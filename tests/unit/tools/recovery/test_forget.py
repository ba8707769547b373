"""A person's items are found by any notation of a number, with call legs, and without other people's calls."""

from __future__ import annotations

import base64
import gzip
import html
import itertools
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest
from botocore.exceptions import ClientError
from callhooks.calls.repository import call_item
from callhooks.events.call_event import CallEvent, Kind, QuarantinedDelivery
from callhooks.events.event_item import Item, event_item, event_key, quarantine_item
from callhooks.runtime.http import Request, Response
from callhooks_tools.recovery.forget import Match, Person, Redaction, Removal, SearchResult, find, find_tool_results
from hypothesis import given
from hypothesis import strategies as st

from tests.calls import fold, make_event
from tests.decoding import items_with
from tests.projection import stored_item
from tests.properties import examples
from tests.support import NOW

NUMBER = "+14155550123"
OTHER = "+12125550187"


def item_with(body: bytes, event: CallEvent | None = None, *, query: str = "") -> Item:
    request = Request("POST", "/", body=body, raw_query=query)
    return event_item(event or make_event(Kind.OTHER), request, Response(200, "[]"), retention_days=90)


def answered(event: CallEvent, answer: str = json.dumps([{"verb": "dial", "target": [{"number": NUMBER}]}])) -> Item:
    return event_item(event, Request("POST", "/", body=b"{}"), Response(200, answer), retention_days=90)


def match(item: Item, number: str = NUMBER) -> Match:
    return Person.of(number).match(item)


class TestAParty:
    @pytest.mark.parametrize(
        "written",
        [NUMBER, "14155550123", "+1 (415) 555-0123", "sip:+14155550123@192.0.2.1;user=phone", "0014155550123",
         "00 1 415 555 0123", "01114155550123", "+1 (0) 415 5550123"],
    )  # fmt: skip
    def test_matches_in_any_notation(self, written: str) -> None:
        assert Person.of(written).canonical == "14155550123"
        for item in (make_event(Kind.RINGING, from_=written), make_event(Kind.RINGING, to=NUMBER)):
            assert match(stored_item(item), written) is match(stored_item(item)) is Match.PARTY

    @pytest.mark.parametrize(
        ("given", "canonical"),
        [
            ("+44 (0)20 7946 0123", "442079460123"),
            ("+1\u202f415\u2011555\u20110123", "14155550123"),
            ("0114 496 0123", "01144960123"),
            ("00200", "00200"),
            ("jane(0)-", "jane(0)-"),
        ],
    )
    def test_is_searched_by_its_digits(self, given: str, canonical: str) -> None:
        assert Person.of(given).canonical == canonical

    @pytest.mark.parametrize("other", ["+141555501234", "+1415555012", "4155550123", "+24155550123", "jane", OTHER])
    def test_with_another_number_does_not_match(self, other: str) -> None:
        assert match(stored_item(replace(make_event(Kind.RINGING), from_=other, to=other))) is Match.NONE

    @pytest.mark.parametrize("short", ["200", "1", "5550123"])
    def test_with_a_short_number_is_compared_but_not_searched(self, short: str) -> None:
        assert match(stored_item(replace(make_event(Kind.RINGING), to=short)), short) is Match.PARTY
        event = make_event(
            Kind.RINGING, details={"sip_status": 200, "text": short, "duration_seconds": 1}, status=short
        )
        assert match(item_with(f'{{"duration": {short}, "from": "{short}"}}'.encode(), event), short) is Match.NONE

    def test_that_is_a_sip_user_is_compared_without_its_realm(self) -> None:
        registered = stored_item(replace(make_event(Kind.CLIENT_REGISTERED), from_="Jane@sip.example.com"))
        assert (match(registered, "jane"), match(registered, "jan")) == (Match.PARTY, Match.NONE)
        assert match(item_with(b'{"text": "jane"}'), "jane") is Match.NONE

    @pytest.mark.parametrize("party", ["", " ", "sip:", "@sip.example.com"])
    def test_must_not_be_empty(self, party: str) -> None:
        with pytest.raises(ValueError, match="Give a number with its country code"):
            Person.of(party)


MENTIONS = [
    '{"from": "+14155550123"}', '{"from": 14155550123}', '{"from": "\\u002b14155550123"}',
    '{"from": "\\u00201415\\u00205550123"}', '{"from": "\\u00314155550123"}', '{"from": "0014155550123"}',
    '{"text": "call +1 (415) 555-0123, please"}', '{"text": "1.415.555.0123"}', '{"to": "sip:+14155550123@192.0.2.1"}',
    "from=%2B14155550123&to=1", "from=%2b1%20415%20555%200123", "from=%2014155550123", "from=+14155550123",
    '{"uri": "sip%3A%2B14155550123%40192.0.2.1"}', '{"uri": "tel:+14155550123"}', '{"from": "01114155550123"}',
    '{"from": "011 1 415 555 0123"}', '{"to": "+1 (0) 415 5550123"}', '{"to": "+1(0)4155550123"}',
    '{"text": "at:\\n14155550123\\nor later"}', '{"text": "1\\t415\\t555\\t0123"}', '{"text": "1\\/415\\/5550123"}',
    '{"inner": "{\\"from\\": \\"\\\\u002b14155550123\\"}"}', '{"text": "14155550123x7 or 14155550123ext. 7"}',
    '{"text": "1\t415\t555\t0123"}', "n=1+415+555+0123", "n=%252B1%2520415%2520555%25200123",
    *(f'{{"text": "+1{sign}415{sign}555{sign}0123"}}' for sign in "\u00a0\u2009\u2010\u2011\u2013\u2015\u202f\u2212"),
]  # fmt: skip


class TestAText:
    @pytest.mark.parametrize("body", MENTIONS)
    def test_matches_a_number_in_any_notation(self, body: str) -> None:
        assert match(item_with(body.encode())) is Match.MENTION
        assert match(item_with(body.encode() + b" " * 2000)) is Match.MENTION
        assert match(item_with(b"{}", query=body)) is Match.MENTION
        assert match(stored_item(make_event(Kind.MEDIA, details={"text": body}))) is Match.MENTION

    @pytest.mark.parametrize(
        "body",
        [
            '{"id": 114155550123}', '{"id": "141555501230"}', '{"a": "1415555", "b": "0123"}', '{"at": 1795242600000}',
            '{"id": "a14155550123"}', '{"id": "14155550123f"}', '{"id": "9c-a14155550123f-00"}',
            '{"cost": 0.14155550123}', '{"cost": 12.14155550123}', "",
        ],
    )  # fmt: skip
    def test_with_other_digits_does_not_match(self, body: str) -> None:
        assert match(item_with(body.encode())) is Match.NONE

    @given(before=st.text(max_size=20), after=st.text(max_size=20), number=st.integers(10**7, 10**14))
    def test_matches_a_number_next_to_any_text(self, before: str, after: str, number: int) -> None:
        item = stored_item(make_event(Kind.MEDIA, details={"text": f"{before}+{number} {after}"}))
        assert match(item, str(number)) is Match.MENTION

    @pytest.mark.parametrize("number", ["50000100000", "14155001155", "440113456789", "4901112345678"])
    def test_matches_numbers_with_zeros_that_resemble_prefixes(self, number: str) -> None:
        assert match(stored_item(make_event(Kind.RINGING, from_=f"+{number}")), number) is Match.PARTY
        assert match(stored_item(make_event(Kind.RINGING, from_=f"+{number[:2]}{number[4:]}")), number) is Match.NONE
        assert match(stored_item(make_event(Kind.MEDIA, details={"text": f"call +{number}"})), number) is Match.MENTION

    def test_can_be_a_json_number(self) -> None:
        assert match(stored_item(make_event(Kind.MEDIA, details={"number": 14155550123}))) is Match.MENTION
        assert match(stored_item(make_event(Kind.MEDIA, details={"number": Decimal("0.14155550123")}))) is Match.NONE

    def test_in_the_answer_only_does_not_match_the_item(self) -> None:
        item = answered(make_event(Kind.INITIATED))
        assert match(item) is Match.NONE
        assert Person.of(NUMBER).is_named_in(item["answer"]["S"])

    @pytest.mark.parametrize("at", ["2026-11-21", "20261121", "1795242600"])
    def test_in_days_and_seconds_set_by_callhooks_is_not_searched(self, at: str) -> None:
        others = [quarantined(b"{}"), stored_item(replace(make_event(Kind.OTHER), call_id=None))]
        for item in (*call("other", from_=OTHER), *others):
            assert match({**item, "expires_at": {"N": "1795242600"}}, at) is Match.NONE

    def test_in_a_body_that_is_not_valid_gzip_is_searched(self) -> None:
        broken: Item = {**item_with(b"{}"), "body": {"B": b"\xff 14155550123"}, "body_encoding": {"S": "gzip"}}
        assert match(broken) is Match.MENTION
        cut: Item = {**broken, "body": {"B": gzip.compress(b"x" * 5000)[:-9]}}
        assert match(cut) is Match.NONE

    @pytest.mark.parametrize(
        "details",
        [{"caller_name": f"Jane {NUMBER}"}, {"customer_data.phone": NUMBER}, {f"customer_data.{NUMBER}": 1}],
    )
    def test_in_a_call_s_item_is_searched(self, details: dict[str, Any]) -> None:
        folded = fold([make_event(Kind.INITIATED, details=details)])
        assert match(call_item("jambonz#one-call", folded, expires_at=None)) is Match.MENTION

    @pytest.mark.parametrize(
        "attributes",
        [
            {"headers": {"M": {"user-agent": {"S": NUMBER}}}},
            {"headers": {"M": {NUMBER: {"S": "x"}}}},
            {"path_parameters": {"M": {"channel_id": {"S": "14155550123"}}}},
            {"path": {"S": "/webhooks/bird/%2B14155550123"}},
            {"sk": {"S": "event#14155550123"}},
            {"pk": {"S": "wavix#14155550123"}},
            {"more": {"L": [{"M": {"a": {"SS": ["x", NUMBER]}}}]}},
            {"more": {"BS": [gzip.compress(NUMBER.encode())]}},
            {"more": {"N": "14155550123"}},
        ],
    )
    def test_is_searched_in_every_attribute(self, attributes: Item) -> None:
        item: Item = {"pk": {"S": "wavix#1"}, "sk": {"S": "event#1"}, "flag": {"BOOL": True}, "none": {"NULL": True}}
        assert match(item) is Match.NONE
        assert match({**item, **attributes}) is Match.MENTION


def call(call_id: str, *, from_: str | None = None, to: str | None = None, parent: str | None = None) -> list[Item]:
    """Return two events and the item of a call; only the first event has the parties and the parent."""
    details = {"parent_call_sid": parent} if parent else {}
    first = replace(make_event(Kind.INITIATED, details=details, from_=from_, to=to, key="a"), call_id=call_id)
    events = [first, replace(make_event(Kind.COMPLETED, 9, key="b"), call_id=call_id)]
    return [*map(stored_item, events), call_item(event_key(first)[0], fold(events), expires_at=None)]


def found(*items: Iterable[Item]) -> SearchResult:
    return find([list(many) for many in items], Person.of(NUMBER))


def quarantined(body: bytes) -> Item:
    delivery = QuarantinedDelivery("wavix", "not JSON", NOW)
    return quarantine_item(delivery, Request("POST", "/", body=body), Response(202, ""), retention_days=90)


class TestFind:
    def test_finds_answers_of_items_that_stay(self) -> None:
        def with_tool(call_id: str, **more: str) -> list[Item]:
            tool = answered(replace(make_event(Kind.TOOL_CALLED, key="tool"), call_id=call_id))
            return [tool, *call(call_id, **more)]

        rejected: Item = {**quarantined(b"{}"), "answer": {"S": f'{{"to": "{NUMBER}"}}'}}
        calls = with_tool("theirs", from_=NUMBER), with_tool("leg", parent="theirs"), with_tool("other", from_=OTHER)
        result = found(*calls, [rejected])
        assert result.answers == [("jambonz#other", "event#tool"), (rejected["pk"]["S"], rejected["sk"]["S"])]
        assert (set(result.calls), result.legs) == ({"jambonz#theirs"}, [["jambonz#leg"]])
        assert (result.removals, result.total) == (2, 4)
        assert result.days == {"2026-11-21"}

    def test_finds_the_results_of_tools(self) -> None:
        results: list[Item] = [
            {"id": {"S": "tool#1"}, "data": {"S": json.dumps([{"value": NUMBER, "is_error": False}])}},
            {"id": {"S": "tool#2"}, "data": {"S": json.dumps([{"value": OTHER, "is_error": False}])}},
            {"id": {"S": "tool#3"}, "status": {"S": "INPROGRESS"}},
        ]
        assert find_tool_results([results[:1], results[1:]], Person.of(NUMBER)) == [{"id": {"S": "tool#1"}}]

    def test_finds_only_the_calls_of_the_person(self) -> None:
        mentioned = [stored_item(make_event(Kind.MEDIA, details={"text": NUMBER}))]
        others = call("other", from_=OTHER, to="+12125550100")
        result = found(others, call("theirs", from_=NUMBER, to=OTHER), mentioned, call("unfolded", from_=NUMBER)[-1:])
        assert result.calls == {
            "jambonz#theirs": Match.PARTY, "jambonz#one-call": Match.MENTION, "jambonz#unfolded": Match.PARTY,
        }  # fmt: skip
        assert (result.scanned, result.removals) == (8, 3)
        assert (result.providers, result.days) == ({"jambonz"}, {"2026-11-21"})

    def test_finds_call_legs_and_their_legs_in_any_order(self) -> None:
        items = [
            call("leg-of-leg", from_=OTHER, parent="leg"),
            call("leg", from_=OTHER, parent="theirs"),
            call("other-leg", from_=OTHER, parent="other"),
            call("theirs", from_=NUMBER),
            call("other", from_=OTHER),
        ]
        for order in (items, items[::-1]):
            assert found(*order).legs == [["jambonz#leg"], ["jambonz#leg-of-leg"]]

    def test_does_not_find_the_call_that_dialled_the_person(self) -> None:
        theirs = call("theirs", from_=OTHER, to=NUMBER, parent="other")
        result = found(call("other", from_=OTHER), theirs, call("sibling", from_=OTHER, parent="other"))
        assert (set(result.calls), result.legs) == ({"jambonz#theirs"}, [])

    def test_finds_calls_in_a_cycle_of_parents_once(self) -> None:
        cycle = call("second", parent="third"), call("third", parent="theirs")
        result = found(call("theirs", from_=NUMBER, parent="second"), *cycle)
        assert (result.legs, result.removals) == ([["jambonz#third"], ["jambonz#second"]], 3)

    def test_finds_sms_events_without_a_call_and_quarantined_deliveries(self) -> None:
        sms = replace(make_event(Kind.SMS_RECEIVED, provider="voipstudio", from_=NUMBER), call_id=None, sms_id="77")
        client = replace(make_event(Kind.CLIENT_REFUSED, from_=f"{NUMBER}@sip.example.com", key="theirs"), call_id=None)
        another = replace(make_event(Kind.CLIENT_REFUSED, from_="jane@sip.example.com"), call_id=None)
        rejected = quarantined(b"from=%2B14155550123")
        result = found(map(stored_item, (sms, client, another)), [rejected, quarantined(b"from=jane")])
        assert result.calls == {"voipstudio#sms#77": Match.PARTY}
        assert result.events_without_call == [("jambonz#none#2026-11-21", "event#theirs")]
        assert result.quarantined == [(rejected["pk"]["S"], rejected["sk"]["S"])]
        assert result.providers == {"jambonz", "voipstudio", "wavix"}

    def test_finds_items_that_are_not_valid_events(self) -> None:
        details = {"M": {"list": {"L": [{"S": NUMBER}]}}}
        odd: Any = {"pk": {"S": "jambonz#1"}, "sk": {"S": "event#1"}, "details": details}
        assert found([odd]).calls == {"jambonz#1": Match.MENTION}


class Killed(BaseException):
    """The process is killed."""


@dataclass
class Table:
    """DynamoDB that kills the process after a number of writes."""

    items: dict[tuple[str, str], Item]
    removals: Iterator[int] = field(default_factory=lambda: iter(()))

    def get_paginator(self, operation: str) -> Table:
        assert operation == "query"
        return self

    def paginate(self, *, ExpressionAttributeValues: Any, ConsistentRead: bool, **_: object) -> Any:  # noqa: N803
        assert ConsistentRead
        pk = ExpressionAttributeValues[":pk"]["S"]
        return [{"Items": [item for (key, _), item in sorted(self.items.items()) if key == pk]}]

    def delete_item(self, *, Key: Any, **_: object) -> None:  # noqa: N803
        if next(self.removals, None) is None:
            raise Killed
        self.items.pop((Key["pk"]["S"], Key["sk"]["S"]), None)

    def get_item(self, *, Key: Any, ConsistentRead: bool, **_: object) -> Any:  # noqa: N803
        assert ConsistentRead
        item = self.items.get((Key["pk"]["S"], Key["sk"]["S"]))
        return {} if item is None else {"Item": {"answer": item["answer"]}}

    def update_item(self, *, Key: Any, ExpressionAttributeValues: Any, **_: object) -> None:  # noqa: N803
        if next(self.removals, None) is None:
            raise Killed
        key = (Key["pk"]["S"], Key["sk"]["S"])
        assert self.items[key]["answer"] == ExpressionAttributeValues[":text"]
        self.items[key] = {**self.items[key], "answer": ExpressionAttributeValues[":redacted"]}


@given(
    parent_of=st.dictionaries(st.integers(0, 7), st.integers(0, 7)),
    theirs=st.sets(st.integers(0, 7), max_size=3),
    unfolded=st.sets(st.integers(0, 7)),
    removals=st.lists(st.integers(0, 12), max_size=4),
)
@examples(100)
def test_a_run_after_any_kill_completes_the_removal_for_any_call_tree(
    parent_of: dict[int, int], theirs: set[int], unfolded: set[int], removals: list[int]
) -> None:
    def is_theirs(number: int | None, seen: frozenset[int] = frozenset()) -> bool:
        if number is None or number in seen:
            return False
        return number in theirs or is_theirs(parent_of.get(number), seen | {number})

    table = Table({})
    parents = {number: str(parent_of[number]) if number in parent_of else None for number in range(8)}
    for number, parent in parents.items():
        items = call(str(number), from_=NUMBER if number in theirs else OTHER, parent=parent)
        for item in items[:-1] if number in unfolded else items:
            table.items[item["pk"]["S"], item["sk"]["S"]] = item
    expected = {key for key in table.items if not is_theirs(int(key[0].removeprefix("jambonz#")))}
    client: Any = table
    for count in (*removals, 1000):
        table.removals = iter(range(count))
        removal = Removal(client, "events", Person.of(NUMBER), lambda: NOW, lambda _: None)
        try:
            removal.remove(found(table.items.values()), lambda: None)
        except Killed:
            continue
    assert set(table.items) == expected


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def wrapped_in(encode: Callable[[bytes], bytes]) -> Callable[[str], str]:
    return lambda text: base64.b64encode(encode(text.encode())).decode()


IN_TEXT: list[Callable[[str], str]] = [
    lambda text: json.dumps({"some": text, "n": [1, "x"]}),
    lambda text: json.dumps([text], ensure_ascii=False),
    lambda text: f"see {text}, please",
    lambda text: quote(text, safe=""),
    lambda text: html.escape(text).replace("1", "&#49;"),
    wrapped_in(bytes),
    lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    lambda text: f"/cb/call-{base64.urlsafe_b64encode(text.encode()).decode()}?x=1",
    lambda text: base64.encodebytes(text.encode()).decode(),
    wrapped_in(gzipped),
    wrapped_in(zlib.compress),
]
IN_BYTES: list[Callable[[bytes], bytes]] = [
    bytes,
    gzipped,
    zlib.compress,
    lambda data: zlib.compress(data, wbits=-zlib.MAX_WBITS),
    lambda data: data.decode().encode("utf-16"),
]
WRITTEN = [
    "+14155550123", "14155550123", "+1 (415) 555-0123", "001 415 555 0123", "+1 (0) 415\u00a0555\u20110123",
    "\uff0b\uff11\uff14\uff11\uff15\uff0d\uff15\uff15\uff15\uff0d\uff10\uff11\uff12\uff13",
    "\uff11\uff08\uff14\uff11\uff15\uff09\uff15\uff15\uff15\u3000\uff10\uff11\uff12\uff13",
    "+1\u3000415\ufe63555\u205f0123", "+1 \u2066415\u2069 555\ufeff0123",
]  # fmt: skip


def encoded(text: str, layers: Iterable[Callable[[str], str]]) -> str:
    for layer in layers:
        text = layer(text)
    return text


def places(text: str, data: bytes) -> list[Item]:
    """Return items of other people, each with a text or bytes in one place."""
    event = replace(make_event(Kind.TOOL_CALLED, key="tool", from_=OTHER), call_id="c")
    items: list[Item] = [
        item_with(data, event),
        item_with(b"{}", event, query=text),
        stored_item(replace(event, details={"text": text})),
        stored_item(replace(event, name=text)),
        quarantined(data),
        {**quarantined(b"{}"), "headers": {"M": {"user-agent": {"S": text}}}},
        answered(event, json.dumps({"result": json.dumps({"text": text})})),
        {**quarantined(b"{}"), "answer": {"S": json.dumps([{"verb": "say", "text": text}])}},
        {**call("c", from_=OTHER)[-1], "customer_data": {"M": {"note": {"S": text}}}},
    ]
    return [{**item, "pk": {"S": f"{item['pk']['S']}{number}"}} for number, item in enumerate(items)]


@given(
    written=st.sampled_from(WRITTEN),
    layers=st.lists(st.sampled_from(IN_TEXT), max_size=3),
    packed=st.sampled_from(IN_BYTES),
)
@examples(100)
def test_an_encoded_number_is_removed_everywhere_and_other_items_are_unchanged(
    written: str, layers: list[Callable[[str], str]], packed: Callable[[bytes], bytes]
) -> None:
    theirs, others = (
        places(text := encoded(number, layers), packed(text.encode())) for number in (written, "+1 415 555 0124")
    )
    others = [{**item, "pk": {"S": f"{item['pk']['S']}-other"}} for item in others]
    table = Table({(item["pk"]["S"], item["sk"]["S"]): item for item in (*theirs, *others)}, itertools.repeat(0))
    client: Any = table
    assert len(items_with("14155550123", theirs)) == len(theirs)
    Removal(client, "events", Person.of(NUMBER), lambda: NOW, lambda _: None).remove(
        found(table.items.values()), lambda: None
    )
    left = list(table.items.values())
    assert items_with("14155550123", left) == []
    assert [item for item in others if item not in left] == []
    redacted = [item for item in left if item not in others]
    assert [{**item, "answer": None} for item in redacted] == [{**item, "answer": None} for item in theirs[6:8]]
    assert [json.loads(item["answer"]["S"]) for item in redacted]
    assert not found(left).total


def test_a_redaction_raises_the_error_of_the_table() -> None:
    item = answered(make_event(Kind.INITIATED))

    class Refusing(Table):
        def update_item(self, **_: object) -> None:
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "UpdateItem")

    client: Any = Refusing({(item["pk"]["S"], item["sk"]["S"]): item})
    with pytest.raises(ClientError, match="AccessDenied"):
        Redaction(client, "events", Person.of(NUMBER), "answer").redact({"pk": item["pk"], "sk": item["sk"]})
