"""jambonz tells how a verb has ended, or asks for something, and waits for the next verbs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from callhooks.providers.jambonz.action import ActionHook, normalise, parse_action_hook
from callhooks.providers.jambonz.authentication import JambonzCredentials, precheck_credentials, verify
from callhooks.providers.jambonz.hook import PROVIDER
from callhooks.providers.jambonz.new_call_webhook import verbs_response
from callhooks.providers.jambonz.plan.call_facts import CallFacts
from callhooks.providers.jambonz.plan.outcomes import outcome_of
from callhooks.providers.jambonz.plan.plan import HookPlace, Links, Plan, Turn
from callhooks.runtime.http import Request, Response
from callhooks.webhooks.pipeline import Webhook

GO_ON = verbs_response(())


def action_webhook(
    plan: Plan,
    *,
    load_initial_webhook: Callable[[str], Mapping[str, object] | None],
    signature_header: str,
    public_url: str,
) -> Webhook[JambonzCredentials, ActionHook]:
    """The action webhook, answered from a call plan.

    `load_initial_webhook` returns the body of a call's first webhook by its call SID, `None` where it cannot be read.
    It is called only where the plan needs what the hook does not say.
    """

    def answer(hook: ActionHook, request: Request, now: datetime) -> Response:
        call_sid = hook.first_webhook_of
        facts = CallFacts(hook.document, (lambda: load_initial_webhook(call_sid)) if call_sid else (lambda: None))
        place = HookPlace(hook.flow, hook.step, hook.hook, hook.repeated)
        turn = plan.turn_after(place, outcome_of(hook.hook, hook.document), facts, now)
        if not isinstance(turn, Turn):
            return verbs_response(turn)
        links = Links(request.base_url(public_url), hook.call.call_sid or "", hook.hop, request.sender.url_key)
        return verbs_response(plan.verbs_of(turn, facts, links))

    return Webhook(
        provider=PROVIDER,
        precheck_credentials=precheck_credentials,
        verify=verify,
        signature_header=signature_header,
        parse=parse_action_hook,
        normalise=normalise,
        answer=answer,
        fallback=GO_ON,
        caller_waits=True,
    )
