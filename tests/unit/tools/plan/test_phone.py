"""Simulated calls on a plan without a server get the same responses as from the functions."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from callhooks.providers.jambonz.plan.loader import read_plan
from callhooks_tools.providers.jambonz.phone.requests import SimulatedClock
from callhooks_tools.providers.jambonz.plan.builder import read_plan_file
from callhooks_tools.providers.jambonz.plan.phone import APPLICATION, PlanTransport

BOT = """
variables:
  GREETING: {type: string, description: Response to the bot, default: Nothing}
routes:
  - {flow: bot}
fallback: sorry
flows:
  sorry:
    - {verb: hangup}
  bot:
    - {verb: lex, botId: a, botAlias: b, credentials: {}, region: us-east-1, eventHook: {intent: found}}
  found:
    - {verb: say, text: "{GREETING}"}
"""


def test_an_event_of_a_bot_belongs_to_the_call_in_its_url(tmp_path: Path) -> None:
    file = tmp_path / "call_plan.yaml"
    file.write_text(BOT, "utf-8")
    clock = SimulatedClock(datetime(2026, 11, 21, 6, 30, tzinfo=UTC))
    transport = PlanTransport(read_plan(read_plan_file(file)), clock)

    def post(url: str, body: object) -> list[Any]:
        verbs: list[Any] = json.loads(transport.send("POST", url, {}, json.dumps(body).encode()).body)
        return verbs

    (lex,) = post(APPLICATION.call_hook, {"call_sid": "call-1", "sip": {}, "env_vars": {"GREETING": "Good morning"}})
    event = {"event": "intent", "data": {}}
    assert post(lex["eventHook"].partition("#")[0], event) == [{"verb": "say", "text": "Good morning"}]
