"""Helpers for commands that call a provider's API."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

from callhooks.providers.payload import Document

from callhooks_tools.providers.rest.configuration import is_loopback
from callhooks_tools.providers.rest.errors import ControlFailed, Unreachable
from callhooks_tools.stack.terminal import callhooks, fail, print_json, shown

SUBSCRIBABLE = re.compile(r"https://([a-zA-Z0-9-]+\.)+[a-zA-Z]{2,}(/[^\s]*)?", re.ASCII)
"""The URLs that Bird accepts, from its reference. Any provider can reach and trust such a URL."""


@contextmanager
def provider_failures(*, maybe_done: str = "") -> Iterator[None]:
    """End the command with an error message if a request to a provider's API fails.

    `maybe_done` says what to do if the provider may have acted on the request.
    """
    try:
        yield
    except ControlFailed as error:
        is_unknown = isinstance(error, Unreachable) and error.maybe_done
        remedy = maybe_done if is_unknown else error.remedy
        fail(shown(f"{str(error).removesuffix('.')}. {remedy}" if remedy else str(error)))


def check_subscribable(url: str, provider: str) -> None:
    """End the command if a provider would not accept a URL, or could not reach it."""
    if not SUBSCRIBABLE.fullmatch(url):
        fail(
            f"{provider} cannot send events to {shown(displayed_origin(url))}. It needs an https URL with a host name "
            "and no port. Use a stack in AWS (--stack NAME), or a public address that forwards to this stack "
            "(--url https://...)"
        )


def check_callable(url: str, provider: str, api_url: str) -> None:
    """End the command if a provider, whose API is at `api_url`, could not call a URL or would send passwords in clear.

    A provider on this machine may call this machine.
    """
    if is_loopback(urlsplit(api_url).hostname or ""):
        return
    parts = urlsplit(url)
    if parts.scheme != "https" or is_loopback(parts.hostname or ""):
        fail(
            f"{provider} cannot call {shown(displayed_origin(url))}. It needs an https URL that it can reach. "
            "Use a stack in AWS (--stack NAME), or start the local stack behind a tunnel: "
            + callhooks("run --parameter PublicUrl=https://...")
        )


def print_documents(documents: Sequence[Document]) -> None:
    """Print objects from a provider as a JSON array."""
    print_json([document.model_dump(by_alias=True, exclude_none=True) for document in documents])


def print_document(document: Document) -> None:
    """Print an object from a provider as JSON."""
    print_json(document.model_dump(by_alias=True, exclude_none=True))


def displayed_address(url: str) -> str:
    """Return a URL without user, query and fragment. Only for URLs that have no token in the path."""
    return displayed_origin(url) + urlsplit(url).path


def displayed_origin(url: str) -> str:
    """Return scheme and host of a URL, without a password before the host or a token after it."""
    found = re.match(r"(https?://)(?:[^/?#]*@)?([^/?#@]*)", url)
    return found[1] + found[2] if found else "(not a URL)"
