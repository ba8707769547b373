"""Guard in front of the local AWS engine. The engine's Python runs this file without the rest of this package.

The engine treats requests with the key `test`, with any twelve digits or without a key as requests of the account's
root user. It does not verify their signatures, and it accepts any `Origin` and `Host`. The guard therefore passes on
only requests with this run's access key id, or with a key that the engine issued (to a function, by STS, by IAM). The
engine verifies the signatures of these keys, because they are not root keys. Containers reach the engine under another
host (`callhooks sam-local`); with such a host, only this run's access key id is accepted.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import re
import resource
import secrets
import sys
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from enum import StrEnum
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

ACCESS_KEY_ID_VARIABLE = "CALLHOOKS_ENGINE_ACCESS_KEY_ID"
SECRET_ACCESS_KEY_VARIABLE = "CALLHOOKS_ENGINE_SECRET_ACCESS_KEY"
ACCOUNT = "000000000000"
KEEP_ALIVE_SECONDS = 75

_LOOPBACK_HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE | re.ASCII)
# Private addresses and Docker's own name. A web page whose name resolves to the engine still sends that name.
_CONTAINER_HOST = re.compile(
    r"(host\.docker\.internal|10(\.[0-9]{1,3}){3}|172\.(1[6-9]|2[0-9]|3[01])(\.[0-9]{1,3}){2}|192\.168(\.[0-9]{1,3}){2})"
    r"(:[0-9]{1,5})?",
    re.ASCII,
)
_SIGNED_HEADER = re.compile(r"AWS4-HMAC-SHA256 Credential=([A-Za-z0-9]{1,128})/", re.ASCII)
_SIGNED_QUERY = re.compile(r"([A-Za-z0-9]{1,128})/", re.ASCII)
_KEYS_IN_QUERY = ("x-amz-credential", "awsaccesskeyid")

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]
Headers: TypeAlias = Iterable[tuple[bytes, bytes]]


class GuardRejection(StrEnum):
    """The reasons for which the guard rejects a request."""

    HOST = "Requests must be addressed to 127.0.0.1, localhost or [::1], or to the address for containers."
    ORIGIN = "Requests from web pages (with an Origin header) are rejected."
    CREDENTIAL = "Requests must have exactly one signature, of Signature Version 4."
    KEY = "The access key does not belong to this local stack."

    @property
    def message(self) -> str:
        """Return the reason, and the location of the valid keys."""
        return f"{self} Use aws_access_key_id and aws_secret_access_key from .local/stack.json."


class Guard:
    """ASGI application that passes on only requests with a known key.

    Args:
        app: the engine.
        own_key: this run's access key id.
        is_issued: returns whether the engine issued an access key id.
    """

    def __init__(self, app: App, own_key: str, is_issued: Callable[[str], bool]) -> None:
        self._app = app
        self._own_key = own_key
        self._is_issued = is_issued

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, or reject it with 403."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        rejection = rejection_for(scope["headers"], scope["query_string"], self._own_key, self._is_issued)
        if rejection is None:
            await self._app(scope, receive, _without_cors(send))
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await _reject(rejection, scope["headers"], send)


def rejection_for(
    headers: Headers, query_string: bytes, own_key: str, is_issued: Callable[[str], bool]
) -> GuardRejection | None:
    """Return the reason to reject a request, or `None` to pass it on."""
    hosts = _values(headers, b"host")
    is_from_container = len(hosts) == 1 and _CONTAINER_HOST.fullmatch(hosts[0]) is not None
    if not is_from_container and (len(hosts) != 1 or not _LOOPBACK_HOST.fullmatch(hosts[0])):
        return GuardRejection.HOST
    if _values(headers, b"origin"):
        return GuardRejection.ORIGIN
    # The engine must not use another key than the one that is checked here.
    found = [_SIGNED_HEADER.match(value) for value in _values(headers, b"authorization")]
    for name, value in parse_qsl(query_string.decode("latin-1"), keep_blank_values=True):
        if name.lower() in _KEYS_IN_QUERY:
            found.append(_SIGNED_QUERY.match(value))
    if len(found) != 1 or found[0] is None:
        return GuardRejection.CREDENTIAL
    key = found[0][1]
    if key == own_key or (not is_from_container and is_issued(key)):
        return None
    return GuardRejection.KEY


def _values(headers: Headers, name: bytes) -> list[str]:
    return [value.decode("latin-1") for header, value in headers if header.lower() == name]


def _without_cors(send: Send) -> Send:
    async def send_without_cors(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [one for one in message.get("headers", ()) if not one[0].lower().startswith(b"access-control-")]
            message = {**message, "headers": headers}
        await send(message)

    return send_without_cors


async def _reject(rejection: GuardRejection, headers: Headers, send: Send) -> None:
    # Clients of CloudFormation, IAM and STS send forms and read XML. All others read JSON or only the status.
    is_form = any(value.startswith("application/x-www-form-urlencoded") for value in _values(headers, b"content-type"))
    if is_form:
        content_type = b"text/xml"
        body = (
            "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>"
            f"<Message>{rejection.message}</Message></Error></ErrorResponse>"
        )
    else:
        content_type = b"application/json"
        body = json.dumps({"__type": "AccessDeniedException", "message": rejection.message})
    length = str(len(body)).encode()
    response_headers = [(b"content-type", content_type), (b"content-length", length)]
    await send({"type": "http.response.start", "status": 403, "headers": response_headers})
    await send({"type": "http.response.body", "body": body.encode()})


class _KeyedHashes:
    """Replacement for `hashlib` in the engine, which derives the keys of functions from their names: easy to guess."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def sha256(self, data: bytes) -> hmac.HMAC:
        """Return a hash keyed with this run's secret."""
        return hmac.new(self._key, data, "sha256")


def main() -> None:
    """Serve the engine on a listening socket. The first argument is its file descriptor."""
    # Removed from the environment, because functions inherit it.
    access_key_id, secret = os.environ.pop(ACCESS_KEY_ID_VARIABLE), os.environ.pop(SECRET_ACCESS_KEY_VARIABLE)

    # Installed only in the engine's environment.
    from hypercorn.asyncio import serve  # noqa: PLC0415
    from hypercorn.config import Config  # noqa: PLC0415
    from ministack.app import app  # noqa: PLC0415
    from ministack.core import lambda_runtime  # noqa: PLC0415
    from ministack.core.iam_evaluator import find_iam_access_key_account  # noqa: PLC0415
    from ministack.services import sts  # noqa: PLC0415

    lambda_runtime.hashlib = _KeyedHashes()
    # A session of the root user: the engine does not verify signatures of its root key.
    sts.register_session(
        access_key_id,
        {
            "Arn": f"arn:aws:iam::{ACCOUNT}:root",
            "UserId": ACCOUNT,
            "AccountId": ACCOUNT,
            "PrincipalType": "Root",
            "SecretAccessKey": secret,
        },
    )

    def is_issued(key: str) -> bool:
        return key in sts._sessions or find_iam_access_key_account(key) is not None  # noqa: SLF001

    # Each function runs in a separate process with three pipes.
    _, max_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max_files, max_files))
    config = Config()
    config.bind = [f"fd://{sys.argv[1]}"]
    config.keep_alive_timeout = KEEP_ALIVE_SECONDS
    asyncio.run(serve(Guard(app, access_key_id, is_issued), config))


if __name__ == "__main__":
    main()
