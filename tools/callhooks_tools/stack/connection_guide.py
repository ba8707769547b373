"""What each provider is to be given: which text goes into which field, in the words of its own portal or API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from callhooks_tools.stack.stack import StackCredentials

WAVIX_API = "https://api.wavix.com/v1/calls/webhooks"
BIRD_API = "https://api.bird.com/workspaces/{workspaceId}/webhook-subscriptions"


@dataclass(frozen=True, slots=True)
class Setting:
    """A field of a form, or a member of a request, and what is to be entered."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class SettingGroup:
    """Where fields are, and what is to be known about them."""

    where: str
    fields: Sequence[Setting]
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """All that is to be entered at one provider."""

    title: str
    places: Sequence[SettingGroup]


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the API of a stack is; the URLs of jambonz have the fragment by which it is asked to try again."""

    base_url: str
    new_call_url: str
    call_status_url: str
    call_bus: str


@dataclass(frozen=True, slots=True)
class Proofs:
    """What stands in the fields that are secret; `webhook_secret` tells what is known of jambonz's own."""

    jambonz_username: str = "<user name>"
    jambonz_password: str = "<password>"
    webhook_secret: str | None = None
    wavix_token: str = "<token>"
    bird_signing_key: str = "<signing key>"
    voipstudio_token: str = "<token>"
    console_username: str = "<user name>"
    console_password: str = "<password>"

    @classmethod
    def of(cls, credentials: StackCredentials, *, webhook_secret: str) -> Proofs:
        """Those of a stack, to be shown."""
        return cls(
            jambonz_username=credentials.jambonz.username,
            jambonz_password=credentials.jambonz.password,
            webhook_secret=webhook_secret,
            wavix_token=credentials.wavix.token,
            bird_signing_key=credentials.bird.signing_key,
            voipstudio_token=credentials.voipstudio.token,
            console_username=credentials.console.username,
            console_password=credentials.console.password,
        )


HIDDEN = Proofs()
"""For what anybody may see."""


def sections(addresses: Addresses, proofs: Proofs, *, add_webhook_secret: str) -> list[Section]:
    """What is to be entered where; `add_webhook_secret` is the command that takes jambonz's webhook secret."""
    base_url = addresses.base_url
    return [
        _jambonz(addresses, proofs, add_webhook_secret),
        Section(
            "Wavix",
            [
                SettingGroup(
                    f"POST {WAVIX_API}, once for each event_type",
                    [
                        Setting("url", f"{base_url}/webhooks/wavix/{proofs.wavix_token}"),
                        Setting("event_type", "on-call, and once more post-call"),
                    ],
                    ["The URL is a password: Wavix signs nothing."],
                )
            ],
        ),
        _bird(base_url, proofs),
        Section(
            "VoIPstudio",
            [
                SettingGroup(
                    "Dashboard: Integrations, Webhooks, Enable, Add Webhook",
                    [
                        Setting("URL", f"{base_url}/webhooks/voipstudio/{proofs.voipstudio_token}"),
                        Setting("Event", "Call State Change, and as wanted SMS received, Queue wrap up"),
                    ],
                    [
                        "The URL is a password: VoIPstudio signs nothing.",
                        *([] if base_url.startswith("https://") else ["VoIPstudio takes https alone: not this URL."]),
                    ],
                )
            ],
        ),
        Section(
            "Call log",
            [
                SettingGroup(
                    "In a browser, or by programs (docs/call-log.md)",
                    [
                        Setting("Address", f"{base_url}/"),
                        Setting("User name", proofs.console_username),
                        Setting("Password", proofs.console_password),
                    ],
                )
            ],
        ),
        Section(
            "Subscribers", [SettingGroup("EventBridge (docs/events.md)", [Setting("Event bus", addresses.call_bus)])]
        ),
    ]


def _jambonz(addresses: Addresses, proofs: Proofs, add_webhook_secret: str) -> Section:
    basic = [Setting("  Username", proofs.jambonz_username), Setting("  Password", proofs.jambonz_password)]
    method = Setting("  Method", "POST")
    return Section(
        "jambonz",
        [
            SettingGroup(
                "Portal: Applications, the application",
                [
                    Setting("Calling webhook", addresses.new_call_url),
                    method,
                    *basic,
                    Setting("Call status webhook", addresses.call_status_url),
                    method,
                    *basic,
                ],
                [
                    "Tick Use HTTP basic authentication for each, to enter Username and Password.",
                    "The end of the URLs, from # on, asks jambonz for the retries that it makes only when asked.",
                ],
            ),
            SettingGroup(
                "Portal: Accounts, the account",
                [
                    Setting("Queue event webhook", addresses.call_status_url),
                    method,
                    *basic,
                    Setting("Registration webhook", f"{addresses.base_url}/webhooks/client-auth"),
                    method,
                    *basic,
                ],
                [
                    "The registration webhook only where callhooks knows the SIP clients (callhooks clients): with it",
                    "jambonz asks its own table no more. jambonz never repeats it, so that it has no fragment.",
                ],
            ),
            SettingGroup(
                "From the portal to callhooks: Accounts, the account, Webhook secret",
                [
                    Setting("Run", add_webhook_secret),
                    *([Setting("Known", proofs.webhook_secret)] if proofs.webhook_secret is not None else []),
                ],
                ["Without it nobody checks jambonz's signatures."],
            ),
        ],
    )


def _bird(base_url: str, proofs: Proofs) -> Section:
    notes = ["With several channels, one subscription for each, with /<channel id> at the end of the URL."]
    if refusal := refused_by_bird(base_url):
        notes.append(refusal)
    return Section(
        "Bird",
        [
            SettingGroup(
                f"POST {BIRD_API}, once for each event",
                [
                    Setting("service", "channels"),
                    Setting("event", "voice.inbound, and once more voice.outbound"),
                    Setting("url", f"{base_url}/webhooks/bird"),
                    Setting("signingKey", proofs.bird_signing_key),
                ],
                notes,
            )
        ],
    )


def refused_by_bird(base_url: str) -> str:
    """Why Bird takes no subscription of such a URL; empty where it does."""
    parts = urlsplit(base_url)
    if parts.scheme != "https" or parts.netloc.rpartition(":")[2].isdigit():
        return "Bird takes https with a host name and no port: not this URL."
    return ""
