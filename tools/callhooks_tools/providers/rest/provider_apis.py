"""What commands that ask a provider's API share."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

from callhooks.providers.payload import Document

from callhooks_tools.providers.rest.configuration import is_loopback
from callhooks_tools.providers.rest.errors import ControlFailed, Unreachable
from callhooks_tools.stack.terminal import console, fail, shown, shown_lines

SUBSCRIBABLE = re.compile(r"https://([a-zA-Z0-9-]+\.)+[a-zA-Z]{2,}(/[^\s]*)?", re.ASCII)
"""The URLs that Bird takes, by its reference; for any provider, a URL that it can reach and that can be trusted."""


@contextmanager
def provider_failures(*, maybe_done: str = "") -> Iterator[None]:
    """End the command with what a provider's API has answered.

    `maybe_done` is what to do where it is not known whether the provider has acted.
    """
    try:
        yield
    except ControlFailed as error:
        is_unknown = isinstance(error, Unreachable) and error.maybe_done and maybe_done
        fail(shown(f"{error}. {maybe_done}" if is_unknown else str(error)))


def check_subscribable(url: str, provider: str) -> None:
    """End the command where a provider would not take a URL, or could not reach it."""
    if not SUBSCRIBABLE.fullmatch(url):
        fail(
            f"{provider} takes an https URL with a host name and without a port, and {shown(origin_of(url))} is none. "
            "Name a stack in AWS with --stack, or with --url an address of your own that leads here."
        )


def check_callable(url: str, provider: str, api_url: str) -> None:
    """End the command where a provider, whose API is at `api_url`, could not call a URL or passwords went unencrypted.

    A provider that runs on this machine may call this machine.
    """
    if is_loopback(urlsplit(api_url).hostname or ""):
        return
    parts = urlsplit(url)
    if parts.scheme != "https" or is_loopback(parts.hostname or ""):
        fail(
            f"{provider} is to call an https URL that leads here from outside, and {shown(origin_of(url))} is none. "
            "Name a stack in AWS with --stack, or start the local run behind a tunnel: "
            "callhooks run --parameter PublicUrl=https://..."
        )


def print_documents(documents: Sequence[Document]) -> None:
    """Show what a provider has answered as a list of JSON objects."""
    _print_json([document.model_dump(by_alias=True, exclude_none=True) for document in documents])


def print_document(document: Document) -> None:
    """Show what a provider has answered as a JSON object."""
    _print_json(document.model_dump(by_alias=True, exclude_none=True))


def _print_json(value: object) -> None:
    console.print(shown_lines(json.dumps(value, indent=2, ensure_ascii=False, default=str)))


def address_of(url: str) -> str:
    """A URL that has no token in its path as it may be shown: without user, query and fragment."""
    return origin_of(url) + urlsplit(url).path


def origin_of(url: str) -> str:
    """As much of a URL as may be shown: a token may follow the host, and a password may stand before it."""
    found = re.match(r"(https?://)(?:[^/?#]*@)?([^/?#@]*)", url)
    return found[1] + found[2] if found else "what was given"
