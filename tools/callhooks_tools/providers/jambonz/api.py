"""Client for the calls of a jambonz account.

Written from the API server (`validateUpdateCall`) and the feature server (`updateCall`) of 0.9. An update has one
member. 202 means that the update is accepted but not yet made. jambonz forgets a call an hour after its answer or end,
whichever comes last, and then answers 404.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self, Unpack

import httpx
from callhooks.providers.payload import Document, Identifier, JsonObject, OptionalInt, OptionalStr
from pydantic import Field, computed_field

from callhooks_tools.providers.rest.client import ProviderClient, not_found_as_call_is_over
from callhooks_tools.providers.rest.configuration import base_url, checked_id, required
from callhooks_tools.providers.rest.errors import CallIsOver, NotConfigured, RequestRejected
from callhooks_tools.providers.rest.session import RestClient, RestOptions

PROVIDER = "jambonz"
KEY = "JAMBONZ_API_KEY"
ACCOUNT = "JAMBONZ_ACCOUNT_SID"
URL = "JAMBONZ_API_URL"
API_KEY_HINT = "Create an API key for the account in jambonz's portal (docs/control.md#keys)"
ACCOUNT_SID_HINT = "Copy the SID from the account's page in jambonz's portal; webhooks have it in account_sid"
API_URL_HINT = (
    "Set it to the address of jambonz's REST API, without /v1. "
    "Webhooks have it in api_base_url, if your platform sends it"
)
ENDED = frozenset({"completed", "failed", "busy", "no-answer"})
UNANSWERED = frozenset({"trying", "ringing", "early-media"})
INCOMPATIBLE = "call state is incompatible"
"""Part of the feature server's message if a call is answered and should not be, or the other way round."""


class RecordAction(StrEnum):
    """Action on the recording of a call, as jambonz names it."""

    START = "startCallRecording"
    STOP = "stopCallRecording"
    PAUSE = "pauseCallRecording"
    RESUME = "resumeCallRecording"


@dataclass(frozen=True, slots=True)
class HookTarget:
    """Webhook that supplies a call's next verbs.

    jambonz 0.9 sends the credentials of the application's call hook to every http and https URL, and those given here
    only to a WebSocket URL.
    """

    url: str
    username: str | None = None
    password: str | None = None


class JambonzCall(Document):
    """Call in progress, or one that ended up to an hour ago. `duration` is in seconds."""

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

    @computed_field  # type: ignore[prop-decorator]
    @property
    def ended(self) -> bool:
        """True if the call is over."""
        return self.call_status in ENDED


class _WrongState(RequestRejected):
    """The call is answered and should not be, or the other way round."""


class JambonzControl(ProviderClient):
    """Client for the calls of one account.

    Every method raises the errors of `RestClient`, and `CallIsOver` if the call is over or never existed.

    An update is retried only if no connection was made, and after 429.
    """

    def __init__(self, rest: RestClient, account_sid: str) -> None:
        super().__init__(rest)
        self._calls = f"/v1/Accounts/{account_sid}/Calls"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], **options: Unpack[RestOptions]) -> Self:
        """Create a client from `JAMBONZ_API_KEY`, `JAMBONZ_ACCOUNT_SID` and `JAMBONZ_API_URL`."""
        return cls(jambonz_rest(environ, **options), account_of(environ))

    def get(self, call_sid: str) -> JambonzCall:
        """Return a call."""
        with not_found_as_call_is_over():
            document = self._rest.get(self._call(call_sid))
        return self._rest.model(JambonzCall, document, needs="call_sid")

    def list_calls(self) -> list[JambonzCall]:
        """Return the calls in progress, and the calls that ended up to an hour ago."""
        rows = self._rest.objects(self._rest.get(self._calls), "calls")
        # Until jambonz cleans up, an empty object takes the place of each call whose data has expired.
        return [self._rest.model(JambonzCall, row, needs="call_sid") for row in rows if row]

    def transfer(self, call_sid: str, hook: HookTarget) -> None:
        """Transfer a call to a hook, which supplies its verbs from then on."""
        target: object = hook.url
        if hook.username is not None:
            credentials = {"username": hook.username, "password": hook.password or ""}
            target = {"url": hook.url, "method": "POST", **credentials}
        self._update(call_sid, {"call_hook": target})

    def hang_up(self, call_sid: str) -> None:
        """End a call, whether it is answered or not. A dialled leg ends together with the call that dialled it.

        Raises:
            CallIsOver: the call is over.
            RequestRejected: the call is neither answered nor ringing, for example because it is only being set up.
        """
        call = self.get(call_sid)
        if call.ended:
            raise CallIsOver(PROVIDER, message=f"its status is {call.call_status}")
        statuses = ("no-answer", "completed") if call.call_status in UNANSWERED else ("completed", "no-answer")
        # If jambonz rejects one status, try the other. The call may have been answered in the meantime, and after a
        # transfer jambonz reports the status of the new leg.
        try:
            self._update(call_sid, {"call_status": statuses[0]})
        except _WrongState:
            try:
                self._update(call_sid, {"call_status": statuses[1]})
            except _WrongState as rejected:
                if self.get(call_sid).ended:
                    raise CallIsOver(PROVIDER, status=rejected.status, message=rejected.message) from None
                raise

    def mute(self, call_sid: str, *, muted: bool) -> None:
        """Mute or unmute the caller."""
        self._update(call_sid, {"mute_status": "mute" if muted else "unmute"})

    def whisper(self, call_sid: str, verb: Mapping[str, object]) -> None:
        """Play something to one party only: `{"verb": "say", "text": "..."}` or a `play`."""
        self._update(call_sid, {"whisper": dict(verb)})

    def record(
        self,
        call_sid: str,
        action: RecordAction,
        *,
        siprec_url: str | None = None,
        recording_id: str | None = None,
        cloud: bool = False,
    ) -> None:
        """Start, stop, pause or resume the recording of a call.

        `siprec_url` is the SIP URI of the recording server. jambonz 0.9 requires it for every action, unless the
        recording is one of its own (`cloud`), in the storage of the account.

        Raises:
            CallIsOver: the call is over.
            RequestRejected: for example, neither `siprec_url` nor `cloud`.
        """
        kind = "cloud" if cloud else None
        options = {"type": kind, "siprecServerURL": siprec_url, "recordingID": recording_id}
        given = {name: value for name, value in options.items() if value is not None}
        self._update(call_sid, {"record": {"action": action.value, **given}})

    def tag(self, call_sid: str, data: Mapping[str, object]) -> None:
        """Attach data to a call. Its later webhooks include it as `customerData`."""
        self._update(call_sid, {"tag": dict(data)})

    def _call(self, call_sid: str) -> str:
        return f"{self._calls}/{checked_id(call_sid, PROVIDER)}"

    def _update(self, call_sid: str, update: dict[str, object]) -> None:
        with not_found_as_call_is_over():
            # A retry would play a whisper twice.
            try:
                self._rest.put(self._call(call_sid), update, idempotent=False)
            except RequestRejected as rejected:
                if rejected.status != httpx.codes.UNPROCESSABLE_ENTITY:
                    raise
                # The feature server's only other 422 is for a call that it no longer has.
                kind = _WrongState if INCOMPATIBLE in rejected.message else CallIsOver
                raise kind(PROVIDER, status=rejected.status, message=rejected.message) from None


def jambonz_rest(environ: Mapping[str, str], *, confidential: str = "", **options: Unpack[RestOptions]) -> RestClient:
    """Create a REST client with the key `JAMBONZ_API_KEY`. `confidential` is another text to redact in errors.

    Raises:
        NotConfigured: a variable is missing or invalid.
    """
    key = required(environ, KEY, PROVIDER, API_KEY_HINT)
    headers = {"Authorization": f"Bearer {key}"}
    return RestClient(PROVIDER, api_url_of(environ), headers, confidential=[key, confidential], **options)


def is_configured(environ: Mapping[str, str]) -> bool:
    """Return whether the environment has all variables for the REST API."""
    return all(environ.get(name, "").strip() for name in (KEY, ACCOUNT, URL))


def account_of(environ: Mapping[str, str]) -> str:
    """Return the SID of the account.

    Raises:
        NotConfigured: it is not set.
        RequestRejected: it is not a valid id.
    """
    return checked_id(required(environ, ACCOUNT, PROVIDER, ACCOUNT_SID_HINT), PROVIDER)


def api_url_of(environ: Mapping[str, str]) -> str:
    """Return the address of jambonz's REST API, without `/v1`.

    Raises:
        NotConfigured: it is not set, or is not an address.
    """
    if not environ.get(URL, "").strip():
        raise NotConfigured(PROVIDER, message=f"{URL} is not set in the environment. {API_URL_HINT}")
    return base_url(environ, URL, PROVIDER, "").removesuffix("/v1")
