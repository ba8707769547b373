"""The simulated phone sends what jambonz 0.9.8 sends, and rejects what it rejects.

The sets of members come from requests that feature-server 0.9.8 really sent.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from callhooks_tools.providers.jambonz.phone import NewCall, Reply
from callhooks_tools.providers.jambonz.phone.bodies import snake_keys
from callhooks_tools.providers.jambonz.phone.requests import shown_url
from callhooks_tools.providers.jambonz.phone.script import ScriptedCaller, ScriptProblem
from callhooks_tools.providers.jambonz.phone.steps import Ended, Heard, Sent
from hypothesis import given
from hypothesis import strategies as st

from tests.phone import (
    BASE,
    CALL_HOOK,
    CLOSED_CONNECTION,
    REFUSED_CONNECTION,
    STATUS_HOOK,
    TIMED_OUT,
    Answer,
    Answers,
    MadeCall,
    Verbs,
    answer,
    endlessly,
    in_turn,
    make_call,
)
from tests.properties import examples
from tests.support import NOW

CALL_INFO = {
    "call_sid", "direction", "from", "to", "call_id", "sbc_callid", "sip_status", "sip_reason", "call_status",
    "account_sid", "trace_id", "application_sid", "fs_sip_address", "originating_sip_ip", "originating_sip_trunk_name",
}  # fmt: skip
RAW_CALL_INFO = CALL_INFO - {"fs_sip_address"} | {"local_sip_address", "has_recording", "caller_name"}
DIALLED_LEG = CALL_INFO - {"originating_sip_ip", "originating_sip_trunk_name"} | {"caller_id", "parent_call_sid"}
SPEECH_FIGURES = {"stt_latency_ms", "stt_talkspurts", "stt_start_time", "stt_stop_time", "stt_usage"}

JSON = {"content-type": "application/json; charset=utf-8"}
HANGUP: Verbs = [{"verb": "hangup"}]
SAY: Verbs = [{"verb": "say", "text": "Hello"}]
MENU: dict[str, Any] = {"verb": "gather", "numDigits": 1, "actionHook": f"{BASE}/menu"}
DIAL: dict[str, Any] = {"verb": "dial", "target": [{"type": "phone", "number": "+14155550100"}]}
DIAL["actionHook"] = f"{BASE}/dialled"
GATHER = {**MENU, "input": ["digits", "speech"]}
PLAY = {"verb": "play", "url": ["a.wav", "b.wav"], "actionHook": f"{BASE}/hook"}
LISTEN = {"verb": "stream", "url": "wss://a.example.com", "finishOnKey": "#", "maxLength": 60}
LISTEN["actionHook"] = f"{BASE}/hook"
MESSAGE = {"verb": "message", "to": "1", "from": "2", "text": "Hi", "actionHook": f"{BASE}/hook"}
DEQUEUE = {"verb": "dequeue", "name": "support", "actionHook": f"{BASE}/hook"}


def heard(made: MadeCall) -> list[str]:
    return [step.text for step in made.of(Heard)]


class TestTheFirstWebhook:
    def test_has_the_members_and_headers_that_jambonz_sends(self) -> None:
        made = make_call(HANGUP, call=NewCall(to="+14155550123", from_="+12125550187", env_vars={"MAX": 3}))
        body, headers = made.body(CALL_HOOK), made.application.requests[0].headers
        assert set(body) == RAW_CALL_INFO | {"sip", "service_provider_sid", "defaults", "env_vars"}
        assert (body["call_status"], body["sip_status"], body["direction"]) == ("trying", 100, "inbound")
        assert body["env_vars"] == {"MAX": 3}
        assert set(body["sip"]) == {"headers", "raw", "body", "method", "version", "uri", "payload"}
        assert set(headers) == {"Jambonz-Signature", "Authorization", "b3", "user-agent", "Content-Type"}
        assert headers["user-agent"] == "jambonz"
        assert [len(part) for part in headers["b3"].split("-")] == [32, 16, 1]

    def test_has_the_caller_name_in_quotes_and_no_trunk_for_a_sip_user(self) -> None:
        call = NewCall(to="+14155550123", from_="jane", caller_name="Jane", trunk=None, headers={"X-CID": "9"})
        body = make_call(HANGUP, call=call).body(CALL_HOOK)
        assert body["caller_name"] == '"Jane"'
        assert {"originating_sip_trunk_name", "env_vars"}.isdisjoint(body)
        assert body["sip"]["headers"]["X-CID"] == "9"
        assert body["sip"]["headers"]["from"].startswith('"Jane" <sip:jane@')
        assert "X-Originating-Carrier" not in body["sip"]["headers"]

    def test_of_a_rest_call_comes_after_the_answer_with_fewer_members(self) -> None:
        call = NewCall(to="14155550199", from_="+12125550187", direction="outbound", env_vars={"A": "b"})
        made = make_call(SAY, call=call)
        body = made.body(CALL_HOOK)
        expected = CALL_INFO - {"sbc_callid", "originating_sip_ip", "originating_sip_trunk_name"}
        assert set(body) == expected | {"env_vars", "defaults"}
        assert (body["call_status"], body["sip_status"]) == ("in-progress", 200)
        assert made.statuses() == ["trying", "ringing", "in-progress", "completed"]
        failed = make_call([], call=call)
        assert (failed.refused, failed.ended.call_status) == (["no application provided"], "completed")


MATRIX: list[tuple[str, Answer, str | None]] = [
    ("an array", SAY, None),
    ("an array in the short form", [{"say": {"text": "Hello"}}], None),
    ("a byte order mark", Reply(200, JSON, b"\xef\xbb\xbf" + json.dumps(SAY).encode()), None),
    ("202 with an array", Reply(202, JSON, json.dumps(SAY).encode()), None),
    ("an empty array", answer([]), "no application provided"),
    ("an object", answer({"verb": "say"}), "malformed jambonz payload: must be array"),
    ("a text", answer("say"), "malformed jambonz payload: must be array"),
    ("an array of texts", answer(["say"]), "malformed jambonz payload: must be array of objects"),
    ("no verb", answer([{"text": "Hello", "loop": 2}]), "malformed jambonz payload: missing verb property"),
    ("an empty object", answer([{}]), "malformed jambonz payload: missing verb property"),
    ("text/plain", Reply(200, {"content-type": "text/plain"}, json.dumps(SAY).encode()), "must be array"),
    ("no content type", Reply(200, {}, json.dumps(SAY).encode()), "must be array"),
    ("204", Reply(204, {}, b""), "must be array"),
    ("an empty JSON body", Reply(200, JSON, b""), "Unexpected end of JSON input"),
    ("broken JSON", Reply(200, JSON, b'[{"verb": "say"'), "not JSON"),
    ("NaN", Reply(200, JSON, b'[{"verb": "pause", "length": NaN}]'), "not JSON"),
    ("problem JSON", Reply(200, {"content-type": "application/problem+json"}, b"[]"), "must be array"),
    ("201", Reply(201, JSON, json.dumps(SAY).encode()), "Unexpected HTTP Response (201)"),
    ("206", Reply(206, JSON, json.dumps(SAY).encode()), "Unexpected HTTP Response (206)"),
    ("302", Reply(302, {"location": f"{BASE}/menu"}, b""), "Unexpected HTTP Response (302)"),
    ("404", Reply(404, JSON, b"[]"), "Unexpected HTTP Response (404)"),
    ("500", Reply(500, JSON, b"[]"), "Unexpected HTTP Response (500)"),
    ("no connection", REFUSED_CONNECTION, "connection failed: refused"),
    ("too late", TIMED_OUT, "Headers Timeout Error"),
    ("an unknown verb", answer([*SAY, {"verb": "sya"}]), "invalid instruction: sya"),
    ("an unknown member", answer([*SAY, {"verb": "pause", "wrong": 1}]), "pause: unknown property wrong"),
]
IGNORED_IN_ACTION_HOOKS = {
    "an empty array", "an object", "a text", "text/plain", "no content type", "204", "problem JSON",
}  # fmt: skip


class TestTheOutcomeMatrix:
    @pytest.mark.parametrize(("given", "reason"), [row[1:] for row in MATRIX], ids=[row[0] for row in MATRIX])
    def test_of_the_first_webhook(self, given: Answer, reason: str | None) -> None:
        made = make_call({CALL_HOOK: given})
        if reason is None:
            assert (made.refused, heard(made)) == ([], ["Hello"])
            return
        [refused] = made.refused
        assert reason in refused
        assert (made.ended.sip_status, made.ended.by, made.application.statuses) == (480, "jambonz", [])
        if isinstance(given, Exception):
            [sent] = made.of(Sent)
            assert (sent.status, sent.answer) == (None, "")

    @pytest.mark.parametrize(("name", "given", "reason"), MATRIX, ids=[row[0] for row in MATRIX])
    def test_of_an_action_hook(self, name: str, given: Answer, reason: str | None) -> None:
        rest = {"verb": "say", "text": "The rest"}
        made = make_call({CALL_HOOK: [MENU, rest], "/menu": given}, "press 1")
        assert heard(made) == (["Hello"] if reason is None else ["The rest"])
        if reason is None or name in IGNORED_IN_ACTION_HOOKS:
            assert made.refused == []
        else:
            [refused] = made.refused
            assert reason in refused
        assert made.ended.call_status == "completed"

    @pytest.mark.parametrize("verb", ["redirect", "llm"])
    @pytest.mark.parametrize(
        ("given", "continues"),
        [(Reply(500, {}, b""), False), (answer([{"verb": "sya"}]), False), ([], True)],
        ids=["500", "unknown verb", "empty"],
    )
    def test_an_error_at_some_hooks_ends_the_call(self, verb: str, given: Answer, continues: bool) -> None:
        verbs = [{"verb": "answer"}, {"verb": verb, "vendor": "openai", "actionHook": f"{BASE}/next"}, *SAY]
        made = make_call({CALL_HOOK: verbs, "/next": given}, "llm ends" if verb == "llm" else "")
        assert heard(made) == (["Hello"] if continues else [])
        assert (made.ended.by, made.ended.call_status) == ("jambonz", "completed")

    def test_a_gather_reports_invalid_verbs_to_the_status_hook(self) -> None:
        made = make_call({CALL_HOOK: [MENU], "/menu": [{"verb": "sya"}]}, "press 1")
        [event] = [status for status in made.application.statuses if "error" in status]
        assert set(event) == CALL_INFO | {"error", "reason"}
        assert (event["error"], event["reason"]) == ("invalid actionHook response", "invalid instruction: sya")

    def test_a_sip_request_is_reported_again_as_a_failure_and_ends_the_call(self) -> None:
        verbs = [{"verb": "answer"}, {"verb": "sip:request", "method": "INFO", "actionHook": f"{BASE}/requested"}, *SAY]
        made = make_call({CALL_HOOK: verbs, "/requested": Reply(500, {}, b"")})
        first, second = [request.body for request in made.application.at("/requested")]
        assert (first["result"], first["sip_status"]) == ("success", 200)
        assert (second["result"], second["err"]) == ("failed", "Unexpected HTTP Response (500)")
        assert heard(made) == []


FRAGMENTS = {
    "#": 1,
    "#rp=all&rc=2": 3,
    "#rc=9&rp=all": 6,
    "#rc=x&rp=all": 1,
    "#rc=2x&rp=all": 3,
    "#rc=-2&rp=all": 3,
    "#rc=%202&rp=all": 3,
    "#rc=+2&rp=all": 3,
    "#rc=2.9&rp=all": 3,
    "#rc=0x3&rp=all": 4,
    "#rc=1e3&rp=all": 2,
    "#rc=&rp=all": 1,
    "#rc=1&rc=&rp=all": 1,
    "#rc=1&rc=2&rp=all": 3,
    "#rc=2&rp=": 1,
    "#rc=2&rp=ALL": 1,
    "#rc=2&rp=ct, 5xx": 3,
    "#rc=2&rp=5xx;all": 1,
    "#RC=2&rp=all": 1,
    "#rc=2&rp=all#x": 1,
    "#?rc=2&rp=all": 3,
    "#rc=2&amp;rp=all": 1,
    "#rc=%32&rp=all": 3,
    "#rc=\u0662&rp=all": 1,
    "#rc=2&rp=a%6cl": 3,
    "#rc=2&&rp=all&": 3,
    "#rc=2&rp=all/": 1,
    "#/rc=2&rp=all": 1,
    f"#rc={'9' * 5000}&rp=all": 6,
}


class TestRequests:
    @pytest.mark.parametrize(
        ("fragment", "given", "tries"),
        [
            ("", Reply(500, {}, b""), 1),
            ("#rc=2", Reply(500, {}, b""), 1),
            ("#rc=2", REFUSED_CONNECTION, 3),
            ("#rc=2&rp=ct,5xx", REFUSED_CONNECTION, 3),
            ("#rc=2&rp=4xx,5xx", REFUSED_CONNECTION, 1),
            ("#rc=2&rp=ct,5xx", CLOSED_CONNECTION, 1),
            ("#rc=2&rp=rt,4xx,5xx", CLOSED_CONNECTION, 1),
            ("#rc=2&rp=all", CLOSED_CONNECTION, 3),
            ("#rc=2&rp=ct,5xx", Reply(200, JSON, b"[1,"), 1),
            ("#rc=2&rp=all", Reply(200, JSON, b"[1,"), 3),
            ("#rc=2&rp=all", Reply(401, {}, b""), 3),
            ("#rc=2&rp=ct,5xx", Reply(401, {}, b""), 1),
            ("#rc=2&rp=5xx", Reply(503, {}, b""), 3),
            ("#rc=1&rp=4xx,5xx", Reply(404, {}, b""), 2),
            ("#rc=1&rp=5xx", Reply(404, {}, b""), 1),
            ("#rc=1&rp=rt", TIMED_OUT, 1),
            ("#rc=1&rp=ct,5xx", TIMED_OUT, 1),
            ("#rc=1&rp=all", TIMED_OUT, 2),
            ("#rc=1&rp=all", Reply(302, {}, b""), 2),
            # How jambonz reads a fragment: the real requestor made this many tries.
            *((fragment, Reply(500, {}, b""), tries) for fragment, tries in FRAGMENTS.items()),
        ],
    )
    def test_are_retried_as_the_fragment_says(self, fragment: str, given: Answer, tries: int) -> None:
        made = make_call({CALL_HOOK: given}, call_hook=f"{BASE}{CALL_HOOK}{fragment}")
        assert len(made.application.requests) == tries
        assert [attempt for _, attempt, _ in made.tries] == list(range(1, tries + 1))

    def test_are_retried_byte_for_byte_with_growing_delays(self) -> None:
        made = make_call({CALL_HOOK: Reply(500, {}, b"")}, call_hook=f"{BASE}{CALL_HOOK}#rc=5&rp=5xx")
        assert all(request == made.application.requests[0] for request in made.application.requests)
        assert made.application.requests[0].url == BASE + CALL_HOOK
        assert made.slept == [0.5, 1, 2, 4, 6]
        answers = {CALL_HOOK: in_turn(Reply(503, {}, b""), SAY)}
        repaired = make_call(answers, call_hook=f"{BASE}{CALL_HOOK}#rc=2&rp=5xx")
        assert (repaired.refused, heard(repaired)) == ([], ["Hello"])

    @pytest.mark.parametrize(
        ("hook", "url"),
        [
            ("/menu?step=1", f"{BASE}/menu?step=1"),
            (f"{BASE}/menu?token=a%20b&x=1&x=2", f"{BASE}/menu?token=a%20b&x=2"),
            (BASE, f"{BASE}/"),
        ],
        ids=["relative to the host", "a duplicate parameter", "without a path"],
    )
    def test_go_to_the_url_of_a_hook(self, hook: str, url: str) -> None:
        answers: Answers = {"/prod/call": [{**MENU, "actionHook": hook}], "/menu": [], "/": []}
        made = make_call(answers, "press 1", call_hook=f"{BASE}/prod/call?a=b")
        urls = [request.url for request in made.application.requests if not request.url.endswith(STATUS_HOOK)]
        assert (made.refused, urls[1:]) == ([], [url])

    def test_to_a_relative_hook_send_its_fragment_and_are_not_retried(self) -> None:
        answers: Answers = {CALL_HOOK: [{**MENU, "actionHook": "/menu#rc=2&rp=5xx"}]}
        made = make_call(answers, "press 1")
        [request] = [request for request in made.application.requests if "/menu" in request.url]
        assert request.path == "/menu%23rc=2&rp=5xx"
        assert "fragment of a relative hook" in made.notes

    @pytest.mark.parametrize("hook", ["menu", "ftp://app.example.com/x", "https://", "https://[bad/x"])
    def test_need_a_valid_url(self, hook: str) -> None:
        made = make_call([{**MENU, "actionHook": hook}], "press 1")
        assert made.refused[0].startswith("Invalid URL")

    @pytest.mark.parametrize("host", [BASE, "https://other.example.net"])
    def test_carry_the_credentials_of_the_call_hook_to_every_host(self, host: str) -> None:
        hook = {"url": f"{host}/menu", "username": "else", "password": "wrong"}
        made = make_call({CALL_HOOK: [{**MENU, "actionHook": hook}]}, "press 1")
        first = made.application.requests[0].headers["Authorization"]
        assert {request.headers["Authorization"] for request in made.application.requests} == {first}
        assert "jambonz ignores the credentials in a hook" in made.notes

    def test_by_get_have_no_body_and_cannot_be_verified(self) -> None:
        hook = {"url": f"{BASE}/menu", "method": "GET"}
        made = make_call({CALL_HOOK: [{**MENU, "actionHook": hook}], "/menu": SAY}, "press 1")
        [request] = made.application.at("/menu")
        assert (request.method, request.content, request.url) == ("GET", None, f"{BASE}/menu")
        assert "Content-Type" not in request.headers
        assert heard(made) == ["Hello"]

    def test_have_no_credentials_after_a_redirect_to_another_host(self) -> None:
        made = make_call([{"verb": "redirect", "actionHook": "https://other.example.net/start"}])
        assert "Authorization" not in made.application.requests[-1].headers
        assert "another host, https://other.example.net: from now on jambonz sends no Authorization" in made.notes
        made = make_call({CALL_HOOK: [{"verb": "redirect", "actionHook": f"{BASE}/start"}], "/start": SAY})
        assert (made.notes, heard(made)) == ("", ["Hello"])
        assert set(made.body("/start")) == CALL_INFO
        assert made.body("/start")["call_status"] == "trying"

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("https://u:p@app.example.com/x?hop=2&token=abc&Api-Key=k#rc=1", f"{BASE}/x?hop=2&token=***&Api-Key=***"),
            ("/menu?pwd=1", "/menu?pwd=***"),
            ("silence_stream://500", "silence_stream://500"),
        ],
    )
    def test_are_shown_without_secrets(self, url: str, shown: str) -> None:
        assert shown_url(url) == shown

    def test_never_show_the_password_or_the_signature(self) -> None:
        shown = "\n".join(f"{step} {step!r}" for step in make_call([MENU], "press 1").steps)
        assert not [secret for secret in ("s3cr3t", "v1=") if secret in shown]


class TestBodies:
    @pytest.mark.parametrize(
        ("verb", "line", "members", "expected"),
        [
            (GATHER, "press 1", {"digits", "reason"}, {"digits": "1", "reason": "dtmfDetected"}),
            (GATHER, "wait", {"reason"}, {"reason": "timeout"}),
            (GATHER, "say sales please", {"speech", "reason"} | SPEECH_FIGURES, {"reason": "speechDetected"}),
            (GATHER, "low confidence sales", {"speech", "reason"} | SPEECH_FIGURES, {"reason": "stt-low-confidence"}),
            (GATHER, "error", {"reason", "details"},
             {"reason": "error", "details": "connection to speech vendor failed"}),
            ({**GATHER, "id": "main"}, "press 1", {"digits", "reason", "verb_id"}, {"verb_id": "main"}),
            (PLAY, "", {"playback_seconds", "playback_milliseconds", "playback_last_offset_pos", "reason"},
             {"playback_seconds": 6, "reason": "playCompleted"}),
            (PLAY, "play failed", {"reason", "status"}, {"reason": "playFailed", "status": "fail"}),
            (LISTEN, "listen 17 #", {"dial_call_duration", "digits"}, {"dial_call_duration": 17, "digits": "#"}),
            (LISTEN, "listen 17", {"dial_call_duration"}, {"dial_call_duration": 17}),
            (LISTEN, "listen 90", {"dial_call_duration"}, {"dial_call_duration": 60}),
            (LISTEN, "listen 90 #", {"dial_call_duration"}, {"dial_call_duration": 60}),
            (LISTEN, "listen 5 1", {"dial_call_duration"}, {"dial_call_duration": 5}),
            (MESSAGE, "", {"message_sid", "message_status", "carrier", "carrier_message_id"}, {}),
            (MESSAGE, "message no carriers", {"message_sid", "message_status"}, {}),
            (DEQUEUE, "", {"dequeue_result"}, {"dequeue_result": "complete"}),
            (DEQUEUE, "dequeue timeout", {"dequeue_result"}, {"dequeue_result": "timeout"}),
        ],
        ids=lambda value: value or "ends" if isinstance(value, str) else "",
    )  # fmt: skip
    def test_contain_the_call_and_the_result_of_the_verb(
        self, verb: dict[str, Any], line: str, members: set[str], expected: dict[str, object]
    ) -> None:
        made = make_call({CALL_HOOK: [{"verb": "answer"}, {**verb, "actionHook": f"{BASE}/hook"}], "/hook": []}, line)
        body = made.body("/hook")
        assert set(body) == CALL_INFO | members
        assert expected.items() <= body.items()
        assert (body["call_status"], body["sip_status"], body["sip_reason"]) == ("in-progress", 200, "OK")

    def test_of_speech_have_the_common_form_of_all_vendors(self) -> None:
        recognizer = {"vendor": "deepgram", "language": "nl-NL"}
        gather = {**MENU, "input": ["speech"], "recognizer": recognizer, "partialResultHook": f"{BASE}/partial"}
        made = make_call({CALL_HOOK: [gather], "/menu": [], "/partial": []}, "say hallo")
        speech = made.body("/menu")["speech"]
        assert set(speech) == {"language_code", "channel_tag", "is_final", "alternatives", "vendor"}
        assert (speech["language_code"], speech["vendor"]["name"], speech["is_final"]) == ("nl-NL", "deepgram", True)
        assert speech["alternatives"][0]["transcript"] == "hallo"
        assert made.body("/partial")["speech"]["is_final"] is False

    def test_of_a_transcription_are_raw_and_come_until_the_hook_returns_verbs(self) -> None:
        transcribe = {"verb": "transcribe", "transcriptionHook": f"{BASE}/said"}
        verbs: Verbs = [{"verb": "tag", "data": {"orderId": 7}}, transcribe]
        made = make_call({CALL_HOOK: verbs, "/said": in_turn([], SAY)}, "say one\nsay two")
        first, second = [request.body for request in made.application.at("/said")]
        assert set(first) == RAW_CALL_INFO | {"b3", "speech", "customerdata"}
        assert first["customerdata"] == {"order_id": 7}
        assert second["speech"]["alternatives"][0]["transcript"] == "two"
        assert heard(made) == ["Hello"]

    def test_contain_tags_with_unchanged_keys(self) -> None:
        data = {"orderId": "A-1", "deep": {"someKey": 1}}
        verbs = [{"verb": "tag", "data": {"old": 1}}, {"verb": "tag", "data": data}, MENU]
        made = make_call({CALL_HOOK: verbs, "/menu": []}, "press 1")
        assert made.body("/menu")["customerData"] == made.application.statuses[-1]["customerData"] == data

    @pytest.mark.parametrize(
        ("line", "expected", "events"),
        [
            ("", {"refer_status": 202, "final_referred_call_status": 200}, [200]),
            ("refer 486", {"refer_status": 202, "final_referred_call_status": 486}, [486]),
            ("refer no notify", {"refer_status": 202}, []),
            ("refer rejected", {"refer_status": 603}, []),
        ],
    )
    def test_of_a_refer(self, line: str, expected: dict[str, int], events: list[int]) -> None:
        refer = {"verb": "sip:refer", "referTo": "+14155550100"}
        refer |= {"actionHook": f"{BASE}/referred", "eventHook": f"{BASE}/event"}
        made = make_call({CALL_HOOK: [{"verb": "answer"}, refer], "/referred": [], "/event": []}, line)
        body = made.body("/referred")
        assert set(body) == CALL_INFO | set(expected)
        assert expected.items() <= body.items()
        bodies = [request.body for request in made.application.at("/event")]
        assert bodies == [{"event": "transfer-status", "call_status": status} for status in events]

    @pytest.mark.parametrize(
        ("line", "types"),
        [
            ("", ["amd_human_detected"]),
            ("amd machine", ["amd_machine_detected", "amd_machine_stopped_speaking"]),
            ("amd no speech", ["amd_no_speech_detected"]),
            ("amd undecided", ["amd_decision_timeout"]),
        ],
    )
    def test_of_answering_machine_detection(self, line: str, types: list[str]) -> None:
        config = {"verb": "config", "amd": {"actionHook": f"{BASE}/amd"}}
        made = make_call({CALL_HOOK: [config, *SAY], "/amd": []}, line)
        bodies = [request.body for request in made.application.at("/amd")]
        assert [body["type"] for body in bodies] == types
        assert set(bodies[0]) >= CALL_INFO
        # Verbs in the response replace the rest.
        made = make_call({CALL_HOOK: [config, MENU], "/amd": [{"verb": "say", "text": "Call back"}]}, line)
        assert (heard(made), len(made.application.at("/amd"))) == (["Call back"], 1)

    @pytest.mark.parametrize(
        ("key", "expected"),
        [
            ("orderId", "order_id"), ("maskedITN", "masked_i_t_n"), ("X-Foo", "x_foo"), ("User-Agent", "user_agent"),
            ("already_so", "already_so"), ("two words", "two_words"), ("URL", "url"),
        ],
    )  # fmt: skip
    def test_rewrite_keys_as_jambonz_does(self, key: str, expected: str) -> None:
        assert snake_keys({key: [{key: 1}]}) == {expected: [{expected: 1}]}


class TestGather:
    @pytest.mark.parametrize(
        ("members", "keys", "digits"),
        [
            ({"numDigits": 2}, "12", "12"),
            ({"numDigits": 2}, "123", "12"),
            ({"maxDigits": 3, "minDigits": 1}, "123", "123"),
            ({"finishOnKey": "#"}, "12#", "12"),
            ({"finishOnKey": "#"}, "#", ""),
            ({"numDigits": 4, "finishOnKey": "#"}, "12#4", "12"),
            ({"maxDigits": 4, "minDigits": 2}, "12", "12"),
            ({"maxDigits": 4, "minDigits": 2, "interDigitTimeout": 3}, "123", "123"),
            # Without minDigits, jambonz never has enough digits.
            ({"maxDigits": 4, "interDigitTimeout": 3}, "12", None),
            ({"maxDigits": 4, "minDigits": 3}, "12", None),
            ({}, "12", None),
        ],
    )
    def test_ends_when_jambonz_has_enough_digits(self, members: dict[str, Any], keys: str, digits: str | None) -> None:
        gather = {"verb": "gather", "actionHook": f"{BASE}/menu", **members}
        body = make_call({CALL_HOOK: [gather], "/menu": []}, f"press {keys}").body("/menu")
        assert body.get("digits") == digits
        assert body["reason"] == ("timeout" if digits is None else "dtmfDetected")

    @pytest.mark.parametrize(
        ("members", "script", "expected"),
        [
            ({"input": ["digits"]}, "say sales", {"reason": "timeout"}),
            ({"input": ["speech"]}, "press 1", {"reason": "timeout"}),
            ({"timeout": 0}, "wait\nwait\npress 2", {"digits": "2"}),
        ],
    )
    def test_waits_for_input_that_it_accepts(
        self, members: dict[str, Any], script: str, expected: dict[str, str]
    ) -> None:
        made = make_call({CALL_HOOK: [{**MENU, **members}], "/menu": []}, script)
        assert expected.items() <= made.body("/menu").items()

    @pytest.mark.parametrize(
        ("members", "early", "seconds"),
        [({}, "", 14), ({}, " early", 0), ({"listenDuringPrompt": False}, " early", 29)],
    )
    def test_accepts_keys_while_its_prompt_is_playing(self, members: dict[str, Any], early: str, seconds: int) -> None:
        gather = {**MENU, "say": {"text": "x" * 210}, **members}
        made = make_call({CALL_HOOK: [gather], "/menu": []}, f"press 1{early}")
        assert heard(made) == ["x" * 210]
        assert made.ended.seconds == seconds
        assert made.body("/menu").get("digits") == (None if members else "1")

    def test_without_a_hook_sends_no_request(self) -> None:
        made = make_call([{"verb": "gather", "numDigits": 1}, *SAY], "press 1")
        assert (len(made.tries), heard(made)) == (1, ["Hello"])

    def test_is_skipped_while_barge_in_is_on_for_the_whole_call(self) -> None:
        barge_in = {"enable": True, "input": ["digits", "speech"], "numDigits": 1, "actionHook": f"{BASE}/barged"}
        verbs = [{"verb": "config", "bargeIn": barge_in}, *SAY, MENU, {"verb": "pause", "length": 9}]
        made = make_call({CALL_HOOK: verbs, "/barged": [{"verb": "say", "text": "Yes?"}]}, "interrupt press 2")
        assert made.body("/barged")["digits"] == "2"
        assert heard(made) == ["Hello", "Yes?"]
        uninterrupted = make_call({CALL_HOOK: verbs})
        assert "jambonz skips it while config has bargeIn on" in uninterrupted.notes

    @pytest.mark.parametrize(("is_sticky", "times"), [(True, 2), (False, 1)])
    def test_barge_in_ends_after_one_use_unless_it_is_sticky(self, is_sticky: bool, times: int) -> None:
        barge_in = {"enable": True, "sticky": is_sticky, "actionHook": f"{BASE}/barged"}
        answers: Answers = {CALL_HOOK: [{"verb": "config", "bargeIn": barge_in}, *SAY, *SAY], "/barged": []}
        made = make_call(answers, "\n".join(["interrupt say yes"] * times))
        assert len(made.application.at("/barged")) == times


class TestStatusEvents:
    @pytest.mark.parametrize(
        ("verbs", "script", "statuses", "more", "values"),
        [
            ([{"verb": "pause", "length": 2}, *SAY, {"verb": "pause", "length": 5}, *HANGUP], "",
             ["trying", "in-progress", "completed"], {"call_termination_by", "duration"},
             {"call_termination_by": "jambonz", "duration": 6, "sip_status": 200}),
            ([MENU], "hang up", ["trying", "in-progress", "completed"], {"call_termination_by", "duration", "headers"},
             {"call_termination_by": "caller"}),
            ([{"verb": "pause", "length": 2}, *SAY], "interrupt hang up", ["trying", "no-answer"],
             {"call_termination_by"}, {"sip_status": 487, "sip_reason": "Request Terminated"}),
            ([{"verb": "sip:decline", "status": 486, "reason": "Busy Here"}, *SAY], "", ["trying", "failed"], set(),
             {"sip_status": 486, "sip_reason": "Busy Here"}),
            # A call that no verb answers has no final status.
            ([{"verb": "pause", "length": 1}, {"verb": "tag", "data": {}}], "", ["trying"], set(), {}),
        ],
        ids=["jambonz ends", "the caller ends", "the caller gives up", "declined", "never answered"],
    )  # fmt: skip
    def test_have_the_members_of_their_outcome(
        self, verbs: Verbs, script: str, statuses: list[str], more: set[str], values: dict[str, object]
    ) -> None:
        made = make_call(verbs, script)
        *earlier, last = made.application.statuses
        assert made.statuses() == statuses
        assert [set(event) for event in earlier] == [CALL_INFO] * len(earlier)
        assert set(last) == CALL_INFO | more
        assert values.items() <= last.items()

    def test_agree_with_the_end_of_the_call(self) -> None:
        hung_up = make_call([{"verb": "answer"}, {"verb": "pause", "length": 5}, *HANGUP])
        assert hung_up.ended == Ended("jambonz", "hung up", "completed", 200, 5)
        declined = make_call([{"verb": "sip:decline", "status": 486, "reason": "Busy Here"}, *SAY])
        assert (declined.ended.sip_status, declined.ended.reason, heard(declined)) == (486, "Busy Here", [])
        assert make_call([{"verb": "pause", "length": 1}]).ended.sip_status == 603

    def test_that_are_rejected_do_not_harm_the_call(self) -> None:
        assert make_call(SAY, status_events=False).application.statuses == []
        made = make_call({CALL_HOOK: SAY, STATUS_HOOK: Reply(404, {}, b"")})
        assert made.refused == ["Unexpected HTTP Response (404)"] * 3
        assert heard(made) == ["Hello"]

    @pytest.mark.parametrize(
        ("verb", "is_answered"),
        [
            ({"verb": "say", "text": "Hi"}, True),
            ({"verb": "answer"}, True),
            ({"verb": "say", "text": "Hi", "earlyMedia": True}, False),
            ({"verb": "config", "synthesizer": {"vendor": "google"}}, False),
            ({"verb": "config", "record": {"action": "startCallRecording"}}, True),
            ({"verb": "dial", "target": [{"type": "user", "name": "jane"}]}, True),
            ({"verb": "dial", "target": [{"type": "user", "name": "jane"}], "answerOnBridge": True}, False),
            ({"verb": "gather", "say": {"text": "Hi", "earlyMedia": True}}, False),
            ({"verb": "pause", "length": 1}, False),
        ],
        ids=str,
    )
    def test_report_the_answer_at_the_first_verb_that_needs_sound(
        self, verb: dict[str, Any], is_answered: bool
    ) -> None:
        script = "dial busy" if verb["verb"] == "dial" else "wait" if verb["verb"] == "gather" else ""
        made = make_call([verb], script)
        assert ("in-progress" in made.statuses()) == is_answered

    @pytest.mark.parametrize(
        ("verbs", "reason"),
        [
            (HANGUP, "preconditions not met: call was not answered"),
            ([*SAY, {"verb": "sip:decline", "status": 603}], "preconditions not met: final sip status already sent"),
        ],
    )
    def test_are_not_sent_for_a_verb_that_is_out_of_place(self, verbs: Verbs, reason: str) -> None:
        assert make_call(verbs).refused == [reason]


class TestDial:
    @pytest.mark.parametrize(
        ("line", "call_status", "sip_status", "leg"),
        [
            ("dial answered 30", "completed", 200, ["trying", "ringing", "in-progress", "completed"]),
            ("dial completed", "completed", 200, ["trying", "ringing", "in-progress", "completed"]),
            ("dial busy", "busy", 486, ["trying", "ringing", "busy"]),
            ("dial no-answer", "no-answer", 487, ["trying", "ringing", "no-answer"]),
            ("dial declined", "failed", 603, ["trying", "ringing", "failed"]),
            ("dial failed", "failed", 503, ["trying", "ringing", "failed"]),
            ("dial failed 404", "failed", 404, ["trying", "ringing", "failed"]),
            ("dial failed 600", "busy", 600, ["trying", "ringing", "busy"]),
            # The verb's timeout: jambonz discards the final status.
            ("dial timeout", "ringing", 180, ["trying", "ringing"]),
        ],
    )
    def test_reports_its_outcome(self, line: str, call_status: str, sip_status: int, leg: list[str]) -> None:
        made = make_call({CALL_HOOK: [DIAL, *SAY], "/dialled": []}, line)
        body = made.body("/dialled")
        assert set(body) == CALL_INFO | {"dial_call_status", "dial_sip_status", "dial_call_sid", "dial_sbc_callid"}
        assert (body["dial_call_status"], body["dial_sip_status"]) == (call_status, sip_status)
        assert made.statuses("leg") == leg
        assert heard(made) == ["Hello"]

    def test_sends_status_events_of_the_other_leg_as_jambonz_does(self) -> None:
        made = make_call({CALL_HOOK: [{**DIAL, "tag": {"a": 1}}], "/dialled": []}, "dial answered 31")
        trying, ringing, _, completed = [status for status in made.application.statuses if "parent_call_sid" in status]
        assert set(trying) == DIALLED_LEG - {"sbc_callid"} | {"customerData"}
        assert set(ringing) == DIALLED_LEG | {"customerData"}
        assert set(completed) == DIALLED_LEG | {"duration", "headers", "customerData"}
        assert (completed["duration"], completed["direction"]) == (31, "outbound")
        events = [request for request in made.application.at(STATUS_HOOK) if "parent_call_sid" in request.body]
        assert not any("b3" in request.headers for request in events)

    def test_that_the_caller_ends_calls_its_hook_and_ignores_the_verbs(self) -> None:
        made = make_call({CALL_HOOK: [DIAL], "/dialled": SAY}, "dial answered 30 hang up")
        assert (made.body("/dialled")["dial_call_status"], heard(made)) == ("completed", [])
        assert made.body("/dialled")["call_status"] == "completed"
        assert made.ended.by == "caller"

    @pytest.mark.parametrize(
        ("script", "outcome", "statuses"),
        [
            ("hang up", "ringing", "trying trying ringing no-answer"),
            ("dial answered 30", "completed",
             "trying trying ringing in-progress in-progress completed completed"),
        ],
    )  # fmt: skip
    def test_answers_the_caller_with_the_callee_if_answer_on_bridge_is_set(
        self, script: str, outcome: str, statuses: str
    ) -> None:
        made = make_call({CALL_HOOK: [{**DIAL, "answerOnBridge": True}], "/dialled": []}, script)
        assert [status["call_status"] for status in made.application.statuses] == statuses.split()
        assert made.body("/dialled")["dial_call_status"] == outcome

    def test_ends_at_its_time_limit(self) -> None:
        made = make_call({CALL_HOOK: [{**DIAL, "timeLimit": 10}], "/dialled": []}, "dial answered 30 hang up")
        assert (made.application.statuses[-2]["duration"], made.ended.by) == (10, "jambonz")

    def test_rings_at_least_one_and_at_most_ten_different_targets(self) -> None:
        numbers = [f"+1415555{number:04}" for number in (*range(12), 0)]
        targets = [{"type": "phone", "number": number} for number in numbers]
        made = make_call({CALL_HOOK: [{**DIAL, "target": targets}], "/dialled": []}, "dial answered")
        events = [status for status in made.application.statuses if "parent_call_sid" in status]
        assert [event["to"] for event in events if event["call_status"] == "trying"] == numbers[:10]
        assert [event["to"] for event in events if event["call_status"] == "completed"] == numbers[:1]
        without = make_call([{**DIAL, "target": [{"type": "phone"}]}])
        assert without.refused == ["no target has a number, a name or a SIP URI"]

    def test_calls_the_hook_of_a_nested_listen_and_ignores_the_verbs(self) -> None:
        dial = {**DIAL, "listen": {"url": "wss://a.example.com", "actionHook": f"{BASE}/recorded"}}
        made = make_call({CALL_HOOK: [dial], "/dialled": [], "/recorded": SAY}, "dial answered 12")
        assert (made.body("/recorded")["dial_call_duration"], heard(made)) == (12, [])

    def test_is_replaced_by_the_verbs_of_its_machine_detection(self) -> None:
        dial = {**DIAL, "amd": {"actionHook": f"{BASE}/amd"}}
        answers: Answers = {CALL_HOOK: [dial], "/amd": [{"verb": "say", "text": "A machine"}], "/dialled": SAY}
        made = make_call(answers, "dial answered\namd machine")
        assert heard(made) == ["A machine"]
        assert made.body("/dialled")["dial_call_status"] == "completed"


CONFIRM_WITH_A_KEY: Verbs = [
    {"verb": "gather", "numDigits": 1, "say": {"text": "Press 1"}, "actionHook": f"{BASE}/confirmed"},
    *HANGUP,
]


class TestConfirmHook:
    def call(self, confirm: Answer, confirmed: Answer = None, script: str = "") -> MadeCall:
        dial = {**DIAL, "confirmHook": f"{BASE}/confirm"}
        answers: Answers = {CALL_HOOK: [dial], "/confirm": confirm, "/confirmed": confirmed or [], "/dialled": []}
        return make_call(answers, f"dial answered 20\n{script}")

    @pytest.mark.parametrize("confirm", [answer([]), Reply(204, {}, b""), SAY], ids=["[]", "204", "say"])
    def test_accepts_a_leg_that_is_still_connected_at_the_end(self, confirm: Answer) -> None:
        made = self.call(confirm)
        assert made.body("/dialled")["dial_call_status"] == "completed"
        assert set(made.body("/confirm")) == DIALLED_LEG
        assert made.body("/confirm")["call_status"] == "in-progress"
        assert "b3" not in made.application.at("/confirm")[0].headers

    @pytest.mark.parametrize(
        "confirm",
        [HANGUP, Reply(500, {}, b""), TIMED_OUT, answer([{"verb": "sya"}]), answer([{"verb": "sip:decline"}])],
        ids=["hangup", "500", "too late", "unknown verb", "sip:decline"],
    )
    def test_declines_a_leg_that_is_hung_up_or_whose_hook_fails(self, confirm: Answer) -> None:
        made = self.call(confirm)
        assert made.body("/dialled")["dial_call_status"] == "in-progress"
        assert "completed" not in made.statuses("leg")

    def test_lets_the_callee_confirm_with_a_key(self) -> None:
        made = self.call(CONFIRM_WITH_A_KEY, [{"verb": "say", "text": "Thank you"}], "press 1")
        assert [(step.side, step.text) for step in made.of(Heard)] == [("callee", "Press 1"), ("callee", "Thank you")]
        assert made.body("/dialled")["dial_call_status"] == "completed"
        assert "parent_call_sid" in made.body("/confirmed")

    def test_drops_a_hangup_from_the_response_of_its_action_hook(self) -> None:
        made = self.call(CONFIRM_WITH_A_KEY, [*SAY, *HANGUP], "press 2")
        assert made.body("/dialled")["dial_call_status"] == "completed"
        assert made.refused == ["removing verbs that are not allowed for confirmSession call: hangup"]
        # Without an allowed verb, it continues with its own.
        made = self.call(CONFIRM_WITH_A_KEY, HANGUP, "press 2")
        assert made.body("/dialled")["dial_call_status"] == "in-progress"

    def test_declines_a_callee_who_hangs_up(self) -> None:
        made = self.call(CONFIRM_WITH_A_KEY, script="hang up")
        assert made.statuses("leg") == ["trying", "ringing", "in-progress", "completed"]
        assert made.ended.by == "jambonz"

    def test_of_a_target_overrides_that_of_the_dial_while_others_still_ring(self) -> None:
        targets = [
            {"type": "phone", "number": "+14155550100", "confirmHook": f"{BASE}/own"},
            {"type": "phone", "number": "+14155550101"},
        ]
        dial = {**DIAL, "target": targets, "confirmHook": f"{BASE}/confirm"}
        answers: Answers = {CALL_HOOK: [dial], "/own": HANGUP, "/confirm": [], "/dialled": []}
        made = make_call(answers, "dial answered\ndial answered 20")
        assert made.body("/own")["to"] == "+14155550100"
        assert made.body("/confirm")["to"] == "+14155550101"
        assert made.body("/dialled")["dial_call_status"] == "completed"

        # A callee who hangs up before a busy target leaves the dial completed.
        dial["target"] = [targets[1], {"type": "phone", "number": "+14155550102"}]
        made = make_call({**answers, "/confirm": CONFIRM_WITH_A_KEY}, "dial answered\nhang up\ndial busy")
        assert made.body("/dialled")["dial_call_status"] == "completed"


ENQUEUE: dict[str, Any] = {"verb": "enqueue", "name": "support"}
ENQUEUE |= {"waitHook": f"{BASE}/wait", "actionHook": f"{BASE}/queued"}


class TestQueue:
    def call(self, wait: Any, script: str) -> MadeCall:
        return make_call({CALL_HOOK: [ENQUEUE, *SAY], "/wait": wait, "/queued": []}, script)

    def test_requests_the_wait_hook_repeatedly_with_few_members(self) -> None:
        made = self.call(endlessly([{"verb": "play", "url": "music.wav"}]), "queue waits 2\nqueue bridged 30")
        first, _, third = [request.body for request in made.application.at("/wait")]
        members = {"queue_sid", "queue_time", "queue_size", "queue_position", "call_sid", "call_id"}
        assert set(first) == members
        assert (first["queue_time"], third["queue_time"]) == (0, 8)
        body = made.body("/queued")
        assert set(body) == CALL_INFO | {"queue_sid", "queue_time", "queue_result"}
        assert (body["queue_result"], body["queue_time"]) == ("bridged", 41)
        assert heard(made) == ["Hello"]

    def test_sends_tags_to_the_wait_hook(self) -> None:
        answers: Answers = {CALL_HOOK: [{"verb": "tag", "data": {"orderId": 7}}, ENQUEUE], "/wait": [], "/queued": []}
        made = make_call(answers, "queue error")
        assert made.body("/wait")["customerData"] == {"orderId": 7}
        assert made.body("/queued")["queue_result"] == "error"

    @pytest.mark.parametrize("prompts", [["Sorry"], []])
    def test_can_be_left(self, prompts: list[str]) -> None:
        made = self.call([*({"verb": "say", "text": text} for text in prompts), {"verb": "leave"}, *SAY], "")
        assert (made.body("/queued")["queue_result"], heard(made)) == ("leave", [*prompts, "Hello"])

    @pytest.mark.parametrize(
        ("wait", "reason"),
        [
            ([], None),
            (Reply(204, {}, b""), None),
            (Reply(500, {}, b""), "Unexpected HTTP Response (500)"),
            ([*SAY, MENU], 'unsupported verb in enqueue waitHook: only ["play","say","pause","leave","tag"]'),
        ],
    )
    def test_stops_requesting_a_wait_hook_that_returns_no_verbs(self, wait: Answer, reason: str | None) -> None:
        made = self.call(wait, "queue waits 3\nqueue bridged")
        assert len(made.application.at("/wait")) == 1
        assert made.refused == ([] if reason is None else [reason])
        assert made.body("/queued")["queue_result"] == "bridged"

    @pytest.mark.parametrize("script", ["hang up", "interrupt hang up"])
    def test_reports_that_the_caller_hung_up(self, script: str) -> None:
        made = self.call(endlessly(SAY), script)
        body = made.body("/queued")
        assert (body["queue_result"], body["call_status"]) == ("hangup", "completed")
        assert made.ended.by == "caller"


class TestConference:
    def test_calls_its_hooks(self) -> None:
        hooks = {"statusHook": f"{BASE}/events", "enterHook": f"{BASE}/enter", "actionHook": f"{BASE}/over"}
        conference = {"verb": "conference", "name": "standup", "statusEvents": ["start", "join", "end"], **hooks}
        answers: Answers = {CALL_HOOK: [conference], "/events": endlessly([]), "/enter": SAY, "/over": []}
        made = make_call(answers, "conference over 60")
        events = [request.body for request in made.application.at("/events")]
        assert [event["event"] for event in events] == ["start", "join", "end"]
        members = {"event", "duration", "time", "members", "conference_sid", "friendly_name", "b3"}
        assert set(events[0]) == CALL_INFO | members
        assert set(made.body("/enter")) == RAW_CALL_INFO
        assert set(made.body("/over")) == CALL_INFO
        assert (heard(made), made.ended.seconds) == (["Hello"], 61)

    def test_waits_for_its_moderator(self) -> None:
        conference = {"verb": "conference", "name": "standup", "startConferenceOnEnter": False}
        conference["waitHook"] = f"{BASE}/wait"
        script = "conference waits\nconference joins\nconference over"
        made = make_call({CALL_HOOK: [conference], "/wait": endlessly(SAY)}, script)
        bodies = [request.body for request in made.application.at("/wait")]
        assert [set(body) for body in bodies] == [RAW_CALL_INFO] * 2
        assert heard(made) == ["Hello", "Hello"]

    @pytest.mark.parametrize("verb", [{"verb": "leave"}, {"verb": "tag", "data": {}}])
    def test_accepts_fewer_verbs_than_a_queue(self, verb: dict[str, Any]) -> None:
        conference = {"verb": "conference", "name": "standup", "enterHook": f"{BASE}/enter"}
        made = make_call({CALL_HOOK: [conference], "/enter": [verb]}, "hang up")
        assert made.refused == ['unsupported verb in conference enterHook: only ["play","say","pause"]']


class TestLlm:
    def call(self, vendor: str, given: Answer) -> MadeCall:
        llm = {"verb": f"{vendor}_s2s" if vendor == "openai" else "llm", "llmOptions": {}, "actionHook": f"{BASE}/over"}
        llm |= {"toolHook": f"{BASE}/tool"} | ({} if vendor == "openai" else {"vendor": vendor})
        script = 'llm tool get_weather {"locationName": "Boston"}'
        answers: Answers = {CALL_HOOK: [llm], "/tool": given, "/over": []}
        continues = not isinstance(given, Reply)
        return make_call(answers, script + ("\nllm ends server error" if continues else ""))

    def test_calls_a_tool_without_identifying_the_call(self) -> None:
        made = self.call("ultravox", {"result": "sunny"})
        body = made.body("/tool")
        assert set(body) == {"tool_call_id", "name", "args"}
        assert body["args"] == {"locationName": "Boston"}
        assert made.refused == []
        over = made.body("/over")
        assert set(over) == CALL_INFO | {"completion_reason"}
        assert over["completion_reason"] == "server error"

    def test_calls_a_tool_in_another_form_for_google(self) -> None:
        made = self.call("google", {"toolResponse": {"functionResponses": []}})
        body = made.body("/tool")
        assert (set(body), body["tool_call_id"]) == ({"tool_call_id", "type", "function_calls"}, "function_call_id")
        assert (set(body["function_calls"][0]), made.refused) == ({"id", "name", "args"}, [])

    @pytest.mark.parametrize("given", [Reply(204, {}, b""), Reply(200, {}, b"{}"), Reply(500, {}, b"")])
    def test_ends_if_a_tool_returns_no_object(self, given: Reply) -> None:
        made = self.call("openai", given)
        assert made.body("/over")["completion_reason"] == "client error calling function"
        assert len(made.refused) == 1

    @pytest.mark.parametrize(
        ("vendor", "accepted"),
        [
            ("openai", {"type": "conversation.item.create",
                        "item": {"type": "function_call_output", "call_id": "1", "output": "sunny"}}),
            ("elevenlabs", {"data": {"type": "client_tool_result", "tool_call_id": "1", "result": "sunny"}}),
            ("deepgram", {"data": {"type": "FunctionCallResponse", "id": "1", "content": "sunny"}}),
            ("google", {"toolResponse": {"functionResponses": []}}),
            ("ultravox", {"result": "sunny"}),
        ],
    )  # fmt: skip
    def test_waits_for_ever_if_the_response_has_another_shape(self, vendor: str, accepted: Answer) -> None:
        assert self.call(vendor, accepted).refused == []
        dropped = f"not the shape that {vendor} accepts: jambonz drops the response and the model waits for ever"
        assert self.call(vendor, []).refused == self.call(vendor, {"other": 1}).refused == [dropped]


class TestScripts:
    @pytest.mark.parametrize(
        ("verb", "script", "problem"),
        [
            (MENU, "# first\n\ndial busy", "line 3: `dial busy`, but the call is at a gather"),
            (MENU, "play failed", "line 1: `play failed`, but the call is at a gather"),
            (DIAL, "press 1", "line 1: `press 1`, but the call is at a dial"),
            ({"verb": "listen", "url": "wss://a"}, "wait", "line 1: `wait`, but the call is at a listen"),
            ({"verb": "enqueue", "name": "a"}, "wait", "line 1: `wait`, but the call is at an enqueue"),
            ({"verb": "conference", "name": "a"}, "wait", "line 1: `wait`, but the call is at a conference"),
            ({"verb": "llm"}, "wait", "line 1: `wait`, but the call is at an llm"),
            ({"verb": "transcribe"}, "wait", "line 1: `wait`, but the call is at a transcribe"),
            (PLAY, "play twice", "line 1: `play twice`: play ends with one of completed, failed"),
            (SAY[0], "press 1\nwait", "line 1: `press 1` and 1 more: not used, because the call ended first"),
            (SAY[0], "amd machine", "line 1: `amd machine`: not used, because the call ended first"),
        ],
    )
    def test_that_do_not_fit_the_call_name_the_line(self, verb: dict[str, Any], script: str, problem: str) -> None:
        with pytest.raises(ScriptProblem) as raised:
            make_call([verb], script)
        assert str(raised.value) == problem

    @pytest.mark.parametrize(
        ("script", "problem"),
        [
            ("press x", "line 1: `press x`: unknown decision; see docs/phone.md"),
            ("wait\ndial maybe", "line 2: `dial maybe`: unknown decision; see docs/phone.md"),
            ("llm tool x [1]", 'line 1: `llm tool x [1]`: write the arguments as a JSON object, such as {"a": 1}'),
            ("llm tool x {", 'line 1: `llm tool x {`: write the arguments as a JSON object, such as {"a": 1}'),
            ("interrupt dial busy", "line 1: `interrupt dial busy`: only press, say and hang up can interrupt"),
            ("interrupt queue waits 2", "line 1: `interrupt queue waits 2`: only press, say and hang up can interrupt"),
        ],
    )
    def test_that_cannot_be_read_name_each_line(self, script: str, problem: str) -> None:
        with pytest.raises(ScriptProblem) as raised:
            ScriptedCaller(script)
        assert str(raised.value) == problem
        with pytest.raises(ScriptProblem, match="line 1: `foo`: unknown decision") as raised:
            ScriptedCaller(f"foo\n{script}")
        assert len(str(raised.value).splitlines()) == 2

    def test_hang_up_at_their_end_and_may_have_comments_and_spaces(self) -> None:
        made = make_call({CALL_HOOK: [MENU, MENU], "/menu": []}, "\n# a comment\n   press   1  \n\n")
        assert (made.ended.by, made.body("/menu")["digits"]) == ("caller", "1")


class TestTheEnd:
    def test_comes_after_200_hooks_in_an_endless_loop(self) -> None:
        redirect = {"verb": "redirect", "actionHook": BASE + CALL_HOOK}
        made = make_call({CALL_HOOK: endlessly([redirect])}, status_events=False)
        assert len(made.application.requests) == 200
        assert made.refused == ["more than 200 hooks: the call is in an endless loop"]
        assert made.ended.by == "phone"

    @pytest.mark.parametrize(
        ("verb", "note", "by", "texts"),
        [
            ({"verb": "play", "url": "a.wav", "loop": "forever"}, "loops for ever", "caller", []),
            ({"verb": "rasa", "url": "https://a"}, "rasa is not simulated", "jambonz", ["Hello"]),
        ],
    )
    def test_of_a_verb_without_an_end_is_noted(
        self, verb: dict[str, Any], note: str, by: str, texts: list[str]
    ) -> None:
        made = make_call([verb, *SAY])
        assert (made.ended.by, heard(made)) == (by, texts)
        assert note in made.notes

    def test_silent_verbs_are_shown(self) -> None:
        dub = {"verb": "dub", "action": "addTrack", "track": "a"}
        silent: Verbs = [{"verb": "alert", "message": "look"}, dub, {"verb": "dtmf", "dtmf": "12"}, {"verb": "leave"}]
        steps = [str(step) for step in make_call(silent).steps]
        silent_steps = [step for step in steps if step.split()[0] in ("alert", "dub", "dtmf")]
        assert silent_steps == ["alert   look", "dub   addTrack", "dtmf   12"]

    def test_time_passes_without_waiting_and_retries_count(self) -> None:
        answers: Answers = {CALL_HOOK: [{"verb": "answer"}, {**MENU, "timeout": 600}], "/menu": []}
        made = make_call(answers, "wait")
        assert made.ended.seconds == 600
        signature = made.application.requests[-1].headers["Jambonz-Signature"]
        assert signature.startswith(f"t={int((NOW + timedelta(seconds=600)).timestamp())},")


EVERYTHING: Verbs = [
    {"verb": "tag", "data": {"a": 1}},
    {"verb": "pause", "length": 1},
    {**GATHER, "say": {"text": "Menu"}},
    {**DIAL, "confirmHook": f"{BASE}/confirm"},
    {"verb": "listen", "url": "wss://a.example.com", "actionHook": f"{BASE}/menu"},
    {"verb": "enqueue", "name": "q", "waitHook": f"{BASE}/wait", "actionHook": f"{BASE}/menu"},
    {"verb": "conference", "name": "c", "actionHook": f"{BASE}/menu"},
    {"verb": "llm", "vendor": "openai", "actionHook": f"{BASE}/menu"},
    {"verb": "transcribe", "transcriptionHook": f"{BASE}/said"},
]
LINES_OF_EVERYTHING = [
    "press 1", "dial answered 5", "say yes", "listen 3", "queue bridged 4", "conference over 5", "llm ends",
    "say something",
]  # fmt: skip
ANSWERS_OF_EVERYTHING: Answers = {
    CALL_HOOK: EVERYTHING,
    "/menu": endlessly([]),
    "/dialled": [],
    "/confirm": [{"verb": "gather", "input": ["speech"], "actionHook": f"{BASE}/menu"}],
    "/wait": endlessly([{"verb": "say", "text": "Please wait"}]),
    "/said": HANGUP,
}


@pytest.mark.parametrize("moment", range(len(LINES_OF_EVERYTHING)))
def test_a_call_ends_once_whenever_its_caller_hangs_up(moment: int) -> None:
    made = make_call(ANSWERS_OF_EVERYTHING, "\n".join([*LINES_OF_EVERYTHING[:moment], "hang up"]))
    # At the confirm hook the callee hangs up. The script is over then, so the caller hangs up too.
    assert made.ended.by == "caller"
    assert made.statuses().count("completed") == 1
    assert made.refused == []


DECISIONS = [
    "press 1", "say yes", "wait", "error", "dial busy", "dial answered 5", "dial timeout", "dial answered 3 hang up",
]  # fmt: skip
REPLIES: list[Answer] = [
    [], SAY, [MENU], [DIAL], HANGUP, {"verb": "say"}, Reply(500, {}, b""), Reply(204, {}, b""), [{"verb": "sya"}],
]  # fmt: skip


@examples(150)
@given(
    lines=st.lists(st.sampled_from(DECISIONS), max_size=6),
    replies=st.lists(st.sampled_from(REPLIES), min_size=1, max_size=5),
)
def test_any_call_ends_once_and_sends_the_requests_that_it_yields(lines: list[str], replies: list[Answer]) -> None:
    answers: Answers = {
        CALL_HOOK: [GATHER, DIAL, *SAY],
        "/menu": in_turn(*replies),
        "/dialled": in_turn(*reversed(replies)),
    }
    try:
        made = make_call(answers, "\n".join(lines))
    except ScriptProblem:
        return
    final = [status for status in made.statuses() if status in ("completed", "failed", "no-answer", "busy")]
    assert final == ["completed"]
    assert made.ended.call_status == "completed"
    first = [request for request in made.application.requests if {"sip", "defaults"} <= request.body.keys()]
    assert len(first) == 1
    for sent, request in zip(made.of(Sent), made.application.requests, strict=True):
        assert sent.body == request.body
