"""jambonz's part of `callhooks control`."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import ClassVar

from callhooks.providers.payload import Document

from callhooks_tools.providers.call_control import CallControl, CallRequest, RecordingAction
from callhooks_tools.providers.jambonz.api import PROVIDER, HookTarget, JambonzControl, RecordAction
from callhooks_tools.stack.terminal import fail


class JambonzCalls(CallControl):
    """Calls of a jambonz account."""

    name = "jambonz"
    title = PROVIDER
    keys = "JAMBONZ_API_KEY, JAMBONZ_ACCOUNT_SID and JAMBONZ_API_URL"
    option_help: ClassVar = {
        "--siprec": "the SIP URI of the recording server, for a start.",
        "--recording-id": "an id of your own for the recording, for a start.",
    }
    command_help: ClassVar = {"transfer": "the URL of a webhook, whose verbs the call is to get", "record": "by SIPREC"}

    def show(self, request: CallRequest, /) -> Document:
        """Return a call."""
        with _client() as jambonz:
            return jambonz.get(request.call_id)

    def calls(self) -> Sequence[Document]:
        """Return the calls in progress."""
        with _client() as jambonz:
            return jambonz.list_calls()

    def transfer(self, request: CallRequest, destination: str, /) -> None:
        """Have a call get its next verbs from a webhook."""
        if not re.match(r"(https?|wss?)://", destination):
            fail(
                "jambonz transfers a call to a webhook, whose verbs it gets from then on: give its URL. "
                "Its dial verb then calls whom you want."
            )
        with _client() as jambonz:
            jambonz.transfer(request.call_id, HookTarget(destination))

    def hang_up(self, request: CallRequest, /) -> None:
        """End a call."""
        with _client() as jambonz:
            jambonz.hang_up(request.call_id)

    def answer(self, _request: CallRequest, /) -> None:
        """End the command: a webhook's verbs answer."""
        fail("jambonz answers a call by the verbs that its webhook gets: the call plan says which.")

    def record(self, request: CallRequest, action: RecordingAction, /) -> None:
        """Change the recording of a call by SIPREC."""
        if action is RecordingAction.START and request.siprec is None:
            fail("jambonz wants to know the recording server for a start: --siprec sip:recorder.example.com.")
        with _client() as jambonz:
            jambonz.record(
                request.call_id,
                RecordAction[action.name],
                siprec_url=request.siprec,
                recording_id=request.recording_id,
            )


def _client() -> JambonzControl:
    return JambonzControl.from_environment(os.environ)
