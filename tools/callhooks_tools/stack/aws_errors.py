"""Explanations of AWS errors: what is wrong with the user's credentials, region or network, and the next step."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004
    EndpointConnectionError,
    HTTPClientError,
    InvalidRegionError,
    LoginError,
    LoginInsufficientPermissions,
    MissingDependencyException,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

SIGN_IN = "You are not signed in to AWS, or your session has expired. Run"
EXPLANATIONS: Sequence[tuple[type[BotoCoreError], str]] = (
    (ProfileNotFound, "{error}. To list your profiles, run: aws configure list-profiles"),
    (
        NoRegionError,
        "No AWS region is set. Add --region, or run: aws configure set region REGION{option}",
    ),
    (InvalidRegionError, "{error} Pass a region such as eu-central-1 with --region."),
    (NoCredentialsError, "No AWS credentials found. Add --profile, set AWS_PROFILE, or run: aws configure sso"),
    (MissingDependencyException, 'Profiles of "aws login" need the package awscrt. Run: pip install "botocore[crt]"'),
    (SSOError, f"{SIGN_IN}: aws sso login{{option}}"),
    (TokenRetrievalError, f"{SIGN_IN}: aws sso login{{option}}"),
    (LoginInsufficientPermissions, "{error}"),
    (LoginError, f"{SIGN_IN}: aws login{{option}}"),
    (ConnectionError, "{error} Check your network, and the region (--region)."),
    (HTTPClientError, "{error} Check your network, and the region (--region)."),
    (BotoCoreError, "{error}"),
)
"""For each error, the text with the next step. The first match counts; the last one matches all."""
EXPLANATIONS_OF_CODES = {
    **dict.fromkeys(
        ("ExpiredToken", "ExpiredTokenException", "RequestExpired"),
        "Your AWS credentials have expired. Renew them. With IAM Identity Center, run: aws sso login{option}",
    ),
    **dict.fromkeys(
        ("AuthFailure", "InvalidClientTokenId", "SignatureDoesNotMatch", "UnrecognizedClientException"),
        "AWS rejected your credentials. Check --profile, and the variables AWS_PROFILE and AWS_ACCESS_KEY_ID. {error}",
    ),
}


def explain_aws_error(error: BotoCoreError | ClientError, profile: str | None) -> str:
    """Return an AWS error as one line, with the next step if it is known.

    Args:
        profile: the AWS profile in use; `None` or `default` if no profile was chosen.
    """
    if isinstance(error, EndpointConnectionError) and "//127.0.0.1:" in str(error):
        template = "{error} If the local stack has stopped, start it with: make run"
    elif isinstance(error, ClientError):
        template = EXPLANATIONS_OF_CODES.get(error.response["Error"]["Code"], "{error}")
    else:
        template = next(text for kind, text in EXPLANATIONS if isinstance(error, kind))
    option = "" if profile is None or profile == "default" else f" --profile {shlex.quote(profile)}"
    return template.format(error=" ".join(str(error).split()), option=option)
