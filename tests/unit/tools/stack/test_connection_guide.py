"""The settings of each provider, field by field."""

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


def without_secrets() -> list[Section]:
    return Guide(BASE, "callhooks", stack_options=" --stack callhooks").sections()


def with_secrets(base_url: str = BASE) -> list[Section]:
    """Return the sections with secrets. The webhook secret, which jambonz issued, is masked."""
    guide = Guide(
        base_url, "callhooks", CREDENTIALS, stack_options=" --stack callhooks", format_added=lambda secret: secret[-4:]
    )
    return guide.sections()


def groups(title: str, base_url: str = BASE) -> list[SettingGroup]:
    (section,) = [one for one in with_secrets(base_url) if one.title == title]
    return list(section.groups)


def text_of(sections: list[Section]) -> str:
    return "\n".join(
        [field.value for section in sections for group in section.groups for field in group.fields]
        + [note for section in sections for group in section.groups for note in group.notes]
    )


def test_each_provider_has_a_section() -> None:
    titles = [section.title for section in without_secrets()]
    assert titles == ["Bird", "jambonz", "VoIPstudio", "Wavix", "Console and call log API", "Event bus"]


def test_jambonz_hooks_use_post_basic_authentication_and_retries() -> None:
    application, account, secret = groups("jambonz")
    login = {"Method": "POST", "Username": "jambonz", "Password": "jambonz-password"}
    basic = [Setting(name, value, is_nested=True) for name, value in login.items()]
    assert application.location == "Portal: Applications > your application"
    assert application.fields == [
        Setting("Calling webhook", f"{BASE}/webhooks/call#rc=2&rp=all"),
        *basic,
        Setting("Call status webhook", f"{BASE}/webhooks/call/events#rc=2&rp=all"),
        *basic,
    ]
    assert account.location == "Portal: Accounts > your account"
    assert account.fields == [
        Setting("Queue event webhook", f"{BASE}/webhooks/call/events#rc=2&rp=all"),
        *basic,
        # jambonz never retries this one.
        Setting("Registration webhook", f"{BASE}/webhooks/client-auth"),
        *basic,
    ]
    assert secret.fields == [Setting("Run", ADD), Setting("Current", "hole")]


@pytest.mark.parametrize(
    ("title", "location", "fields", "words"),
    [
        ("Wavix", "https://api.wavix.com/v1/calls/webhooks", {"url": f"{BASE}/webhooks/wavix/wavix-token"},
         ["on-call", "post-call"]),
        ("Bird", "/webhook-subscriptions", {"url": f"{BASE}/webhooks/bird", "signingKey": "bird-key"},
         ["voice.inbound", "voice.outbound"]),
        ("VoIPstudio", "Dashboard: Integrations > Webhooks > Enable > Add Webhook",
         {"URL": f"{BASE}/webhooks/voipstudio/voipstudio-token"}, ["Call State Change"]),
        ("Console and call log API", "", {}, [f"{BASE}/", "console", "console-password"]),
        ("Event bus", "", {"Bus name": "callhooks"}, []),
    ],
)  # fmt: skip
def test_a_section_has_the_settings_of_its_provider(
    title: str, location: str, fields: dict[str, str], words: list[str]
) -> None:
    (group,) = groups(title)
    shown = {field.name: field.value for field in group.fields}
    assert location in group.location
    assert fields.items() <= shown.items()
    assert [word for word in words if word not in " ".join(shown.values())] == []


def test_secrets_are_placeholders_unless_credentials_are_passed() -> None:
    text = text_of(without_secrets())
    assert not [secret for secret in SECRETS if secret in text]
    assert f"{BASE}/webhooks/wavix/<token>" in text
    assert f"{BASE}/webhooks/voipstudio/<token>" in text
    for placeholder in ("<password>", "<signing key>", "<user name>"):
        assert placeholder in text
    assert "<" not in text_of(with_secrets()).replace("/<channel id>", "")


@pytest.mark.parametrize(
    ("url", "is_accepted"),
    [
        (BASE, True),
        (f"{BASE}/voice", True),
        ("http://hooks.example.com", False),
        ("https://hooks.example.com:8443", False),
        ("http://127.0.0.1:8080", False),
    ],
)
def test_bird_accepts_only_https_without_a_port(url: str, is_accepted: bool) -> None:
    assert (check_url(url) == "") is is_accepted
    (group,) = groups("Bird", url)
    assert ("rejects this URL" in " ".join(group.notes)) is not is_accepted
