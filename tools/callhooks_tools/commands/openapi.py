"""`callhooks openapi`: print the OpenAPI description of the call log API."""

from __future__ import annotations

from callhooks.call_log.routes import openapi_text


def openapi() -> None:
    """Print the OpenAPI 3.1 description of the call log API."""
    print(openapi_text(), end="")
