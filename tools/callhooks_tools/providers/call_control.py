"""The part of `callhooks control` that each provider describes for itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, NoReturn

from callhooks.providers.payload import Document

from callhooks_tools.stack.terminal import fail


class RecordingAction(StrEnum):
    """Changes to the recording of a call."""

    START = "start"
    STOP = "stop"
    PAUSE = "pause"
    RESUME = "resume"


@dataclass(frozen=True, slots=True)
class CallRequest:
    """A call, by the id that its provider gives it, and the options of the command.

    Attributes:
        call_id: as events and the call log have it.
        wait: seconds to look again for while there is no record or recording yet.
    """

    call_id: str
    channel: str | None = None
    from_: str | None = None
    record: bool = False
    siprec: str | None = None
    recording_id: str | None = None
    download: Path | None = None
    wait: float = 0

    def none_yet(self, what: str) -> NoReturn:
        """End the command, as there is no record or recording."""
        again = "" if self.wait else " One may come within a minute of the call's end: --wait 60 looks again."
        fail(f"There is no {what} of this call.{again}")


class CallControl(ABC):
    """What one provider's REST API can do with a call; a method ends the command where the API cannot do it.

    Every method takes its keys from the environment, and raises `ControlFailed`.

    Attributes:
        name: the provider, as the command line names it.
        title: the provider, as it writes itself.
        keys: the variables of the environment with its keys.
        option_help: the options that this provider takes, with their help.
        command_help: commands that not all providers have, or have in their own ways, with help.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    keys: ClassVar[str]
    option_help: ClassVar[Mapping[str, str]] = {}
    command_help: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def show(self, request: CallRequest, /) -> Document:
        """Return a call as the provider sees it now.

        Raises:
            CallIsOver: the call has ended.
        """

    @abstractmethod
    def calls(self) -> Sequence[Document]:
        """Return the calls in progress."""

    @abstractmethod
    def transfer(self, request: CallRequest, destination: str, /) -> None:
        """Transfer a call."""

    @abstractmethod
    def hang_up(self, request: CallRequest, /) -> None:
        """End a call."""

    @abstractmethod
    def answer(self, request: CallRequest, /) -> None:
        """Answer an inbound call."""

    @abstractmethod
    def record(self, request: CallRequest, action: RecordingAction, /) -> None:
        """Change the recording of a call in progress."""

    def call_detail_records(self, _request: CallRequest, /) -> Sequence[Document]:
        """Return the call detail records of a call that is over; empty where there is none yet."""
        fail(
            f"{self.name} has no detail records by a call's id. callhooks control show {self.name} tells what it knows."
        )

    def recordings(self, _request: CallRequest, /) -> None:
        """Print or download the recordings of a call that is over."""
        fail(f"{self.name} lists no recordings by the id of a call: they are where the recording was sent to.")
