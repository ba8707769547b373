"""Numbers in a plan: read as people paste them, checked, and prepared as they are dialled or compared."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping

from callhooks.providers.jambonz.plan.numbers import (
    INVISIBLE,
    PHONE_DIGITS,
    SEPARATORS,
    ZERO_IS_DIALLED,
    plain_characters,
    visible,
)
from callhooks.providers.jambonz.plan.parties import party_user, read_pasted
from callhooks.providers.jambonz.plan.placeholders import HEADERS, OWN_DATA, PARTIES, placeholders_in
from callhooks.providers.jambonz.plan.plan import HOOK, Plan, Verb
from pydantic import JsonValue

from callhooks_tools.providers.jambonz.plan.document import PlanDocument, PlanPath, PlanProblem

MAX_NATIONAL_DIGITS = 10
"""A longer number that does not begin with 0 may have a country code, even without `+`."""
MAX_SHOWN_CHARACTERS = 5
TRUNK_ZERO = "has a zero in brackets, which is not dialled after the country code: remove it"

_MEMBERS = frozenset({"number", "callerId", "to", "from", "overrideTo", "referTo", "referredBy", "sipUri"})
_KEYS = "dtmf"
_NAME_OF_A_PARTY = "name"
_CONTENT = OWN_DATA | HEADERS | {"llmOptions", "options"}
"""Members with arbitrary content."""
_PLACEHOLDER = re.compile(r"(\{[^{}]*\})")
_CHARACTERS_OF_NUMBERS = r"0-9+*#\s\-.()/\[\]"
_NUMBER_CHARACTERS = re.compile(f"[{_CHARACTERS_OF_NUMBERS}]*", re.ASCII)
_NOT_IN_A_NUMBER = re.compile(f"[^{_CHARACTERS_OF_NUMBERS}]", re.ASCII)
_USER = re.compile(r"(?:(?:sips?|tel|callto):(?://)?)?\s*([^@;]*)", re.ASCII | re.IGNORECASE)
_ZERO_AFTER_A_COUNTRY_CODE = re.compile(r"\(?\+\s*\(?([0-9]{1,3})\)?[\s\-./]+0(?=[0-9\s\-./()]*[0-9])", re.ASCII)
_NOT_IN_A_USER = frozenset('<>{}"|\\^`')
_DIAL_CLASS = re.compile(r"(\[[^\]]*\])")


def plain_pattern(pattern: str) -> str:
    """Return a pattern of a party as it is compared: a number, a prefix, a dial pattern or a SIP user."""
    written = plain_characters(pattern).strip()
    if written.startswith("_"):
        # In a class a hyphen is a range, and a dot is a wildcard.
        parts = enumerate(_DIAL_CLASS.split(written))
        return "".join(part if number % 2 else re.sub(r"[\s()/-]", "", part) for number, part in parts)
    if written == "*" or not written.endswith("*"):
        return written if written == "*" else read_pasted(party_user(pattern)).text
    return f"{read_pasted(visible(pattern)[:-1]).text}*"


def pattern_fault(pattern: str) -> str:
    """Return what is wrong with the characters of a pattern of a party; empty if nothing is."""
    written = plain_characters(pattern).strip()
    if written.startswith("_"):
        if odd := _contains(char for char in written if not char.isascii()):
            return odd
        return TRUNK_ZERO if read_pasted(re.sub("[XZN]", "1", written[1:])).lost_zero else ""
    user = visible(pattern)[:-1] if written.endswith("*") else party_user(pattern)
    return number_fault(user) or _contains(char for char in user if char in _NOT_IN_A_USER)


def number_fault(text: str) -> str:
    """Return what is wrong with the characters of a number or SIP user; empty if nothing is."""
    if read_pasted(text).is_number:
        return ""
    found = _USER.match(plain_characters(text).strip())
    user = found[1] if found else ""
    digits = sum(char.isdecimal() for char in user)
    letters = [char for char in user if char.isalpha()]
    is_name = any(char.isascii() for char in letters) or len(letters) >= digits
    if user.startswith("+") or not is_name:
        if odd := _contains(_NOT_IN_A_NUMBER.findall(user)):
            return odd
        if user.startswith("+"):
            return "is not a number: a + stands only at the beginning, before digits"
    return _contains(_odd_characters(visible(text)))


class NumberReader:
    """Reader of the numbers in verbs: checks them, and returns them as they are dialled.

    `placeholders` collects the names of the placeholders in them.
    """

    def __init__(self, report: Callable[[PlanPath, str], None]) -> None:
        self._report = report
        self.placeholders: set[str] = set()

    def verb(self, verb: Mapping[str, JsonValue], place: PlanPath) -> dict[str, JsonValue]:
        """Return a prepared verb with its numbers as they are dialled."""
        return {key: self._member(value, key, "", (*place, key)) for key, value in verb.items()}

    def number(self, text: str, place: PlanPath) -> str:
        """Return a number as it is dialled; it may contain placeholders."""
        if "{" not in text and "}" not in text:
            if fault := number_fault(text):
                self._report(place, fault)
            return read_pasted(text).text
        self.placeholders.update(one.name for one in placeholders_in(text))
        parts = _PLACEHOLDER.split(text)
        written = "".join(parts[::2])
        is_number = _NUMBER_CHARACTERS.fullmatch(plain_characters(written)) is not None
        if odd := "" if is_number else _contains(_odd_characters(visible(written))):
            self._report(place, odd)
        if read_pasted(_PLACEHOLDER.sub("1", text)).lost_zero:
            self._report(place, TRUNK_ZERO)
        for position, part in enumerate(parts):
            if position % 2:
                parts[position] = self._placeholder(part, place)
            else:
                parts[position] = (
                    plain_characters(part).translate(SEPARATORS) if is_number else part.translate(INVISIBLE)
                )
        return "".join(parts).strip()

    def _name(self, text: str, place: PlanPath) -> str:
        plain = plain_characters(text).strip()
        if odd := _contains(_odd_characters(plain)):
            self._report(place, odd)
        return plain

    def _placeholder(self, written: str, place: PlanPath) -> str:
        name, bar, default = written[:-1].partition("|")
        return f"{name}|{self.number(default, place)}}}" if bar else written

    def _member(self, value: JsonValue, key: str, within: str, place: PlanPath) -> JsonValue:
        if key in _CONTENT:
            return value
        if isinstance(value, str):
            if key == _KEYS or (key == _NAME_OF_A_PARTY and within in PARTIES):
                return self._name(value, place)
            return self.number(value, place) if key in _MEMBERS else value
        if isinstance(value, list):
            return [self._member(one, key, within, (*place, number)) for number, one in enumerate(value)]
        if isinstance(value, dict) and HOOK not in value:
            return {name: self._member(one, name, key, (*place, name)) for name, one in value.items()}
        return value


def notes_on_numbers(plan: Plan, document: PlanDocument) -> Iterator[PlanProblem]:
    """Yield a note for each number that is probably not dialled as intended, and for each zero that was left out."""
    for place, text in _written_numbers(plan, document):
        pasted = read_pasted(visible(text).removesuffix("*"))
        zero = _ZERO_AFTER_A_COUNTRY_CODE.match(plain_characters(text))
        if pasted.lost_zero:
            yield PlanProblem(f"the zero in brackets is left out: {pasted.text}", place)
        elif zero and zero[1] not in ZERO_IS_DIALLED:
            yield PlanProblem("has a 0 after the country code, which most countries do not dial from abroad", place)
    for name, variable in plan.variables.items():
        if variable.is_number and variable.type == "number":
            yield PlanProblem(
                "is used as a phone number: with type string it keeps a + or 0 at the beginning",
                ("variables", name, "type"),
            )
    for place in dict.fromkeys(_national_targets(plan)):
        yield PlanProblem(
            "is a national number, which jambonz dials as written: write + and the country code, unless your carrier "
            "takes national numbers",
            place,
        )


def _odd_characters(text: str) -> list[str]:
    return [
        char
        for char in text
        if not char.isprintable() or not (char.isascii() or unicodedata.category(char)[0] in ("L", "M"))
    ]


def _contains(characters: Iterable[str]) -> str:
    """Return the report of characters that must not be there; empty without any."""
    named = [f"U+{ord(char):04X} {_name_of(char)}" for char in dict.fromkeys(characters)]
    if not named:
        return ""
    more = ", ..." if len(named) > MAX_SHOWN_CHARACTERS else ""
    return f"contains {', '.join(named[:MAX_SHOWN_CHARACTERS])}{more}, which is not allowed in a number or SIP user"


def _name_of(char: str) -> str:
    # Control characters have no name in Unicode.
    return unicodedata.name(char, f"({unicodedata.category(char)})")


def _written_numbers(plan: Plan, document: PlanDocument) -> Iterator[tuple[PlanPath, str]]:
    """Yield the numbers of the plan as written: in routes, in verbs, and in variables that are used as numbers."""
    yield from _numbers_in(document.members.get("routes"), ("routes",))
    flows = document.members.get("flows")
    for name, flow in flows.items() if isinstance(flows, dict) else ():
        yield from _numbers_in(flow, ("flows", name))
    variables = document.members.get("variables")
    for name, schema in variables.items() if isinstance(variables, dict) else ():
        default = schema.get("default") if isinstance(schema, dict) else None
        if isinstance(default, str) and plan.variables[name].is_number:
            yield ("variables", name, "default"), default


def _numbers_in(value: JsonValue, place: PlanPath) -> Iterator[tuple[PlanPath, str]]:
    if isinstance(value, str):
        if [part for part in place if isinstance(part, str)][-1] in _MEMBERS:
            yield place, value
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _numbers_in(one, (*place, number))
    elif isinstance(value, dict):
        for name, one in value.items():
            if name not in _CONTENT:
                yield from _numbers_in(one, (*place, name))


def _national_targets(plan: Plan) -> Iterator[PlanPath]:
    for name, flow in plan.flows.items():
        for number, verb in enumerate(flow.verbs):
            for position, text in _dialled_by(verb):
                variable = plan.variables.get(text.removeprefix("{").removesuffix("}"))
                if variable is not None and _is_national(str(variable.default)):
                    yield "variables", text[1:-1], "default"
                elif variable is None and _is_national(text):
                    yield "flows", name, number, "target", position, "number"


def _dialled_by(verb: Verb) -> Iterator[tuple[int, str]]:
    targets = verb.get("target")
    for position, target in enumerate(targets if isinstance(targets, list) else ()):
        if isinstance(target, dict) and target.get("type") == "phone" and isinstance(target.get("number"), str):
            yield position, target["number"]


def _is_national(number: str) -> bool:
    if not (number.isascii() and number.isdigit()) or number.startswith("00"):
        return False
    return len(number) >= PHONE_DIGITS[0] and (number.startswith("0") or len(number) <= MAX_NATIONAL_DIGITS)
