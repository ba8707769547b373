"""Configuration of the providers' clients, and what their errors show."""

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
    message_of,
    showable,
)
from callhooks_tools.providers.rest.retries import RetryPolicy
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import in_bounded_time, texts, values

KEY = "k3y-that-nobody-may-see"
NAME = "THINGS_API_URL"
USUAL = "https://api.example.com/v1"


class TestABaseUrl:
    @pytest.mark.parametrize(
        ("value", "url"),
        [
            (None, USUAL),
            ("  ", USUAL),
            ("https://eu.example.com/v2/", "https://eu.example.com/v2"),
            ("http://127.0.0.1:8081/", "http://127.0.0.1:8081"),
            ("http://localhost/v1", "http://localhost/v1"),
            ("http://[::1]:8081", "http://[::1]:8081"),
        ],
    )
    def test_is_the_one_that_is_set(self, value: str | None, url: str) -> None:
        assert base_url({} if value is None else {NAME: value}, NAME, "Things", USUAL) == url

    @pytest.mark.parametrize(
        "value",
        [
            "api.example.com", "ftp://api.example.com", "https://", "https://user:s3cr3t@api.example.com",
            "https://api.example.com/?key=s3cr3t", "https://api.example.com/#s3cr3t", "https://api.example.com:s3cr3t",
            "https://[s3cr3t", "https://api.exämple.com", "https://api.example.com/\x1b[2J",
        ],
    )  # fmt: skip
    def test_is_an_address_and_nothing_else(self, value: str) -> None:
        with pytest.raises(NotConfigured) as problem:
            base_url({NAME: value}, NAME, "Things", USUAL)
        assert str(problem.value) == f"{NAME} takes an address such as {USUAL}."

    @pytest.mark.parametrize("value", ["http://api.example.com", "http://10.0.0.1", "http://127.0.0.1.example.com"])
    def test_does_not_send_the_key_unencrypted(self, value: str) -> None:
        with pytest.raises(NotConfigured, match=f"{NAME} takes http:// on this machine alone"):
            base_url({NAME: value}, NAME, "Things", USUAL)


@pytest.mark.parametrize("value", ["a b", "a\nb", "schlüssel", "\x00"])
def test_a_key_is_one_word(value: str) -> None:
    with pytest.raises(NotConfigured) as problem:
        required({"THINGS_KEY": value}, "THINGS_KEY", "Things", "get one.")
    assert str(problem.value) == "THINGS_KEY has characters in it that no key has: get one."


def test_a_key_may_have_a_line_end_after_it() -> None:
    assert required({"THINGS_KEY": f" {KEY}\n"}, "THINGS_KEY", "Things", "get one.") == KEY


def test_jambonz_is_reached_with_or_without_its_version() -> None:
    for value in ("https://api.jambonz.example.com", "https://api.jambonz.example.com/v1/"):
        assert api_url_of({"JAMBONZ_API_URL": value}) == "https://api.jambonz.example.com"


def test_an_account_is_an_id() -> None:
    with pytest.raises(RequestRejected):
        account_of({"JAMBONZ_ACCOUNT_SID": "a/../b"})


@given(texts)
def test_an_id_stands_for_itself_in_a_path(text: str) -> None:
    try:
        identifier = checked_id(text, "Things")
    except RequestRejected:
        return
    assert not set(identifier) & set("/?#%\\ \n")
    assert identifier.strip(".")


@given(values)
def test_a_message_is_short_and_in_one_line(document: object) -> None:
    with in_bounded_time():
        message = message_of(document)
    assert message.isprintable()
    assert len(message) <= MAX_MESSAGE + 3


@given(
    before=texts, after=texts, secret=st.sampled_from([KEY, "+14155550123", "https://a.example.com/t0ken", "t0k/en"])
)
def test_a_message_never_shows_what_is_confidential(before: str, after: str, secret: str) -> None:
    message = showable(f"{before} {secret} {after}", [KEY, "t0k/en"])
    assert secret not in message


def test_an_error_names_the_provider_and_is_one_line() -> None:
    assert str(ControlFailed("Things")) == "Things fails"
    assert str(RequestRejected("Things", status=400, message="No")) == "Things refuses (400): No"


@pytest.mark.parametrize(
    "form", ["k3y+that/nobody=may see", "k3y%2Bthat%2Fnobody%3Dmay%20see", "azN5K3RoYXQvbm9ib2R5PW1heSBzZWU="]
)
def test_a_key_is_not_shown_in_another_form_either(form: str) -> None:
    shown = showable(f"the key {form} is wrong", ["k3y+that/nobody=may see"])
    assert "k3y" not in shown
    assert "azN5" not in shown


@pytest.mark.parametrize("not_sent", [[True, True, True, True], [False, True, True, True], [True, True, True, False]])
def test_what_one_attempt_may_have_done_is_not_forgotten_by_the_next(not_sent: list[bool]) -> None:
    attempts = iter(not_sent)

    def attempt() -> None:
        raise Unreachable("Things", not_sent=next(attempts))

    with pytest.raises(Unreachable) as failed:
        RetryPolicy(sleep=lambda _: None).run(attempt, repeatable=True)
    assert failed.value.maybe_done is not all(not_sent)
