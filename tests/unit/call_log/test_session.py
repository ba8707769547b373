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
    no_cookie,
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


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (basic(USERNAME, "wrong"), "wrong Basic credentials"),
        (basic("another", PASSWORD), "wrong Basic credentials"),
        (basic(USERNAME, ""), "wrong Basic credentials"),
        (basic("", ""), "wrong Basic credentials"),
        (basic(f"{USERNAME}:correct", " horse"), "wrong Basic credentials"),
        ("Basic " + base64.b64encode(USERNAME.encode()).decode(), "wrong Basic credentials"),
        ("Basic " + base64.b64encode(b"console:\xff\xfe").decode(), "wrong Basic credentials"),
        ("Basic", "wrong Basic credentials"),
        ("Basic no base64", "Basic credentials that are not base64"),
        ("Basic é", "Basic credentials that are not base64"),
        ("Basic \ud800", "Basic credentials that are not base64"),
        ("Bearer abc", "not Basic authentication"),
        ("", "not Basic authentication"),
    ],
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
        lambda value: "0" + value,
        lambda value: value + "0",
        lambda value: value[:-1],
        lambda value: value.upper(),
        lambda value: value + "\0",
        lambda value: value.replace(".", ".0", 1),
        lambda value: f"{int(value[:10]) + 1}{value[10:]}",
        lambda value: f"99999999999{value[10:]}",
        lambda value: value.partition(".")[2],
        lambda value: ".".join(["1", "99999999999", value.rpartition(".")[2]]),
        lambda value: value[:0],
        lambda value: value[:0] + "..",
        lambda value: "٣" * 10 + value[10:],
    ],
)
def test_a_cookie_that_was_tampered_with_is_refused(change: object) -> None:
    assert callable(change)
    assert not is_let_in(str(change(value_of(signed_in()))))


@given(st.text(max_size=120))
def test_no_text_is_a_cookie_by_chance(text: str) -> None:
    assert not is_let_in(text)


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


def test_a_cookie_is_for_this_host_alone_and_no_script_reads_it() -> None:
    # A browser takes `__Host-` only with Secure, Path=/ and no Domain.
    name, *attributes = str(cookie_of(signed_in(), NOW, secure=True)).split("; ")
    assert name.startswith("__Host-callhooks_session=")
    assert attributes == ["Path=/", "Max-Age=3599", "HttpOnly", "Secure", "SameSite=Strict"]
    name, *attributes = str(cookie_of(signed_in(), NOW, secure=False)).split("; ")
    assert name.startswith("callhooks_session=")
    assert attributes == ["Path=/", "Max-Age=3599", "HttpOnly", "SameSite=Strict"]


@pytest.mark.parametrize(("secure", "name"), [(True, "__Host-callhooks_session"), (False, "callhooks_session")])
def test_signing_out_takes_the_cookie_away_that_was_given(secure: bool, name: str) -> None:
    given, removed = cookie_of(signed_in(), NOW, secure=secure), no_cookie(secure=secure)
    assert given.name == removed.name == name
    assert str(removed).split("; ")[:3] == [f"{name}=", "Path=/", "Max-Age=0"]
    # A browser takes no `__Host-` cookie without Secure, nor its removal.
    assert ("Secure" in str(removed).split("; ")) is secure


def test_nothing_shows_a_password() -> None:
    assert PASSWORD not in repr(CREDENTIALS) + repr(signed_in()) + str(cookie_of(signed_in(), NOW, secure=True))


def test_the_credentials_are_those_of_the_secret() -> None:
    secret = {"username": USERNAME, "password": PASSWORD, "further_passwords": [ADDED, 7]}
    assert read_console_credentials([secret]) == CREDENTIALS


@pytest.mark.parametrize(
    ("further", "is_used"),
    [
        ("", False),
        ("elevenchars", False),
        ("elevenchars" + " " * 20, False),
        (" " * 20 + "elevenchars", False),
        ("\t\n\u00a0elevenchars\u2003\r\n", False),
        ("\u00e9" * 11, False),
        ("\U0001f511" * 11, False),
        (" " * 12, False),
        ("twelve-chars", True),
        (" twelve-chars ", True),
        ("twelve chars", True),
        ("\u00e9" * 12, True),
        ("\U0001f511" * 12, True),
        ("x" * 4096, True),
    ],
)
@pytest.mark.parametrize("as_list", [False, True])
def test_a_further_password_has_twelve_characters(further: str, is_used: bool, as_list: bool, log: io.StringIO) -> None:
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
