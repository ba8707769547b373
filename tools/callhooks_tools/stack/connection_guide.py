"""The settings to enter at each provider, with the field names of its portal or API."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from callhooks.providers.description import Credentials, Secret, Setting, SettingGroup, Setup
from callhooks.providers.registry import providers

from callhooks_tools.stack.stack import ConsoleAccess, StackCredentials
from callhooks_tools.stack.terminal import callhooks

CONSOLE_PLACEHOLDERS = ConsoleAccess(username="<user name>", password="<password>")


@dataclass(frozen=True, slots=True)
class Section:
    """The settings for one provider, in groups."""

    title: str
    groups: Sequence[SettingGroup]


@dataclass(frozen=True, slots=True)
class Guide:
    """The settings of one stack, for its providers and its users.

    Attributes:
        credentials: the secrets to show; `None` shows placeholders instead.
        stack_options: the options that select the stack in commands, such as ` --stack callhooks`.
        format_added: formats a secret that the provider issued.
    """

    base_url: str
    call_bus: str
    credentials: StackCredentials | None = None
    stack_options: str = ""
    format_added: Callable[[str], str] = str

    def sections(self) -> list[Section]:
        """Return a section for each provider, the console and the event bus."""
        console = self.credentials.console if self.credentials else CONSOLE_PLACEHOLDERS
        return [
            *(
                Section(
                    provider.title,
                    provider.settings(
                        Setup(
                            self.base_url,
                            self._values(name, provider.secrets),
                            self.stack_options,
                            callhooks("").strip(),
                        )
                    ),
                )
                for name, provider in providers().items()
            ),
            Section(
                "Console and call log API",
                [
                    SettingGroup(
                        "Open in a browser, or call the API (docs/call-log.md)",
                        [
                            Setting("Address", f"{self.base_url}/"),
                            Setting("User name", console.username),
                            Setting("Password", console.password),
                        ],
                    )
                ],
            ),
            Section(
                "Event bus",
                [
                    SettingGroup(
                        "Subscribe with EventBridge rules (docs/events.md)", [Setting("Bus name", self.call_bus)]
                    )
                ],
            ),
        ]

    def _values(self, provider: str, secrets: Sequence[Secret]) -> Credentials:
        placeholders: dict[str, str] = {}
        for secret in secrets:
            placeholders |= {name: f"<{PLACEHOLDERS.get(name, name)}>" for name in secret.fixed}
            if secret.member is not None:
                placeholders[secret.credential] = f"<{secret.words}>"
        if self.credentials is None:
            return placeholders
        known = self.credentials.providers.get(provider, {})
        added = {
            secret.credential: self.format_added(known[secret.credential]) if secret.credential in known else "none"
            for secret in secrets
            if secret.member is None
        }
        return {**placeholders, **known, **added}


PLACEHOLDERS = {"username": "user name"}
