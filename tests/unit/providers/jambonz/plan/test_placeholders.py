"""Replacement of placeholders in texts."""

from __future__ import annotations

import json
import re
import unicodedata
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
    assert fill_in("{RING_SECONDS}", TextContext.USER, known) == text
    assert fill_in("{COMPANY}", TextContext.PLAIN, Known(COMPANY="a\r\nb")) == "a b"


class TestACallersInput:
    @pytest.mark.parametrize(
        ("place", "value", "filled"),
        [
            (TextContext.SPEECH, "<audio src='https://evil.example'/>", "audio src='https://evil.example'/"),
            (TextContext.SPEECH, "say:{voice=x}boo", "say: voice=x boo"),
            (TextContext.SPEECH, "{SECRET}", "SECRET"),
            (TextContext.ADDRESS, "a/b?c#d&e@f", "a%2Fb%3Fc%23d%26e%40f"),
            (TextContext.ADDRESS, "+12125550187", "%2B12125550187"),
            (TextContext.ADDRESS, "../x", "..%2Fx"),
            (TextContext.ADDRESS, "..", "%2E%2E"),
            (TextContext.HEADER, 'x" <sip:evil@evil.example>;y="', "x   sip:evil@evil.example y="),
            (TextContext.JSON, 'a "b" \\', 'a \\"b\\" \\\\'),
            (TextContext.PLAIN, "a\r\nX-Evil: b\x00", "a X-Evil: b"),
            (TextContext.PLAIN, "half \ud83d", "half"),
            (TextContext.SPEECH, "a" * 10_000, "a" * 500),
        ],
    )
    def test_becomes_harmless_in_its_context(self, place: TextContext, value: str, filled: str) -> None:
        assert fill_in("{digits}", place, Known({"digits": value})) == filled

    @pytest.mark.parametrize(
        ("value", "user"),
        [
            ("+14155550123", "+14155550123"),
            ("*72", "*72"),
            ("21#", "21%23"),
            ("jane", "jane"),
            ("jane doe", "jane%20doe"),
            ("\u202a+1 415\u2011555 0150\u202c", "+14155550150"),
            ("%2B1%20415%20555%200150", "+14155550150"),
            ("sip:+14155550123@carrier.example;user=phone", "+14155550123"),
            ("sip:%2B14155550123@carrier.example", "+14155550123"),
            ("+14155550123;verstat=No-TN-Validation", "+14155550123"),
            ("x%40evil.example", "x%40evil.example"),
            ("j%C3%BCrgen", "j%C3%BCrgen"),
            ("jürgen", "j%C3%BCrgen"),
            ("100%", "100%25"),
            ("%2", "%252"),
            ("%ZZ", "%25ZZ"),
            ("%0D%0AVia:", "%250D%250AVia%3A"),
            ("%2540", "%2540"),
            ("x@evil.example;y", "x%40evil.example%3By"),
            ("a\r\nb", None),
            ("a" * 501, None),
            ("", None),
        ],
    )
    def test_in_a_sip_uri_becomes_its_user_and_is_escaped_once(self, value: str, user: str | None) -> None:
        uri = fill_in("sip:{to}@pbx.example", TextContext.ADDRESS, Known({"to": value}))
        assert uri == (user and f"sip:{user}@pbx.example")
        again = fill_in("sip:{to}@pbx.example", TextContext.ADDRESS, Known({"to": user or ""}))
        assert again == uri, "a second time changes nothing"

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


NUMBERS = [
    ("+14155550150", "+14155550150"),
    ("201", "201"),
    ("*72", "*72"),
    ("21#", "21#"),
    ("*31#+4930123456", "*31#+4930123456"),
    ("+1 (212) 555-0187", "+12125550187"),
    ("(+49) 30 123456", "+4930123456"),
    ("+49 (0)30 123456", "+4930123456"),
    ("030/1234567", "0301234567"),
    ("01.23.45.67.89", "0123456789"),
    ("\u202a+1\u00a0415\u2011555\u20110100\u202c", "+14155550100"),
    ("\uff0b\uff11\uff14\uff11\uff15\uff15\uff15\uff15\uff10\uff11\uff10\uff10", "+14155550100"),
    ("\u0664\u0661\u0665\u0665\u0665\u0665\u0660\u0661\u0660\u0660", "4155550100"),
    ("sip:+14155550123@carrier.example;user=phone", "+14155550123"),
    ("+14155550123;verstat=TN-Validation-Passed", "+14155550123"),
    ("4155550123;npdi;rn=+14155550100", "4155550123"),
    ("tel:%2b1-415-555-0123;ext=5", "+14155550123"),
    ('"Jane \\"<J>" <sip:+14155550123;phone-context=x@a.example>;tag=1', "+14155550123"),
    *((text, None) for text in (
        "", " ", "+", "*", "#", "++1415", "1+2", "9+14155550150", "jane", "anonymous", "jane@host",
        "1@evil.example;x=y", "201;ext=5", "+14155550150;x=1@evil.example",
        "+14155550150@evil.example", "x%40evil.example", "%252B14155550150", "%2", "192.0.2.1", "2026-11-30",
        "30.11.2026", "12.5", "1234567.50", "-14155550150", "1 2", "12-34", "1-800-FLOWERS", "4155550\x00123",
        "415\n5550123", "+14155550150\ud83d", "\u00b2125550150", "1" * 65, "sip:198.51.100.1", "sip:12?3@a.example",
        "sip:12;34@a.example", "call 4155550150", "4155550150 4155550151", "+1415,555",
    )),
]  # fmt: skip


class TestWhatIsDialled:
    @pytest.mark.parametrize(("value", "number"), NUMBERS)
    def test_is_the_number_that_a_value_stands_for_or_nothing(self, value: str, number: str | None) -> None:
        known = Known({"from": value}, NUMBER=value)
        assert fill_in("{from}", TextContext.NUMBER, known) == number
        assert fill_in("{NUMBER}", TextContext.NUMBER, known) == number
        assert fill_in("{from|+14155550100}", TextContext.NUMBER, known) == (number or "+14155550100")

    @pytest.mark.parametrize(
        ("text", "facts", "number"),
        [
            ("+1{digits}", {"digits": "4155550150"}, "+14155550150"),
            ("+1{digits}", {}, None),
            ("+1{digits}", {"digits": "*"}, None),
            ("+{from}", {"from": "14155550150"}, "+14155550150"),
            ("+{from}", {"from": "+14155550150"}, None),
            ("{NO_PREFIX}{digits}", {"digits": "201"}, "201"),
            ("{PREFIX}{digits}", {"digits": "201"}, "9201"),
            ("{NO_PREFIX}", {}, None),
            ("*31#{from}", {"from": "+1 415 555 0150"}, "*31#+14155550150"),
            ("{digits:spelled}", {"digits": "12"}, None),
        ],
    )
    def test_is_whole_if_a_placeholder_is_part_of_it(
        self, text: str, facts: Mapping[str, str], number: str | None
    ) -> None:
        assert fill_in(text, TextContext.NUMBER, Known(facts, NO_PREFIX="", PREFIX=9)) == number

    @pytest.mark.parametrize(
        ("place", "value", "filled"),
        [
            (TextContext.USER, "jane", "jane"),
            (TextContext.USER, "Jane.Doe-1_2", "Jane.Doe-1_2"),
            (TextContext.USER, "anonymous", "anonymous"),
            (TextContext.USER, "*72", "*72"),
            (TextContext.USER, "sip:jane@a.example", "jane"),
            (TextContext.USER, "+1 (212) 555-0187", "+12125550187"),
            (TextContext.USER, "jane@host", None),
            (TextContext.USER, "jane doe", None),
            (TextContext.USER, "x%40evil.example", None),
            (TextContext.USER, "j" * 65, None),
            (TextContext.KEYS, "12#", "12#"),
            (TextContext.KEYS, "1w2W,A", "1w2W,A"),
            (TextContext.KEYS, "+14155550150", "+14155550150"),
            (TextContext.KEYS, "12a3e", None),
            (TextContext.KEYS, "1@2", None),
        ],
    )
    def test_or_sent_as_a_user_or_keys_is_whole(self, place: TextContext, value: str, filled: str | None) -> None:
        assert fill_in("{digits}", place, Known({"digits": value})) == filled


def reads_as(value: str) -> str:
    """Return what a person types for a value: ASCII digits and keys, without what only separates them."""
    return "".join(
        str(unicodedata.decimal(letter)) if letter.isdecimal() else unicodedata.normalize("NFKC", letter)
        for letter in value.strip()
        if unicodedata.category(letter) not in ("Cf", "Pd", "Zs")
        and letter not in "-.()/\u2212\uff0e\uff08\uff09\uff0f"
    )


@given(
    st.text()
    | st.text("+0123456789*# -.()/")
    | st.text('+0123456789*#%2B3aA@;:sipte<>" .-()\u202a\uff11\u0661\u2010\u00a0j')
    | st.from_regex(r"\A\+?[0-9]{1,4}([ .\-/()]{1,2}[0-9]{1,4}){1,5}\Z")
)
def test_nothing_but_separators_is_left_out_of_a_number(value: str) -> None:
    number = fill_in("{digits}", TextContext.NUMBER, Known({"digits": value}))
    assert fill_in("{from}", TextContext.NUMBER, Known({"from": str(number)})) == number, "a number stays itself"
    if number is not None and not re.search(r"(?i)(sips?|tel):|;[a-z]", value):
        without_trunk_zero = re.sub(r"[(\uff08][ \u00a0]?[0\uff10][ \u00a0]?[)\uff09]", "", value)
        assert number in (reads_as(value), reads_as(without_trunk_zero))


@given(st.text(), st.sampled_from(TextContext))
def test_no_value_opens_a_tag_a_brace_or_a_line(value: str, place: TextContext) -> None:
    result = fill_in("0{digits}1", place, Known({"digits": value}))
    if result is None:
        assert place in (TextContext.NUMBER, TextContext.KEYS, TextContext.USER)
        return
    filled = str(result)
    assert filled.startswith("0")
    assert filled.endswith("1")
    assert not {"\n", "\r", "\x00"} & set(filled)
    if place not in (TextContext.PLAIN, TextContext.JSON):
        assert not set("<>") & set(filled)
    if place not in (TextContext.PLAIN, TextContext.JSON, TextContext.HEADER):
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
        ("number", "target", "{x}", TextContext.NUMBER),
        ("name", "target", "{x}@office.example.com", TextContext.USER),
        ("trunk", "target", "{x}", TextContext.PLAIN),
        ("name", "enqueue", "{x}", TextContext.PLAIN),
        ("name", "metadata", "{x}", TextContext.PLAIN),
        ("url", "metadata", "{x}", TextContext.PLAIN),
        ("sipUri", "target", "sip:{x}@a.example", TextContext.ADDRESS),
        ("referTo", "sip:refer", "sip:{x}@a.example", TextContext.ADDRESS),
        ("referTo", "sip:refer", "{x}", TextContext.USER),
        ("overrideTo", "target", "{x}", TextContext.USER),
        ("user", "target", "{x}", TextContext.USER),
        ("callerId", "dial", "{x}", TextContext.NUMBER),
        ("to", "message", "{x}", TextContext.NUMBER),
        ("from", "message", "{x}", TextContext.USER),
        ("dtmf", "dtmf", "{x}", TextContext.KEYS),
        ("number", "data", "{x}", TextContext.PLAIN),
        ("to", "llm", "{x}", TextContext.PLAIN),
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
