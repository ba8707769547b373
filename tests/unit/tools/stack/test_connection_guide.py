"""What each provider is to be given, field by field."""

from __future__ import annotations

import pytest
from callhooks.providers.bird import check_url
from callhooks.providers.description import Setting, SettingGroup
from callhooks_tools.stack.connection_guide import Guide, Section
from callhooks_tools.stack.stack import ConsoleAccess

from tests.stacks import stack_credentials

BASE = "https://hooks.example.com"
ADD = "callhooks secret add jambonz --stack callhooks"
CREDENTIALS = stack_credentials(
    jambonz={"username": "jambonz", "password": "jambonz-password", "webhook_secret": "wh_secret_whole"},
    wavix="wavix-token",
    bird="bird-key",
    voipstudio="voipstudio-token",
    console=ConsoleAccess(username="console", password="console-password"),
)
SECRETS = ("jambonz-password", "wh_secret_whole", "wavix-token", "bird-key", "voipstudio-token", "console-password")


def hidden() -> list[Section]:
    return Guide(BASE, "callhooks", stack_option=" --stack callhooks").sections()


def shown(base_url: str = BASE) -> list[Section]:
    """With what is secret, but for the webhook secret, which jambonz has given to us."""
    guide = Guide(
        base_url, "callhooks", CREDENTIALS, stack_option=" --stack callhooks", show_added=lambda secret: secret[-4:]
    )
    return guide.sections()


def places(title: str, base_url: str = BASE) -> list[SettingGroup]:
    (section,) = [one for one in shown(base_url) if one.title == title]
    return list(section.places)


def told(sections: list[Section]) -> str:
    return "\n".join(
        [field.value for section in sections for place in section.places for field in place.fields]
        + [note for section in sections for place in section.places for note in place.notes]
    )


def test_each_provider_has_its_section() -> None:
    titles = [section.title for section in hidden()]
    assert titles == ["Bird", "jambonz", "VoIPstudio", "Wavix", "Call log", "Subscribers"]


def test_jambonz_gets_its_retries_by_post_with_basic_in_the_application_and_in_the_account() -> None:
    application, account, secret = places("jambonz")
    basic = [Setting("  Method", "POST"), Setting("  Username", "jambonz"), Setting("  Password", "jambonz-password")]
    assert application.location == "Portal: Applications > your application"
    assert application.fields == [
        Setting("Calling webhook", f"{BASE}/webhooks/call#rc=2&rp=ct,5xx"),
        *basic,
        Setting("Call status webhook", f"{BASE}/webhooks/call/events#rc=2&rp=ct,5xx"),
        *basic,
    ]
    assert account.location == "Portal: Accounts > your account"
    assert account.fields == [
        Setting("Queue event webhook", f"{BASE}/webhooks/call/events#rc=2&rp=ct,5xx"),
        *basic,
        # jambonz does not repeat this one, whatever its URL asks for.
        Setting("Registration webhook", f"{BASE}/webhooks/client-auth"),
        *basic,
    ]
    assert secret.fields == [Setting("Run", ADD), Setting("Current", "hole")]


def test_wavix_gets_one_url_for_both_kinds_of_events() -> None:
    (place,) = places("Wavix")
    assert "https://api.wavix.com/v1/calls/webhooks" in place.location
    assert place.fields[0] == Setting("url", f"{BASE}/webhooks/wavix/wavix-token")
    assert all(kind in place.fields[1].value for kind in ("on-call", "post-call"))


def test_bird_gets_the_url_and_the_key_for_both_events() -> None:
    (place,) = places("Bird")
    assert "/webhook-subscriptions" in place.location
    assert [field.name for field in place.fields] == ["service", "event", "url", "signingKey"]
    assert [field.value for field in place.fields][2:] == [f"{BASE}/webhooks/bird", "bird-key"]
    assert all(event in place.fields[1].value for event in ("voice.inbound", "voice.outbound"))


def test_voipstudio_gets_the_url_and_the_clicks() -> None:
    (place,) = places("VoIPstudio")
    assert place.location == "Dashboard: Integrations > Webhooks > Enable > Add Webhook"
    assert place.fields[0] == Setting("URL", f"{BASE}/webhooks/voipstudio/voipstudio-token")
    assert "Call State Change" in place.fields[1].value


def test_the_call_log_and_the_bus_are_there() -> None:
    (call_log,), (bus,) = places("Call log"), places("Subscribers")
    assert [field.value for field in call_log.fields] == [f"{BASE}/", "console", "console-password"]
    assert bus.fields == [Setting("Event bus", "callhooks")]


def test_nothing_secret_is_shown_unless_it_is_asked_for() -> None:
    anybody = told(hidden())
    assert not [secret for secret in SECRETS if secret in anybody]
    assert f"{BASE}/webhooks/wavix/<token>" in anybody
    assert f"{BASE}/webhooks/voipstudio/<token>" in anybody
    for placeholder in ("<password>", "<signing key>", "<user name>"):
        assert placeholder in anybody
    assert "<" not in told(shown()).replace("/<channel id>", "")


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
    assert (check_url(url) == "") is is_taken
    (place,) = places("Bird", url)
    assert ("rejects this URL" in " ".join(place.notes)) is not is_taken
