"""`callhooks openapi`: print the OpenAPI description of the call log API."""

from __future__ import annotations


def openapi() -> None:
    """Print the OpenAPI 3.1 description of the call log API."""
    # Imported here because no other command needs Powertools.
    from callhooks.call_log.routes import openapi_text  # noqa: PLC0415

    print(openapi_text(), end="")
