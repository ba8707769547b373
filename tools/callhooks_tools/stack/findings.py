"""What `callhooks doctor` finds: how each check ended, in words, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from botocore.exceptions import BotoCoreError, ClientError

DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "AuthorizationErrorException",
        "UnauthorizedOperation",
    }
)
"""Codes by which AWS says that the user's own credentials may not do something."""


class FindingLevel(StrEnum):
    """How a check ended; a warning is nothing that keeps deliveries from being taken."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Finding:
    """How one check ended. No secret, no token and no URL with one in it is ever in a text.

    `words` say what there is, or what is wrong; `remedy` says what to do about it, empty where there is nothing to do.
    """

    check: str
    outcome: FindingLevel
    words: str
    remedy: str = ""


def fine(check: str, words: str) -> Finding:
    """All is as it should be."""
    return Finding(check, FindingLevel.OK, words)


def warning(check: str, words: str, remedy: str = "") -> Finding:
    """Something that the operator should know."""
    return Finding(check, FindingLevel.WARNING, words, remedy)


def failure(check: str, words: str, remedy: str = "") -> Finding:
    """Something that is wrong."""
    return Finding(check, FindingLevel.FAILURE, words, remedy)


def looked_at(check: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """What a look at AWS finds, which is taken as it is asked for; where AWS refuses it, that is a finding itself."""
    try:
        yield from findings
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in DENIED:
            yield warning(
                check,
                f"could not be looked at: your AWS credentials may not do {error.operation_name}.",
                "Run it with credentials that may: docs/operations.md has the list.",
            )
        else:
            yield failure(check, f"could not be looked at: {error.operation_name} ended with {code}.")
    except BotoCoreError as error:
        yield failure(check, f"could not be looked at: AWS does not answer ({type(error).__name__}).")
