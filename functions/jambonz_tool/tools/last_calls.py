"""The caller's recent calls, from the events table."""

from typing import Annotated

from callhooks.providers.jambonz.llm_tools.toolbox import ToolCall
from pydantic import Field


def last_calls(
    call: ToolCall, limit: Annotated[int, Field(ge=1, le=10, description="How many calls to list at most.")] = 5
) -> object:
    """List the calls that the caller made before this one, the newest first: the time, the called number,
    and the outcome if it is known.

    The number comes from the call and is not an argument, so nobody can request the calls of someone else.
    """
    if call.other_party is None:
        return {"calls": [], "note": "The caller's number is unknown."}
    return {
        "calls": [
            {
                "started_at": past.started_at,
                "to": past.to,
                "outcome": past.outcome or past.status,
                "talk_seconds": past.talk_seconds,
            }
            for past in call.last_calls(limit)
        ]
    }
