"""The URL that a sender called, in the form that it signed."""

from __future__ import annotations

import pytest
from callhooks.runtime.http import Request


@pytest.mark.parametrize(
    ("public_url", "path", "raw_query", "url"),
    [
        ("", "/webhooks/bird", "", "https://api.example.com/webhooks/bird"),
        ("", "/webhooks/bird", "b=2&a=%20+", "https://api.example.com/webhooks/bird?b=2&a=%20+"),
        ("https://hooks.example.com", "/webhooks/bird", "", "https://hooks.example.com/webhooks/bird"),
        ("https://hooks.example.com/", "/webhooks/bird", "", "https://hooks.example.com/webhooks/bird"),
        ("http://127.0.0.1:8080", "/webhooks/bird/1", "", "http://127.0.0.1:8080/webhooks/bird/1"),
        ("https://hooks.example.com/voice", "/webhooks/bird", "", "https://hooks.example.com/voice/webhooks/bird"),
        (
            "https://hooks.example.com/voice",
            "/voice/webhooks/bird",
            "",
            "https://hooks.example.com/voice/webhooks/bird",
        ),
        ("https://hooks.example.com/web", "/webhooks/bird", "", "https://hooks.example.com/web/webhooks/bird"),
    ],
)
def test_the_url_is_the_public_address_with_the_path_as_sent(
    public_url: str, path: str, raw_query: str, url: str
) -> None:
    assert Request("POST", path, raw_query=raw_query, host="api.example.com").url(public_url) == url


def test_the_host_comes_from_api_gateway() -> None:
    event = {
        "rawPath": "/webhooks/bird",
        "headers": {"Host": "forged.example.com"},
        "requestContext": {"domainName": "api.example.com"},
    }
    assert Request.from_event(event).url() == "https://api.example.com/webhooks/bird"


def test_the_host_header_is_used_without_api_gateway() -> None:
    event = {"rawPath": "/webhooks/bird", "headers": {"Host": "localhost:3000"}}
    assert Request.from_event(event).url() == "https://localhost:3000/webhooks/bird"
