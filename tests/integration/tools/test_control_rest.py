"""What a provider's client does with a network and with answers that are not as they should be."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from callhooks_tools.providers.rest.errors import (
    ControlFailed,
    KeyRejected,
    NotFound,
    RateLimited,
    RequestRejected,
    Unexpected,
    Unreachable,
)
from callhooks_tools.providers.rest.retries import MAX_PAUSE, RetryPolicy
from callhooks_tools.providers.rest.session import RestClient

from tests.provider_apis.server import HTML, PAUSES, Api, Asked, Cut, Drip, Drop, Endless, Fault, Hang, Reply

KEY = "a-key-that-nobody-may-see"
NUMBER = "+14155550123"
DAY = "Sat, 21 Nov 2026"
NO = "Things does not accept the key for this"
FORM = {"destination": NUMBER, "note": "Grüße \udcff"}


@dataclass
class Things(Api):
    """An API of things that can be fetched, changed and removed."""

    changes: list[Any] = field(default_factory=list)
    removed: bool = False

    def answer(self, asked: Asked) -> Reply:
        if asked.method in ("POST", "PATCH", "PUT"):
            self.changes.append(asked.body)
            return Reply(202)
        if self.removed:
            return Reply(404, {"message": "Not found"})
        if asked.method == "DELETE":
            self.removed = True
            return Reply(204)
        if asked.path == "/file":
            return Reply(content=b"0123456789", content_type="audio/mpeg")
        return Reply(200, {"thing": dict(asked.query)})


@pytest.fixture
def api() -> Iterator[Things]:
    things = Things()
    with things.running():
        yield things


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def client(api: Things, pauses: list[float]) -> Iterator[RestClient]:
    retry_policy = RetryPolicy(sleep=pauses.append, jitter=lambda: 1.0, read_seconds=0.2, whole_seconds=0.5)
    client = RestClient("Things", api.url, {"X-Key": KEY}, confidential=[KEY], retry_policy=retry_policy)
    yield client
    client.close()


def test_a_request_has_the_key_and_what_is_asked_for(client: RestClient, api: Things) -> None:
    assert client.get("/things/1", {"filter": '[{"a":"ü&="}]', "page": 2}) == {
        "thing": {"filter": '[{"a":"ü&="}]', "page": "2"}
    }
    (asked,) = api.asked
    assert (asked.line, asked.headers["x-key"]) == ("GET /things/1", KEY)
    assert (asked.headers["accept"], asked.headers["user-agent"]) == ("application/json", "callhooks")
    assert "content-type" not in asked.headers


@pytest.mark.parametrize("method", ["post", "patch", "put"])
def test_a_body_is_json_whatever_was_typed(method: str, client: RestClient, api: Things) -> None:
    assert getattr(client, method)("/things", FORM) is None
    assert api.asked[0].headers["content-type"] == "application/json"
    assert api.changes == [FORM]


def test_nothing_is_posted_without_a_body(client: RestClient, api: Things) -> None:
    api.faults = [Reply(200, {"ok": 1})]
    assert client.post("/things/1/answer") == {"ok": 1}
    assert (api.asked[0].content, api.asked[0].headers["content-length"]) == (b"", "0")


PASSING: list[Fault | Reply | int] = [408, 502, 503, 504, HTML, Hang(), Drop(), Cut(), Drip()]
NAMES = ["408", "502", "503", "504", "HTML", "hangs", "drops", "is cut off", "drips"]


class TestWhatMayPass:
    @pytest.mark.parametrize("fault", PASSING, ids=NAMES)
    def test_is_asked_again_where_nothing_is_changed_by_it(
        self, fault: Fault | Reply | int, client: RestClient, api: Things, pauses: list[float]
    ) -> None:
        api.faults = [fault, fault]
        assert client.get("/things/1") == {"thing": {}}
        assert len(api.asked) == 3
        assert pauses == list(PAUSES[:2])

    @pytest.mark.parametrize("fault", PASSING, ids=NAMES)
    @pytest.mark.parametrize("method", ["post", "patch"])
    def test_is_not_asked_again_where_it_could_be_done_twice(
        self, method: str, fault: Fault | Reply | int, client: RestClient, api: Things, pauses: list[float]
    ) -> None:
        api.faults = [fault]
        with pytest.raises(Unreachable) as failed:
            getattr(client, method)("/things", FORM)
        assert (len(api.asked), pauses, failed.value.maybe_done) == (1, [], True)

    def test_is_given_up_after_four_times(self, client: RestClient, api: Things, pauses: list[float]) -> None:
        api.faults = [503, 503, 503, Reply(503, {"message": "Maintenance"})]
        with pytest.raises(Unreachable) as failed:
            client.get("/things/1")
        assert str(failed.value) == "Things does not answer (503): Maintenance"
        assert (len(api.asked), pauses) == (4, list(PAUSES))

    def test_waits_for_a_time_that_is_left_to_chance(self, api: Things, pauses: list[float]) -> None:
        api.faults = [503, 503]
        chances = iter([0.0, 0.5])
        retry_policy = RetryPolicy(sleep=pauses.append, jitter=lambda: next(chances))
        client = RestClient("Things", api.url, {}, confidential=[], retry_policy=retry_policy)
        client.get("/things/1")
        client.close()
        assert pauses == [PAUSES[0] / 2, PAUSES[1] * 0.75]

    @pytest.mark.parametrize("method", ["post", "patch", "put", "get", "delete"])
    def test_a_refused_connection_is_tried_again_by_all(self, method: str, pauses: list[float]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = f"http://127.0.0.1:{server.getsockname()[1]}"
        client = RestClient("Things", address, {}, confidential=[], retry_policy=RetryPolicy(sleep=pauses.append))
        with pytest.raises(Unreachable, match=r"there is no connection \(ConnectError\)$") as failed:
            getattr(client, method)("/things", *([{}] if method in ("post", "patch", "put") else []))
        client.close()
        assert (len(pauses), failed.value.maybe_done) == (3, False)

    def test_a_removal_whose_answer_was_lost_is_no_failure(self, client: RestClient, api: Things) -> None:
        api.faults = [Drop(done=True)]
        assert client.delete("/things/1") is None
        assert (api.lines, api.removed) == (["DELETE /things/1"] * 2, True)

    def test_what_is_not_there_at_first_cannot_be_removed(self, client: RestClient, api: Things) -> None:
        api.removed = True
        with pytest.raises(NotFound):
            client.delete("/things/1")
        api.faults = [429]
        with pytest.raises(NotFound):
            client.delete("/things/1")


class TestALimit:
    @pytest.mark.parametrize("method", ["post", "patch", "get"])
    def test_is_waited_for_as_long_as_is_asked(
        self, method: str, client: RestClient, api: Things, pauses: list[float]
    ) -> None:
        api.faults = [Reply(429, headers={"Retry-After": "7"}), 429]
        getattr(client, method)("/things", *([{}] if method != "get" else []))
        assert pauses == [7.0, PAUSES[1]]

    def test_may_be_told_as_a_date_by_the_providers_clock(
        self, client: RestClient, api: Things, pauses: list[float]
    ) -> None:
        api.faults = [
            Reply(429, headers={"Date": f"{DAY} 06:30:00 GMT", "Retry-After": f"{DAY} 06:30:09 GMT"}),
            Reply(429, headers={"Date": f"{DAY} 06:30:00 GMT", "Retry-After": f"{DAY} 06:29:59 GMT"}),
            Reply(429, headers={"Retry-After": "tomorrow"}),
        ]
        client.get("/things/1")
        assert pauses == [9.0, PAUSES[1], PAUSES[2]]

    def test_that_asks_for_no_time_gets_that_of_any_other_failure(
        self, client: RestClient, api: Things, pauses: list[float]
    ) -> None:
        api.faults = [Reply(429, headers={"Retry-After": "0"})] * 3
        client.get("/things/1")
        assert pauses == list(PAUSES)

    def test_that_is_too_long_is_told_at_once(self, client: RestClient, api: Things, pauses: list[float]) -> None:
        api.faults = [Reply(429, {"message": "Slow down"}, headers={"Retry-After": str(int(MAX_PAUSE) + 1)})]
        with pytest.raises(RateLimited) as failed:
            client.get("/things/1")
        assert str(failed.value) == "Things takes no more requests for now (429): Slow down"
        assert (failed.value.retry_after, pauses) == (MAX_PAUSE + 1, [])


class TestAnAnswer:
    @pytest.mark.parametrize(
        ("reply", "kind", "text"),
        [
            (
                Reply(401, {"message": "Bad token"}),
                KeyRejected,
                f"{NO} (401): Bad token",
            ),
            (Reply(403), KeyRejected, f"{NO} (403)"),
            (Reply(404, {"errors": [{"message": "None"}]}), NotFound, "Things has nothing of that id (404): None"),
            (Reply(410), NotFound, "Things has nothing of that id (410)"),
            (
                Reply(400, {"success": False, "message": "Validation error", "errors": {"to": "required"}}),
                RequestRejected,
                "Things refuses (400): Validation error; to: required",
            ),
            (
                Reply(422, {"code": "X", "message": "Invalid", "details": {"url": ["too long", "no host"]}}),
                RequestRejected,
                "Things refuses (422): Invalid; url: too long; url: no host",
            ),
            (Reply(400, {"msg": "invalid mute_status"}), RequestRejected, "Things refuses (400): invalid mute_status"),
            (Reply(409, content=b"<html>no</html>", content_type="text/html"), RequestRejected, "Things refuses (409)"),
            (Reply(200, {"success": False, "message": "No"}), RequestRejected, "Things refuses (200): No"),
            (Reply(500, {"message": "Oops"}), Unexpected, "Things answers what is not understood (500): Oops"),
            (
                Reply(301, headers={"Location": "https://elsewhere.example.com/"}),
                Unexpected,
                "Things answers what is not understood (301)",
            ),
            (
                Reply(200, content=b"<html>Sign in</html>", content_type="text/html"),
                Unexpected,
                "Things answers what is not understood (200): The body is not JSON.",
            ),
            (
                Reply(200, content=b"[" * 500 + b"]" * 500),
                Unexpected,
                "Things answers what is not understood (200): The body is nested too deeply.",
            ),
        ],
    )
    def test_that_says_no_is_an_error_of_its_kind(
        self, reply: Reply, kind: type[ControlFailed], text: str, client: RestClient, api: Things
    ) -> None:
        asks: list[Callable[[], object]] = [
            lambda: client.get("/things/1"),
            lambda: client.post("/things", {}),
            lambda: client.delete("/things/1"),
        ]
        for ask in asks:
            api.faults = [reply]
            with pytest.raises(ControlFailed) as failed:
                ask()
            assert (type(failed.value), str(failed.value), failed.value.status) == (kind, text, reply.status)
        assert len(api.asked) == 3

    def test_shows_no_key_no_number_and_no_address(self, client: RestClient, api: Things) -> None:
        text = f"{KEY} may not call {NUMBER} or 1 (415) 555-0123 by https://a.example.com/hooks/t0ken\x1b[2J"
        api.faults = [Reply(400, {"message": text, "errors": [{"message": f"sip:{NUMBER}@b.example.com"}]})]
        with pytest.raises(RequestRejected) as failed:
            client.get("/things/1", {"token": KEY})
        assert str(failed.value) == "Things refuses (400): ... may not call ... or ... by ... [2J; ..."

    def test_is_never_told_at_length(self, client: RestClient, api: Things) -> None:
        api.faults = [Reply(400, {"message": "No. " * 1000})]
        with pytest.raises(RequestRejected) as failed:
            client.get("/things/1")
        assert len(str(failed.value)) < 350

    def test_without_an_end_is_not_read_to_it(self, client: RestClient, api: Things) -> None:
        api.faults = [Endless()]
        with pytest.raises((Unexpected, Unreachable)):
            client.post("/things", {})


class TestAFile:
    def test_is_written_whole(self, client: RestClient, api: Things, tmp_path: Path) -> None:
        target = tmp_path / "a.mp3"
        target.write_bytes(b"what was there before")
        assert client.download("/file", target, size=10) == 10
        assert target.read_bytes() == b"0123456789"
        assert target.stat().st_mode & 0o077 == 0
        assert [path.name for path in tmp_path.iterdir()] == ["a.mp3"]

    @pytest.mark.parametrize("size", [9, 11])
    def test_of_another_length_is_none(self, size: int, client: RestClient, tmp_path: Path) -> None:
        with pytest.raises(Unexpected, match=f"the recording is .*{size} (bytes )?(that )?are told of"):
            client.download("/file", tmp_path / "a.mp3", size=size)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("reply", [Reply(200, content=b""), Reply(206, content=b"01234"), Reply(302)])
    def test_that_is_none_is_not_kept(self, reply: Reply, client: RestClient, api: Things, tmp_path: Path) -> None:
        api.faults = [reply]
        with pytest.raises(Unexpected):
            client.download("/file", tmp_path / "a.mp3", size=None)
        assert list(tmp_path.iterdir()) == []

    def test_is_fetched_again_after_a_lost_connection(
        self, client: RestClient, api: Things, tmp_path: Path, pauses: list[float]
    ) -> None:
        api.faults = [Cut(done=True), 503, Hang()]
        assert client.download("/file", tmp_path / "a.mp3", size=10) == 10
        assert (len(api.asked), len(pauses)) == (4, 3)

    def test_may_take_longer_than_an_answer(self, api: Things, tmp_path: Path) -> None:
        retry_policy = RetryPolicy(read_seconds=5, whole_seconds=0)
        client = RestClient("Things", api.url, {}, confidential=[], retry_policy=retry_policy)
        assert client.download("/file", tmp_path / "a.mp3", size=None) == 10
        client.close()

    @pytest.mark.parametrize(("status", "kind"), [(401, KeyRejected), (404, NotFound)])
    def test_may_be_refused(
        self, status: int, kind: type[ControlFailed], client: RestClient, api: Things, tmp_path: Path
    ) -> None:
        api.faults = [status]
        with pytest.raises(kind):
            client.download("/file", tmp_path / "a.mp3", size=10)
        assert list(tmp_path.iterdir()) == []


def test_a_file_needs_a_folder(client: RestClient, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        client.download("/file", tmp_path / "no" / "a.mp3", size=10)


def test_errors_name_who_and_what(client: RestClient, api: Things) -> None:
    api.faults = [Reply(418, {"error": "teapot", "details": json.dumps("no list")})]
    with pytest.raises(RequestRejected) as failed:
        client.get("/things/1")
    assert (failed.value.provider, failed.value.status, failed.value.message) == ("Things", 418, "teapot")
