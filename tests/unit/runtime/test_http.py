"""The URL that a sender called, in the form that it signed."""

from __future__ import annotations

import pytest
from callhooks.runtime.http import Request


@pytest.mark.parametrize(
    ("public_url", "path", "url"),
    [
        ("", "/webhooks/bird", "https://api.example.com/webhooks/bird"),
        ("https://hooks.example.com", "/webhooks/bird", "https://hooks.example.com/webhooks/bird"),
        ("https://hooks.example.com/", "/webhooks/bird", "https://hooks.example.com/webhooks/bird"),
        ("http://127.0.0.1:8080", "/webhooks/bird/1", "http://127.0.0.1:8080/webhooks/bird/1"),
        ("https://hooks.example.com/voice", "/webhooks/bird", "https://hooks.example.com/voice/webhooks/bird"),
        ("https://hooks.example.com/voice", "/voice/webhooks/bird", "https://hooks.example.com/voice/webhooks/bird"),
        ("https://hooks.example.com/web", "/webhooks/bird", "https://hooks.example.com/web/webhooks/bird"),
    ],
)
@pytest.mark.parametrize("query", ["", "b=2&a=%20+"])
def test_the_url_is_the_public_address_with_the_path_as_sent(public_url: str, path: str, url: str, query: str) -> None:
    expected = f"{url}?{query}" if query else url
    assert Request("POST", path, raw_query=query, host="api.example.com").url(public_url) == expected


@pytest.mark.parametrize(
    ("route", "path", "public_url", "base_url"),
    [
        ("POST /webhooks/call", "/webhooks/call", "", "https://api.example.com"),
        ("POST /webhooks/call/{rest+}", "/webhooks/call/", "", "https://api.example.com"),
        ("POST /webhooks/call", "/prod/webhooks/call", "", "https://api.example.com/prod"),
        ("POST /webhooks/call", "/webhooks/webhooks/call", "", "https://api.example.com/webhooks"),
        ("POST /webhooks/call/flows/{flow}/{step}", "/webhooks/call/flows/a/b/c", "", "https://api.example.com"),
        (
            "POST /webhooks/call/flows/{flow}/{step}",
            "/v1/x/webhooks/call/flows/a/b",
            "",
            "https://api.example.com/v1/x",
        ),
        ("$default", "/webhooks/call", "", "https://api.example.com"),
        ("", "/prod/webhooks/call", "", "https://api.example.com"),
        # CloudFront may add a stage that callers do not send.
        ("POST /webhooks/call", "/prod/webhooks/call", "https://hooks.example.com", "https://hooks.example.com"),
        (
            "POST /webhooks/call",
            "/webhooks/call",
            "https://hooks.example.com/voice/",
            "https://hooks.example.com/voice",
        ),
    ],
)
def test_the_base_url_is_the_public_url_or_the_address_that_was_called(
    route: str, path: str, public_url: str, base_url: str
) -> None:
    request = Request("POST", path, route=route, host="api.example.com")
    assert request.base_url(public_url) == base_url
    assert public_url or request.url() == f"https://api.example.com{path}"


@pytest.mark.parametrize(
    ("context", "host"), [({"domainName": "api.example.com"}, "api.example.com"), ({}, "localhost:3000")]
)
def test_the_host_comes_from_api_gateway_if_there_is_one(context: dict[str, str], host: str) -> None:
    event = {"rawPath": "/webhooks/bird", "headers": {"Host": "localhost:3000"}, "requestContext": context}
    assert Request.from_event(event).url() == f"https://{host}/webhooks/bird"
