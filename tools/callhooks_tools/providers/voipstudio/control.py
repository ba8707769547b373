"""Call control through VoIPstudio's API, for `callhooks control`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from callhooks.providers.payload import Document

from callhooks_tools.providers.call_control import CallControlById, CallRequest
from callhooks_tools.providers.rest.configuration import checked_id
from callhooks_tools.providers.rest.provider_apis import print_documents
from callhooks_tools.providers.voipstudio.api import PROVIDER, VoipstudioControl, VoipstudioRecording
from callhooks_tools.stack.terminal import callhooks, console, fail, note, print_json


class VoipstudioCalls(CallControlById):
    """Call control of a VoIPstudio account."""

    name = "voipstudio"
    title = PROVIDER
    keys = "VOIPSTUDIO_API_KEY"
    option_help: ClassVar = {"--download": "save the MP3 files in this folder."}
    command_help: ClassVar = {
        "transfer": "an extension or a number",
        "cdr": "one record for each leg",
        "recordings": "",
    }
    unsupported: ClassVar = {
        "answer": "VoIPstudio's API cannot answer a call. Its users and queues answer calls.",
        "record": "VoIPstudio's API cannot start or stop a recording. Turn on recording in VoIPstudio's dashboard. "
        f"To list existing recordings, run: {callhooks('control recordings voipstudio')} {{call_id}}",
    }

    def transfer(self, request: CallRequest, destination: str, /) -> None:
        """Transfer a call to an extension or a number."""
        with self.client() as voipstudio:
            voipstudio.transfer(request.call_id, destination)

    def client(self) -> VoipstudioControl:
        """Return a client with the keys in the environment."""
        return VoipstudioControl.from_environment(os.environ)

    def call_detail_records(self, request: CallRequest, /) -> Sequence[Document]:
        """Return the records of a finished call, one for each leg; empty if there are none yet."""
        with self.client() as voipstudio:
            return voipstudio.call_detail_records(request.call_id, within=request.wait)

    def recordings(self, request: CallRequest, /) -> None:
        """Print the recordings, or download them into a folder."""
        with self.client() as voipstudio:
            found = voipstudio.recordings(request.call_id, within=request.wait)
            if not found:
                request.fail_not_found("recording")
            if request.download is None:
                print_documents(found)
                return
            files = list(_download(voipstudio, request.call_id, found, request.download))
        if request.as_json:
            print_json(files)
            return
        for file in files:
            console.print(f"{file['file']}  {file['bytes']:,} bytes")


def _download(
    voipstudio: VoipstudioControl, call_id: str, found: Sequence[VoipstudioRecording], folder: Path
) -> Iterator[Mapping[str, object]]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for recording in found:
            # No phone numbers in the name: more people see file names than may hear the recording.
            target = folder / f"voipstudio-{call_id}-{checked_id(recording.id or '', PROVIDER)}.mp3"
            if recording.size and target.exists() and target.stat().st_size == recording.size:
                note(f"{target}  already downloaded")
                yield {"file": str(target), "bytes": recording.size}
                continue
            yield {"file": str(target), "bytes": voipstudio.download(recording, target)}
    except OSError as error:
        fail(f"{folder}: {error.strerror}")
