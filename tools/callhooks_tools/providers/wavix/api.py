"""Client for Wavix calls in progress, and for call detail records afterwards.

Written from Wavix's OpenAPI description of June 2026. It has no transfer, and a recording can only start with the
answer. The `id` or `uuid` of an event is the id of the call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self, Unpack

from callhooks.providers.payload import Document, Flag, Identifier, Moment, Number, OptionalInt, OptionalStr
from pydantic import AliasChoices, Field

from callhooks_tools.providers.rest.client import ProviderClient, not_found_as_call_is_over, poll_until_found
from callhooks_tools.providers.rest.configuration import base_url, checked_id, required
from callhooks_tools.providers.rest.errors import NotFound
from callhooks_tools.providers.rest.session import RestClient, RestOptions

PROVIDER = "Wavix"
API_URL = "https://api.wavix.com"
KEY = "WAVIX_API_KEY"
API_KEY_HINT = "Create an API key with the scopes calls and webhooks in Wavix's portal (docs/control.md#keys)"


class WavixCall(Document):
    """Call. `event_type` is its latest event."""

    id: Identifier = Field(default=None, validation_alias=AliasChoices("id", "uuid"))
    direction: OptionalStr = None
    event_type: OptionalStr = None
    event_time: Moment = None
    from_: OptionalStr = Field(default=None, alias="from")
    to: OptionalStr = None
    call_started: Moment = None
    call_answered: Moment = None
    call_completed: Moment = None
    machine_detected: Flag = None
    tag: OptionalStr = None


class WavixCallDetailRecord(Document):
    """Finished call. `duration` is in seconds, `charge` and `per_minute` in US dollars."""

    call_id: Identifier = Field(default=None, validation_alias=AliasChoices("call_id", "uuid"))
    date: Moment = None
    from_: OptionalStr = Field(default=None, alias="from")
    to: OptionalStr = None
    disposition: OptionalStr = None
    duration: OptionalInt = None
    destination: OptionalStr = None
    charge: Number = None
    per_minute: Number = None
    recording_url: OptionalStr = None
    answered_by: OptionalStr = None
    parent_call_id: OptionalStr = None


class WavixControl(ProviderClient):
    """Client for the calls of one account.

    Every method raises the errors of `RestClient`, and `CallIsOver` if the call is over or never existed.
    """

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], **options: Unpack[RestOptions]) -> Self:
        """Create a client with the key `WAVIX_API_KEY`. `WAVIX_API_URL` overrides the address of the API."""
        return cls(wavix_rest(environ, **options))

    def get(self, call_id: str) -> WavixCall:
        """Return a call."""
        with not_found_as_call_is_over():
            document = self._rest.get(_call(call_id))
        return self._rest.model(WavixCall, self._rest.object_in(document, "call"), needs="id")

    def list_calls(self) -> list[WavixCall]:
        """Return the calls in progress."""
        document = self._rest.get("/v1/calls")
        calls = self._rest.objects(document.get("calls") if isinstance(document, dict) else None, "calls")
        return [self._rest.model(WavixCall, call, needs="id") for call in calls]

    def hang_up(self, call_id: str) -> None:
        """End a call."""
        with not_found_as_call_is_over():
            self._rest.delete(_call(call_id))

    def tag(self, call_id: str, tag: str) -> None:
        """Attach a string to a call. Its later events include it."""
        with not_found_as_call_is_over():
            self._rest.patch(_call(call_id), {"tag": tag})

    def answer(self, call_id: str, *, record: bool = False, transcribe: bool = False) -> None:
        """Answer an incoming call."""
        with not_found_as_call_is_over():
            self._rest.post(f"{_call(call_id)}/answer", {"call_recording": record, "call_transcription": transcribe})

    def play(self, call_id: str, audio_url: str) -> None:
        """Play an audio file into a call."""
        with not_found_as_call_is_over():
            self._rest.post(f"{_call(call_id)}/play", {"audio_file": audio_url})

    def stop_audio(self, call_id: str) -> None:
        """Stop the audio that is playing."""
        with not_found_as_call_is_over():
            self._rest.delete(f"{_call(call_id)}/audio")

    def call_detail_records(self, call_id: str, *, within: float = 0) -> list[WavixCallDetailRecord]:
        """Return the record of a finished call, with `recording_url` if the call was recorded.

        Waits up to `within` seconds for the record to appear. The list is empty if there is none.
        """
        path = f"/v1/cdrs/{checked_id(call_id, PROVIDER)}"

        def find() -> list[WavixCallDetailRecord]:
            try:
                document = self._rest.get(path)
            except NotFound:
                return []
            return [self._rest.model(WavixCallDetailRecord, document, needs="call_id")]

        return poll_until_found(find, within, self._rest.retry_policy)


def wavix_rest(environ: Mapping[str, str], **options: Unpack[RestOptions]) -> RestClient:
    """Create a REST client with the key `WAVIX_API_KEY`. `WAVIX_API_URL` overrides the address of the API.

    Raises:
        NotConfigured: a variable is missing or invalid.
    """
    key = required(environ, KEY, PROVIDER, API_KEY_HINT)
    address = base_url(environ, "WAVIX_API_URL", PROVIDER, API_URL)
    headers = {"Authorization": f"Bearer {key}"}
    return RestClient(PROVIDER, address, headers, confidential=[key], **options)


def _call(call_id: str) -> str:
    return f"/v1/calls/{checked_id(call_id, PROVIDER)}"
