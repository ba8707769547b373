"""Given credentials or a cookie, who may look at calls, and for how long."""

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
    cookie_of,
    read_console_credentials,
    session_of,
    sign_in,
)
from callhooks.runtime.errors import CredentialsUnavailable, Unauthorized
from hypothesis import given
from hypothesis import strategies as st

from tests.support import NOW

USERNAME, PASSWORD, ADDED = "console", "correct horse", "bättery ståple"
CREDENTIALS = ConsoleCredentials(USERNAME, (PASSWORD, ADDED))


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def signed_in(password: str = PASSWORD) -> ConsoleSession:
    session = sign_in(USERNAME, password, CREDENTIALS, NOW)
    assert session is not None
    return session


def value_of(session: ConsoleSession) -> str:
    return cookie_of(session, NOW, secure=True).value


def cookie_with(value: str) -> list[str]:
    return [f"{SECURE_COOKIE}={value}"]


def is_let_in(value: str, *, after: timedelta = timedelta(), credentials: ConsoleCredentials = CREDENTIALS) -> bool:
    return session_of(cookie_with(value), credentials, NOW + after, secure=True) is not None


@pytest.mark.parametrize("password", [PASSWORD, ADDED])
@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
def test_every_password_is_let_in(password: str, scheme: str) -> None:
    check_basic(basic(USERNAME, password).replace("Basic", scheme), CREDENTIALS)


REFUSED = {
    "wrong Basic credentials": [
        basic(USERNAME, "wrong"), basic("another", PASSWORD), basic(USERNAME, ""), basic("", ""),
        basic(f"{USERNAME}:correct", " horse"), "Basic " + base64.b64encode(USERNAME.encode()).decode(),
        "Basic " + base64.b64encode(b"console:\xff\xfe").decode(), "Basic",
    ],
    "Basic credentials that are not base64": ["Basic no base64", "Basic é", "Basic \ud800"],
    "not Basic authentication": ["Bearer abc", ""],
}  # fmt: skip


@pytest.mark.parametrize(
    ("header", "reason"), [(header, reason) for reason, headers in REFUSED.items() for header in headers]
)
def test_other_credentials_are_refused(header: str, reason: str) -> None:
    with pytest.raises(Unauthorized) as refused:
        check_basic(header, CREDENTIALS)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("username", "password"),
    [(USERNAME, "wrong"), ("another", PASSWORD), ("", ""), ("\ud800", "\udfff"), ("Console", PASSWORD)],
)
def test_nobody_else_can_sign_in(username: str, password: str) -> None:
    assert sign_in(username, password, CREDENTIALS, NOW) is None


@pytest.mark.parametrize("password", [PASSWORD, ADDED])
def test_a_session_is_valid_for_an_hour(password: str) -> None:
    value = value_of(signed_in(password))
    assert is_let_in(value)
    assert is_let_in(value, after=VALID_FOR - timedelta(seconds=1))
    assert not is_let_in(value, after=VALID_FOR)


def test_a_session_of_the_future_is_none() -> None:
    # Clocks of containers may differ by a little.
    value = value_of(signed_in())
    assert is_let_in(value, after=timedelta(seconds=-30))
    assert not is_let_in(value, after=timedelta(minutes=-5))


def test_a_session_that_is_used_is_renewed_for_twelve_hours() -> None:
    session, now, renewals = signed_in(), NOW, 0
    while (current := session_of(cookie_with(value_of(session)), CREDENTIALS, now, secure=True)) is not None:
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


def test_a_session_is_not_renewed_by_every_request() -> None:
    assert signed_in().renewed(NOW + RENEWED_AFTER - timedelta(seconds=2)) is None
    assert signed_in().renewed(NOW + RENEWED_AFTER) is not None


def test_the_session_of_a_password_that_was_removed_ends() -> None:
    value = value_of(signed_in(ADDED))
    assert not is_let_in(value, credentials=ConsoleCredentials(USERNAME, (PASSWORD,)))
    assert is_let_in(value_of(signed_in(PASSWORD)), credentials=ConsoleCredentials(USERNAME, (PASSWORD,)))


def test_a_renewed_session_ends_with_the_password_that_it_was_signed_in_with() -> None:
    found = session_of(cookie_with(value_of(signed_in(ADDED))), CREDENTIALS, NOW + RENEWED_AFTER, secure=True)
    assert found is not None
    renewed = found.renewed(NOW + RENEWED_AFTER)
    assert renewed is not None
    assert not is_let_in(value_of(renewed), credentials=ConsoleCredentials(USERNAME, (PASSWORD,)))


@given(place=st.integers(0, 85), letter=st.characters())
def test_a_cookie_with_any_letter_changed_is_refused(place: int, letter: str) -> None:
    value = value_of(signed_in())
    assert len(value) == 86
    changed = value[:place] + letter + value[place + 1 :]
    assert is_let_in(changed) is (changed == value)


@pytest.mark.parametrize(
    "change",
    [
        "0{value}", "{value}0", "{start}", "{upper}", "{value}\0", "{time}.0{rest}", "1795242601.{rest}",
        "99999999999.{rest}", "{rest}", "1.99999999999.{proof}", "", "..", "٣٣٣٣٣٣٣٣٣٣.{rest}",
    ],
)  # fmt: skip
def test_a_cookie_that_was_tampered_with_is_refused(change: str) -> None:
    value = value_of(signed_in())
    (time, _, proof), rest = value.split("."), value.partition(".")[2]
    parts = {"value": value, "time": time, "rest": rest, "proof": proof}
    assert not is_let_in(change.format(**parts, start=value[:-1], upper=value.upper()))


def test_a_session_is_found_among_many_cookies() -> None:
    others = [f"theme=dark{number}" for number in range(50)]
    name = SECURE_COOKIE
    cookies = [*others, f"{name}=stale", "=", "", f"x{name}=1", f" {name}={value_of(signed_in())} "]
    assert session_of(cookies, CREDENTIALS, NOW, secure=True) is not None
    assert session_of(others, CREDENTIALS, NOW, secure=True) is None


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
def test_over_tls_only_a_cookie_that_the_host_itself_has_set_proves_a_session(
    name: str, over_tls: bool, over_http: bool
) -> None:
    # A sibling subdomain can set the name without the prefix for this host, and no name with it.
    cookies = [f"{name}={value_of(signed_in())}"]
    assert (session_of(cookies, CREDENTIALS, NOW, secure=True) is not None) is over_tls
    assert (session_of(cookies, CREDENTIALS, NOW, secure=False) is not None) is over_http


def test_nothing_shows_a_password() -> None:
    assert PASSWORD not in repr(CREDENTIALS) + repr(signed_in()) + str(cookie_of(signed_in(), NOW, secure=True))


def test_the_credentials_are_those_of_the_secret() -> None:
    secret = {"username": USERNAME, "password": PASSWORD, "further_passwords": [ADDED, 7]}
    assert read_console_credentials([secret]) == CREDENTIALS


TOO_SHORT = [
    "", "elevenchars", "elevenchars" + " " * 20, " " * 20 + "elevenchars", "\t\n\u00a0elevenchars\u2003\r\n",
    "\u00e9" * 11, "\U0001f511" * 11, " " * 12,
]  # fmt: skip
LONG_ENOUGH = ["twelve-chars", " twelve-chars ", "twelve chars", "\u00e9" * 12, "\U0001f511" * 12, "x" * 4096]


@pytest.mark.parametrize("further", [*TOO_SHORT, *LONG_ENOUGH])
@pytest.mark.parametrize("as_list", [False, True])
def test_a_further_password_has_twelve_characters(further: str, as_list: bool, log: io.StringIO) -> None:
    is_used = further in LONG_ENOUGH
    secret = {"username": USERNAME, "password": PASSWORD, "further_passwords": [further] if as_list else further}
    assert read_console_credentials([secret]).passwords == ((PASSWORD, further) if is_used else (PASSWORD,))
    assert ("a secret that was added is not used" in log.getvalue()) is not is_used
    assert not further.strip() or further.strip() not in log.getvalue()


def test_a_first_password_that_is_too_short_is_not_used_either() -> None:
    secret = {"username": USERNAME, "password": "x" * 11, "further_passwords": ["short", ADDED]}
    assert read_console_credentials([secret]).passwords == (ADDED,)
    with pytest.raises(CredentialsUnavailable, match="password has fewer than 12 characters"):
        read_console_credentials([{**secret, "further_passwords": ["short"]}])


@pytest.mark.parametrize("secret", [{}, {"username": "console"}, {"username": "", "password": "x"}, {"password": "x"}])
def test_a_secret_without_credentials_lets_nobody_in(secret: dict[str, object]) -> None:
    with pytest.raises(CredentialsUnavailable):
        read_console_credentials([secret])
