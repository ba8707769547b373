"""The exceptions of callhooks, and how to log an exception: its text may contain request data, its type never does.

    CallhooksError
    ├── HttpProblem              a request ends with an error response
    │   ├── BadRequest           400
    │   ├── Unauthorized         401
    │   └── BodyTooLarge         413
    ├── CredentialsUnavailable   the secret store cannot be read, and no credentials are cached
    ├── OutOfTime                the invocation has too little time left
    ├── ReadsThrottled           DynamoDB is throttled and returned only some calls
    ├── InvalidCursor            a cursor is malformed or belongs to another list (also a ValueError)
    ├── UnknownZone              a name is not in the time zone database (also a ValueError)
    ├── PlanUnavailable          the call plan cannot be read
    ├── ClientsUnavailable       SIP clients cannot be looked up
    ├── InvalidTool              a function cannot be a tool
    └── IdempotencyUnavailable   a tool could run twice, because idempotency is off

`CircuitOpenError` is a botocore error instead, because it stands for a failed request.
botocore is not imported here, so that rejecting a request does not wait for that import.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping
from types import MappingProxyType

CANNOT_AUTHENTICATE = "The sender cannot be authenticated at the moment."
CANNOT_STORE = "The event could not be stored."
"""Details of the two 503 answers. `callhooks doctor` distinguishes them."""
_PERMANENT_REJECTIONS = ("ValidationException", "SerializationException")


class CallhooksError(Exception):
    """Base class of the errors that callhooks raises."""


class HttpProblem(CallhooksError):
    """A request that ends with an error response.

    `detail` goes to the sender and never repeats request data, except a valid name of an unknown parameter. `reason`
    goes to the log and the metric; it is one of a few fixed strings. `log_fields` go only to the log.
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
    """401: the sender is not authenticated. Only the log says which check failed.

    `challenge` is the `WWW-Authenticate` header, if there is a scheme to name.
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
    """The secret store could not be read, and no credentials are cached."""


def describe_exception(error: BaseException) -> str:
    """Return the type of an exception and the lines of its traceback, without its text."""
    frames = traceback.extract_tb(error.__traceback__)
    place = " > ".join(f"{os.path.basename(frame.filename)}:{frame.lineno}" for frame in frames)  # noqa: PTH119 - pathlib is not imported for this
    return f"{type(error).__name__} at {place}"


def aws_error_code(error: BaseException | None) -> str | None:
    """Return the error code of an AWS response, such as `ThrottlingException`; `None` for any other error.

    It is in the `response` of botocore's `ClientError`.
    """
    response = getattr(error, "response", None)
    detail = response.get("Error") if isinstance(response, dict) else None
    code = detail.get("Code") if isinstance(detail, dict) else None
    return code if isinstance(code, str) else None


def error_name(error: BaseException) -> str:
    """Return the AWS error code of an exception, or its type if it has none."""
    return aws_error_code(error) or type(error).__name__


def is_permanent_rejection(error: BaseException | None) -> bool:
    """Return whether DynamoDB rejected an item that it will never accept."""
    return aws_error_code(error) in _PERMANENT_REJECTIONS
