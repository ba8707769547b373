"""SIP users as they are on the wire, and the parties that they stand for."""

from __future__ import annotations

from urllib.parse import quote, unquote

import pytest
from callhooks.events.call_event import canonical_party
from callhooks.providers.jambonz.plan.parties import decoded_party, dialled_number
from hypothesis import given
from hypothesis import strategies as st

DIALLED = "+0123456789*#"


@pytest.mark.parametrize(
    ("sent", "party"),
    [
        ("%2B14155550150", "+14155550150"),
        ("%2b14155550150", "+14155550150"),
        ("%2B%31%34155550150", "+14155550150"),
        ("21%23", "21#"),
        ("%2A72", "*72"),
        ("*31%23%2b4930123456", "*31#+4930123456"),
        ("%2B1%20(415)%20555%2D0150", "+1 (415) 555-0150"),
        ("%28415%29%20555%2e0150", "(415) 555.0150"),
        ("sip:%2B14155550150@203.0.113.5;user=phone", "sip:+14155550150@203.0.113.5;user=phone"),
        ("sips:%2b14155550150@a.example", "sips:+14155550150@a.example"),
        ("tel:%2B14155550150", "tel:+14155550150"),
        ("TEL:%2B1-415-555-0150", "TEL:+1-415-555-0150"),
        ("%2B14155550150@realm.example", "+14155550150@realm.example"),
        ("%25%32%42", "%252%42"),
        ("jane%2B1@a%2Bb.example", "jane+1@a%2Bb.example"),
        *((text, text) for text in (
            "", "+14155550150", "jane", "anonymous", "x%40evil.example", "jane%20doe", "%252B14155550150",
            "%", "%2", "+1415%", "+1415%2", "%ZZ", "%%32B1415", "%2%31", "%u0031", "j%C3%BCrgen", "%0D%0A", "%00",
            "%3Csip", "%EF%BC%91", "sip:x%40evil.example@a.example",
        )),
    ],
)  # fmt: skip
def test_an_escaped_character_of_a_number_is_decoded_and_no_other(sent: str, party: str) -> None:
    assert decoded_party(sent) == party


@given(st.text("%%%%0123456789aABbCDef@:;sip+*# .-"))
def test_decoding_twice_changes_nothing(sent: str) -> None:
    party = decoded_party(sent)
    assert decoded_party(party) == party
    assert unquote(party) == unquote(sent), "it stands for the same text"


@given(st.lists(st.tuples(st.sampled_from(DIALLED), st.sampled_from(["%%%02x", "%%%02X", ""])), min_size=1))
def test_a_number_is_the_same_whichever_of_its_characters_are_escaped(keys: list[tuple[str, str]]) -> None:
    number = "".join(key for key, _ in keys)
    sent = "".join(escape % ord(key) if escape else key for key, escape in keys)
    assert decoded_party(sent) == number
    assert canonical_party(decoded_party(f"sip:{sent}@a.example;user=phone")) == canonical_party(number)
    assert dialled_number(f'"Jane" <sip:{sent}@a.example>;tag=1') == dialled_number(number)


@given(st.text(st.characters(codec="utf-8", exclude_characters=f"{DIALLED}%@ ().-"), max_size=20))
def test_an_escaped_name_stays_as_it_is(name: str) -> None:
    sent = quote(name, safe="")
    assert decoded_party(sent) == sent
