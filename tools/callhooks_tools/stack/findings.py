"""Findings of `callhooks doctor`: the result of each check, and the next step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import ParamSpec, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

ACCESS_DENIED_CODES = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "AuthorizationErrorException",
        "UnauthorizedOperation",
    }
)
"""AWS error codes for a request that the user's own credentials do not allow."""
NOT_FOUND_CODES = ("ResourceNotFoundException", "NonExistentQueue")
RERUN = (
    "Run this command again. If it fails again, check your network, your AWS credentials and the AWS Health Dashboard."
)

ResponseT = TypeVar("ResponseT")
Parameters = ParamSpec("Parameters")


class FindingLevel(StrEnum):
    """Severity of a finding. A WARNING means that deliveries are still accepted."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check. No text contains a secret, a token or a URL with a token.

    `message` describes what was found; `remedy` is the next step, empty if there is nothing to do.
    """

    check: str
    level: FindingLevel
    message: str
    remedy: str = ""


def ok(check: str, message: str) -> Finding:
    """Return the finding of a check that passed."""
    return Finding(check, FindingLevel.OK, message)


def warning(check: str, message: str, remedy: str = "") -> Finding:
    """Return a finding that the operator should know about."""
    return Finding(check, FindingLevel.WARNING, message, remedy)


def failure(check: str, message: str, remedy: str = "") -> Finding:
    """Return the finding of a check that failed."""
    return Finding(check, FindingLevel.FAILURE, message, remedy)


def or_ok(findings: Iterable[Finding], check: str, message: str) -> Iterator[Finding]:
    """Yield the findings; if there are none, that the check passed."""
    yield from list(findings) or [ok(check, message)]


def existing(request: Callable[[], ResponseT]) -> ResponseT | None:
    """Return the response of AWS; `None` if the resource does not exist.

    Raises:
        ClientError, BotoCoreError: the request failed for another reason.
    """
    try:
        return request()
    except ClientError as error:
        if not any(code in error.response["Error"]["Code"] for code in NOT_FOUND_CODES):
            raise
        return None


def catch_aws_errors(check: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """Yield findings while AWS is queried for them; an error from AWS becomes the last finding."""
    try:
        yield from findings
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in ACCESS_DENIED_CODES:
            yield warning(
                check,
                f"Not checked: your AWS credentials do not allow {error.operation_name}.",
                "Run this command with credentials that allow it; docs/operations.md#check-a-deployment lists the "
                "permissions.",
            )
        else:
            yield failure(check, f"Not checked: {error.operation_name} failed with {code}.", RERUN)
    except BotoCoreError as error:
        yield failure(check, f"Not checked: AWS does not answer ({type(error).__name__}).", RERUN)


def reporting_aws_errors(
    check: str,
) -> Callable[[Callable[Parameters, Iterator[Finding]]], Callable[Parameters, Iterator[Finding]]]:
    """Decorate a check, so that an error from AWS becomes its last finding."""

    def decorated(findings: Callable[Parameters, Iterator[Finding]]) -> Callable[Parameters, Iterator[Finding]]:
        @wraps(findings)
        def caught(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Iterator[Finding]:
            return catch_aws_errors(check, findings(*args, **kwargs))

        return caught

    return decorated
