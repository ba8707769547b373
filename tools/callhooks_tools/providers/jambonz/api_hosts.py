"""Which jambonz, and which account on it; apart from the SDK, which takes a second to import."""

from __future__ import annotations

from collections.abc import Mapping

from callhooks_tools.providers.rest.configuration import base_url, checked_id, required
from callhooks_tools.providers.rest.errors import NotConfigured

PROVIDER = "jambonz"
KEY = "JAMBONZ_API_KEY"
ACCOUNT = "JAMBONZ_ACCOUNT_SID"
URL = "JAMBONZ_API_URL"
WHERE_THE_KEY_IS = "make an API key for the account in jambonz's portal (docs/control.md)."
WHERE_THE_ACCOUNT_IS = "it is the account_sid of every webhook, and the portal shows it with the account."
WHERE_THE_URL_IS = (
    "it is the address of jambonz's REST API, without /v1 (api_base_url in a webhook, where your platform tells it)."
)


def account_of(environ: Mapping[str, str]) -> str:
    """The SID of the account.

    Raises:
        NotConfigured: it is not set.
        Refused: it is no id.
    """
    return checked_id(required(environ, ACCOUNT, PROVIDER, WHERE_THE_ACCOUNT_IS), PROVIDER)


def api_url_of(environ: Mapping[str, str]) -> str:
    """The address of jambonz's REST API, without `/v1`.

    Raises:
        NotConfigured: it is not set, or is no address.
    """
    if not environ.get(URL, "").strip():
        raise NotConfigured(PROVIDER, message=f"{URL} is not set in the environment: {WHERE_THE_URL_IS}")
    return base_url(environ, URL, PROVIDER, "").removesuffix("/v1")
