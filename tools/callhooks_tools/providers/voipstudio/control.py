"""VoIPstudio's part of `callhooks control`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from callhooks.providers.payload import Document

from callhooks_tools.providers.call_control import CallControl, CallRequest, RecordingAction
from callhooks_tools.providers.rest.configuration import checked_id
from callhooks_tools.providers.rest.provider_apis import print_documents
from callhooks_tools.providers.voipstudio.api import PROVIDER, VoipstudioControl, VoipstudioRecording
from callhooks_tools.stack.terminal import console, fail


class VoipstudioCalls(CallControl):
    """Calls of a VoIPstudio account."""

    name = "voipstudio"
    title = PROVIDER
    keys = "VOIPSTUDIO_API_KEY"
    option_help: ClassVar = {"--download": "write the files into this folder."}
    command_help: ClassVar = {
        "transfer": "an extension or a number",
        "cdr": "one for each leg",
        "recordings": "listed, and fetched",
    }

    def show(self, request: CallRequest, /) -> Document:
        """Return a call."""
        with _client() as voipstudio:
            return voipstudio.get(request.call_id)

    def calls(self) -> Sequence[Document]:
        """Return the calls in progress."""
        with _client() as voipstudio:
            return voipstudio.list_calls()

    def transfer(self, request: CallRequest, destination: str, /) -> None:
        """Transfer a call to an extension or a number."""
        with _client() as voipstudio:
            voipstudio.transfer(request.call_id, destination)

    def hang_up(self, request: CallRequest, /) -> None:
        """End a call."""
        with _client() as voipstudio:
            voipstudio.hang_up(request.call_id)

    def answer(self, _request: CallRequest, /) -> None:
        """End the command: VoIPstudio documents no such request."""
        fail("VoIPstudio's API documents no answer: its users and queues answer calls.")

    def record(self, request: CallRequest, _action: RecordingAction, /) -> None:
        """End the command: VoIPstudio has no such request."""
        fail(
            "VoIPstudio's API starts and stops no recording: what is recorded is set in its dashboard. "
            f"callhooks control recordings voipstudio {request.call_id} lists what there is."
        )

    def call_detail_records(self, request: CallRequest, /) -> Sequence[Document]:
        """Return the records of a call that is over, one for each leg; empty where there is none yet."""
        with _client() as voipstudio:
            return voipstudio.call_detail_records(request.call_id, within=request.wait)

    def recordings(self, request: CallRequest, /) -> None:
        """Print what recordings there are, or write them into a folder."""
        with _client() as voipstudio:
            found = voipstudio.recordings(request.call_id, within=request.wait)
            if not found:
                request.none_yet("recording")
            if request.download is None:
                print_documents(found)
            else:
                _download(voipstudio, request.call_id, found, request.download)


def _client() -> VoipstudioControl:
    return VoipstudioControl.from_environment(os.environ)


def _download(voipstudio: VoipstudioControl, call_id: str, found: Sequence[VoipstudioRecording], folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for recording in found:
            # Without the numbers of the call: more people see the names of files than hear them.
            target = folder / f"voipstudio-{call_id}-{checked_id(recording.id or '', PROVIDER)}.mp3"
            if recording.size and target.exists() and target.stat().st_size == recording.size:
                console.print(f"{target}  is there already")
                continue
            length = voipstudio.download(recording, target)
            console.print(f"{target}  {length:,} bytes")
    except OSError as error:
        fail(f"{folder}: {error.strerror}")
