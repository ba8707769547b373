"""Client for the applications and the webhook secret of a jambonz account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, Unpack

from callhooks.providers.payload import Document, Identifier, JsonObject, OptionalStr

from callhooks_tools.providers.jambonz.api import PROVIDER, account_of, jambonz_rest
from callhooks_tools.providers.rest.client import ProviderClient
from callhooks_tools.providers.rest.configuration import checked_id
from callhooks_tools.providers.rest.session import RestClient, RestOptions


class JambonzApplication(Document):
    """Application. Its hooks are unchanged, including their `webhook_sid`."""

    application_sid: Identifier = None
    name: OptionalStr = None
    account_sid: OptionalStr = None
    call_hook: JsonObject = None
    call_status_hook: JsonObject = None

    @property
    def call_url(self) -> str:
        """Return the URL that answers its calls; empty if there is no call hook."""
        url = (self.call_hook or {}).get("url")
        return url if isinstance(url, str) else ""


class _Created(Document):
    sid: Identifier = None


class _WebhookSecret(Document):
    webhook_secret: Identifier = None


@dataclass(frozen=True, slots=True)
class Hooks:
    """Hooks of an application that calls the stack. The URLs include the fragment that requests retries."""

    call_url: str
    status_url: str
    username: str
    password: str


class JambonzAccount(ProviderClient):
    """Client for one account. Every method raises the errors of `RestClient`."""

    def __init__(self, rest: RestClient, account_sid: str) -> None:
        super().__init__(rest)
        self._account_sid = account_sid

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str], *, password: str = "", **options: Unpack[RestOptions]
    ) -> Self:
        """Create a client from `JAMBONZ_API_KEY`, `JAMBONZ_ACCOUNT_SID` and `JAMBONZ_API_URL`.

        `password` is redacted in errors.
        """
        return cls(jambonz_rest(environ, confidential=password, **options), account_of(environ))

    def applications(self) -> list[JambonzApplication]:
        """Return the applications of the account."""
        path = f"/v1/Accounts/{self._account_sid}/Applications"
        rows = self._rest.objects(self._rest.get(path), "applications")
        return [self._rest.model(JambonzApplication, row, needs="application_sid") for row in rows]

    def application(self, name: str) -> JambonzApplication | None:
        """Return the application with this name; `None` if there is none."""
        return next((application for application in self.applications() if application.name == name), None)

    def create(self, name: str, hooks: Hooks) -> str:
        """Create an application and return its SID."""
        body = {"name": name, "account_sid": self._account_sid, **_hooks(hooks)}
        answer = self._rest.post("/v1/Applications", body)
        return self._rest.model(_Created, answer, needs="sid").sid or ""

    def update(self, application: JambonzApplication, hooks: Hooks) -> None:
        """Set the hooks of an application. Its other settings stay unchanged."""
        body = {name: {**hook, **_webhook_sid(getattr(application, name))} for name, hook in _hooks(hooks).items()}
        path = f"/v1/Applications/{checked_id(application.application_sid or '', PROVIDER)}"
        # jambonz keeps existing hooks in another table, and answers 500 to an update without a column of this one.
        self._rest.put(path, {"name": application.name, **body})

    def webhook_secret(self) -> str:
        """Return the secret with which jambonz signs the account's webhooks."""
        answer = self._rest.get(f"/v1/Accounts/{self._account_sid}/WebhookSecret")
        return self._rest.model(_WebhookSecret, answer, needs="webhook_secret").webhook_secret or ""


def _hooks(hooks: Hooks) -> dict[str, dict[str, object]]:
    common: dict[str, object] = {"method": "POST", "username": hooks.username, "password": hooks.password}
    return {
        "call_hook": {"url": hooks.call_url, **common},
        "call_status_hook": {"url": hooks.status_url, **common},
    }


def _webhook_sid(hook: Mapping[str, object] | None) -> dict[str, object]:
    sid = (hook or {}).get("webhook_sid")
    return {} if sid is None else {"webhook_sid": sid}
