"""Runs tools once: a tool may act, so Powertools' two-phase idempotency stands around it.

A request is noted before its tools run and completed with their outcomes afterwards. A repeat gets the outcomes, an
error that a tool ended with included: a tool that failed half way may have acted, and the model can ask anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, cast

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.idempotency import IdempotencyConfig, idempotent_function
from aws_lambda_powertools.utilities.idempotency.exceptions import IdempotencyAlreadyInProgressError

from callhooks.providers.jambonz.llm_tools.toolbox import (
    MAX_CALLS,
    MAX_RESULT_BYTES,
    PreparedCall,
    Toolbox,
    ToolCall,
    ToolOutcome,
    ToolRequest,
    failed,
)
from callhooks.runtime.errors import CallhooksError, describe_exception

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.idempotency.persistence.base import BasePersistenceLayer
    from aws_lambda_powertools.utilities.typing import LambdaContext

SECONDS_FOR_TOOLS = 5.0
"""jambonz waits 10 s for the answer, of which a cold start and two hanging writes may take their part."""
REMEMBERED_SECONDS = 86_400

STILL_AT_WORK = failed("The tool is still at work on this request.")
CANNOT_RUN = failed("The tool cannot be run at the moment. Nothing was done.")
TOOK_TOO_LONG = failed("The tool took too long. It may still come to its end.")
NOT_BEGUN = failed("There was no time left for this tool. Nothing was done.")
TOO_MANY = failed(f"Not run: at most {MAX_CALLS} at once. Ask again.")
"""Short: with 2,000 of these the answer still holds one for each request."""

logger = Logger(child=True)


class NotGuarded(CallhooksError):
    """Nothing would keep a tool from running twice."""


class ToolRunner:
    """Runs the tools of a toolbox.

    Args:
        toolbox: the tools; what kept others out is logged here.
        store: where it is noted which requests were run.
        monotonic: seconds of a clock that never goes back.
        seconds: how long the tools of one request are waited for.
    """

    def __init__(
        self,
        toolbox: Toolbox,
        *,
        store: BasePersistenceLayer,
        monotonic: Callable[[], float],
        seconds: float = SECONDS_FOR_TOOLS,
    ) -> None:
        self._toolbox = toolbox
        self._store = store
        self._monotonic = monotonic
        self._seconds = seconds
        for problem in toolbox.problems:
            logger.error("a tool cannot be used", extra={"problem": problem})
        self._run_once = idempotent_function(
            self._run_all,
            data_keyword_argument="key",
            persistence_store=store,
            key_prefix="tool",
            config=IdempotencyConfig(
                use_local_cache=True,
                expires_after_seconds=REMEMBERED_SECONDS,
                hash_function="sha256",
                lambda_context=cast("LambdaContext", _NoSecondTry()),
            ),
        )

    def run(self, requests: Sequence[ToolRequest], call: ToolCall, *, key: str) -> list[ToolOutcome]:
        """Run what is asked for, in its order, and give each an outcome; never raises.

        The first `MAX_CALLS` requests are looked at, whatever they ask for. `key` is the same for a repeat of the
        requests, and for nothing else.
        """
        prepared = [self._toolbox.prepare(request) for request in requests[:MAX_CALLS]]
        ready = [one for one in prepared if isinstance(one, PreparedCall)]
        outcomes = iter(self._outcomes(ready, call, key, self._monotonic() + self._seconds) if ready else [])
        looked_at = [next(outcomes) if isinstance(one, PreparedCall) else one for one in prepared]
        return looked_at + [TOO_MANY] * (len(requests) - len(looked_at))

    def _outcomes(self, ready: Sequence[PreparedCall], call: ToolCall, key: str, ends: float) -> list[ToolOutcome]:
        ran: list[ToolOutcome] = []
        try:
            outcomes: list[Mapping[str, Any]] = self._run_once(key=key, ready=ready, call=call, ends=ends, ran=ran)
            return [ToolOutcome(**outcome) for outcome in outcomes]
        except IdempotencyAlreadyInProgressError:
            logger.warning("a repeat came while its tool is at work")
            return [STILL_AT_WORK] * len(ready)
        except Exception as error:  # noqa: BLE001 - whatever the database does, the model gets an answer
            failure = describe_exception(error.__cause__ or error)
            if len(ran) == len(ready):
                logger.error("it could not be noted that a tool has run", extra={"failure": failure})
                return ran
            logger.error(
                "a tool was not run, since nothing would keep it from running twice", extra={"failure": failure}
            )
            return [CANNOT_RUN] * len(ready)

    def _run_all(
        self,
        *,
        key: str,  # noqa: ARG002 - for Powertools
        ready: Sequence[PreparedCall],
        call: ToolCall,
        ends: float,
        ran: list[ToolOutcome],
    ) -> list[dict[str, object]]:
        # Powertools configures the store for every guarded run, and not where idempotency is switched off.
        if not self._store.configured:
            raise NotGuarded
        # All outcomes together go into one record and one event, which DynamoDB limits.
        largest = MAX_RESULT_BYTES // len(ready)
        ran.extend(self._run_in_time(one, call, ends - self._monotonic(), largest) for one in ready)
        return [{"value": outcome.value, "is_error": outcome.is_error} for outcome in ran]

    def _run_in_time(self, one: PreparedCall, call: ToolCall, seconds: float, largest: int) -> ToolOutcome:
        if seconds <= 0:
            logger.error("a tool was not begun, no time was left", extra={"tool": one.tool.name})
            return NOT_BEGUN
        finished: SimpleQueue[ToolOutcome] = SimpleQueue()
        # Python cannot end a thread: a tool that takes too long goes on, and nobody waits for it.
        Thread(target=lambda: finished.put(one.run(call, largest=largest)), daemon=True).start()
        try:
            return finished.get(timeout=seconds)
        except Empty:
            logger.error("a tool took too long", extra={"tool": one.tool.name})
            return TOOK_TOO_LONG


class _NoSecondTry:
    """Makes a request that was begun stay so as long as it is remembered.

    With the time that is left to the invocation, as Powertools asks for it, a repeat after a crash would run the tool
    again, and nobody knows whether it had acted.
    """

    def get_remaining_time_in_millis(self) -> int:
        return REMEMBERED_SECONDS * 1000
