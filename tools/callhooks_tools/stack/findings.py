"""Findings of `callhooks doctor`: the result of each check, and the next step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

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
RERUN = (
    "Run this command again. If it fails again, check your network, your AWS credentials and the AWS Health Dashboard."
)


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
