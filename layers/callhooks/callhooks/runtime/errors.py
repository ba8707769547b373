"""The exceptions of callhooks, and how an exception may be logged: its text may hold what was sent, its type does not.

    CallhooksError
    ├── HttpProblem              a request ends with an error answer
    │   ├── BadRequest           400
    │   ├── Unauthorized         401
    │   └── BodyTooLarge         413
    ├── CredentialsUnavailable   the secret store cannot be read, and nothing is cached
    ├── OutOfTime                too little is left of an invocation's time
    ├── CallsUnread              DynamoDB left calls unread
    ├── InvalidCursor            a cursor is malformed or belongs to another list (also a ValueError)
    ├── PlanUnavailable          the call plan cannot be read
    ├── ClientsUnavailable       SIP clients cannot be looked up
    ├── InvalidTool              a function cannot be a tool
    └── IdempotencyUnavailable   a tool could run twice, because idempotency is off

`CircuitOpenError` is one of botocore's instead, since it stands in for a failed request.
botocore is not imported here: a request that is refused does not wait for it.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping
from types import MappingProxyType

_REFUSED_FOR_GOOD = ("ValidationException", "SerializationException")


class CallhooksError(Exception):
    """An error that callhooks raises itself."""


class HttpProblem(CallhooksError):
    """A request that ends with an error answer.

    `detail` goes to the sender and never repeats anything of the request. `reason` is for the log and the metric, one
    of a few fixed texts; `log_fields` are for the log alone.
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        *,
        reason: str | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.reason = reason or detail
        self.headers = headers
        self.log_fields: Mapping[str, str] = {}


class BadRequest(HttpProblem):
    """400: the request cannot be understood."""

    def __init__(self, detail: str) -> None:
        super().__init__(400, "Bad request", detail)


class BodyTooLarge(HttpProblem):
    """413: the body is larger than any webhook of a provider."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, "Body too large", f"The body is larger than {limit} bytes.")


class Unauthorized(HttpProblem):
    """401: the sender is not authenticated; only the log says which check failed.

    `challenge` is the `WWW-Authenticate` header, where there is a scheme to name.
    """

    def __init__(
        self, reason: str, *, challenge: str | None = None, log_fields: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        super().__init__(
            401,
            "Unauthorized",
            "The credentials or the signature of this request are missing or wrong.",
            reason=reason,
            headers={"www-authenticate": challenge} if challenge else {},
        )
        self.log_fields = log_fields


class CredentialsUnavailable(CallhooksError):
    """The secret store could not be read, and nothing is cached."""


def describe_exception(error: BaseException) -> str:
    """The type of an exception, and the lines that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    place = " > ".join(f"{os.path.basename(frame.filename)}:{frame.lineno}" for frame in frames)  # noqa: PTH119 - no more is imported than is needed
    return f"{type(error).__name__} at {place}"


def aws_error_code(error: BaseException | None) -> str | None:
    """What AWS calls a failure, such as `ThrottlingException`, where an AWS service has answered with one.

    It is in the `response` of botocore's `ClientError`.
    """
    response = getattr(error, "response", None)
    detail = response.get("Error") if isinstance(response, dict) else None
    code = detail.get("Code") if isinstance(detail, dict) else None
    return code if isinstance(code, str) else None


def error_name(error: BaseException) -> str:
    """What AWS calls a failure, else its type."""
    return aws_error_code(error) or type(error).__name__


def is_refused_for_good(error: BaseException | None) -> bool:
    """Whether DynamoDB has said of an item that it would never take it."""
    return aws_error_code(error) in _REFUSED_FOR_GOOD
