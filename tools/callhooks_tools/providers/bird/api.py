"""Bird: calls of a workspace's voice channels.

Written from the pages of Bird's Voice API (`api.bird.com`). A call belongs to a channel, and is controlled through it.
No page tells how a call is hung up that was not started with a call flow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import httpx
from callhooks.providers.payload import Document, Identifier, IntegerOrText, Moment, OptionalInt, OptionalStr
from pydantic import Field

from callhooks_tools.providers.rest.client import ProviderClient, of_a_call
from callhooks_tools.providers.rest.configuration import base_url, checked_id, required
from callhooks_tools.providers.rest.errors import CallIsOver, ControlFailed, RequestRejected, Unexpected
from callhooks_tools.providers.rest.retries import RetryPolicy
from callhooks_tools.providers.rest.session import RestClient

PROVIDER = "Bird"
API_URL = "https://api.bird.com"
KEY = "BIRD_ACCESS_KEY"
WORKSPACE = "BIRD_WORKSPACE_ID"
ORGANIZATION = "BIRD_ORGANIZATION_ID"
API_KEY_HINT = "make an access key in Bird's settings (docs/control.md)."
WORKSPACE_ID_HINT = "it is the id of the workspace in Bird's settings, and in the address of its pages."

ENDED = frozenset({"completed", "no-answer", "busy", "failed", "cancelled"})
ROWS = 100
MAX_PAGES = 100


class BirdCall(Document):
    """A call of a channel. `duration` is taken to be in seconds."""

    id: Identifier = None
    channel_id: OptionalStr = Field(default=None, alias="channelId")
    direction: OptionalStr = None
    status: OptionalStr = None
    reason: OptionalStr = None
    from_: OptionalStr = Field(default=None, alias="from")
    to: OptionalStr = None
    parent_id: OptionalStr = Field(default=None, alias="parentId")
    duration: OptionalInt = None
    created_at: Moment = Field(default=None, alias="createdAt")
    answered_at: Moment = Field(default=None, alias="answeredAt")
    ended_at: Moment = Field(default=None, alias="endedAt")
    hangup_source: OptionalStr = Field(default=None, alias="hangupSource")
    hangup_cause_code: OptionalInt = Field(default=None, alias="hangupCauseCode")
    hangup_sip_code: IntegerOrText = Field(default=None, alias="hangupSipCode")


class BirdPage(Document):
    """A page of a list."""

    results: list[object] | None = None
    next_page_token: OptionalStr = Field(default=None, alias="nextPageToken")


class BirdControl(ProviderClient):
    """Calls of one Bird workspace. Every method raises the errors of `RestClient`."""

    def __init__(self, rest: RestClient, workspace_id: str) -> None:
        super().__init__(rest)
        self._workspace = f"/workspaces/{workspace_id}"

    @classmethod
    def from_environment(
        cls,
        environ: Mapping[str, str],
        *,
        retry_policy: RetryPolicy | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> Self:
        """A client with the key `BIRD_ACCESS_KEY`, for the workspace `BIRD_WORKSPACE_ID`.

        `BIRD_API_URL` takes the place of `https://api.bird.com`.

        Raises:
            NotConfigured: something is missing or wrong.
        """
        workspace_id = workspace_of(environ)
        return cls(bird_rest(environ, retry_policy=retry_policy, transport=transport), workspace_id)

    def find(self, call_id: str) -> BirdCall:
        """A call by its id alone, from the workspace's log of calls.

        Raises:
            CallIsOver: there is none.
        """
        wanted = checked_id(call_id, PROVIDER)
        rows, _ = bird_page(self._rest, self._log, {"id": wanted}, "calls")
        for call in self._calls(rows):
            if call.id == wanted:
                return call
        raise CallIsOver(PROVIDER, message="it is not in the log of calls of this workspace")

    def get(self, channel_id: str, call_id: str) -> BirdCall:
        """A call.

        Raises:
            CallIsOver: there is none.
        """
        with of_a_call():
            document = self._rest.get(self._call(channel_id, call_id))
        return self._rest.model(BirdCall, document, needs="id")

    def list_calls(self, *, status: str | None = None) -> list[BirdCall]:
        """The workspace's log of calls, all pages; with a status, such as `ongoing`, those in it."""
        return self._calls(bird_list(self._rest, self._log, {"status": status} if status else {}, "calls"))

    def answer(self, channel_id: str, call_id: str) -> None:
        """Answer an inbound call that waits for it.

        Raises:
            CallIsOver: it is over.
        """
        with of_a_call():
            self._rest.post(f"{self._call(channel_id, call_id)}/answer")

    def transfer(  # noqa: PLR0913 - three are options
        self,
        channel_id: str,
        call_id: str,
        destination: str,
        *,
        from_: str | None = None,
        ring_seconds: int | None = None,
        record: bool = False,
    ) -> None:
        """Bridge a call to a number or a SIP URI. The channel must be the one that the call has come in by.

        `ring_seconds` is 3 to 120; Bird takes 30 where it is left out.

        Raises:
            CallIsOver: it is over. Bird answers 400 then, as to what is wrong, so the call is looked at.
        """
        body: dict[str, object] = {"to": destination}
        if from_ is not None:
            body["from"] = from_
        if ring_seconds is not None:
            body["ringTimeout"] = ring_seconds
        if record:
            body["record"] = True
        try:
            with of_a_call():
                self._rest.post(f"{self._call(channel_id, call_id)}/bridge", body)
        except RequestRejected as refused:
            if refused.status == httpx.codes.BAD_REQUEST and self._is_over(channel_id, call_id):
                raise CallIsOver(PROVIDER, status=refused.status, message=refused.message) from None
            raise

    def _is_over(self, channel_id: str, call_id: str) -> bool:
        try:
            return self.get(channel_id, call_id).status in ENDED
        except CallIsOver:
            return True
        except ControlFailed:
            # What Bird has said of the bridge is known; that it does not say more now changes nothing.
            return False

    def _call(self, channel_id: str, call_id: str) -> str:
        return f"{self._workspace}/channels/{checked_id(channel_id, PROVIDER)}/calls/{checked_id(call_id, PROVIDER)}"

    @property
    def _log(self) -> str:
        return f"{self._workspace}/channels/calls"

    def _calls(self, rows: list[dict[str, object]]) -> list[BirdCall]:
        return [self._rest.model(BirdCall, row, needs="id") for row in rows]


def bird_rest(
    environ: Mapping[str, str],
    *,
    confidential: str = "",
    retry_policy: RetryPolicy | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> RestClient:
    """Bird's API with the key `BIRD_ACCESS_KEY`; `confidential` is one more text that no error may show.

    Raises:
        NotConfigured: something is missing or wrong.
    """
    key = required(environ, KEY, PROVIDER, API_KEY_HINT)
    address = base_url(environ, "BIRD_API_URL", PROVIDER, API_URL)
    headers = {"Authorization": f"AccessKey {key}"}
    hidden = [key, confidential]
    return RestClient(PROVIDER, address, headers, confidential=hidden, retry_policy=retry_policy, transport=transport)


def workspace_of(environ: Mapping[str, str]) -> str:
    """The id of the workspace.

    Raises:
        NotConfigured: it is not set.
        RequestRejected: it is no id.
    """
    return checked_id(required(environ, WORKSPACE, PROVIDER, WORKSPACE_ID_HINT), PROVIDER)


def bird_page(
    rest: RestClient, path: str, query: Mapping[str, str], what: str, *, token: str | None = None
) -> tuple[list[dict[str, object]], str | None]:
    """The rows of a page of a list, and the token of the next page where there is one."""
    document = rest.get(path, {**query, "limit": ROWS, **({"pageToken": token} if token else {})})
    page = rest.model(BirdPage, document, needs="results")
    return rest.objects(page.results, what), page.next_page_token or None


def bird_list(rest: RestClient, path: str, query: Mapping[str, str], what: str) -> list[dict[str, object]]:
    """The rows of a list, page after page."""
    rows: list[dict[str, object]] = []
    token: str | None = None
    for _ in range(MAX_PAGES):
        page, token = bird_page(rest, path, query, what, token=token)
        rows += page
        if token is None:
            return rows
    raise Unexpected(PROVIDER, message=f"there are more than {MAX_PAGES} pages of {what}")
