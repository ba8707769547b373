"""The first webhook of a call, read back from the table of events."""

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
    """Reads the body of a call's first webhook by its call SID; `None` where it is not there, or cannot be read now.

    A call that is under way goes on without it: variables get their defaults, and what only it told is empty.
    """

    def read(call_sid: str) -> Mapping[str, object] | None:
        try:
            body = store.read_body(f"{PROVIDER}#{key_part(call_sid)}", f"event#{NEW_CALL_KEY}")
            return None if body is None else json_object(body)
        except Exception as error:  # noqa: BLE001 - whatever the database does, the call goes on
            logger.warning("the first webhook cannot be read", extra={"failure": type(error).__name__})
            return None

    return read
