"""Loader for the first webhook of a call from the events table."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aws_lambda_powertools import Logger

from callhooks.events.event_item import key_part
from callhooks.events.event_table import EventStore
from callhooks.providers.jambonz.hook import PROVIDER
from callhooks.providers.jambonz.new_call import NEW_CALL_KEY
from callhooks.providers.payload import json_object

logger = Logger(child=True)


def initial_webhook_loader(store: EventStore) -> Callable[[str], Mapping[str, object] | None]:
    """Return a function that loads the body of a call's first webhook by its call SID.

    It returns `None` if the webhook is not stored or cannot be read. The call continues without it: variables get their
    defaults, and its other values are empty.
    """

    def load(call_sid: str) -> Mapping[str, object] | None:
        try:
            body = store.read_body(f"{PROVIDER}#{key_part(call_sid)}", f"event#{NEW_CALL_KEY}")
            return None if body is None else json_object(body)
        except Exception as error:  # noqa: BLE001 - the call continues despite any database error
            logger.warning("first webhook not loaded", extra={"failure": type(error).__name__})
            return None

    return load
