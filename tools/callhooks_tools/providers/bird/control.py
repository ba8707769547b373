"""Call control through Bird's API, for `callhooks control`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import ClassVar

from callhooks.providers.payload import Document

from callhooks_tools.providers.bird.api import PROVIDER, BirdControl
from callhooks_tools.providers.call_control import CallControl, CallRequest
from callhooks_tools.stack.terminal import fail


class BirdCalls(CallControl):
    """Call control of a Bird workspace. Each call is controlled through its channel."""

    name = "bird"
    title = PROVIDER
    keys = "BIRD_ACCESS_KEY and BIRD_WORKSPACE_ID"
    option_help: ClassVar = {
        "--channel": "the call's channel; looked up in Bird's log by default.",
        "--from": "the caller number to show to the new party.",
    }
    command_help: ClassVar = {"calls": "status ongoing", "transfer": "a number or a SIP URI", "answer": ""}
    unsupported: ClassVar = {
        "hang_up": "Bird's API does not document how to end a call in progress. Use hangup in a Bird call flow "
        "instead.",
        "record": "Bird's API does not document how to record a call in progress. Use record in a Bird call flow "
        "instead.",
    }

    def show(self, request: CallRequest, /) -> Document:
        """Return a call; without a channel, from the workspace's log."""
        with _client() as bird:
            if request.channel is None:
                return bird.find(request.call_id)
            return bird.get(request.channel, request.call_id)

    def calls(self) -> Sequence[Document]:
        """Return the calls with the status `ongoing`."""
        with _client() as bird:
            return bird.list_calls(status="ongoing")

    def transfer(self, request: CallRequest, destination: str, /) -> None:
        """Bridge a call to a number or a SIP URI."""
        with _client() as bird:
            bird.transfer(_channel_of(bird, request), request.call_id, destination, from_=request.from_)

    def answer(self, request: CallRequest, /) -> None:
        """Answer an incoming call."""
        with _client() as bird:
            bird.answer(_channel_of(bird, request), request.call_id)


def _client() -> BirdControl:
    return BirdControl.from_environment(os.environ)


def _channel_of(bird: BirdControl, request: CallRequest) -> str:
    channel = request.channel or bird.find(request.call_id).channel_id
    if channel is None:
        fail("Bird's log does not name the channel of this call. Add --channel ID.")
    return channel
