"""Client for VoIPstudio calls in progress, and for call detail records and recordings afterwards.

Written from VoIPstudio's page Integrations - Webhooks, its API pages, and its own command line client. The `call_id` of
a webhook is the id of the call, and the `live_id` of its records.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self, TypeVar, Unpack

from callhooks.providers.payload import Document, Identifier, IntegerOrText, Moment, Number, OptionalInt, OptionalStr

from callhooks_tools.providers.rest.client import ProviderClient, not_found_as_call_is_over, poll_until_found
from callhooks_tools.providers.rest.configuration import base_url, checked_id, required
from callhooks_tools.providers.rest.errors import RequestRejected, Unexpected
from callhooks_tools.providers.rest.session import RestClient, RestOptions

PROVIDER = "VoIPstudio"
API_URL = "https://l7api.com/v1.1/voipstudio"
"""Version 1.1 is the one on the page on webhooks; the command line client uses 1.2."""
KEY = "VOIPSTUDIO_API_KEY"
API_KEY_HINT = (
    "Create an API key in VoIPstudio's dashboard, or request one with POST /login and POST /apitokens "
    "(docs/control.md#keys)"
)

OPERATORS = ("eq", "=")
"""Operators of the filter by `live_id`: the command line client uses the first, the page on webhooks the second."""
ROWS = 100
MAX_PAGES = 100

Row = TypeVar("Row", bound=Document)


class VoipstudioCall(Document):
    """Call in progress. `state` and `destination` are numbers, and times are seconds since 1970."""

    id: Identifier = None
    state: IntegerOrText = None
    destination: IntegerOrText = None
    context: OptionalStr = None
    src: OptionalStr = None
    src_id: OptionalStr = None
    src_name: OptionalStr = None
    dst: OptionalStr = None
    dst_id: OptionalStr = None
    dst_name: OptionalStr = None
    duration: OptionalInt = None
    start_time: Moment = None
    connected_at: Moment = None
    parent_id: OptionalStr = None


class VoipstudioCallDetailRecord(Document):
    """One leg of a finished call. `duration` and `billsec` are in seconds."""

    id: Identifier = None
    live_id: Identifier = None
    root_live_id: OptionalStr = None
    parent_live_id: OptionalStr = None
    calldate: Moment = None
    context: OptionalStr = None
    src: OptionalStr = None
    src_name: OptionalStr = None
    dst: OptionalStr = None
    dst_name: OptionalStr = None
    duration: OptionalInt = None
    billsec: OptionalInt = None
    disposition: IntegerOrText = None
    destination: IntegerOrText = None
    charge: Number = None
    t_cause: OptionalStr = None


class VoipstudioRecording(Document):
    """Recording. `duration` is in seconds, `size` in bytes; `type` is `I` for an inbound call."""

    id: Identifier = None
    live_id: Identifier = None
    timestamp: Moment = None
    caller: OptionalStr = None
    called: OptionalStr = None
    duration: OptionalInt = None
    type: OptionalStr = None
    size: OptionalInt = None


class _Page(Document):
    data: list[object] | None = None
    total: OptionalInt = None


class _NotFiltered(Unexpected):
    """Response with rows of other calls."""


class VoipstudioControl(ProviderClient):
    """Client for the calls of one account.

    Every method raises the errors of `RestClient`, and `CallIsOver` if the call is over or never existed.
    """

    def __init__(self, rest: RestClient) -> None:
        super().__init__(rest)
        self._operators: Sequence[str] = OPERATORS

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], **options: Unpack[RestOptions]) -> Self:
        """Create a client with the key `VOIPSTUDIO_API_KEY`. `VOIPSTUDIO_API_URL` overrides the address of the API."""
        key = required(environ, KEY, PROVIDER, API_KEY_HINT)
        address = base_url(environ, "VOIPSTUDIO_API_URL", PROVIDER, API_URL)
        headers = {"X-Auth-Token": key}
        return cls(RestClient(PROVIDER, address, headers, confidential=[key], **options))

    def get(self, call_id: str) -> VoipstudioCall:
        """Return a call in progress."""
        with not_found_as_call_is_over():
            document = self._rest.get(self._call(call_id))
        return self._rest.model(VoipstudioCall, self._rest.object_in(document, "data"), needs="id")

    def list_calls(self) -> list[VoipstudioCall]:
        """Return the calls in progress."""
        return [self._rest.model(VoipstudioCall, row, needs="id") for row in self._pages("calls", {})]

    def transfer(self, call_id: str, destination: str) -> None:
        """Transfer a call to an extension or a number."""
        with not_found_as_call_is_over():
            self._rest.patch(self._call(call_id), {"dst": destination})

    def hang_up(self, call_id: str) -> None:
        """End a call. VoIPstudio does not document this request, but existing clients use it."""
        with not_found_as_call_is_over():
            self._rest.delete(self._call(call_id))

    def call_detail_records(self, call_id: str, *, within: float = 0) -> list[VoipstudioCallDetailRecord]:
        """Return the records of a finished call, one for each leg.

        Waits up to `within` seconds for the first record, which can appear some time after the call's end.
        """
        find = self._finder("cdrs", call_id, VoipstudioCallDetailRecord)
        return poll_until_found(find, within, self._rest.retry_policy)

    def recordings(self, call_id: str, *, within: float = 0) -> list[VoipstudioRecording]:
        """Return the recordings of a call. Waits up to `within` seconds for the first; a call may have none."""
        find = self._finder("monitors", call_id, VoipstudioRecording)
        return poll_until_found(find, within, self._rest.retry_policy)

    def download(self, recording: VoipstudioRecording, target: Path) -> int:
        """Download a recording (MP3) and return its length in bytes. The file is written completely or not at all.

        Raises:
            NotFound: the recording does not exist.
            OSError: the file cannot be written.
        """
        path = f"/monitors/{checked_id(recording.id or '', PROVIDER)}.mp3"
        return self._rest.download(path, target, size=recording.size or None)

    def _call(self, call_id: str) -> str:
        return f"/calls/{checked_id(call_id, PROVIDER)}"

    def _finder(self, resource: str, call_id: str, model: type[Row]) -> Callable[[], list[Row]]:
        live_id = checked_id(call_id, PROVIDER)
        return lambda: [self._rest.model(model, row, needs="id") for row in self._rows_of_call(resource, live_id)]

    def _rows_of_call(self, resource: str, live_id: str) -> list[dict[str, object]]:
        """Return the rows with this `live_id`. Once an operator finds rows, only that one is used."""
        accepted = False
        for operator in self._operators:
            condition = [{"property": "live_id", "operator": operator, "value": live_id}]
            query = {"filter": json.dumps(condition, separators=(",", ":"))}
            try:
                rows = self._pages(resource, query, live_id=live_id)
            except (RequestRejected, _NotFiltered) as problem:
                is_last = operator == self._operators[-1]
                if problem.status not in (None, 400, 422) or (is_last and not accepted):
                    raise
            else:
                accepted = True
                if rows:
                    self._operators = (operator,)
                    return rows
        return []

    def _pages(self, resource: str, query: Mapping[str, str], *, live_id: str | None = None) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = []
        for number in range(1, MAX_PAGES + 1):
            document = self._rest.get(f"/{resource}", {**query, "limit": ROWS, "page": number})
            page = self._rest.model(_Page, document, needs="data")
            data = self._rest.objects(page.data, resource)
            if live_id is not None and any(str(row.get("live_id")) != live_id for row in data):
                raise _NotFiltered(PROVIDER, message=f"{resource} are not filtered by live_id")
            rows += data
            if not data or (len(data) < ROWS if page.total is None else len(rows) >= page.total):
                return rows
        raise self._rest.unexpected(f"more than {MAX_PAGES} pages of {resource}")
