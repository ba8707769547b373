"""jambonz: calls while they last.

Written from the API server of 0.9 (`validateUpdateCall`) and jambonz-python-sdk 0.4: an update has one member, and a
202 says that it is on its way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from callhooks.providers.payload import Document, Identifier, JsonObject, OptionalInt, OptionalStr
from pydantic import Field

from callhooks_tools.providers.rest.client import ProviderClient, of_a_call
from callhooks_tools.providers.rest.configuration import base_url, checked_id, required
from callhooks_tools.providers.rest.errors import NotConfigured
from callhooks_tools.providers.rest.retries import RetryPolicy
from callhooks_tools.providers.rest.session import RestClient

PROVIDER = "jambonz"
KEY = "JAMBONZ_API_KEY"
ACCOUNT = "JAMBONZ_ACCOUNT_SID"
URL = "JAMBONZ_API_URL"
API_KEY_HINT = "make an API key for the account in jambonz's portal (docs/control.md)."
ACCOUNT_SID_HINT = "it is the account_sid of every webhook, and the portal shows it with the account."
API_URL_HINT = (
    "it is the address of jambonz's REST API, without /v1 (api_base_url in a webhook, where your platform tells it)."
)


class RecordAction(StrEnum):
    """What can be done with the recording of a call, in jambonz's words."""

    START = "startCallRecording"
    STOP = "stopCallRecording"
    PAUSE = "pauseCallRecording"
    RESUME = "resumeCallRecording"


@dataclass(frozen=True, slots=True)
class HookTarget:
    """Where a call gets its next verbs. Without a user name jambonz sends that of the application."""

    url: str
    username: str | None = None
    password: str | None = None


class JambonzCall(Document):
    """A call that lasts. `duration` is in seconds."""

    call_sid: Identifier = None
    direction: OptionalStr = None
    from_: OptionalStr = Field(default=None, alias="from")
    to: OptionalStr = None
    call_status: OptionalStr = None
    sip_status: OptionalInt = None
    duration: OptionalInt = None
    call_id: OptionalStr = None
    parent_call_sid: OptionalStr = None
    application_sid: OptionalStr = None
    customer_data: JsonObject = None


class JambonzControl(ProviderClient):
    """Calls of one jambonz account. Every method raises the errors of `RestClient`.

    An update is repeated where no connection was made, and after 429.
    """

    def __init__(self, rest: RestClient, account_sid: str) -> None:
        super().__init__(rest)
        self._calls = f"/v1/Accounts/{account_sid}/Calls"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], *, retry_policy: RetryPolicy | None = None) -> Self:
        """A client with `JAMBONZ_API_KEY` for the account `JAMBONZ_ACCOUNT_SID` at `JAMBONZ_API_URL`.

        Raises:
            NotConfigured: something is missing or wrong.
        """
        return cls(jambonz_rest(environ, retry_policy=retry_policy), account_of(environ))

    def get(self, call_sid: str) -> JambonzCall:
        """A call.

        Raises:
            CallIsOver: jambonz knows it no more, or never has.
        """
        with of_a_call():
            document = self._rest.get(self._call(call_sid))
        return self._rest.model(JambonzCall, document, needs="call_sid")

    def list_calls(self) -> list[JambonzCall]:
        """All calls of the account that last."""
        rows = self._rest.objects(self._rest.get(self._calls), "calls")
        return [self._rest.model(JambonzCall, row, needs="call_sid") for row in rows]

    def transfer(self, call_sid: str, hook: HookTarget) -> None:
        """Have a call get its verbs from this hook from now on: jambonz's own kind of a transfer.

        Raises:
            CallIsOver: it is over.
        """
        target: object = hook.url
        if hook.username is not None:
            credentials = {"username": hook.username, "password": hook.password or ""}
            target = {"url": hook.url, "method": "POST", **credentials}
        self._update(call_sid, {"call_hook": target})

    def hang_up(self, call_sid: str) -> None:
        """End a call.

        Raises:
            CallIsOver: it is over.
        """
        self._update(call_sid, {"call_status": "completed"})

    def mute(self, call_sid: str, *, muted: bool) -> None:
        """Let the caller be heard no more, or again.

        Raises:
            CallIsOver: the call is over.
        """
        self._update(call_sid, {"mute_status": "mute" if muted else "unmute"})

    def whisper(self, call_sid: str, verb: Mapping[str, object]) -> None:
        """Have one party alone hear something: `{"verb": "say", "text": "..."}` or a `play`.

        Raises:
            CallIsOver: the call is over.
        """
        self._update(call_sid, {"whisper": dict(verb)})

    def record(
        self, call_sid: str, action: RecordAction, *, siprec_url: str | None = None, recording_id: str | None = None
    ) -> None:
        """Start, stop, pause or go on with the recording of a call by SIPREC.

        `siprec_url` is the SIP URI of the recording server, which jambonz 0.9 wants to know for a start.

        Raises:
            CallIsOver: the call is over.
            RequestRejected: a start without a `siprec_url`, among others.
        """
        named = {"siprecServerURL": siprec_url, "recordingID": recording_id}
        told = {name: value for name, value in named.items() if value is not None}
        self._update(call_sid, {"record": {"action": action.value, **told}})

    def tag(self, call_sid: str, data: Mapping[str, object]) -> None:
        """Give a call data of your own, which its later webhooks have as `customerData`.

        Raises:
            CallIsOver: the call is over.
        """
        self._update(call_sid, {"tag": dict(data)})

    def _call(self, call_sid: str) -> str:
        return f"{self._calls}/{checked_id(call_sid, PROVIDER)}"

    def _update(self, call_sid: str, update: dict[str, object]) -> None:
        with of_a_call():
            # A call would hear a whisper twice.
            self._rest.put(self._call(call_sid), update, repeatable=False)


def jambonz_rest(
    environ: Mapping[str, str], *, confidential: str = "", retry_policy: RetryPolicy | None = None
) -> RestClient:
    """jambonz's API with the key `JAMBONZ_API_KEY`; `confidential` is one more text that no error may show.

    Raises:
        NotConfigured: something is missing or wrong.
    """
    key = required(environ, KEY, PROVIDER, API_KEY_HINT)
    headers = {"Authorization": f"Bearer {key}"}
    hidden = [key, confidential]
    return RestClient(PROVIDER, api_url_of(environ), headers, confidential=hidden, retry_policy=retry_policy)


def account_of(environ: Mapping[str, str]) -> str:
    """The SID of the account.

    Raises:
        NotConfigured: it is not set.
        RequestRejected: it is no id.
    """
    return checked_id(required(environ, ACCOUNT, PROVIDER, ACCOUNT_SID_HINT), PROVIDER)


def api_url_of(environ: Mapping[str, str]) -> str:
    """The address of jambonz's REST API, without `/v1`.

    Raises:
        NotConfigured: it is not set, or is no address.
    """
    if not environ.get(URL, "").strip():
        raise NotConfigured(PROVIDER, message=f"{URL} is not set in the environment: {API_URL_HINT}")
    return base_url(environ, URL, PROVIDER, "").removesuffix("/v1")
