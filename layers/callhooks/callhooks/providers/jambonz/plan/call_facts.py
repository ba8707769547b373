"""Data of a call: the members of the current hook and of the call's first webhook.

Most hooks carry less than the first webhook: no caller name, no SIP headers, no `env_vars`. Some carry only
`call_sid`. The first webhook is read back only if a value is needed that the hook lacks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

from callhooks.providers.jambonz.plan.outcomes import transcripts
from callhooks.providers.jambonz.plan.parties import decoded_party

INITIAL_WEBHOOK_MEMBERS = frozenset(
    {
        "account_sid",
        "application_sid",
        "call_id",
        "caller_name",
        "direction",
        "from",
        "local_sip_address",
        "originating_sip_ip",
        "originating_sip_trunk_name",
        "sbc_callid",
        "service_provider_sid",
        "to",
        "trace_id",
    }
)
"""Members that stay the same for the whole call, so the value of the first webhook is valid."""

HOOK_MEMBERS = frozenset(
    {
        "call_sid",
        "call_status",
        "call_termination_by",
        "caller_id",
        "dial_call_duration",
        "dial_call_sid",
        "dial_call_status",
        "dial_sip_status",
        "digits",
        "dtmf",
        "duration",
        "fs_sip_address",
        "parent_call_sid",
        "queue_position",
        "queue_result",
        "queue_sid",
        "queue_size",
        "queue_time",
        "reason",
        "sip_reason",
        "sip_status",
    }
)
"""Members that belong to a single hook."""

PARTIES = frozenset({"caller_id", "from", "to"})
SPEECH = "speech"
OBJECT_MEMBERS = frozenset({"defaults", "env_vars", "sip"})
"""Objects of the first webhook: `{env_vars.NAME}` is a member of one, `{env_vars}` is the whole object as JSON."""
SIP_MEMBERS = frozenset({"body", "headers", "method", "payload", "raw", "uri", "version"})
"""Members of `sip`. Any other name after `sip.` is a header, as after `sip.headers.`."""
KNOWN_FACTS = INITIAL_WEBHOOK_MEMBERS | HOOK_MEMBERS | OBJECT_MEMBERS | {SPEECH}
"""Names that a placeholder may use, in addition to names that begin with one of `FACT_PREFIXES`."""
HEADER_PREFIX = "sip.headers."
CUSTOMER_PREFIX = "customerData."
FACT_PREFIXES = (CUSTOMER_PREFIX, *(f"{name}." for name in sorted(OBJECT_MEMBERS)))

Document = Mapping[str, object]

_JS_SPACE = re.compile("[\t-\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]")
_SEPARATED = re.compile(r"[\W_]+(.|\Z)", re.ASCII)


class CallFacts:
    """Data that a hook and the first webhook carry about a call.

    Args:
        document: the parsed body of the hook.
        load_initial_webhook: returns the body of the call's first webhook if it is stored; called at most once.
    """

    def __init__(self, document: Document, load_initial_webhook: Callable[[], Document | None] = lambda: None) -> None:
        self._document = document
        self._load_initial = load_initial_webhook
        self._initial: Document | None = None
        self._is_loaded = "sip" in document or "env_vars" in document or "defaults" in document

    def fact(self, name: str) -> str | None:
        """Return the value of a placeholder that is not a variable, or `None` if it is unknown."""
        if name.startswith(CUSTOMER_PREFIX):
            return self._customer(name.removeprefix(CUSTOMER_PREFIX))
        if name == SPEECH:
            return next(iter(transcripts(self._document)), None)
        if name in PARTIES:
            party = _text(self._member(name) if name in INITIAL_WEBHOOK_MEMBERS else self._document.get(name))
            return decoded_party(party) if party else party
        if name in INITIAL_WEBHOOK_MEMBERS:
            return _unquoted(name, _text(self._member(name)))
        return _text(self._document.get(name)) if name in HOOK_MEMBERS else self._part(name)

    def header(self, name: str) -> str | None:
        """Return a header of the INVITE; the name is case-insensitive."""
        sip = self._member("sip")
        headers = sip.get("headers") if isinstance(sip, dict) else None
        lower_name = name.lower()
        found = (
            value for key, value in (headers.items() if isinstance(headers, dict) else ()) if key.lower() == lower_name
        )
        return next((_text(value) for value in found), None)

    def env_vars(self) -> Document:
        """Return the application's variables as set in jambonz."""
        values = self._member("env_vars")
        return values if isinstance(values, dict) else {}

    def _member(self, name: str) -> object:
        value = self._document.get(name)
        if value is None and not self._is_loaded:
            self._is_loaded = True
            self._initial = self._load_initial()
        return value if value is not None or self._initial is None else self._initial.get(name)

    def _part(self, name: str) -> str | None:
        """Return an object of the first webhook, or a part of one; `sip.<name>` is a header unless `sip` has it."""
        member, _, path = name.partition(".")
        if member == "sip" and path:
            if name.startswith(HEADER_PREFIX):
                return self.header(name.removeprefix(HEADER_PREFIX))
            if path.partition(".")[0] not in SIP_MEMBERS:
                return self.header(path)
        return _text_of_part(self._member(member), path) if member in OBJECT_MEMBERS else None

    def _customer(self, key: str) -> str | None:
        # Some hooks have the keys as they were tagged, others have them in snake case.
        tagged = [self._document.get(member) for member in ("customerData", "customerdata")]
        found = (_tagged(data, key, is_name) for is_name in (str.__eq__, _is_name_in_any_case) for data in tagged)
        return next((text for value in found if (text := _text(value)) is not None), None)


def _unquoted(name: str, value: str | None) -> str | None:
    # jambonz may keep the quotes that SIP puts around a display name.
    return value.strip().strip('"').strip() if value and name == "caller_name" else value


def _text(value: object) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    return value if isinstance(value, str) else None


def _text_of_part(value: object, path: str) -> str | None:
    """Return the part of a value at a path such as `payload.0.type`; an object or a list as JSON."""
    for key in path.split(".") if path else ():
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return _text(value)


def _tagged(data: object, path: str, is_name: Callable[[str, str], bool]) -> object:
    """Return the value of a tag at a key, or at a path such as `order.items.0`; `None` if there is none."""
    if isinstance(data, list):
        data = {str(index): value for index, value in enumerate(data)}
    if not isinstance(data, dict):
        return None
    for name, value in data.items():
        if is_name(name, path):
            return value
    for dot in re.finditer(r"\.", path):
        for name, value in data.items():
            found = _tagged(value, path[dot.end() :], is_name) if is_name(name, path[: dot.start()]) else None
            if found is not None:
                return found
    return None


def _is_name_in_any_case(name: str, key: str) -> bool:
    return snake_case(name) == snake_case(key)


def snake_case(key: str) -> str:
    """Return a key as jambonz writes it, by the rule of npm's `to-snake-case`.

    `orderId`, `Order-Id` and `order.id` become `order_id`, `ORDER` becomes `order`, `orderId-x` becomes `orderid_x`.
    """
    words = key
    if not _JS_SPACE.search(key):
        if re.search(r"[_.:-]", key):
            words = _SEPARATED.sub(_spaced, key) or key
        elif re.search(r"[a-z][A-Z]|[A-Z][a-z]", key):
            words = re.sub(r"(.)([A-Z]+)", lambda found: f"{found[1]} {' '.join(found[2])}", key)
    return _SEPARATED.sub(_spaced, words.lower()).strip(" ").replace(" ", "_")


def _spaced(found: re.Match[str]) -> str:
    return f" {found[1]}" if found[1] else ""
