"""What is known of a call when jambonz asks: the members of the hook itself, and those of the call's first webhook.

Most hooks tell less than the first webhook: no caller's name, no SIP headers, no `env_vars`; some tell nothing but
`call_sid`. The first webhook is read back only where something is asked for that the hook does not tell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from callhooks.providers.jambonz.plan.outcomes import transcripts_of

FIRST_WEBHOOK_MEMBERS = frozenset(
    {
        "account_sid",
        "application_sid",
        "call_id",
        "caller_name",
        "direction",
        "from",
        "originating_sip_ip",
        "originating_sip_trunk_name",
        "to",
    }
)
"""Members that are the same for the whole call, so that the first webhook can tell them."""

HOOK_MEMBERS = frozenset(
    {
        "call_sid",
        "call_status",
        "caller_id",
        "dial_call_duration",
        "dial_call_sid",
        "dial_call_status",
        "dial_sip_status",
        "digits",
        "dtmf",
        "duration",
        "parent_call_sid",
        "queue_position",
        "queue_result",
        "queue_sid",
        "queue_size",
        "queue_time",
        "reason",
        "sip_reason",
        "sip_status",
        "trace_id",
    }
)
"""Members that belong to one hook alone."""

SPEECH = "speech"
KNOWN_FACTS = FIRST_WEBHOOK_MEMBERS | HOOK_MEMBERS | {SPEECH}
"""What a placeholder may name besides `sip.<header>` and `customerData.<key>`."""
HEADER_PREFIX = "sip."
CUSTOMER_PREFIX = "customerData."

Document = Mapping[str, object]

_WORD = re.compile(r"[A-Z][^A-Z\W_]*|[^A-Z\W_]+")


class CallFacts:
    """What a hook tells of its call.

    Args:
        document: the hook's body, as it was parsed.
        recall: gives the body of the call's first webhook, where it is to be had; it is called at most once.
    """

    def __init__(self, document: Document, load_initial_webhook: Callable[[], Document | None] = lambda: None) -> None:
        self._document = document
        self._recall = load_initial_webhook
        self._first: Document | None = None
        self._recalled = "sip" in document or "env_vars" in document or "defaults" in document

    def told(self, name: str) -> str | None:
        """What a placeholder stands for, other than a variable."""
        if name.startswith(HEADER_PREFIX):
            return self.header(name.removeprefix(HEADER_PREFIX))
        if name.startswith(CUSTOMER_PREFIX):
            return self._customer(name.removeprefix(CUSTOMER_PREFIX))
        if name == SPEECH:
            return next(iter(transcripts_of(self._document)), None)
        if name in FIRST_WEBHOOK_MEMBERS:
            return _shown(name, _text(self._member(name)))
        return _text(self._document.get(name)) if name in HOOK_MEMBERS else None

    def header(self, name: str) -> str | None:
        """A header of the INVITE, whatever the case of its name."""
        sip = self._member("sip")
        headers = sip.get("headers") if isinstance(sip, dict) else None
        wanted = name.lower()
        found = (
            value for key, value in (headers.items() if isinstance(headers, dict) else ()) if key.lower() == wanted
        )
        return next((_text(value) for value in found), None)

    def env_vars(self) -> Document:
        """The application's variables as they are set in jambonz."""
        values = self._member("env_vars")
        return values if isinstance(values, dict) else {}

    def _member(self, name: str) -> object:
        value = self._document.get(name)
        if value is None and not self._recalled:
            self._recalled = True
            self._first = self._recall()
        return value if value is not None or self._first is None else self._first.get(name)

    def _customer(self, key: str) -> str | None:
        for member, wanted in (("customerData", key), ("customerdata", key), ("customerdata", _snake_case(key))):
            data = self._document.get(member)
            if isinstance(data, dict) and wanted in data:
                return _text(data[wanted])
        return None


def _shown(name: str, value: str | None) -> str | None:
    # A display name may come in the literal quotes of SIP.
    return value.strip().strip('"').strip() if value and name == "caller_name" else value


def _text(value: object) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    return value if isinstance(value, str) else None


def _snake_case(key: str) -> str:
    """A key as jambonz's snake-caser writes it: `orderId`, `Order-Id` and `order.id` become `order_id`."""
    return "_".join(_WORD.findall(key)).lower()
