"""Recorded deliveries: HTTP API events in `events/`, signed when they are sent."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from callhooks.http import HttpApiEvent, Request
from callhooks.providers.jambonz.verify import (
    DEFAULT_SIGNATURE_HEADER,
    basic_header_value,
    signature_header_value,
)
from pydantic import TypeAdapter, ValidationError

from callhooks_tools.stack import JambonzAccess

RECORDING_SECRET = "wh_secret_cJqgtMDPzDhhnjmaJH6Mtk"
"""Signs for a function that has no webhook secret configured, and so does not look at the signature."""

_EVENT = TypeAdapter(dict[str, object])
_NOT_SENT = {"host", "content-length", "connection"}


class DeliveryUnusable(Exception):
    """An event file that cannot be sent; says why."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A recorded delivery, ready to be sent."""

    event: HttpApiEvent

    @property
    def request(self) -> Request:
        """The HTTP request that the event stands for."""
        return Request.from_event(self.event)

    @property
    def headers_to_send(self) -> dict[str, str]:
        """The headers, without those that an HTTP client makes itself."""
        return {name: value for name, value in self.request.headers.items() if name not in _NOT_SENT}


def read_delivery(path: Path) -> Delivery:
    """Read a recorded delivery.

    Raises:
        DeliveryUnusable: the file is missing, or is no HTTP API event of payload format 2.0.
    """
    try:
        document = _EVENT.validate_json(path.read_bytes())
    except OSError as error:
        raise DeliveryUnusable(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        raise DeliveryUnusable(f"{path}: not a JSON object") from error
    if document.get("version") != "2.0" or "requestContext" not in document:
        raise DeliveryUnusable(f"{path}: not an HTTP API event of payload format 2.0")
    event: HttpApiEvent = document
    return Delivery(event)


def with_new_call_sid(delivery: Delivery, path: Path) -> Delivery:
    """The same delivery for a call that has not been seen.

    Raises:
        DeliveryUnusable: its body has no call_sid.
    """
    try:
        document = json.loads(delivery.request.body)
    except ValueError:
        document = None
    if not isinstance(document, dict) or "call_sid" not in document:
        raise DeliveryUnusable(f"{path}: has no call_sid to renew")
    document["call_sid"] = str(uuid.uuid4())
    event: HttpApiEvent = {**delivery.event, "body": json.dumps(document), "isBase64Encoded": False}
    return Delivery(event)


def signed_for_jambonz(delivery: Delivery, access: JambonzAccess, now: datetime) -> Delivery:
    """The delivery with jambonz's credentials, signed now."""
    secret = access.webhook_secret or RECORDING_SECRET
    headers = {
        **delivery.request.headers,
        "authorization": basic_header_value(access.username, access.password),
        DEFAULT_SIGNATURE_HEADER.lower(): signature_header_value(secret, now, delivery.request.body),
    }
    event: HttpApiEvent = {**delivery.event, "headers": headers}
    return Delivery(event)


def access_of_env_vars(path: Path) -> JambonzAccess:
    """jambonz's credentials in a `sam local --env-vars` file.

    Raises:
        DeliveryUnusable: the file has none.
    """
    try:
        functions = json.loads(path.read_text("utf-8"))
        variables: Mapping[str, str] = functions["JambonzNewCallFunction"]
        secrets = json.loads(variables["JAMBONZ_WEBHOOK_SECRETS"])["webhook_secrets"]
        return JambonzAccess.model_validate(
            {**json.loads(variables["JAMBONZ_CREDENTIALS"]), "webhook_secret": next(iter(secrets), None)}
        )
    except OSError as error:
        raise DeliveryUnusable(f"{path}: {error.strerror}") from error
    except (ValueError, LookupError, TypeError) as error:
        raise DeliveryUnusable(f"{path}: has no credentials for JambonzNewCallFunction") from error
