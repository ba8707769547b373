"""Bird's part of `callhooks control`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import ClassVar

from callhooks.providers.payload import Document

from callhooks_tools.providers.bird.api import PROVIDER, BirdControl
from callhooks_tools.providers.call_control import CallControl, CallRequest, RecordingAction
from callhooks_tools.stack.terminal import fail


class BirdCalls(CallControl):
    """Calls of a Bird workspace, each controlled through its channel."""

    name = "bird"
    title = PROVIDER
    keys = "BIRD_ACCESS_KEY and BIRD_WORKSPACE_ID"
    option_help: ClassVar = {
        "--channel": "the call's channel; Bird's log tells it where it is left out.",
        "--from": "the number that is shown to who is called.",
    }
    command_help: ClassVar = {"calls": "those that are ongoing", "transfer": "a number or a SIP URI", "answer": ""}

    def show(self, request: CallRequest, /) -> Document:
        """Return a call, from the log where its channel is not given."""
        with _client() as bird:
            if request.channel is None:
                return bird.find(request.call_id)
            return bird.get(request.channel, request.call_id)

    def calls(self) -> Sequence[Document]:
        """Return the calls that are ongoing."""
        with _client() as bird:
            return bird.list_calls(status="ongoing")

    def transfer(self, request: CallRequest, destination: str, /) -> None:
        """Bridge a call to a number or a SIP URI."""
        with _client() as bird:
            bird.transfer(_channel_of(bird, request), request.call_id, destination, from_=request.from_)

    def hang_up(self, _request: CallRequest, /) -> None:
        """End the command: Bird documents no such request."""
        fail("No page of Bird tells how a call that lasts is ended. A call flow can have a hangup in it.")

    def answer(self, request: CallRequest, /) -> None:
        """Answer an inbound call."""
        with _client() as bird:
            bird.answer(_channel_of(bird, request), request.call_id)

    def record(self, _request: CallRequest, _action: RecordingAction, /) -> None:
        """End the command: Bird documents no such request."""
        fail("No page of Bird tells how a call that lasts is recorded. A call flow can have record in it.")


def _client() -> BirdControl:
    return BirdControl.from_environment(os.environ)


def _channel_of(bird: BirdControl, request: CallRequest) -> str:
    channel = request.channel or bird.find(request.call_id).channel_id
    if channel is None:
        fail("Bird's log does not tell the channel of the call: --channel names it.")
    return channel
