"""Call control through jambonz's API, for `callhooks control`."""

from __future__ import annotations

import os
import re
from typing import ClassVar

from callhooks_tools.providers.call_control import CallControlById, CallRequest, RecordingAction
from callhooks_tools.providers.jambonz.api import PROVIDER, HookTarget, JambonzControl, RecordAction
from callhooks_tools.stack.terminal import misuse


class JambonzCalls(CallControlById):
    """Call control of a jambonz account."""

    name = "jambonz"
    title = PROVIDER
    keys = "JAMBONZ_API_KEY, JAMBONZ_ACCOUNT_SID and JAMBONZ_API_URL"
    option_help: ClassVar = {
        "--siprec": "the SIP URI of the recording server; required for every action, unless you pass --cloud.",
        "--cloud": "a recording that jambonz makes itself, in the storage of the account.",
        "--recording-id": "your own id for the recording, when you start it with --siprec.",
    }
    command_help: ClassVar = {
        "calls": "also the calls that ended in the last hour, with ended: true",
        "transfer": "the URL of a webhook that supplies the next verbs",
        "record": "by SIPREC or in the cloud",
    }
    unsupported: ClassVar = {
        "answer": "jambonz's API cannot answer a call. The verbs of the webhook's response do; edit the call plan "
        "instead."
    }

    def transfer(self, request: CallRequest, destination: str, /) -> None:
        """Transfer a call to a webhook, which supplies its next verbs."""
        if not re.match(r"(https?|wss?)://", destination):
            misuse(
                "jambonz transfers a call to a webhook, not to a number. Pass the URL of a webhook that responds with "
                "verbs; to call a number, respond with the verb dial."
            )
        with self.client() as jambonz:
            jambonz.transfer(request.call_id, HookTarget(destination))

    def client(self) -> JambonzControl:
        """Return a client with the keys in the environment."""
        return JambonzControl.from_environment(os.environ)

    def record(self, request: CallRequest, action: RecordingAction, /) -> None:
        """Change the recording of a call: by SIPREC, or in the account's own storage."""
        if bool(request.siprec) == request.cloud:
            misuse(
                "jambonz needs to know which recording you mean, for every action. Add the recording server "
                "(--siprec sip:recorder@rec.example.com), or --cloud for a recording by jambonz itself."
            )
        if request.recording_id and request.cloud:
            misuse("jambonz takes --recording-id only with --siprec.")
        with self.client() as jambonz:
            jambonz.record(
                request.call_id,
                RecordAction[action.name],
                siprec_url=request.siprec,
                recording_id=request.recording_id,
                cloud=request.cloud,
            )
