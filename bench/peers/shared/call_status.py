"""The delivery as a Pydantic model, for the peers that have one."""

from pydantic import BaseModel, ConfigDict, Field


class CallStatus(BaseModel):
    model_config = ConfigDict(extra="allow")

    call_sid: str
    call_status: str
    direction: str | None = None
    from_: str | None = Field(default=None, alias="from")
    to: str | None = None
    caller_name: str | None = None
    call_id: str | None = None
    sbc_callid: str | None = None
    sip_status: int | None = None
    sip_reason: str | None = None
    account_sid: str | None = None
    application_sid: str | None = None
    parent_call_sid: str | None = None
    trace_id: str | None = None
    duration: float | None = None
    fs_sip_address: str | None = None
    originating_sip_ip: str | None = None
    originating_sip_trunk_name: str | None = None
    call_termination_by: str | None = None
    api_base_url: str | None = None
