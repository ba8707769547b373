"""Interface between `callhooks control` and each provider."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, NoReturn, Protocol

from callhooks.providers.payload import Document

from callhooks_tools.stack.terminal import callhooks, fail, shown


class RecordingAction(StrEnum):
    """Change to the recording of a call."""

    START = "start"
    STOP = "stop"
    PAUSE = "pause"
    RESUME = "resume"


@dataclass(frozen=True, slots=True)
class CallRequest:
    """Call and options that the user passed to the command.

    Attributes:
        call_id: the provider's id of the call, as in events and the call log.
        wait: seconds to wait for a record or recording to appear.
        as_json: print JSON.
    """

    call_id: str
    channel: str | None = None
    from_: str | None = None
    record: bool = False
    siprec: str | None = None
    cloud: bool = False
    recording_id: str | None = None
    download: Path | None = None
    wait: float = 0
    as_json: bool = False

    def fail_not_found(self, noun: str) -> NoReturn:
        """End the command with the error that there is no record or recording."""
        hint = "" if self.wait else " It can appear up to a minute after the call ends. To wait for it, add --wait 60"
        fail(f"No {noun} found for this call.{hint}")


class CallControl(ABC):
    """Call control through one provider's REST API.

    A method that the API does not support ends the command with an error. Every method reads its keys from the
    environment and raises `ControlFailed`.

    Attributes:
        name: the provider's name on the command line.
        title: the provider's name as it spells it.
        keys: the environment variables with its keys.
        option_help: the options that this provider supports, with their help.
        command_help: the commands that only some providers support, or that differ between them, with help.
        unsupported: the errors of the methods that the API does not support; `{call_id}` stands for the call.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    keys: ClassVar[str]
    option_help: ClassVar[Mapping[str, str]] = {}
    command_help: ClassVar[Mapping[str, str]] = {}
    unsupported: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def show(self, request: CallRequest, /) -> Document:
        """Return the current state of a call.

        Raises:
            CallIsOver: the call has ended.
        """

    @abstractmethod
    def calls(self) -> Sequence[Document]:
        """Return the calls in progress."""

    def transfer(self, request: CallRequest, _destination: str, /) -> None:
        """Transfer a call."""
        self._fail("transfer", request)

    def hang_up(self, request: CallRequest, /) -> None:
        """End a call."""
        self._fail("hang_up", request)

    def answer(self, request: CallRequest, /) -> None:
        """Answer an incoming call."""
        self._fail("answer", request)

    def record(self, request: CallRequest, _action: RecordingAction, /) -> None:
        """Change the recording of a call in progress."""
        self._fail("record", request)

    def call_detail_records(self, request: CallRequest, /) -> Sequence[Document]:
        """Return the call detail records of a finished call; empty if there are none yet."""
        fail(
            f"{self.title}'s API has no call detail records by call id. To see the call itself, run: "
            + callhooks(f"control show {self.name} {shown(request.call_id)}")
        )

    def recordings(self, _request: CallRequest, /) -> None:
        """Print or download the recordings of a finished call."""
        fail(f"{self.title}'s API does not list recordings by call id. Look for them where the recording was sent.")

    def _fail(self, method: str, request: CallRequest) -> NoReturn:
        fail(
            self.unsupported.get(method, f"{self.title}'s API does not support this.").format(
                call_id=shown(request.call_id)
            )
        )


class CallClient(Protocol):
    """Client for calls that are identified by their id alone."""

    def get(self, call_id: str, /) -> Document:
        """Return a call."""

    def list_calls(self) -> Sequence[Document]:
        """Return the calls in progress."""

    def hang_up(self, call_id: str, /) -> None:
        """End a call."""


class CallControlById(CallControl):
    """Call control through a `CallClient`."""

    @abstractmethod
    def client(self) -> AbstractContextManager[CallClient]:
        """Return a client with the keys in the environment."""

    def show(self, request: CallRequest, /) -> Document:
        """Return a call."""
        with self.client() as client:
            return client.get(request.call_id)

    def calls(self) -> Sequence[Document]:
        """Return the calls in progress."""
        with self.client() as client:
            return client.list_calls()

    def hang_up(self, request: CallRequest, /) -> None:
        """End a call."""
        with self.client() as client:
            client.hang_up(request.call_id)
