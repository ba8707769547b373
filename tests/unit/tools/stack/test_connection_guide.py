"""What each provider is to be given, field by field."""

from __future__ import annotations

import pytest
from callhooks_tools.stack.connection_guide import (
    HIDDEN,
    Addresses,
    Proofs,
    Section,
    Setting,
    SettingGroup,
    refused_by_bird,
    sections,
)
from callhooks_tools.stack.stack import BirdAccess, ConsoleAccess, JambonzAccess, StackCredentials, TokenAccess

BASE = "https://hooks.example.com"
ADDRESSES = Addresses(
    BASE,
    f"{BASE}/webhooks/call#rc=2&rp=ct,5xx",
    f"{BASE}/webhooks/call/events#rc=2&rp=ct,5xx",
    "callhooks",
)
ADD = "callhooks secret add jambonz --stack callhooks"
CREDENTIALS = StackCredentials(
    jambonz=JambonzAccess(username="jambonz", password="jambonz-password", webhook_secret="wh_secret_whole"),
    wavix=TokenAccess(token="wavix-token"),
    bird=BirdAccess(signing_key="bird-key"),
    voipstudio=TokenAccess(token="voipstudio-token"),
    console=ConsoleAccess(username="console", password="console-password"),
)
SECRETS = ("jambonz-password", "wh_secret_whole", "wavix-token", "bird-key", "voipstudio-token", "console-password")
SHOWN = Proofs.of(CREDENTIALS, webhook_secret="...hole")


def places(title: str, proofs: Proofs = SHOWN, addresses: Addresses = ADDRESSES) -> list[SettingGroup]:
    (section,) = [one for one in sections(addresses, proofs, add_webhook_secret=ADD) if one.title == title]
    return list(section.places)


def told(shown: list[Section]) -> str:
    return "\n".join(
        [field.value for section in shown for place in section.places for field in place.fields]
        + [note for section in shown for place in section.places for note in place.notes]
    )


def test_each_provider_has_its_section() -> None:
    titles = [section.title for section in sections(ADDRESSES, HIDDEN, add_webhook_secret=ADD)]
    assert titles == ["jambonz", "Wavix", "Bird", "VoIPstudio", "Call log", "Subscribers"]


def test_jambonz_gets_its_retries_by_post_with_basic_in_the_application_and_in_the_account() -> None:
    application, account, secret = places("jambonz")
    basic = [Setting("  Method", "POST"), Setting("  Username", "jambonz"), Setting("  Password", "jambonz-password")]
    assert application.where == "Portal: Applications, the application"
    assert application.fields == [
        Setting("Calling webhook", f"{BASE}/webhooks/call#rc=2&rp=ct,5xx"),
        *basic,
        Setting("Call status webhook", f"{BASE}/webhooks/call/events#rc=2&rp=ct,5xx"),
        *basic,
    ]
    assert account.where == "Portal: Accounts, the account"
    assert account.fields == [
        Setting("Queue event webhook", f"{BASE}/webhooks/call/events#rc=2&rp=ct,5xx"),
        *basic,
        # jambonz does not repeat this one, whatever its URL asks for.
        Setting("Registration webhook", f"{BASE}/webhooks/client-auth"),
        *basic,
    ]
    assert secret.fields == [Setting("Run", ADD), Setting("Known", "...hole")]


def test_wavix_gets_one_url_for_both_kinds_of_events() -> None:
    (place,) = places("Wavix")
    assert "https://api.wavix.com/v1/calls/webhooks" in place.where
    assert place.fields[0] == Setting("url", f"{BASE}/webhooks/wavix/wavix-token")
    assert all(kind in place.fields[1].value for kind in ("on-call", "post-call"))


def test_bird_gets_the_url_and_the_key_for_both_events() -> None:
    (place,) = places("Bird")
    assert "/webhook-subscriptions" in place.where
    assert [field.name for field in place.fields] == ["service", "event", "url", "signingKey"]
    assert [field.value for field in place.fields][2:] == [f"{BASE}/webhooks/bird", "bird-key"]
    assert all(event in place.fields[1].value for event in ("voice.inbound", "voice.outbound"))


def test_voipstudio_gets_the_url_and_the_clicks() -> None:
    (place,) = places("VoIPstudio")
    assert place.where == "Dashboard: Integrations, Webhooks, Enable, Add Webhook"
    assert place.fields[0] == Setting("URL", f"{BASE}/webhooks/voipstudio/voipstudio-token")
    assert "Call State Change" in place.fields[1].value


def test_the_call_log_and_the_bus_are_there() -> None:
    (call_log,), (bus,) = places("Call log"), places("Subscribers")
    assert [field.value for field in call_log.fields] == [f"{BASE}/", "console", "console-password"]
    assert bus.fields == [Setting("Event bus", "callhooks")]


def test_nothing_secret_is_shown_unless_it_is_asked_for() -> None:
    hidden = told(sections(ADDRESSES, HIDDEN, add_webhook_secret=ADD))
    assert not [secret for secret in SECRETS if secret in hidden]
    assert f"{BASE}/webhooks/wavix/<token>" in hidden
    assert f"{BASE}/webhooks/voipstudio/<token>" in hidden
    for placeholder in ("<password>", "<signing key>", "<user name>"):
        assert placeholder in hidden
    assert "<" not in told(sections(ADDRESSES, SHOWN, add_webhook_secret=ADD)).replace("/<channel id>", "")


@pytest.mark.parametrize(
    ("url", "is_taken"),
    [
        (BASE, True),
        (f"{BASE}/voice", True),
        ("http://hooks.example.com", False),
        ("https://hooks.example.com:8443", False),
        ("http://127.0.0.1:8080", False),
    ],
)
def test_bird_takes_https_and_no_port(url: str, is_taken: bool) -> None:
    assert (refused_by_bird(url) == "") is is_taken
    (place,) = places("Bird", addresses=Addresses(url, url, url, "callhooks"))
    assert ("not this URL" in " ".join(place.notes)) is not is_taken
