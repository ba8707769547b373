"""Wavix: calls while they last, and their detail record afterwards.

Written from Wavix's OpenAPI description of June 2026. It knows no transfer and no start of a recording but with the
answer. The `id` or `uuid` of an event is the id of a call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import httpx
from callhooks.providers.payload import Document, Flag, Identifier, Moment, Number, OptionalInt, OptionalStr
from pydantic import AliasChoices, Field

from callhooks_tools.providers.rest.client import ProviderClient, of_a_call, when_there
from callhooks_tools.providers.rest.configuration import base_url, checked_id, required
from callhooks_tools.providers.rest.errors import NotFound
from callhooks_tools.providers.rest.retries import RetryPolicy
from callhooks_tools.providers.rest.session import RestClient

PROVIDER = "Wavix"
API_URL = "https://api.wavix.com"
KEY = "WAVIX_API_KEY"
API_KEY_HINT = "make an API key in Wavix's portal, with the scopes calls and webhooks (docs/control.md)."


class WavixCall(Document):
    """A call; `event_type` is the last thing that has happened to it."""

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
    """A call that is over. `duration` is in seconds, `charge` and `per_minute` in US dollars."""

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
    """Calls of one Wavix account. Every method raises the errors of `RestClient`."""

    @classmethod
    def from_environment(
        cls,
        environ: Mapping[str, str],
        *,
        retry_policy: RetryPolicy | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> Self:
        """A client with the key `WAVIX_API_KEY`, at `WAVIX_API_URL` where that is set.

        Raises:
            NotConfigured: something is missing or wrong.
        """
        return cls(wavix_rest(environ, retry_policy=retry_policy, transport=transport))

    def get(self, call_id: str) -> WavixCall:
        """A call.

        Raises:
            CallIsOver: Wavix knows it no more, or never has.
        """
        with of_a_call():
            document = self._rest.get(_call(call_id))
        return self._rest.model(WavixCall, self._rest.object_in(document, "call"), needs="id")

    def list_calls(self) -> list[WavixCall]:
        """All calls that last."""
        document = self._rest.get("/v1/calls")
        calls = self._rest.objects(document.get("calls") if isinstance(document, dict) else None, "calls")
        return [self._rest.model(WavixCall, call, needs="id") for call in calls]

    def hang_up(self, call_id: str) -> None:
        """End a call.

        Raises:
            CallIsOver: it is over.
        """
        with of_a_call():
            self._rest.delete(_call(call_id))

    def tag(self, call_id: str, tag: str) -> None:
        """Give a call a text of your own, which its later events have with them.

        Raises:
            CallIsOver: it is over.
        """
        with of_a_call():
            self._rest.patch(_call(call_id), {"tag": tag})

    def answer(self, call_id: str, *, record: bool = False, transcribe: bool = False) -> None:
        """Answer an inbound call that waits for it.

        Raises:
            CallIsOver: it is over.
        """
        with of_a_call():
            self._rest.post(f"{_call(call_id)}/answer", {"call_recording": record, "call_transcription": transcribe})

    def play(self, call_id: str, audio_url: str) -> None:
        """Play an audio file into a call.

        Raises:
            CallIsOver: it is over.
        """
        with of_a_call():
            self._rest.post(f"{_call(call_id)}/play", {"audio_file": audio_url})

    def stop_audio(self, call_id: str) -> None:
        """Stop what is being played.

        Raises:
            CallIsOver: it is over.
        """
        with of_a_call():
            self._rest.delete(f"{_call(call_id)}/audio")

    def call_detail_records(self, call_id: str, *, within: float = 0) -> list[WavixCallDetailRecord]:
        """The record of a call that is over, with `recording_url` where it was recorded.

        Looks again for `within` seconds while there is none.
        """
        path = f"/v1/cdrs/{checked_id(call_id, PROVIDER)}"

        def look() -> list[WavixCallDetailRecord]:
            try:
                document = self._rest.get(path)
            except NotFound:
                return []
            return [self._rest.model(WavixCallDetailRecord, document, needs="call_id")]

        return when_there(look, within, self._rest.retry_policy)


def wavix_rest(
    environ: Mapping[str, str],
    *,
    retry_policy: RetryPolicy | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> RestClient:
    """Wavix's API with the key `WAVIX_API_KEY`, at `WAVIX_API_URL` where that is set.

    Raises:
        NotConfigured: something is missing or wrong.
    """
    key = required(environ, KEY, PROVIDER, API_KEY_HINT)
    address = base_url(environ, "WAVIX_API_URL", PROVIDER, API_URL)
    headers = {"Authorization": f"Bearer {key}"}
    return RestClient(PROVIDER, address, headers, confidential=[key], retry_policy=retry_policy, transport=transport)


def _call(call_id: str) -> str:
    return f"/v1/calls/{checked_id(call_id, PROVIDER)}"
