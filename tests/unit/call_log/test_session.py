"""Authentication of the console: Basic credentials, sign-in, and session cookies."""

from __future__ import annotations

import base64
import io
from datetime import timedelta

import pytest
from callhooks.call_log.session import (
    COOKIE,
    MAX_SESSION,
    RENEWED_AFTER,
    SECURE_COOKIE,
    VALID_FOR,
    ConsoleCredentials,
    ConsoleSession,
    check_basic,
    find_session,
    read_console_credentials,
    session_cookie,
    sign_in,
)
from callhooks.runtime.errors import CredentialsUnavailable, Unauthorized
from hypothesis import given
from hypothesis import strategies as st

from tests.console import basic
from tests.support import NOW

USERNAME, PASSWORD, ADDED = "console", "correct horse", "bättery ståple"
CREDENTIALS = ConsoleCredentials(USERNAME, (PASSWORD, ADDED))


def signed_in(password: str = PASSWORD) -> ConsoleSession:
    session = sign_in(USERNAME, password, CREDENTIALS, NOW)
    assert session is not None
    return session


def value_of(session: ConsoleSession) -> str:
    return session_cookie(session, NOW, secure=True).value


def cookie_with(value: str) -> list[str]:
    return [f"{SECURE_COOKIE}={value}"]


def is_valid(value: str, *, after: timedelta = timedelta(), credentials: ConsoleCredentials = CREDENTIALS) -> bool:
    return find_session(cookie_with(value), credentials, NOW + after, secure=True) is not None


@pytest.mark.parametrize("password", [PASSWORD, ADDED])
@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
def test_every_password_of_the_secret_is_accepted(password: str, scheme: str) -> None:
    check_basic(basic(USERNAME, password).replace("Basic", scheme), CREDENTIALS)


REJECTED = {
    "wrong Basic credentials": [
        basic(USERNAME, "wrong"), basic("another", PASSWORD), basic(USERNAME, ""), basic("", ""),
        basic(f"{USERNAME}:correct", " horse"), "Basic " + base64.b64encode(USERNAME.encode()).decode(),
        "Basic " + base64.b64encode(b"console:\xff\xfe").decode(), "Basic",
    ],
    "Basic credentials that are not base64": ["Basic no base64", "Basic é", "Basic \ud800"],
    "not Basic authentication": ["Bearer abc", ""],
}  # fmt: skip


@pytest.mark.parametrize(
    ("header", "reason"), [(header, reason) for reason, headers in REJECTED.items() for header in headers]
)
def test_wrong_or_malformed_basic_credentials_are_rejected(header: str, reason: str) -> None:
    with pytest.raises(Unauthorized) as rejected:
        check_basic(header, CREDENTIALS)
    assert rejected.value.reason == reason


@pytest.mark.parametrize("password", [PASSWORD, ADDED])
def test_a_session_is_valid_for_an_hour(password: str) -> None:
    value = value_of(signed_in(password))
    assert is_valid(value)
    assert is_valid(value, after=VALID_FOR - timedelta(seconds=1))
    assert not is_valid(value, after=VALID_FOR)


def test_a_session_from_the_future_is_rejected_beyond_clock_skew() -> None:
    # The clocks of containers differ slightly.
    value = value_of(signed_in())
    assert is_valid(value, after=timedelta(seconds=-30))
    assert not is_valid(value, after=timedelta(minutes=-5))


def test_a_session_in_use_is_renewed_for_up_to_twelve_hours() -> None:
    session, now, renewals = signed_in(), NOW, 0
    while (current := find_session(cookie_with(value_of(session)), CREDENTIALS, now, secure=True)) is not None:
        assert now < NOW + MAX_SESSION
        renewed = current.renewed(now)
        if renewed:
            renewals += 1
            assert renewed.expires - now <= VALID_FOR
            assert renewed.signed_in == session.signed_in
            session = renewed
        now += timedelta(minutes=1)
    assert timedelta() <= now - (NOW + MAX_SESSION) < timedelta(minutes=1)
    assert renewals == pytest.approx(MAX_SESSION / RENEWED_AFTER, rel=0.1)


def test_removing_a_password_ends_its_sessions_even_if_they_were_renewed() -> None:
    rest = ConsoleCredentials(USERNAME, (PASSWORD,))
    session = signed_in(ADDED)
    renewed = session.renewed(NOW + RENEWED_AFTER)
    assert renewed is not None
    assert not is_valid(value_of(session), credentials=rest)
    assert not is_valid(value_of(renewed), credentials=rest)
    assert is_valid(value_of(signed_in(PASSWORD)), credentials=rest)


@given(index=st.integers(0, 85), letter=st.characters())
def test_a_cookie_with_any_character_changed_is_rejected(index: int, letter: str) -> None:
    value = value_of(signed_in())
    assert len(value) == 86
    changed = value[:index] + letter + value[index + 1 :]
    assert is_valid(changed) is (changed == value)


@pytest.mark.parametrize(
    "change",
    [
        "0{value}", "{value}0", "{start}", "{upper}", "{value}\0", "{time}.0{rest}", "1795242601.{rest}",
        "99999999999.{rest}", "{rest}", "1.99999999999.{mac}", "", "..", "٣٣٣٣٣٣٣٣٣٣.{rest}",
    ],
)  # fmt: skip
def test_a_tampered_cookie_is_rejected(change: str) -> None:
    value = value_of(signed_in())
    (time, _, mac), rest = value.split("."), value.partition(".")[2]
    parts = {"value": value, "time": time, "rest": rest, "mac": mac}
    assert not is_valid(change.format(**parts, start=value[:-1], upper=value.upper()))


def test_a_session_is_found_among_many_cookies() -> None:
    others = [f"theme=dark{number}" for number in range(50)]
    name = SECURE_COOKIE
    cookies = [*others, f"{name}=stale", "=", "", f"x{name}=1", f" {name}={value_of(signed_in())} "]
    assert find_session(cookies, CREDENTIALS, NOW, secure=True) is not None
    assert find_session(others, CREDENTIALS, NOW, secure=True) is None


@pytest.mark.parametrize(
    ("name", "over_tls", "over_http"),
    [
        (SECURE_COOKIE, True, False),
        (COOKIE, False, True),
        (SECURE_COOKIE.lower(), False, False),
        (f"__Secure-{COOKIE}", False, False),
        (f" {COOKIE}", False, True),
    ],
)
def test_over_tls_only_a_cookie_with_the_host_prefix_is_accepted(name: str, over_tls: bool, over_http: bool) -> None:
    # A sibling subdomain can set a cookie for this host, but not one with the prefix.
    cookies = [f"{name}={value_of(signed_in())}"]
    assert (find_session(cookies, CREDENTIALS, NOW, secure=True) is not None) is over_tls
    assert (find_session(cookies, CREDENTIALS, NOW, secure=False) is not None) is over_http


def test_no_password_appears_in_a_repr_or_a_cookie() -> None:
    assert PASSWORD not in repr(CREDENTIALS) + repr(signed_in()) + str(session_cookie(signed_in(), NOW, secure=True))


TOO_SHORT = [
    "", "elevenchars", "elevenchars" + " " * 20, " " * 20 + "elevenchars", "\t\n\u00a0elevenchars\u2003\r\n",
    "\u00e9" * 11, "\U0001f511" * 11, " " * 12,
]  # fmt: skip
LONG_ENOUGH = ["twelve-chars", " twelve-chars ", "twelve chars", "\u00e9" * 12, "\U0001f511" * 12, "x" * 4096]


@pytest.mark.parametrize("further", [*TOO_SHORT, *LONG_ENOUGH])
@pytest.mark.parametrize("as_list", [False, True])
def test_a_further_password_needs_twelve_characters(further: str, as_list: bool, log: io.StringIO) -> None:
    is_used = further in LONG_ENOUGH
    secret = {"username": USERNAME, "password": PASSWORD, "further_passwords": [further] if as_list else further}
    assert read_console_credentials([secret]).passwords == ((PASSWORD, further) if is_used else (PASSWORD,))
    assert ("added secret not used" in log.getvalue()) is not is_used
    assert not further.strip() or further.strip() not in log.getvalue()


def test_a_first_password_that_is_too_short_is_ignored() -> None:
    secret = {"username": USERNAME, "password": "x" * 11, "further_passwords": ["short", ADDED]}
    assert read_console_credentials([secret]).passwords == (ADDED,)
    with pytest.raises(CredentialsUnavailable, match="password has fewer than 12 characters"):
        read_console_credentials([{**secret, "further_passwords": ["short"]}])


@pytest.mark.parametrize("secret", [{}, {"username": "console"}, {"username": "", "password": "x"}, {"password": "x"}])
def test_a_secret_without_credentials_is_an_error(secret: dict[str, object]) -> None:
    with pytest.raises(CredentialsUnavailable):
        read_console_credentials([secret])
