"""REST client against network faults and unexpected responses."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
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

from tests.provider_apis.server import HTML, PAUSES, Api, Cut, Drip, Drop, Endless, Fault, Hang, Reply, Request

KEY = "a-key-that-must-never-show"
NUMBER = "+14155550123"
DAY = "Sat, 21 Nov 2026"
REJECTED_KEY = "rejected the API key for this request"
FORM = {"destination": NUMBER, "note": "Grüße \udcff"}


@dataclass
class ThingsApi(Api):
    """API of things that can be fetched, changed and removed."""

    changes: list[Any] = field(default_factory=list)
    removed: bool = False

    def respond(self, request: Request) -> Reply:
        if request.method in ("POST", "PATCH", "PUT"):
            self.changes.append(request.body)
            return Reply(202)
        if self.removed:
            return Reply(404, {"message": "Not found"})
        if request.method == "DELETE":
            self.removed = True
            return Reply(204)
        if request.path == "/file":
            return Reply(content=b"0123456789", content_type="audio/mpeg")
        return Reply(200, {"thing": dict(request.query)})


@pytest.fixture
def api() -> Iterator[ThingsApi]:
    with ThingsApi().running() as api:
        yield api


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def client(api: ThingsApi, pauses: list[float]) -> Iterator[RestClient]:
    retry_policy = RetryPolicy(sleep=pauses.append, jitter=lambda: 1.0, read_seconds=0.2, total_seconds=0.5)
    client = RestClient("Things", api.url, {"X-Key": KEY}, confidential=[KEY], retry_policy=retry_policy)
    yield client
    client.close()


def test_a_request_has_the_key_and_the_query(client: RestClient, api: ThingsApi) -> None:
    assert client.get("/things/1", {"filter": '[{"a":"ü&="}]', "page": 2}) == {
        "thing": {"filter": '[{"a":"ü&="}]', "page": "2"}
    }
    (request,) = api.requests
    assert (request.line, request.headers["x-key"]) == ("GET /things/1", KEY)
    assert (request.headers["accept"], request.headers["user-agent"]) == ("application/json", "callhooks")
    assert "content-type" not in request.headers


@pytest.mark.parametrize("method", ["post", "patch", "put"])
def test_a_body_is_json_even_for_invalid_text(method: str, client: RestClient, api: ThingsApi) -> None:
    assert getattr(client, method)("/things", FORM) is None
    assert api.requests[0].headers["content-type"] == "application/json"
    assert api.changes == [FORM]


def test_a_post_without_a_body_is_empty(client: RestClient, api: ThingsApi) -> None:
    api.faults = [Reply(200, {"ok": 1})]
    assert client.post("/things/1/answer") == {"ok": 1}
    assert (api.requests[0].content, api.requests[0].headers["content-length"]) == (b"", "0")


TEMPORARY: list[Fault | Reply | int] = [408, 502, 503, 504, HTML, Hang(), Drop(), Cut(), Drip()]
NAMES = ["408", "502", "503", "504", "HTML", "hangs", "drops", "is cut off", "drips"]


class TestTemporaryFailure:
    @pytest.mark.parametrize("fault", TEMPORARY, ids=NAMES)
    def test_of_a_read_is_retried_and_of_a_change_is_not(
        self, fault: Fault | Reply | int, client: RestClient, api: ThingsApi, pauses: list[float]
    ) -> None:
        api.faults = [fault, fault]
        assert client.get("/things/1") == {"thing": {}}
        assert len(api.requests) == 3
        assert pauses == list(PAUSES[:2])
        pauses.clear()
        changes: list[Callable[..., object]] = [client.post, client.patch, partial(client.put, idempotent=False)]
        for number, change in enumerate(changes, start=4):
            api.faults = [fault]
            with pytest.raises(Unreachable) as failed:
                change("/things", FORM)
            assert (len(api.requests), pauses, failed.value.maybe_done) == (number, [], True)

    def test_is_given_up_after_four_attempts(self, client: RestClient, api: ThingsApi, pauses: list[float]) -> None:
        api.faults = [503, 503, 503, Reply(503, {"message": "Maintenance"})]
        with pytest.raises(Unreachable) as failed:
            client.get("/things/1")
        assert str(failed.value) == "Things is unavailable (503): Maintenance"
        assert (len(api.requests), pauses) == (4, list(PAUSES))
        # A read changes nothing.
        assert not failed.value.maybe_done

    def test_is_followed_by_a_pause_with_jitter(self, api: ThingsApi, pauses: list[float]) -> None:
        api.faults = [503, 503]
        jitters = iter([0.0, 0.5])
        retry_policy = RetryPolicy(sleep=pauses.append, jitter=lambda: next(jitters))
        client = RestClient("Things", api.url, {}, confidential=[], retry_policy=retry_policy)
        client.get("/things/1")
        client.close()
        assert pauses == [PAUSES[0] / 2, PAUSES[1] * 0.75]

    def test_of_the_connection_is_retried_by_every_method(self, pauses: list[float]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = f"http://127.0.0.1:{server.getsockname()[1]}"
        client = RestClient("Things", address, {}, confidential=[], retry_policy=RetryPolicy(sleep=pauses.append))
        for method in ("post", "patch", "put", "get", "delete"):
            pauses.clear()
            with pytest.raises(Unreachable, match=r"no connection \(ConnectError\)$") as failed:
                getattr(client, method)("/things/1", *([{}] if method in ("post", "patch", "put") else []))
            assert (len(pauses), failed.value.maybe_done) == (3, False)
        client.close()

    def test_after_a_successful_removal_is_not_an_error(self, client: RestClient, api: ThingsApi) -> None:
        api.faults = [Drop(done=True)]
        assert client.delete("/things/1") is None
        assert (api.lines, api.removed) == (["DELETE /things/1"] * 2, True)

    def test_does_not_hide_that_there_was_nothing_to_remove(self, client: RestClient, api: ThingsApi) -> None:
        api.removed = True
        with pytest.raises(NotFound):
            client.delete("/things/1")
        api.faults = [429]
        with pytest.raises(NotFound):
            client.delete("/things/1")


class TestRateLimit:
    def test_is_waited_for_as_long_as_requested(self, client: RestClient, api: ThingsApi, pauses: list[float]) -> None:
        for method in ("post", "patch", "get"):
            pauses.clear()
            api.faults = [Reply(429, headers={"Retry-After": "7"}), 429, Reply(429, headers={"Retry-After": "0"})]
            getattr(client, method)("/things", *([{}] if method != "get" else []))
            assert pauses == [7.0, PAUSES[1], PAUSES[2]]

    def test_may_be_a_date_by_the_providers_clock(
        self, client: RestClient, api: ThingsApi, pauses: list[float]
    ) -> None:
        api.faults = [
            Reply(429, headers={"Date": f"{DAY} 06:30:00 GMT", "Retry-After": f"{DAY} 06:30:09 GMT"}),
            Reply(429, headers={"Date": f"{DAY} 06:30:00 GMT", "Retry-After": f"{DAY} 06:29:59 GMT"}),
            Reply(429, headers={"Retry-After": "tomorrow"}),
        ]
        client.get("/things/1")
        assert pauses == [9.0, PAUSES[1], PAUSES[2]]

    def test_that_is_too_long_is_reported_immediately(
        self, client: RestClient, api: ThingsApi, pauses: list[float]
    ) -> None:
        api.faults = [Reply(429, {"message": "Slow down"}, headers={"Retry-After": str(int(MAX_PAUSE) + 1)})]
        with pytest.raises(RateLimited) as failed:
            client.get("/things/1")
        assert str(failed.value) == "Things rate limit exceeded (429): Slow down"
        assert (failed.value.retry_after, pauses) == (MAX_PAUSE + 1, [])


HTML_TYPE, UNEXPECTED = "text/html", "sent an unexpected response"
NOT_JSON = f"{UNEXPECTED} (200): The body is not JSON."
BAD_RESPONSES: list[tuple[Reply, type[ControlFailed], str]] = [
    (Reply(401, {"message": "Bad token"}), KeyRejected, f"{REJECTED_KEY} (401): Bad token"),
    (Reply(401, content=b"Unauthorized", content_type="text/plain"), KeyRejected, f"{REJECTED_KEY} (401)"),
    (Reply(403), KeyRejected, f"{REJECTED_KEY} (403)"),
    (Reply(404, {"errors": [{"message": "None"}]}), NotFound, "found nothing with this id (404): None"),
    (Reply(410), NotFound, "found nothing with this id (410)"),
    (
        Reply(400, {"success": False, "message": "Validation error", "errors": {"to": "required"}}),
        RequestRejected,
        "rejected the request (400): Validation error; to: required",
    ),
    (
        Reply(422, {"code": "X", "message": "Invalid", "details": {"url": ["too long", "no host"]}}),
        RequestRejected,
        "rejected the request (422): Invalid; url: too long; url: no host",
    ),
    (Reply(400, {"msg": "invalid mute_status"}), RequestRejected, "rejected the request (400): invalid mute_status"),
    (Reply(480, {"msg": "no servers"}), RequestRejected, "rejected the request (480): no servers"),
    (
        Reply(422, content=b"call session is gone", content_type="text/html; charset=utf-8"),
        RequestRejected,
        "rejected the request (422): call session is gone",
    ),
    (
        Reply(400, content=b"No\xff \x1b[2J", content_type="text/plain"),
        RequestRejected,
        "rejected the request (400): No\ufffd  [2J",
    ),
    (Reply(409, content=b"no", content_type="application/pdf"), RequestRejected, "rejected the request (409)"),
    (Reply(409, content=b"<html>no</html>", content_type=HTML_TYPE), RequestRejected, "rejected the request (409)"),
    (Reply(200, {"success": False, "message": "No"}), RequestRejected, "rejected the request (200): No"),
    (Reply(500, {"message": "Oops"}), Unexpected, f"{UNEXPECTED} (500): Oops"),
    (Reply(301, headers={"Location": "https://elsewhere.example.com/"}), Unexpected, f"{UNEXPECTED} (301)"),
    (Reply(304), Unexpected, f"{UNEXPECTED} (304)"),
    (Reply(307, headers={"Location": "/elsewhere"}), Unexpected, f"{UNEXPECTED} (307)"),
    (Reply(200, content=b"<html>Sign in</html>", content_type=HTML_TYPE), Unexpected, NOT_JSON),
    (Reply(200, content=b"<html></html>"), Unexpected, NOT_JSON),
    (Reply(200, content=b"\xff"), Unexpected, f"{UNEXPECTED} (200): The body is not valid UTF-8."),
    (Reply(200, content=b"[" * 20_000), Unexpected, f"{UNEXPECTED} (200): The body is nested too deeply."),
    (Reply(200, content=b"[" * 500 + b"]" * 500), Unexpected, f"{UNEXPECTED} (200): The body is nested too deeply."),
]


class TestResponse:
    @pytest.mark.parametrize(("reply", "kind", "text"), BAD_RESPONSES)
    def test_that_is_bad_raises_its_own_error(
        self, reply: Reply, kind: type[ControlFailed], text: str, client: RestClient, api: ThingsApi
    ) -> None:
        calls: list[Callable[[], object]] = [
            lambda: client.get("/things/1"),
            lambda: client.post("/things", {}),
            lambda: client.delete("/things/1"),
        ]
        for call in calls:
            api.faults = [reply]
            with pytest.raises(ControlFailed) as failed:
                call()
            error = failed.value
            assert (type(error), str(error), error.status) == (kind, f"Things {text}", reply.status)
        assert len(api.requests) == 3

    def test_errors_never_show_keys_numbers_or_addresses(self, client: RestClient, api: ThingsApi) -> None:
        text = f"{KEY} may not call {NUMBER} or 1 (415) 555-0123 by https://a.example.com/hooks/t0ken\x1b[2J"
        api.faults = [Reply(400, {"message": text, "errors": [{"message": f"sip:{NUMBER}@b.example.com"}]})]
        with pytest.raises(RequestRejected) as failed:
            client.get("/things/1", {"token": KEY})
        assert str(failed.value) == "Things rejected the request (400): ... may not call ... or ... by ... [2J; ..."

    def test_errors_are_short(self, client: RestClient, api: ThingsApi) -> None:
        api.faults = [Reply(400, {"message": "No. " * 1000})]
        with pytest.raises(RequestRejected) as failed:
            client.get("/things/1")
        assert len(str(failed.value)) < 350

    def test_that_never_ends_is_abandoned(self, client: RestClient, api: ThingsApi) -> None:
        api.faults = [Endless()]
        with pytest.raises((Unexpected, Unreachable)):
            client.post("/things", {})


class TestFile:
    def test_is_written_completely(self, client: RestClient, api: ThingsApi, tmp_path: Path) -> None:
        target = tmp_path / "a.mp3"
        target.write_bytes(b"an older file")
        assert client.download("/file", target, size=10) == 10
        assert target.read_bytes() == b"0123456789"
        assert target.stat().st_mode & 0o077 == 0
        assert [path.name for path in tmp_path.iterdir()] == ["a.mp3"]

    def test_of_another_length_is_not_saved(self, client: RestClient, tmp_path: Path) -> None:
        for size in (9, 11):
            with pytest.raises(Unexpected, match=f"the recording is .* {size} bytes"):
                client.download("/file", tmp_path / "a.mp3", size=size)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("reply", "kind"),
        [
            (Reply(200, content=b""), Unexpected),
            (Reply(206, content=b"01234"), Unexpected),
            (Reply(302), Unexpected),
            (Reply(401), KeyRejected),
            (Reply(404), NotFound),
        ],
    )
    def test_that_is_empty_partial_or_rejected_is_not_saved(
        self, reply: Reply, kind: type[ControlFailed], client: RestClient, api: ThingsApi, tmp_path: Path
    ) -> None:
        api.faults = [reply]
        with pytest.raises(kind):
            client.download("/file", tmp_path / "a.mp3", size=None)
        assert list(tmp_path.iterdir()) == []

    def test_is_downloaded_again_after_a_lost_connection(
        self, client: RestClient, api: ThingsApi, tmp_path: Path, pauses: list[float]
    ) -> None:
        api.faults = [Cut(done=True), 503, Hang()]
        assert client.download("/file", tmp_path / "a.mp3", size=10) == 10
        assert (len(api.requests), len(pauses)) == (4, 3)

    def test_may_take_longer_than_another_response(self, api: ThingsApi, tmp_path: Path) -> None:
        retry_policy = RetryPolicy(read_seconds=5, total_seconds=0)
        client = RestClient("Things", api.url, {}, confidential=[], retry_policy=retry_policy)
        assert client.download("/file", tmp_path / "a.mp3", size=None) == 10
        client.close()


def test_a_file_needs_a_folder(client: RestClient, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        client.download("/file", tmp_path / "no" / "a.mp3", size=10)


def test_errors_name_provider_status_and_message(client: RestClient, api: ThingsApi) -> None:
    api.faults = [Reply(418, {"error": "teapot", "details": json.dumps("no list")})]
    with pytest.raises(RequestRejected) as failed:
        client.get("/things/1")
    assert (failed.value.provider, failed.value.status, failed.value.message) == ("Things", 418, "teapot")
