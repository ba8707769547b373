"""Replacement of placeholders in texts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

import pytest
from callhooks.providers.jambonz.plan.placeholders import (
    TextContext,
    Value,
    context_of,
    fill_in,
    placeholders_in,
    stray_braces,
)
from hypothesis import given
from hypothesis import strategies as st


class Known:
    """Values of placeholders."""

    def __init__(self, call: Mapping[str, str] = MappingProxyType({}), **variables: Value) -> None:
        self.fact = call.get
        self.variable = variables.get


JANE = Known({"caller_name": "Jane Doe", "from": "+12125550187", "sip.X-Account": "42"}, COMPANY="Smith & Sons")


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("Hello {caller_name}.", "Hello Jane Doe."),
        ("{COMPANY}: {sip.X-Account}", "Smith & Sons: 42"),
        ("{from:spelled}", "1 2 1 2 5 5 5 0 1 8 7"),
        ("Hello {nobody|friend}", "Hello friend"),
        ("Hello {nobody}", "Hello "),
        ("{caller_name|friend}", "Jane Doe"),
        ("{{caller_name}}", "{caller_name}"),
        ("a { b } c", "a { b } c"),
        ('{"type": "object"}', '{"type": "object"}'),
        ("no placeholder", "no placeholder"),
    ],
)
def test_a_placeholder_becomes_its_value(text: str, filled: str) -> None:
    assert fill_in(text, TextContext.SPEECH, JANE) == filled


@pytest.mark.parametrize(("value", "text"), [(25, "25"), (2.5, "2.5"), (True, "true"), (False, "false")])
def test_a_text_that_consists_of_a_variable_keeps_its_type(value: Value, text: str) -> None:
    known = Known(RING_SECONDS=value)
    assert fill_in("{RING_SECONDS}", TextContext.PLAIN, known) is value
    assert fill_in("{RING_SECONDS} s", TextContext.PLAIN, known) == f"{text} s"
    assert fill_in("{RING_SECONDS}", TextContext.SPEECH, known) == text
    assert fill_in("{RING_SECONDS}", TextContext.DIALLED, known) == text
    assert fill_in("{COMPANY}", TextContext.PLAIN, Known(COMPANY="a\r\nb")) == "a b"


class TestACallersInput:
    @pytest.mark.parametrize(
        ("place", "value", "filled"),
        [
            (TextContext.SPEECH, "<audio src='https://evil.example'/>", "audio src='https://evil.example'/"),
            (TextContext.SPEECH, "say:{voice=x}boo", "say: voice=x boo"),
            (TextContext.SPEECH, "{SECRET}", "SECRET"),
            (TextContext.DIALLED, "+1 (212) 555-0187", "+1212555-0187"),
            (TextContext.DIALLED, "1@evil.example;x=y", "1evil.examplexy"),
            (TextContext.ADDRESS, "a/b?c#d&e@f", "a%2Fb%3Fc%23d%26e%40f"),
            (TextContext.ADDRESS, "+12125550187", "%2B12125550187"),
            (TextContext.ADDRESS, "../x", "..%2Fx"),
            (TextContext.ADDRESS, "..", "%2E%2E"),
            (TextContext.DIALLED, "sip:+14155550123@carrier.example;user=phone", "+14155550123"),
            (TextContext.HEADER, 'x" <sip:evil@evil.example>;y="', "x   sip:evil@evil.example y="),
            (TextContext.JSON, 'a "b" \\', 'a \\"b\\" \\\\'),
            (TextContext.PLAIN, "a\r\nX-Evil: b\x00", "a X-Evil: b"),
            (TextContext.PLAIN, "half \ud83d", "half"),
            (TextContext.SPEECH, "a" * 10_000, "a" * 500),
        ],
    )
    def test_becomes_harmless_in_its_context(self, place: TextContext, value: str, filled: str) -> None:
        assert fill_in("{digits}", place, Known({"digits": value})) == filled

    def test_in_a_sip_uri_becomes_its_user_part(self) -> None:
        known = Known({"to": "sip:+14155550123@carrier.example"})
        assert fill_in("sip:{to}@pbx.example", TextContext.ADDRESS, known) == "sip:+14155550123@pbx.example"

    def test_is_escaped_in_markup(self) -> None:
        known = Known({"caller_name": "</speak>& 'co' \"x\""}, COMPANY="Smith & <b>")
        text = "<speak>{caller_name}, {COMPANY}</speak>"
        assert "&amp;" in str(fill_in(f"<?xml version='1.0'?>{text}", TextContext.SPEECH, known))
        assert fill_in(text, TextContext.SPEECH, known) == (
            "<speak>/speak &amp; &#x27;co&#x27; &quot;x&quot;, Smith &amp; &lt;b&gt;</speak>"
        )

    def test_is_not_searched_for_placeholders(self) -> None:
        known = Known({"caller_name": "{PASSWORD}", "from": "{caller_name}"}, PASSWORD="s3cr3t")
        assert fill_in("{caller_name} {from}", TextContext.PLAIN, known) == "{PASSWORD} {caller_name}"


@given(st.text(), st.sampled_from(TextContext))
def test_no_value_opens_a_tag_a_brace_or_a_line(value: str, place: TextContext) -> None:
    filled = str(fill_in("x{digits}y", place, Known({"digits": value})))
    assert filled.startswith("x")
    assert filled.endswith("y")
    assert not {"\n", "\r", "\x00"} & set(filled)
    if place not in (TextContext.PLAIN, TextContext.JSON):
        assert not set("<>") & set(filled)
    if place in (TextContext.SPEECH, TextContext.ADDRESS, TextContext.DIALLED):
        assert not set("{}") & set(filled)
    if place is TextContext.JSON:
        assert isinstance(json.loads(f'"{filled}"'), str)
    if place is TextContext.ADDRESS:
        assert not set("/?#@&:\\") & set(filled)
    json.dumps(filled).encode()


def test_malformed_placeholders_are_found_and_other_braces_are_not() -> None:
    for malformed in ("{caller-name}", "{ from }", "{from", "say {from:}", "50% { off }"):
        assert list(stray_braces(malformed)), malformed
    for text in ("{from}", "{{from}}", '{"type": "object"}', "{}", "a {1} b", "{caller_name|you}"):
        assert list(stray_braces(text)) == [], text


@given(st.text(alphabet="{}ab:|. "))
def test_any_text_can_be_filled_in(text: str) -> None:
    fill_in(text, TextContext.SPEECH, Known())
    assert all(one.name for one in placeholders_in(text))


@pytest.mark.parametrize(
    ("key", "within", "text", "place"),
    [
        ("text", "say", "{x}", TextContext.SPEECH),
        ("text", "message", "{x}", TextContext.PLAIN),
        ("welcomeMessage", "lex", "{x}", TextContext.SPEECH),
        ("number", "target", "{x}", TextContext.DIALLED),
        ("name", "target", "{x}@office.example.com", TextContext.DIALLED),
        ("trunk", "target", "{x}", TextContext.DIALLED),
        ("name", "enqueue", "{x}", TextContext.PLAIN),
        ("name", "metadata", "{x}", TextContext.PLAIN),
        ("url", "metadata", "{x}", TextContext.PLAIN),
        ("sipUri", "target", "sip:{x}@a.example", TextContext.ADDRESS),
        ("referTo", "sip:refer", "sip:{x}@a.example", TextContext.ADDRESS),
        ("referTo", "sip:refer", "{x}", TextContext.DIALLED),
        ("overrideTo", "target", "{x}", TextContext.DIALLED),
        ("url", "play", "{x}", TextContext.ADDRESS),
        ("proxy", "dial", "{x}", TextContext.ADDRESS),
        ("siprecServerURL", "config", "{x}", TextContext.ADDRESS),
        ("thinkingMusic", "dialogflow", "{x}", TextContext.ADDRESS),
        ("azureServiceEndpoint", "gather", "{x}", TextContext.ADDRESS),
        ("baseURL", "llm", "{x}", TextContext.ADDRESS),
        ("anything", "llm", "https://a.example/{x}", TextContext.ADDRESS),
        ("actionHook", "gather", "{x}", TextContext.ADDRESS),
        ("callerName", "dial", "{x}", TextContext.HEADER),
        ("X-Caller", "headers", "{x}", TextContext.HEADER),
        ("Contact", "headers", "<sip:{x}@a.example>", TextContext.ADDRESS),
        ("body", "sip:request", '{"name": "{x}"}', TextContext.JSON),
        ("body", "sip:request", "{x}", TextContext.PLAIN),
    ],
)
def test_the_member_determines_the_context(key: str, within: str, text: str, place: TextContext) -> None:
    assert context_of(key, within, text) is place
