"""Numbers as people paste them, in any script and with any decoration."""

from __future__ import annotations

import re
import unicodedata
from time import process_time

import pytest
from callhooks.providers.jambonz.plan.call_facts import CallFacts
from callhooks.providers.jambonz.plan.numbers import INVISIBLE, plain_characters, visible
from callhooks.providers.jambonz.plan.parties import read_pasted
from callhooks.providers.jambonz.plan.plan import Flow, Links, Plan, Turn, Variable, Verbs
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support import NOW

CHARACTERS = "".join(map(chr, range(0x20000)))
ZEROS = [digit for digit in re.findall(r"\d", CHARACTERS) if int(digit) == 0]
SPACES = [space for space in re.findall(r"\s", CHARACTERS) if unicodedata.category(space) == "Zs"]
BIDI_MARKS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
DECORATION = st.sampled_from([*SPACES, *BIDI_MARKS, "\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", *"-./"])
HYPHENS = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63\uff0d"


@pytest.mark.parametrize(
    ("pasted", "number"),
    [
        ("+14155551234", "+14155551234"),
        ("\u202a+14155551234\u202c", "+14155551234"),
        ("\u2066+1 415 555 1234\u2069", "+14155551234"),
        ("\ufeff+1\u00a0(415)\u2009555\u20111234", "+14155551234"),
        ("+1\u2011415\u2013555\u22121234", "+14155551234"),
        ("\uff0b\uff11\uff14\uff11\uff15\u3000\uff08\uff15\uff15\uff09\uff0d\uff11\uff12", "+14155512"),
        ("+\u0661\u0664\u0661\u0665 \u0665\u0665\u0665", "+1415555"),
        ("+\u06f1\u06f4\u06f1\u06f5", "+1415"),
        ("\u0967\u096a\u0967\u096b", "1415"),
        ("+1.415.555/1234", "+14155551234"),
        ("+32\u00b7470\u00b755", "+3247055"),
        ("tel:+1-415-555-1234", "+14155551234"),
        ("sip:+1 (415) 555-1234@carrier.example", "sip:+14155551234@carrier.example"),
        ("*31#0470 55 50 10", "*31#0470555010"),
        ("*31%23%2B32 470 55 50 10", "*31#+32470555010"),
        ("%2B1%20(415)%20555-1234", "+14155551234"),
        ("(0)470 55 50 10", "0470555010"),
        ("[1234]", "1234"),
    ],
)  # fmt: skip
def test_harmless_characters_leave_a_number_unchanged(pasted: str, number: str) -> None:
    assert read_pasted(pasted) == (number, True, False)


@pytest.mark.parametrize(
    ("pasted", "number", "lost_zero"),
    [
        ("+32 (0)470 55 50 10", "+32470555010", True),
        ("+32(0)470555010", "+32470555010", True),
        ("+32 ( 0 ) 470 55 50 10", "+32470555010", True),
        ("+44 [0] 20 7946 0123", "+442079460123", True),
        ("+44 (020) 7946 0123", "+442079460123", True),
        ("(+44) (0)20 7946 0123", "+442079460123", True),
        ("0044 (0)20 7946 0123", "00442079460123", True),
        ("44 (0)20 7946 0123", "442079460123", True),
        ("\uff0b\uff13\uff12\uff08\uff10\uff09\uff14\uff17\uff10", "+32470", True),
        ("+32 (0)", "+32", True),
        ("+39 (0)6 1234 5678", "+390612345678", False),
        ("+225 (0)7 12 34 56 78", "+2250712345678", False),
        ("0470 (0)55", "0470055", False),
        ("+1 (415) 005-0100", "+14150050100", False),
        ("+1 415 (0123) 456", "+14150123456", False),
    ],
)
def test_a_trunk_zero_in_brackets_is_left_out_where_it_is_not_dialled(
    pasted: str, number: str, lost_zero: bool
) -> None:
    assert read_pasted(pasted) == (number, True, lost_zero)


@pytest.mark.parametrize(
    ("pasted", "text"),
    [
        ("jane.doe", "jane.doe"),
        (" anonymous\u200b ", "anonymous"),
        ("jane.doe@sip.example.com", "jane.doe@sip.example.com"),
        ("10.01@pbx.example.com", "10.01@pbx.example.com"),
        ("sip:21%23@pbx.example.com", "sip:21%23@pbx.example.com"),
        ("x%40evil.example", "x%40evil.example"),
        ("1-800-FLOWERS", "1-800-FLOWERS"),
        ("+1415555O100", "+1415555O100"),
        ("", ""),
        ("+", "+"),
        ("1 " * 101, ("1 " * 101).strip()),
    ],
)
def test_what_is_no_number_keeps_its_visible_characters(pasted: str, text: str) -> None:
    assert read_pasted(pasted) == (text, False, False)


@pytest.mark.parametrize("text", ["*" + "1#" * 60_000, "*" * 120_000, "*1" * 60_000 + "+", "1 " * 60_000])
def test_reading_takes_time_in_proportion_to_the_length(text: str) -> None:
    start = process_time()
    assert not read_pasted(f"{text}x").is_number
    assert process_time() - start < 1


@given(
    digits=st.text("123456789", min_size=1, max_size=15),
    zero=st.sampled_from(ZEROS),
    plus=st.sampled_from(["", "+", "\uff0b", "\ufe62"]),
    decoration=st.lists(DECORATION | st.sampled_from(HYPHENS), min_size=17, max_size=17),
)
def test_a_number_is_the_same_in_every_script_and_decoration(
    digits: str, zero: str, plus: str, decoration: list[str]
) -> None:
    written = [*plus, *(chr(ord(zero) + int(digit)) for digit in digits)]
    pasted = "".join(f"{between}{char}" for between, char in zip(decoration, [*written, ""], strict=False))
    assert read_pasted(pasted) == (f"{'+' if plus else ''}{digits}", True, False)


@given(st.text(st.characters() | DECORATION | st.sampled_from("+0123456789()[]@;*#"), max_size=60))
@example("(" * 100 + "0" * 99)
def test_reading_twice_changes_nothing_and_never_adds_a_digit(text: str) -> None:
    once = read_pasted(text)
    assert read_pasted(once.text).text == once.text
    assert sum(char.isdecimal() for char in once.text) <= sum(char.isdecimal() for char in text)


def test_every_digit_space_and_hyphen_of_unicode_has_a_plain_form() -> None:
    assert {plain_characters(chr(ord(zero) + 7)) for zero in ZEROS} == {"7"}
    assert {plain_characters(space) for space in SPACES} == {" "}
    assert {plain_characters(hyphen) for hyphen in HYPHENS} == {"-"}
    assert visible("".join(map(chr, INVISIBLE))) == ""


@pytest.mark.parametrize(
    ("configured", "dialled"),
    [
        ("\u202a+1 415 555 0177\u202c", "+14155550177"),
        ("\u202a%2B14155550177\u202c", "+14155550177"),
        ("+32 (0)470 55 50 10", "+32470555010"),
        ("\u0660\u0664\u0667\u0660", "0470"),
        (470555010, "470555010"),
        (None, "+14155550100"),
    ],
)
def test_the_value_of_a_variable_is_read_as_pasted_if_it_is_dialled(configured: object, dialled: str) -> None:
    verbs: Verbs = [
        {"verb": "dial", "target": [{"type": "phone", "number": "{SALES}"}]},
        {"verb": "say", "text": "{TEXT}"},
    ]
    variables = {
        "SALES": Variable("string", "+14155550100", {}, is_number=True),
        "TEXT": Variable("string", "", {}),
    }
    plan = Plan(routes=(), flows={"main": Flow(verbs)}, fallback=(), variables=variables)
    facts = CallFacts({"env_vars": {"SALES": configured, "TEXT": "1 (2)"}})
    dial, say = plan.answer(Turn("main"), facts, Links("", ""), NOW).verbs
    assert dial["target"] == [{"type": "phone", "number": dialled}]
    assert say["text"] == "1 (2)"


def test_a_dialled_variable_may_be_one_of_its_choices_in_any_notation() -> None:
    schema = {"enum": ["+14155550100", "+14155550101"]}
    variable = Variable("string", "+14155550100", schema, is_number=True)
    assert variable.value_of("+1 (415) 555-0101") == "+14155550101"
    assert variable.value_of("+1 (415) 555-0102") == "+14155550100"
