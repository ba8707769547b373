"""The caller's last calls, from the table of events."""

from typing import Annotated

from callhooks.providers.jambonz.llm_tools.toolbox import ToolCall
from pydantic import Field


def last_calls(
    call: ToolCall, limit: Annotated[int, Field(ge=1, le=10, description="How many calls to list at most.")] = 5
) -> object:
    """List the calls that the caller made before this one, the newest first: when, to which number,
    and how they ended where that is known.

    The number is that of the call itself and no argument, so that nobody can ask for the calls of somebody else.
    """
    if call.other_party is None:
        return {"calls": [], "note": "The caller's number is not known."}
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
