"""Call control through Wavix's API, for `callhooks control`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import ClassVar

from callhooks.providers.payload import Document

from callhooks_tools.providers.call_control import CallControl, CallRequest, RecordingAction
from callhooks_tools.providers.wavix.api import PROVIDER, WavixControl
from callhooks_tools.stack.terminal import console, fail, shown


class WavixCalls(CallControl):
    """Call control of a Wavix account."""

    name = "wavix"
    title = PROVIDER
    keys = "WAVIX_API_KEY"
    option_help: ClassVar = {"--record": "start recording when the call is answered."}
    command_help: ClassVar = {"answer": "", "cdr": "", "recordings": "the address only"}

    def show(self, request: CallRequest, /) -> Document:
        """Return a call."""
        with _client() as wavix:
            return wavix.get(request.call_id)

    def calls(self) -> Sequence[Document]:
        """Return the calls in progress."""
        with _client() as wavix:
            return wavix.list_calls()

    def transfer(self, _request: CallRequest, _destination: str, /) -> None:
        """End the command with an error: Wavix has no such request."""
        fail(
            "Wavix's API cannot transfer a call in progress. Forward the number or the trunk in Wavix's portal instead."
        )

    def hang_up(self, request: CallRequest, /) -> None:
        """End a call."""
        with _client() as wavix:
            wavix.hang_up(request.call_id)

    def answer(self, request: CallRequest, /) -> None:
        """Answer an incoming call, and record it if requested."""
        with _client() as wavix:
            wavix.answer(request.call_id, record=request.record)

    def record(self, request: CallRequest, _action: RecordingAction, /) -> None:
        """End the command with an error: Wavix can only start a recording with the answer."""
        fail(
            "Wavix cannot start or stop a recording during a call. Record from the answer with: "
            f"callhooks control answer wavix {shown(request.call_id)} --record. "
            "Or turn on recording for the number or the trunk in Wavix."
        )

    def call_detail_records(self, request: CallRequest, /) -> Sequence[Document]:
        """Return the record of a finished call; empty if there is none yet."""
        with _client() as wavix:
            return wavix.call_detail_records(request.call_id, within=request.wait)

    def recordings(self, request: CallRequest, /) -> None:
        """Print the address of the recording."""
        with _client() as wavix:
            records = wavix.call_detail_records(request.call_id, within=request.wait)
        addresses = [record.recording_url for record in records if record.recording_url]
        if not addresses:
            request.fail_not_found("recording" if records else "call detail record")
        for address in addresses:
            console.print(shown(address))


def _client() -> WavixControl:
    return WavixControl.from_environment(os.environ)
