"""VoIPstudio: calls while they last, and their detail records and recordings afterwards.

Written from VoIPstudio's page Integrations - Webhooks, its API pages, and its own command line client. The `call_id` of
a webhook is the id of a call, and `live_id` in the records.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self, TypeVar

import httpx
from callhooks.providers.payload import Document, Identifier, IntegerOrText, Moment, Number, OptionalInt, OptionalStr

from callhooks_tools.providers.rest.client import ProviderClient, of_a_call, when_there
from callhooks_tools.providers.rest.configuration import base_url, checked_id, required
from callhooks_tools.providers.rest.errors import RequestRejected, Unexpected
from callhooks_tools.providers.rest.retries import RetryPolicy
from callhooks_tools.providers.rest.session import RestClient

PROVIDER = "VoIPstudio"
API_URL = "https://l7api.com/v1.2/voipstudio"
KEY = "VOIPSTUDIO_API_KEY"
API_KEY_HINT = (
    "make an API key in VoIPstudio's dashboard, or ask for one by POST /login and POST /apitokens (docs/control.md)."
)

OPERATORS = ("eq", "=")
"""For the filter by `live_id`: the command line client has the first alone, the page of the webhooks the second."""
ROWS = 100
MAX_PAGES = 100

Row = TypeVar("Row", bound=Document)


class VoipstudioCall(Document):
    """A call that lasts. Here `state` and `destination` are numbers, and times are seconds since 1970."""

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
    """One leg of a call that is over. `duration` and `billsec` are in seconds."""

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
    """A recording. `duration` is in seconds, `size` in bytes; `type` is `I` for an inbound call."""

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
    """Rows of other calls have come."""


class VoipstudioControl(ProviderClient):
    """Calls of one VoIPstudio account. Every method raises the errors of `RestClient`."""

    def __init__(self, rest: RestClient) -> None:
        super().__init__(rest)
        self._operators: Sequence[str] = OPERATORS

    @classmethod
    def from_environment(
        cls,
        environ: Mapping[str, str],
        *,
        retry_policy: RetryPolicy | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> Self:
        """A client with the key `VOIPSTUDIO_API_KEY`, at `VOIPSTUDIO_API_URL` where that is set.

        Raises:
            NotConfigured: something is missing or wrong.
        """
        key = required(environ, KEY, PROVIDER, API_KEY_HINT)
        address = base_url(environ, "VOIPSTUDIO_API_URL", PROVIDER, API_URL)
        headers = {"X-Auth-Token": key}
        return cls(
            RestClient(PROVIDER, address, headers, confidential=[key], retry_policy=retry_policy, transport=transport)
        )

    def get(self, call_id: str) -> VoipstudioCall:
        """A call that lasts.

        Raises:
            CallIsOver: it does not, or never was.
        """
        with of_a_call():
            document = self._rest.get(self._call(call_id))
        return self._rest.model(VoipstudioCall, self._rest.object_in(document, "data"), needs="id")

    def list_calls(self) -> list[VoipstudioCall]:
        """All calls that last."""
        return [self._rest.model(VoipstudioCall, row, needs="id") for row in self._pages("calls", {})]

    def transfer(self, call_id: str, destination: str) -> None:
        """Transfer a call to an extension or a number.

        Raises:
            CallIsOver: it does not last.
        """
        with of_a_call():
            self._rest.patch(self._call(call_id), {"dst": destination})

    def hang_up(self, call_id: str) -> None:
        """End a call. No page of VoIPstudio tells of it; clients in use do it so.

        Raises:
            CallIsOver: it is over.
        """
        with of_a_call():
            self._rest.delete(self._call(call_id))

    def call_detail_records(self, call_id: str, *, within: float = 0) -> list[VoipstudioCallDetailRecord]:
        """The records of a call that is over, one for each leg. Looks again for `within` seconds while there is none.

        The first may come some time after the call's end.
        """
        look = self._look("cdrs", call_id, VoipstudioCallDetailRecord)
        return when_there(look, within, self._rest.retry_policy)

    def recordings(self, call_id: str, *, within: float = 0) -> list[VoipstudioRecording]:
        """The recordings of a call. Looks again for `within` seconds while there is none; it may have none at all."""
        look = self._look("monitors", call_id, VoipstudioRecording)
        return when_there(look, within, self._rest.retry_policy)

    def download(self, recording: VoipstudioRecording, target: Path) -> int:
        """Write a recording (MP3) to a file, which is there whole or not at all; its length in bytes.

        Raises:
            NotFound: it is not there.
            OSError: it cannot be written.
        """
        path = f"/monitors/{checked_id(recording.id or '', PROVIDER)}.mp3"
        return self._rest.download(path, target, size=recording.size or None)

    def _call(self, call_id: str) -> str:
        return f"/calls/{checked_id(call_id, PROVIDER)}"

    def _look(self, resource: str, call_id: str, model: type[Row]) -> Callable[[], list[Row]]:
        live_id = checked_id(call_id, PROVIDER)
        return lambda: [self._rest.model(model, row, needs="id") for row in self._rows_of_call(resource, live_id)]

    def _rows_of_call(self, resource: str, live_id: str) -> list[dict[str, object]]:
        """The rows with this `live_id`. The operator that has found some is the only one from then on."""
        understood = False
        for operator in self._operators:
            condition = [{"property": "live_id", "operator": operator, "value": live_id}]
            query = {"filter": json.dumps(condition, separators=(",", ":"))}
            try:
                rows = self._pages(resource, query, live_id=live_id)
            except (RequestRejected, _NotFiltered) as problem:
                is_last = operator == self._operators[-1]
                if problem.status not in (None, 400, 422) or (is_last and not understood):
                    raise
            else:
                understood = True
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
                raise _NotFiltered(PROVIDER, message=f"it does not filter {resource} by live_id")
            rows += data
            if not data or (len(data) < ROWS if page.total is None else len(rows) >= page.total):
                return rows
        raise self._rest.unexpected(f"there are more than {MAX_PAGES} pages of {resource}")
