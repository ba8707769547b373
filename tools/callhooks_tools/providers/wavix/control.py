"""Wavix's part of `callhooks control`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import ClassVar

from callhooks.providers.payload import Document

from callhooks_tools.providers.call_control import CallControl, CallRequest, RecordingAction
from callhooks_tools.providers.wavix.api import PROVIDER, WavixControl
from callhooks_tools.stack.terminal import console, fail, shown


class WavixCalls(CallControl):
    """Calls of a Wavix account."""

    name = "wavix"
    title = PROVIDER
    keys = "WAVIX_API_KEY"
    option_help: ClassVar = {"--record": "record it from the answer on."}
    command_help: ClassVar = {"answer": "", "cdr": "", "recordings": "their address"}

    def show(self, request: CallRequest, /) -> Document:
        """Return a call."""
        with _client() as wavix:
            return wavix.get(request.call_id)

    def calls(self) -> Sequence[Document]:
        """Return the calls in progress."""
        with _client() as wavix:
            return wavix.list_calls()

    def transfer(self, _request: CallRequest, _destination: str, /) -> None:
        """End the command: Wavix has no such request."""
        fail("Wavix's API knows no transfer of a call that lasts. Its number or trunk can forward it before.")

    def hang_up(self, request: CallRequest, /) -> None:
        """End a call."""
        with _client() as wavix:
            wavix.hang_up(request.call_id)

    def answer(self, request: CallRequest, /) -> None:
        """Answer an inbound call, and record it from then on where that is asked for."""
        with _client() as wavix:
            wavix.answer(request.call_id, record=request.record)

    def record(self, _request: CallRequest, _action: RecordingAction, /) -> None:
        """End the command: Wavix records from the answer on only."""
        fail(
            "Wavix records from the answer on, or by what is set for the number or the trunk: "
            "callhooks control answer wavix CALL_ID --record."
        )

    def call_detail_records(self, request: CallRequest, /) -> Sequence[Document]:
        """Return the record of a call that is over; empty where there is none yet."""
        with _client() as wavix:
            return wavix.call_detail_records(request.call_id, within=request.wait)

    def recordings(self, request: CallRequest, /) -> None:
        """Print the address of the recording."""
        with _client() as wavix:
            records = wavix.call_detail_records(request.call_id, within=request.wait)
        addresses = [record.recording_url for record in records if record.recording_url]
        if not addresses:
            request.none_yet("recording" if records else "record")
        for address in addresses:
            console.print(shown(address))


def _client() -> WavixControl:
    return WavixControl.from_environment(os.environ)
