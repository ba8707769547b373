"""The local AWS engine behind a guard. The engine's own Python runs this file, without the rest of this package.

The engine takes requests with the key `test`, with any twelve digits or with no key at all as those of the account's
root, without a look at their signature, and answers any `Origin` and `Host`. So nothing reaches it but requests whose
access key id is this run's, or one that the engine has issued (to a function, by STS, by IAM). These keys are not
roots of the engine's, and it verifies what they sign.
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
_SIGNED_HEADER = re.compile(r"AWS4-HMAC-SHA256 Credential=([A-Za-z0-9]{1,128})/", re.ASCII)
_SIGNED_QUERY = re.compile(r"([A-Za-z0-9]{1,128})/", re.ASCII)
_KEYS_IN_QUERY = ("x-amz-credential", "awsaccesskeyid")

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]
Headers: TypeAlias = Iterable[tuple[bytes, bytes]]


class GuardRefusal(StrEnum):
    """Why a request does not reach the engine."""

    HOST = "Requests must be addressed to 127.0.0.1, localhost or [::1]."
    ORIGIN = "Requests from web pages (with an Origin header) are refused."
    CREDENTIAL = "Requests must be signed once, with Signature Version 4."
    KEY = "The access key is not one of this run."

    @property
    def message(self) -> str:
        """The reason, and where the right keys are."""
        return f"{self} Use aws_access_key_id and aws_secret_access_key of .local/stack.json."


class Guard:
    """An ASGI application that passes on only requests with a key that the engine knows.

    Args:
        app: the engine.
        is_known: whether an access key id is this run's, or one that the engine has issued.
    """

    def __init__(self, app: App, is_known: Callable[[str], bool]) -> None:
        self._app = app
        self._is_known = is_known

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it with 403."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = refusal_of(scope["headers"], scope["query_string"], self._is_known)
        if refusal is None:
            await self._app(scope, receive, _without_cors(send))
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await _refuse(refusal, scope["headers"], send)


def refusal_of(headers: Headers, query_string: bytes, is_known: Callable[[str], bool]) -> GuardRefusal | None:
    """Return why a request is refused, or `None` where it is not."""
    hosts = _values(headers, b"host")
    if len(hosts) != 1 or not _LOOPBACK_HOST.fullmatch(hosts[0]):
        return GuardRefusal.HOST
    if _values(headers, b"origin"):
        return GuardRefusal.ORIGIN
    # The engine must not find another key than the one that is looked at here.
    found = [_SIGNED_HEADER.match(value) for value in _values(headers, b"authorization")]
    for name, value in parse_qsl(query_string.decode("latin-1"), keep_blank_values=True):
        if name.lower() in _KEYS_IN_QUERY:
            found.append(_SIGNED_QUERY.match(value))
    if len(found) != 1 or found[0] is None:
        return GuardRefusal.CREDENTIAL
    return None if is_known(found[0][1]) else GuardRefusal.KEY


def _values(headers: Headers, name: bytes) -> list[str]:
    return [value.decode("latin-1") for header, value in headers if header.lower() == name]


def _without_cors(send: Send) -> Send:
    async def send_without_cors(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [one for one in message.get("headers", ()) if not one[0].lower().startswith(b"access-control-")]
            message = {**message, "headers": kept}
        await send(message)

    return send_without_cors


async def _refuse(refusal: GuardRefusal, headers: Headers, send: Send) -> None:
    # Clients of CloudFormation, IAM and STS send forms and read XML, all others read JSON or the status alone.
    is_form = any(value.startswith("application/x-www-form-urlencoded") for value in _values(headers, b"content-type"))
    if is_form:
        content_type = b"text/xml"
        body = (
            "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>"
            f"<Message>{refusal.message}</Message></Error></ErrorResponse>"
        )
    else:
        content_type = b"application/json"
        body = json.dumps({"__type": "AccessDeniedException", "message": refusal.message})
    length = str(len(body)).encode()
    response_headers = [(b"content-type", content_type), (b"content-length", length)]
    await send({"type": "http.response.start", "status": 403, "headers": response_headers})
    await send({"type": "http.response.body", "body": body.encode()})


class _KeyedHashes:
    """Stand in for `hashlib` where the engine makes the keys of functions from their names, which anyone can guess."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def sha256(self, data: bytes) -> hmac.HMAC:
        """Return a hash that nobody can work out without this run's secret."""
        return hmac.new(self._key, data, "sha256")


def main() -> None:
    """Serve the engine on the listening socket whose number is the first argument."""
    # Functions inherit the environment.
    access_key_id, secret = os.environ.pop(ACCESS_KEY_ID_VARIABLE), os.environ.pop(SECRET_ACCESS_KEY_VARIABLE)

    # Only the engine's environment has them.
    from hypercorn.asyncio import serve  # noqa: PLC0415
    from hypercorn.config import Config  # noqa: PLC0415
    from ministack.app import app  # noqa: PLC0415
    from ministack.core import lambda_runtime  # noqa: PLC0415
    from ministack.core.iam_evaluator import find_iam_access_key_account  # noqa: PLC0415
    from ministack.services import sts  # noqa: PLC0415

    lambda_runtime.hashlib = _KeyedHashes()
    # A session of the root, and not the engine's root key, whose signatures it does not verify.
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

    def is_known(key: str) -> bool:
        return key in sts._sessions or find_iam_access_key_account(key) is not None  # noqa: SLF001

    # Each function in a process of its own takes three pipes.
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    config = Config()
    config.bind = [f"fd://{sys.argv[1]}"]
    config.keep_alive_timeout = KEEP_ALIVE_SECONDS
    asyncio.run(serve(Guard(app, is_known), config))


if __name__ == "__main__":
    main()
