"""Client for the calls of a Bird workspace.

Written from the pages of Bird's Voice API (`api.bird.com`). A call belongs to a channel and is controlled through it.
Bird does not document how to end a call that was not started with a call flow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self, Unpack

import httpx
from callhooks.providers.payload import Document, Identifier, IntegerOrText, Moment, OptionalInt, OptionalStr
from pydantic import Field

from callhooks_tools.providers.rest.client import ProviderClient, not_found_as_call_is_over
from callhooks_tools.providers.rest.configuration import base_url, checked_id, required
from callhooks_tools.providers.rest.errors import CallIsOver, ControlFailed, RequestRejected, Unexpected
from callhooks_tools.providers.rest.session import RestClient, RestOptions

PROVIDER = "Bird"
API_URL = "https://api.bird.com"
KEY = "BIRD_ACCESS_KEY"
WORKSPACE = "BIRD_WORKSPACE_ID"
ORGANIZATION = "BIRD_ORGANIZATION_ID"
API_KEY_HINT = "Create an access key in Bird's settings (docs/control.md#keys)"
WORKSPACE_ID_HINT = "Copy the workspace's id from Bird's settings, or from the address of their pages"

ENDED = frozenset({"completed", "no-answer", "busy", "failed", "cancelled"})
REJECTED = frozenset({httpx.codes.BAD_REQUEST, httpx.codes.UNPROCESSABLE_ENTITY})
"""Statuses with which Bird rejects a request that is not valid."""
ROWS = 100
MAX_PAGES = 100


class BirdCall(Document):
    """Call of a channel. `duration` is assumed to be in seconds."""

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
    """One page of a list."""

    results: list[object] | None = None
    next_page_token: OptionalStr = Field(default=None, alias="nextPageToken")


class BirdControl(ProviderClient):
    """Client for the calls of one workspace.

    Every method raises the errors of `RestClient`, and `CallIsOver` if the call is over or never existed.
    """

    def __init__(self, rest: RestClient, workspace_id: str) -> None:
        super().__init__(rest)
        self._workspace = f"/workspaces/{workspace_id}"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], **options: Unpack[RestOptions]) -> Self:
        """Create a client with the key `BIRD_ACCESS_KEY` for the workspace `BIRD_WORKSPACE_ID`.

        `BIRD_API_URL` overrides `https://api.bird.com`.
        """
        workspace_id = workspace_of(environ)
        return cls(bird_rest(environ, **options), workspace_id)

    def find(self, call_id: str) -> BirdCall:
        """Return a call by its id, without its channel, from the workspace's log.

        Raises:
            CallIsOver: the log has no such call.
        """
        wanted = checked_id(call_id, PROVIDER)
        rows, _ = bird_page(self._rest, self._log_path, {"id": wanted}, "calls")
        for call in self._calls(rows):
            if call.id == wanted:
                return call
        raise CallIsOver(PROVIDER, message="it is not in this workspace's log of calls")

    def get(self, channel_id: str, call_id: str) -> BirdCall:
        """Return a call.

        Raises:
            CallIsOver: the channel has no such call.
        """
        with not_found_as_call_is_over():
            document = self._rest.get(self._call(channel_id, call_id))
        return self._rest.model(BirdCall, document, needs="id")

    def list_calls(self, *, status: str | None = None) -> list[BirdCall]:
        """Return all calls in the workspace's log, or those with a status such as `ongoing`."""
        return self._calls(bird_list(self._rest, self._log_path, {"status": status} if status else {}, "calls"))

    def answer(self, channel_id: str, call_id: str) -> None:
        """Answer an incoming call."""
        self._command(channel_id, call_id, "answer")

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
        """Bridge a call to a number or a SIP URI. The channel must be the one on which the call came in.

        `ring_seconds` is 3 to 120; Bird's default is 30.
        """
        body: dict[str, object] = {"to": destination}
        if from_ is not None:
            body["from"] = from_
        if ring_seconds is not None:
            body["ringTimeout"] = ring_seconds
        if record:
            body["record"] = True
        self._command(channel_id, call_id, "bridge", body)

    def _command(self, channel_id: str, call_id: str, command: str, body: dict[str, object] | None = None) -> None:
        try:
            with not_found_as_call_is_over():
                self._rest.post(f"{self._call(channel_id, call_id)}/{command}", body)
        except RequestRejected as rejected:
            # Bird's answer is the same for an invalid request and for a call that is over.
            if rejected.status in REJECTED and self._is_over(channel_id, call_id):
                raise CallIsOver(PROVIDER, status=rejected.status, message=rejected.message) from None
            raise

    def _is_over(self, channel_id: str, call_id: str) -> bool:
        try:
            return self.get(channel_id, call_id).status in ENDED
        except CallIsOver:
            return True
        except ControlFailed:
            # Report Bird's response to the command rather than this failure.
            return False

    def _call(self, channel_id: str, call_id: str) -> str:
        return f"{self._workspace}/channels/{checked_id(channel_id, PROVIDER)}/calls/{checked_id(call_id, PROVIDER)}"

    @property
    def _log_path(self) -> str:
        return f"{self._workspace}/channels/calls"

    def _calls(self, rows: list[dict[str, object]]) -> list[BirdCall]:
        return [self._rest.model(BirdCall, row, needs="id") for row in rows]


def bird_rest(environ: Mapping[str, str], *, confidential: str = "", **options: Unpack[RestOptions]) -> RestClient:
    """Create a REST client with the key `BIRD_ACCESS_KEY`. `confidential` is another text to redact in errors.

    Raises:
        NotConfigured: a variable is missing or invalid.
    """
    key = required(environ, KEY, PROVIDER, API_KEY_HINT)
    address = base_url(environ, "BIRD_API_URL", PROVIDER, API_URL)
    headers = {"Authorization": f"AccessKey {key}"}
    return RestClient(PROVIDER, address, headers, confidential=[key, confidential], **options)


def workspace_of(environ: Mapping[str, str]) -> str:
    """Return the id of the workspace.

    Raises:
        NotConfigured: it is not set.
        RequestRejected: it is not a valid id.
    """
    return checked_id(required(environ, WORKSPACE, PROVIDER, WORKSPACE_ID_HINT), PROVIDER)


def bird_page(
    rest: RestClient, path: str, query: Mapping[str, str], noun: str, *, token: str | None = None
) -> tuple[list[dict[str, object]], str | None]:
    """Return the rows of one page of a list, and the token of the next page if there is one."""
    document = rest.get(path, {**query, "limit": ROWS, **({"pageToken": token} if token else {})})
    page = rest.model(BirdPage, document, needs="results")
    return rest.objects(page.results, noun), page.next_page_token or None


def bird_list(rest: RestClient, path: str, query: Mapping[str, str], noun: str) -> list[dict[str, object]]:
    """Return the rows of all pages of a list."""
    rows: list[dict[str, object]] = []
    token: str | None = None
    for _ in range(MAX_PAGES):
        page, token = bird_page(rest, path, query, noun, token=token)
        rows += page
        if token is None:
            return rows
    raise Unexpected(PROVIDER, message=f"more than {MAX_PAGES} pages of {noun}")
