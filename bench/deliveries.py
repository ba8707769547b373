"""Input of the measured functions: recorded deliveries with fresh ids and valid credentials."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from callhooks.providers import bird
from callhooks.providers.jambonz.authentication import DEFAULT_SIGNATURE_HEADER
from callhooks.runtime.http import HttpApiEvent
from callhooks_tools.stack.recordings import Delivery, NewCallIds, as_sent_by, read_delivery
from callhooks_tools.stack.stack import ROOT, ConsoleAccess, StackCredentials

CREDENTIALS = StackCredentials(
    providers={
        "jambonz": {
            "username": "jambonz",
            "password": "s3cr3t",
            "webhook_secret": "wh_secret_cJqgtMDPzDhhnjmaJH6Mtk",
        },
        "wavix": {"token": "local-wavix-token"},
        "bird": {"signing_key": "local-signing-key"},
        "voipstudio": {"token": "local-voipstudio-token"},
    },
    console=ConsoleAccess(username="console", password="local-console-password"),
)
SECRETS: Mapping[str, Mapping[str, object]] = {
    "jambonz-credentials": {"username": "jambonz", "password": "s3cr3t"},
    "jambonz-webhook-secrets": {"webhook_secrets": [CREDENTIALS.of("jambonz")["webhook_secret"]]},
    "wavix-credentials": CREDENTIALS.of("wavix"),
    "bird-credentials": CREDENTIALS.of("bird"),
    "voipstudio-credentials": CREDENTIALS.of("voipstudio"),
    "console-credentials": CREDENTIALS.console.model_dump(),
}
"""Secrets in Secrets Manager, by name."""

HA1_OF_JANE = hashlib.md5(b"jane:sip.example.com:s3cr3t", usedforsecurity=False).hexdigest()
"""HA1 of the SIP client in the recordings."""

_CREDENTIAL_HEADERS = {"authorization", DEFAULT_SIGNATURE_HEADER.lower(), bird.SIGNATURE_HEADER}


def recorded(name: str) -> Path:
    """Return the path of a recorded delivery, such as `wavix/answered`."""
    return ROOT / "events" / f"{name}.json"


def fresh(name: str, number: int) -> list[HttpApiEvent]:
    """Return deliveries like a recorded one, each for a new call."""
    path = recorded(name)
    return [authenticated(NewCallIds().renew(read_delivery(path), path)) for _ in range(number)]


def authenticated(delivery: Delivery) -> HttpApiEvent:
    """Return the delivery as its provider would sign it now, with a new request id."""
    provider = delivery.provider
    event = as_sent_by(
        provider, delivery, CREDENTIALS.of(provider), datetime.now(UTC), base_url="https://" + delivery.request.host
    ).event
    return {
        **event,
        "isBase64Encoded": event.get("isBase64Encoded", False),
        "requestContext": {**_mapping(event["requestContext"]), "requestId": uuid.uuid4().hex[:16]},
    }


def _mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("an HTTP API event has mappings for its headers and its context")
    return value


def client_attempts(number: int) -> list[HttpApiEvent]:
    """Return attempts of a SIP client to register, each with a new nonce (RFC 2617, qop=auth)."""
    delivery = read_delivery(recorded("jambonz/client_auth_register"))
    attempts = []
    for _ in range(number):
        document = {**json.loads(delivery.request.body), "nonce": uuid.uuid4().hex}
        ha2 = _md5(f"{document['method']}:{document['uri']}")
        parts = [HA1_OF_JANE, *(document[name] for name in ("nonce", "nc", "cnonce", "qop")), ha2]
        body = json.dumps({**document, "response": _md5(":".join(parts))})
        attempts.append(authenticated(Delivery({**delivery.event, "body": body, "isBase64Encoded": False})))
    return attempts


def _md5(text: str) -> str:
    return hashlib.md5(text.encode("utf-8"), usedforsecurity=False).hexdigest()


def without_credentials(event: HttpApiEvent) -> HttpApiEvent:
    """Return the delivery without credentials: no credential headers, and no token in the path."""
    headers = _mapping(event["headers"])
    return {
        **event,
        "headers": {name: value for name, value in headers.items() if name not in _CREDENTIAL_HEADERS},
        "pathParameters": {},
    }


def forged(event: HttpApiEvent) -> HttpApiEvent:
    """Return the delivery with credentials that are well-formed but wrong."""
    headers = _mapping(event["headers"])
    wrong = {name: _changed(value) if name in _CREDENTIAL_HEADERS else value for name, value in headers.items()}
    return {**event, "headers": wrong, "pathParameters": {"token": "not-the-token"}}


def _changed(value: str) -> str:
    """Return the value with one character changed."""
    index = len(value) * 3 // 4
    return f"{value[:index]}{'B' if value[index] != 'B' else 'C'}{value[index + 1 :]}"


def stream_of(items: Sequence[Mapping[str, object]]) -> list[HttpApiEvent]:
    """Return batches of the table's stream with one new event each, as Lambda passes them to the projector."""
    return [
        {
            "Records": [
                {
                    "eventID": uuid.uuid4().hex,
                    "eventName": "INSERT",
                    "eventSource": "aws:dynamodb",
                    "dynamodb": {"Keys": {"pk": item["pk"], "sk": item["sk"]}, "NewImage": item},
                }
            ]
        }
        for item in items
    ]


def queue_of(messages: Sequence[str]) -> list[HttpApiEvent]:
    """Return batches of the spill queue with one message each, as Lambda passes them to the drainer."""
    return [
        {
            "Records": [
                {
                    "messageId": uuid.uuid4().hex,
                    "receiptHandle": uuid.uuid4().hex,
                    "body": message,
                    "attributes": {"ApproximateReceiveCount": "1"},
                    "eventSource": "aws:sqs",
                }
            ]
        }
        for message in messages
    ]
