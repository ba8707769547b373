"""Answering party of a number, according to the call plan."""

from typing import Annotated

from callhooks.providers.jambonz.llm_tools.toolbox import ToolCall
from pydantic import Field


def who_answers(
    call: ToolCall,
    number: Annotated[str, Field(min_length=1, description="The called number, such as +14155550123, or a SIP user.")],
) -> object:
    """Find out who answers one of our numbers now: the flow that takes a call to it, and the parties it may ring."""
    answering = call.plan.who_answers(number, call.now)
    rings = ", ".join(answering.rings) or "nobody"
    return {
        "flow": answering.flow,
        "rings": answering.rings,
        "description": f"The flow {answering.flow} takes a call to {number}. It may ring {rings}.",
    }
