"""The CallHook document: what jambonz tells of a new call.

Written from jambonz's reference (New Call), Graine's (CallHook schema), and from what feature-server 0.9.8 really
sends. Only `call_sid` is indispensable.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, AliasChoices, Field, StringConstraints

from callhooks.providers.payload import Document, Identifier, JsonObject, Number, OptionalInt, OptionalStr, not_blank


class CallInfo(Document, defer_build=True):
    """What jambonz tells of a call in any of its hooks; a hook may tell nothing of it, not even `call_sid`.

    `call_status` is one of trying, ringing, early-media, in-progress, completed, failed, busy, no-answer and queued,
    and may be another one. `caller_name` may come in literal double quotes. What was tagged comes as `customerData`
    with its keys as they were, or as `customerdata` with keys in snake case. `duration` is in seconds: whole ones for
    a call, and not for a conference.
    """

    call_sid: Identifier = None
    call_id: OptionalStr = None
    sbc_callid: OptionalStr = None
    account_sid: OptionalStr = None
    application_sid: OptionalStr = None
    parent_call_sid: OptionalStr = None
    direction: OptionalStr = None
    from_: OptionalStr = Field(default=None, alias="from")
    to: OptionalStr = None
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
    customer_data: JsonObject = Field(default=None, validation_alias=AliasChoices("customerData", "customerdata"))

    @property
    def shown_caller_name(self) -> str:
        """The caller's name without the quotes of SIP."""
        return (self.caller_name or "").strip().strip('"')


class CallHook(CallInfo, defer_build=False):
    """A call as jambonz describes it in the call hook; only `call_sid` is indispensable."""

    call_sid: Annotated[str, Field(strict=True), StringConstraints(strip_whitespace=False), AfterValidator(not_blank)]
    sip: JsonObject = None
    defaults: JsonObject = None
    env_vars: JsonObject = None

    @property
    def is_first_webhook(self) -> bool:
        """Whether the call has not asked for verbs before: `redirect` and REST updates come to the same hook.

        feature-server 0.9.8 sends `sip`, `defaults` and `env_vars` only with the first webhook, and
        `fs_sip_address`, where they are not, only with later ones: a `redirect` before the call is answered still
        has the status `trying`.
        """
        if not {"sip", "defaults", "env_vars"}.isdisjoint(self.model_fields_set):
            return True
        return self.fs_sip_address is None and (self.call_status or "trying").lower() == "trying"
