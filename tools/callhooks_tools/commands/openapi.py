"""`callhooks openapi`: the description of the call log's API."""

from __future__ import annotations


def openapi() -> None:
    """Print the description of the call log's API (OpenAPI 3.1)."""
    # Powertools' routes are imported by the one command that needs them.
    from callhooks.call_log.routes import openapi_text  # noqa: PLC0415

    print(openapi_text(), end="")
