"""Models of the call in jambonz's hooks.

Sources: jambonz's reference (New Call), Graine's (CallHook schema), and the requests of feature-server 0.9.8.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import AfterValidator, AliasChoices, Field, StringConstraints

from callhooks.providers.jambonz.plan.parties import decoded_party
from callhooks.providers.payload import Document, Identifier, JsonObject, Number, OptionalInt, OptionalStr, not_blank

Party: TypeAlias = Annotated[str, AfterValidator(decoded_party)] | None
"""Number, SIP user or SIP URI. jambonz does not decode users, and many phones escape the characters of a number."""


class CallInfo(Document, defer_build=True):
    """Data about a call in any hook. All members are optional, even `call_sid`.

    `call_status` is usually trying, ringing, early-media, in-progress, completed, failed, busy, no-answer or queued.
    `caller_name` may contain literal double quotes. Tags arrive as `customerData` with their original keys, or as
    `customerdata` with keys in snake case. `duration` is in seconds: whole for a call, fractional for a conference.
    """

    call_sid: Identifier = None
    call_id: OptionalStr = None
    sbc_callid: OptionalStr = None
    account_sid: OptionalStr = None
    application_sid: OptionalStr = None
    parent_call_sid: OptionalStr = None
    direction: OptionalStr = None
    from_: Party = Field(default=None, alias="from")
    to: Party = None
    caller_id: Party = None
    caller_name: OptionalStr = None
    call_status: OptionalStr = None
    sip_status: OptionalInt = None
    sip_reason: OptionalStr = None
    call_termination_by: OptionalStr = None
    duration: Number = None
    trace_id: OptionalStr = None
    originating_sip_ip: OptionalStr = None
    originating_sip_trunk_name: OptionalStr = None
    fs_sip_address: OptionalStr = None
    local_sip_address: OptionalStr = None
    service_provider_sid: OptionalStr = None
    customer_data: JsonObject = Field(default=None, validation_alias=AliasChoices("customerData", "customerdata"))

    @property
    def shown_caller_name(self) -> str:
        """Return the caller's name without SIP's quotes."""
        return (self.caller_name or "").strip().strip('"')


class CallHook(CallInfo, defer_build=False):
    """Call in the call hook. Only `call_sid` is required."""

    call_sid: Annotated[str, Field(strict=True), StringConstraints(strip_whitespace=False), AfterValidator(not_blank)]
    sip: JsonObject = None
    defaults: JsonObject = None
    env_vars: JsonObject = None

    @property
    def is_first_webhook(self) -> bool:
        """True if this is the first request for verbs. `redirect` and REST updates use the same hook later.

        feature-server 0.9.8 sends `sip`, `defaults` and `env_vars` only with the first webhook, and `fs_sip_address`
        without them only with later ones. The status is not enough: a `redirect` before the answer is still `trying`.
        """
        if not {"sip", "defaults", "env_vars"}.isdisjoint(self.model_fields_set):
            return True
        return self.fs_sip_address is None and (self.call_status or "trying").lower() == "trying"
