"""Call control through Wavix's API, for `callhooks control`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import ClassVar

from callhooks.providers.payload import Document

from callhooks_tools.providers.call_control import CallControlById, CallRequest
from callhooks_tools.providers.wavix.api import PROVIDER, WavixControl
from callhooks_tools.stack.terminal import callhooks, console, print_json, shown


class WavixCalls(CallControlById):
    """Call control of a Wavix account."""

    name = "wavix"
    title = PROVIDER
    keys = "WAVIX_API_KEY"
    option_help: ClassVar = {"--record": "start recording when the call is answered."}
    command_help: ClassVar = {"answer": "", "cdr": "", "recordings": "the address only"}
    unsupported: ClassVar = {
        "transfer": "Wavix's API cannot transfer a call in progress. Forward the number or the trunk in Wavix's portal "
        "instead.",
        "record": "Wavix cannot start or stop a recording during a call. Record from the answer with: "
        f"{callhooks('control answer wavix')} {{call_id}} --record. "
        "Or turn on recording for the number or the trunk in Wavix.",
    }

    def client(self) -> WavixControl:
        """Return a client with the keys in the environment."""
        return WavixControl.from_environment(os.environ)

    def answer(self, request: CallRequest, /) -> None:
        """Answer an incoming call, and record it if requested."""
        with self.client() as wavix:
            wavix.answer(request.call_id, record=request.record)

    def call_detail_records(self, request: CallRequest, /) -> Sequence[Document]:
        """Return the record of a finished call; empty if there is none yet."""
        with self.client() as wavix:
            return wavix.call_detail_records(request.call_id, within=request.wait)

    def recordings(self, request: CallRequest, /) -> None:
        """Print the address of the recording."""
        with self.client() as wavix:
            records = wavix.call_detail_records(request.call_id, within=request.wait)
        addresses = [record.recording_url for record in records if record.recording_url]
        if not addresses:
            request.fail_not_found("recording" if records else "call detail record")
        if request.as_json:
            print_json([{"recording_url": address} for address in addresses])
            return
        for address in addresses:
            console.print(shown(address))
