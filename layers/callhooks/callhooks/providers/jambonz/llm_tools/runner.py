"""Run the tools of each request only once (Powertools idempotency), because a tool may have side effects.

The request is recorded before its tools run, and their outcomes are added afterwards. A duplicate gets the same
outcomes, errors included: a tool that failed half way may have changed something. The model can send a new request.
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

TOOLS_TIMEOUT_SECONDS = 5.0
"""jambonz waits 10 s for the response; a cold start and two hanging writes may use up some of that."""
RECORD_SECONDS = 86_400

STILL_RUNNING = failed("The tool is still running for this request.")
CANNOT_RUN = failed("The tool cannot run at the moment. Nothing was done.")
TOOK_TOO_LONG = failed("The tool took too long. It may still finish.")
NOT_STARTED = failed("No time was left for this tool. Nothing was done.")
TOO_MANY = failed(f"Not run: at most {MAX_CALLS} at once. Ask again.")
"""Short, so that a response has room for one of these for each of 2,000 calls."""

logger = Logger(child=True)


class IdempotencyUnavailable(CallhooksError):
    """Idempotency is off, so a tool could run twice."""


class ToolRunner:
    """Runner for the tools of a toolbox.

    Args:
        toolbox: the tools; its problems are logged on creation.
        store: records the requests and their outcomes.
        monotonic: returns the seconds of a monotonic clock.
        seconds: time limit for all tools of one request.
    """

    def __init__(
        self,
        toolbox: Toolbox,
        *,
        store: BasePersistenceLayer,
        monotonic: Callable[[], float],
        seconds: float = TOOLS_TIMEOUT_SECONDS,
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
                expires_after_seconds=RECORD_SECONDS,
                hash_function="sha256",
                lambda_context=cast("LambdaContext", _NeverExpires()),
            ),
        )

    def run(self, requests: Sequence[ToolRequest], call: ToolCall, *, key: str) -> list[ToolOutcome]:
        """Run the requested tools in order and return one outcome for each request; never raises.

        Only the first `MAX_CALLS` requests are read. `key` is the idempotency key: duplicates share it.
        """
        prepared = [self._toolbox.prepare(request) for request in requests[:MAX_CALLS]]
        ready = [one for one in prepared if isinstance(one, PreparedCall)]
        outcomes = iter(self._outcomes(ready, call, key, self._monotonic() + self._seconds) if ready else [])
        answered = [next(outcomes) if isinstance(one, PreparedCall) else one for one in prepared]
        return answered + [TOO_MANY] * (len(requests) - len(answered))

    def _outcomes(self, ready: Sequence[PreparedCall], call: ToolCall, key: str, ends: float) -> list[ToolOutcome]:
        ran: list[ToolOutcome] = []
        try:
            outcomes: list[Mapping[str, Any]] = self._run_once(key=key, ready=ready, call=call, ends=ends, ran=ran)
            return [ToolOutcome(**outcome) for outcome in outcomes]
        except IdempotencyAlreadyInProgressError:
            logger.warning("a duplicate arrived while its tool was still running")
            return [STILL_RUNNING] * len(ready)
        except Exception as error:  # noqa: BLE001 - the model gets a response whatever fails
            failure = describe_exception(error.__cause__ or error)
            if len(ran) == len(ready):
                logger.error("the outcome of a tool could not be recorded", extra={"failure": failure})
                return ran
            logger.error(
                "a tool was not run: without the tool calls table it could run twice", extra={"failure": failure}
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
        # Powertools configures the store on every guarded run, unless idempotency is switched off.
        if not self._store.configured:
            raise IdempotencyUnavailable
        # All outcomes share one record and one event, whose size DynamoDB limits.
        max_bytes = MAX_RESULT_BYTES // len(ready)
        ran.extend(self._run_in_time(one, call, ends - self._monotonic(), max_bytes) for one in ready)
        return [{"value": outcome.value, "is_error": outcome.is_error} for outcome in ran]

    def _run_in_time(self, one: PreparedCall, call: ToolCall, seconds: float, max_bytes: int) -> ToolOutcome:
        if seconds <= 0:
            logger.error("a tool was not started: no time was left", extra={"tool": one.tool.name})
            return NOT_STARTED
        finished: SimpleQueue[ToolOutcome] = SimpleQueue()
        # Python cannot stop a thread, so a tool that takes too long runs on and its result is lost.
        Thread(target=lambda: finished.put(one.run(call, max_bytes=max_bytes)), daemon=True).start()
        try:
            return finished.get(timeout=seconds)
        except Empty:
            logger.error("a tool took too long", extra={"tool": one.tool.name})
            return TOOK_TOO_LONG


class _NeverExpires:
    """Lambda context that keeps a started request "in progress" for as long as its record exists.

    With the real remaining time, a duplicate after a crash would run the tool again, although it may have acted.
    """

    def get_remaining_time_in_millis(self) -> int:
        return RECORD_SECONDS * 1000
