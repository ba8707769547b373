"""Configuration of the providers' clients, and the texts of their errors."""

from __future__ import annotations

import pytest
from callhooks_tools.providers.jambonz.api import account_of, api_url_of
from callhooks_tools.providers.rest.configuration import base_url, checked_id, required
from callhooks_tools.providers.rest.errors import (
    MAX_MESSAGE,
    ControlFailed,
    NotConfigured,
    RequestRejected,
    Unreachable,
    error_message,
    redacted,
)
from callhooks_tools.providers.rest.retries import RetryPolicy
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import in_bounded_time, texts, values

KEY = "k3y-that-must-never-show"
NAME = "THINGS_API_URL"
DEFAULT_URL = "https://api.example.com/v1"


class TestBaseUrl:
    @pytest.mark.parametrize(
        ("value", "url"),
        [
            (None, DEFAULT_URL),
            ("  ", DEFAULT_URL),
            ("https://eu.example.com/v2/", "https://eu.example.com/v2"),
            ("http://127.0.0.1:8081/", "http://127.0.0.1:8081"),
            ("http://localhost/v1", "http://localhost/v1"),
            ("http://[::1]:8081", "http://[::1]:8081"),
        ],
    )
    def test_comes_from_the_environment_or_the_default(self, value: str | None, url: str) -> None:
        assert base_url({} if value is None else {NAME: value}, NAME, "Things", DEFAULT_URL) == url

    @pytest.mark.parametrize(
        "value",
        [
            "api.example.com", "ftp://api.example.com", "https://", "https://user:s3cr3t@api.example.com",
            "https://api.example.com/?key=s3cr3t", "https://api.example.com/#s3cr3t", "https://api.example.com:s3cr3t",
            "https://[s3cr3t", "https://api.exämple.com", "https://api.example.com/\x1b[2J",
        ],
    )  # fmt: skip
    def test_must_be_an_address_without_secrets(self, value: str) -> None:
        with pytest.raises(NotConfigured) as problem:
            base_url({NAME: value}, NAME, "Things", DEFAULT_URL)
        assert str(problem.value) == f"{NAME} is not a valid address. Set it to one such as {DEFAULT_URL}"

    @pytest.mark.parametrize("value", ["http://api.example.com", "http://10.0.0.1", "http://127.0.0.1.example.com"])
    def test_must_not_send_the_key_unencrypted(self, value: str) -> None:
        with pytest.raises(NotConfigured, match=f"{NAME} must start with https://"):
            base_url({NAME: value}, NAME, "Things", DEFAULT_URL)


@pytest.mark.parametrize("value", ["a b", "a\nb", "schlüssel", "\x00"])
def test_a_key_has_only_printable_ascii_characters(value: str) -> None:
    with pytest.raises(NotConfigured) as problem:
        required({"THINGS_KEY": value}, "THINGS_KEY", "Things", "Get one.")
    assert str(problem.value) == "THINGS_KEY contains characters that are not allowed. Get one."
    assert required({"THINGS_KEY": f" {KEY}\n"}, "THINGS_KEY", "Things", "Get one.") == KEY, "white space around it"


def test_the_jambonz_address_may_include_the_version() -> None:
    for value in ("https://api.jambonz.example.com", "https://api.jambonz.example.com/v1/"):
        assert api_url_of({"JAMBONZ_API_URL": value}) == "https://api.jambonz.example.com"


def test_the_account_must_be_an_id() -> None:
    with pytest.raises(RequestRejected):
        account_of({"JAMBONZ_ACCOUNT_SID": "a/../b"})


@given(texts)
def test_an_id_is_safe_in_a_path(text: str) -> None:
    try:
        identifier = checked_id(text, "Things")
    except RequestRejected:
        return
    assert not set(identifier) & set("/?#%\\ \n")
    assert identifier.strip(".")


@given(values)
def test_a_message_is_one_short_line(document: object) -> None:
    with in_bounded_time():
        message = error_message(document)
    assert message.isprintable()
    assert len(message) <= MAX_MESSAGE + 3


@given(
    before=texts, after=texts, secret=st.sampled_from([KEY, "+14155550123", "https://a.example.com/t0ken", "t0k/en"])
)
def test_a_message_never_shows_confidential_text(before: str, after: str, secret: str) -> None:
    message = redacted(f"{before} {secret} {after}", [KEY, "t0k/en"])
    assert secret not in message


def test_an_error_names_the_provider_and_is_one_line() -> None:
    assert str(ControlFailed("Things")) == "Things request failed"
    assert str(RequestRejected("Things", status=400, message="No")) == "Things rejected the request (400): No"


@pytest.mark.parametrize(
    "form", ["k3y+must/never=be shown", "k3y%2Bmust%2Fnever%3Dbe%20shown", "azN5K211c3QvbmV2ZXI9YmUgc2hvd24="]
)
def test_an_encoded_key_is_redacted_too(form: str) -> None:
    message = redacted(f"the key {form} is wrong", ["k3y+must/never=be shown"])
    assert "k3y" not in message
    assert "azN5" not in message


@pytest.mark.parametrize("not_sent", [[True, True, True, True], [False, True, True, True], [True, True, True, False]])
def test_an_error_remembers_that_an_earlier_attempt_may_have_succeeded(not_sent: list[bool]) -> None:
    attempts = iter(not_sent)

    def attempt() -> None:
        raise Unreachable("Things", not_sent=next(attempts))

    with pytest.raises(Unreachable) as failed:
        RetryPolicy(sleep=lambda _: None).run(attempt, idempotent=True)
    assert failed.value.maybe_done is not all(not_sent)
