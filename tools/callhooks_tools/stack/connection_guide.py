"""What each provider is to be given: which text goes into which field, in the words of its own portal or API."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from callhooks.providers.description import Credentials, Secret, Setting, SettingGroup, Setup
from callhooks.providers.registry import providers

from callhooks_tools.stack.stack import ConsoleAccess, StackCredentials

HIDDEN = ConsoleAccess(username="<user name>", password="<password>")


@dataclass(frozen=True, slots=True)
class Section:
    """All that is to be entered at one provider."""

    title: str
    places: Sequence[SettingGroup]


@dataclass(frozen=True, slots=True)
class Guide:
    """What is to be entered where, for one stack.

    `credentials` is `None` where anybody may see it: placeholders stand for all that is secret. `show_added` makes a
    text of a secret that the provider has given to us, not the other way round.
    """

    base_url: str
    call_bus: str
    credentials: StackCredentials | None = None
    stack_option: str = ""
    show_added: Callable[[str], str] = str

    def sections(self) -> list[Section]:
        """A section for each provider, the call log and subscribers."""
        console = self.credentials.console if self.credentials else HIDDEN
        return [
            *(
                Section(
                    provider.title,
                    provider.settings(Setup(self.base_url, self._shown(name, provider.secrets), self.stack_option)),
                )
                for name, provider in providers().items()
            ),
            Section(
                "Call log",
                [
                    SettingGroup(
                        "In a browser, or by programs (docs/call-log.md)",
                        [
                            Setting("Address", f"{self.base_url}/"),
                            Setting("User name", console.username),
                            Setting("Password", console.password),
                        ],
                    )
                ],
            ),
            Section(
                "Subscribers",
                [SettingGroup("EventBridge (docs/events.md)", [Setting("Event bus", self.call_bus)])],
            ),
        ]

    def _shown(self, provider: str, secrets: Sequence[Secret]) -> Credentials:
        placeholders: dict[str, str] = {}
        for secret in secrets:
            placeholders |= {name: f"<{PLACEHOLDERS.get(name, name)}>" for name in secret.fixed}
            if secret.member is not None:
                placeholders[secret.credential] = f"<{secret.words}>"
        if self.credentials is None:
            return placeholders
        known = self.credentials.providers.get(provider, {})
        added = {
            secret.credential: self.show_added(known[secret.credential]) if secret.credential in known else "none"
            for secret in secrets
            if secret.member is None
        }
        return {**placeholders, **known, **added}


PLACEHOLDERS = {"username": "user name"}
