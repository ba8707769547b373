"""Transport for simulated calls on a plan without a server: it calls the webhook classes directly."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from callhooks.providers.jambonz.action import ActionWebhook
from callhooks.providers.jambonz.authentication import DEFAULT_SIGNATURE_HEADER
from callhooks.providers.jambonz.new_call import NewCallWebhook, verbs_response
from callhooks.providers.jambonz.plan.plan import Plan
from callhooks.providers.jambonz.tool_hook import error_response
from callhooks.providers.payload import json_object
from callhooks.runtime.errors import HttpProblem
from callhooks.runtime.http import Request, Response, Sender, problem_response

from callhooks_tools.providers.jambonz.phone import Application, Reply
from callhooks_tools.providers.jambonz.phone.requests import Clock

PUBLIC_URL = "https://callhooks.example.com"
APPLICATION = Application(f"{PUBLIC_URL}/webhooks/call", username="jambonz", password="none", webhook_secret="none")

_STEP = re.compile(r"/webhooks/call/flows/(?P<flow>[^/]+)/(?P<step>[^/]+)")


_TOOL = re.compile(r"/webhooks/tool/(?P<vendor>[^/]+)")


class PlanTransport:
    """Transport that answers as the functions do, at the simulated time, without authentication or storage."""

    def __init__(self, plan: Plan, clock: Clock) -> None:
        self._clock = clock
        self._first: Mapping[str, object] | None = None
        self._new_call = NewCallWebhook(plan, signature_header=DEFAULT_SIGNATURE_HEADER, public_url=PUBLIC_URL)
        self._action = ActionWebhook(
            plan,
            load_initial_webhook=lambda _: self._first,
            signature_header=DEFAULT_SIGNATURE_HEADER,
            public_url=PUBLIC_URL,
        )

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Reply:
        """Answer one request; a request that belongs to no flow, such as an event, gets no verbs."""
        parts = urlsplit(url)
        step = _STEP.fullmatch(parts.path) or _TOOL.fullmatch(parts.path)
        request = Request(
            method,
            parts.path,
            parts.query,
            headers,
            body or b"",
            path_parameters=step.groupdict() if step else {},
            sender=Sender(call_id=dict(parse_qsl(parts.query)).get("call")),
        )
        try:
            response = self._answer(request)
        except HttpProblem as problem:
            response = problem_response(problem)
        return Reply(response.status, {"content-type": response.content_type}, response.body.encode())

    def _answer(self, request: Request) -> Response:
        now = self._clock.now()
        if "flow" in request.path_parameters:
            hook = self._action.decide(self._action.parse(request), request, now)
            return self._action.answer(hook, request, now)
        if request.path == "/webhooks/call":
            self._first = self._first or json_object(request.body)
            call = self._new_call.decide(self._new_call.parse(request), request, now)
            return self._new_call.answer(call, request, now)
        if request.path.startswith("/webhooks/tool/"):
            return error_response("Tools are not run here.", request)
        return verbs_response(())
