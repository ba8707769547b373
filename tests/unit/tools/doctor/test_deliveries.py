"""What the doctor makes of the answers of the public URL, and of what is in the table afterwards."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError
from callhooks.events.call_event import QuarantinedDelivery
from callhooks.events.event_item import quarantine_item
from callhooks.providers import bird
from callhooks.providers.jambonz.authentication import read_signature, sign
from callhooks.providers.jambonz.plan.plan import BUILTIN_VERBS
from callhooks.runtime.http import Request, Response
from callhooks_tools.doctor.deliveries import (
    call_log_findings,
    cleaning_findings,
    delivery_findings,
    projection_findings,
    publishing_findings,
    refusal_findings,
    spill_findings,
    url_findings,
)
from callhooks_tools.doctor.probe import Probe
from callhooks_tools.doctor.secrets import KnownSecrets
from callhooks_tools.stack.deployment import Deployment
from callhooks_tools.stack.findings import Finding, FindingLevel
from callhooks_tools.stack.stack import StackResource

from tests.stacks import stack_outputs
from tests.support import NOW

BASE = "https://hooks.example.com"
RETRY_QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/retries"
VERBS = [{"verb": "say", "text": "Welcome"}]
SECRETS: dict[str, dict[str, Any]] = {
    "JambonzCredentials": {"username": "jambonz", "password": "s3cr3t-password"},
    "JambonzWebhookSecrets": {"webhook_secrets": ["wh_secret_cJqgtMDPzDhhnjmaJH6Mtk"]},
    "WavixCredentials": {"token": "wavix-token-that-is-long-enough"},
    "BirdCredentials": {"signing_key": "bird-signing-key"},
    "VoipstudioCredentials": {"token": "voipstudio-token-that-is-long"},
    "ConsoleCredentials": {"username": "console", "password": "console-password"},
}
OUTPUTS = stack_outputs(
    stack_name="callhooks",
    base_url=BASE,
    projection_retry_queue=RETRY_QUEUE,
    parameters={"JambonzSignatureHeader": "Jambonz-Signature"},
)
EVERY_SECRET = [
    text for value in SECRETS.values() for one in value.values() for text in ([one] if isinstance(one, str) else one)
]
NOBODY_IS_VERIFIED = "The sender cannot be authenticated at the moment."
NOT_SECRET = ("jambonz", "console")


@dataclass
class FakeTable:
    """The table of events, as far as the doctor asks it; `fault` makes it refuse."""

    items: list[dict[str, Any]] = field(default_factory=list)
    fault: Exception | None = None

    def get_paginator(self, name: str) -> FakeTable:
        assert name == "query"
        return self

    def paginate(self, *, ExpressionAttributeValues: dict[str, Any], **asked: Any) -> Iterator[dict[str, Any]]:  # noqa: N803
        assert asked["ConsistentRead"] is True
        if self.fault is not None:
            raise self.fault
        pk, sk = ExpressionAttributeValues[":pk"]["S"], ExpressionAttributeValues.get(":sk", {"S": ""})["S"]
        yield {"Items": [one for one in self.items if one["pk"]["S"] == pk and one["sk"]["S"].startswith(sk)]}

    def delete_item(self, *, TableName: str, Key: dict[str, Any]) -> None:  # noqa: N803
        self.items = [one for one in self.items if (one["pk"], one["sk"]) != (Key["pk"], Key["sk"])]

    def keep(self, pk: str, sk: str, body: bytes = b"", **members: Any) -> None:
        item = {"pk": {"S": pk}, "sk": {"S": sk}, "body": {"B": body}, "body_encoding": {"S": "identity"}, **members}
        if (pk, sk) not in [(one["pk"]["S"], one["sk"]["S"]) for one in self.items]:
            self.items.append(item)


@dataclass
class FakeQueue:
    """The spill queue, with so many messages, and the retry queue, in which they are delayed at first."""

    messages: int = 0
    retries: int = 0
    fault: Exception | None = None

    def get_queue_attributes(self, *, QueueUrl: str, **_: object) -> dict[str, Any]:  # noqa: N803
        if self.fault is not None:
            raise self.fault
        if QueueUrl == RETRY_QUEUE:
            return {"Attributes": {"ApproximateNumberOfMessagesDelayed": str(self.retries)}}
        return {"Attributes": {"ApproximateNumberOfMessages": str(self.messages)}}


@dataclass
class FakeLogs:
    """Log groups with their lines."""

    lines: dict[str, list[str]] = field(default_factory=dict)

    def get_paginator(self, name: str) -> FakeLogs:
        assert name == "filter_log_events"
        return self

    def paginate(self, *, logGroupName: str, filterPattern: str, startTime: int) -> Iterator[dict[str, Any]]:  # noqa: N803
        assert startTime < NOW.timestamp() * 1000
        wanted = filterPattern.strip('"')
        at = int(NOW.timestamp() * 1000)
        yield {
            "events": [{"timestamp": at, "message": one} for one in self.lines.get(logGroupName, []) if wanted in one]
        }


@dataclass
class FakeSession:
    table: FakeTable
    queue: FakeQueue
    logs: FakeLogs

    def client(self, service: str, **_: object) -> Any:
        return {"dynamodb": self.table, "sqs": self.queue, "logs": self.logs}[service]


@dataclass
class FakeTime:
    """Time that passes when somebody waits."""

    now: datetime = NOW
    slept: float = 0.0

    def clock(self) -> datetime:
        return self.now + timedelta(seconds=self.slept)

    def sleep(self, seconds: float) -> None:
        self.slept += seconds

    def monotonic(self) -> float:
        return self.slept


Handler = Callable[[httpx.Request], httpx.Response]


@dataclass
class Api:
    """The deployed application in short: it verifies, keeps and projects; a test puts something else in its place."""

    table: FakeTable
    time: FakeTime
    answers: dict[str, Handler] = field(default_factory=dict)
    lets_in: tuple[str, ...] = ()
    requests: list[httpx.Request] = field(default_factory=list)
    projects: bool = True

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        handler = self.answers.get(request.url.path) or self.answers.get(prefix_of(request.url.path))
        response = handler(request) if handler else self.healthy(request)
        response.headers.setdefault("date", format_datetime(self.time.clock(), usegmt=True))
        return response

    def healthy(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/openapi.json":
            return httpx.Response(200, json={"openapi": "3.1.0"})
        if not self.is_proven(request) and prefix_of(path) not in self.lets_in:
            return problem(401, "The credentials or the signature of this request are missing or wrong.")
        if path.startswith("/calls"):
            pk = "#".join(path.split("/")[2:])
            return httpx.Response(
                200, json={"timeline": [one["sk"] for one in self.table.items if one["pk"]["S"] == pk]}
            )
        pk, sk = key_of(request)
        repeated = {"idempotent-replayed": "true"} if self.has(pk, sk) else {}
        self.table.keep(pk, sk, request.content)
        if self.projects:
            self.project(pk)
        answer: Any = {"status": "stored"}
        if path.startswith("/webhooks/call"):
            answer = VERBS if path == "/webhooks/call" else []
        return httpx.Response(200, json=answer, headers=repeated)

    def has(self, pk: str, sk: str) -> bool:
        return any((one["pk"]["S"], one["sk"]["S"]) == (pk, sk) for one in self.table.items)

    def project(self, pk: str) -> None:
        self.table.items = [one for one in self.table.items if (one["pk"]["S"], one["sk"]["S"]) != (pk, "call")]
        number = len([one for one in self.table.items if one["pk"]["S"] == pk])
        self.table.keep(pk, "call", event_count={"N": str(number)})

    def is_proven(self, request: httpx.Request) -> bool:
        path, body = request.url.path, request.content
        if path.startswith("/webhooks/bird"):
            timestamp = request.headers["messagebird-request-timestamp"]
            expected = bird.sign("bird-signing-key", timestamp, str(request.url), body)
            return request.headers["messagebird-signature"] == expected
        if path.startswith(("/webhooks/wavix", "/webhooks/voipstudio")):
            return path.rpartition("/")[2] in EVERY_SECRET
        if path.startswith("/calls"):
            return request.headers["authorization"] == httpx.BasicAuth("console", "console-password")._auth_header  # noqa: SLF001
        signature = read_signature(request.headers.get("jambonz-signature"))
        if signature is None:
            return False
        is_signed = signature.digests == (sign("wh_secret_cJqgtMDPzDhhnjmaJH6Mtk", signature.timestamp, body),)
        basic = httpx.BasicAuth("jambonz", "s3cr3t-password")._auth_header  # noqa: SLF001
        return is_signed and request.headers["authorization"] == basic


def prefix_of(path: str) -> str:
    return "/".join(path.split("/")[:3]) if path.startswith(("/webhooks/wavix", "/webhooks/voipstudio")) else path


def key_of(request: httpx.Request) -> tuple[str, str]:
    document = json.loads(request.content)
    call = document.get("payload", document)
    named = request.url.path.split("/")[2]
    provider = named if named in ("wavix", "bird", "voipstudio") else "jambonz"
    call_id = call.get("call_sid") or call.get("call_id") or call.get("id")
    return f"{provider}#{call_id}", f"event#{request.url.path.rpartition('/')[2]}"


def problem(status: int, detail: str) -> httpx.Response:
    return httpx.Response(status, json={"detail": detail}, headers={"content-type": "application/problem+json"})


def always(response: Callable[[], httpx.Response]) -> Handler:
    return lambda _request: response()


def answered(status: int, document: Any = None, **headers: str) -> Handler:
    body = {"message": "x"} if document is None else document
    return always(lambda: httpx.Response(status, json=body, headers=headers))


@dataclass
class Case:
    """A trial on such an API."""

    api: Api
    queue: FakeQueue
    logs: FakeLogs
    trial: Probe

    def all_findings(self) -> list[Finding]:
        return [*url_findings(self.trial), *refusal_findings(self.trial), *self.tried()]

    def tried(self) -> list[Finding]:
        return [
            *delivery_findings(self.trial),
            *projection_findings(self.trial),
            *call_log_findings(self.trial),
            *spill_findings(self.trial),
            *publishing_findings(self.trial),
            *cleaning_findings(self.trial),
        ]

    def with_parameters(self, **parameters: str) -> Case:
        known = self.trial.deployment.outputs
        outputs = replace(known, parameters={**known.parameters, **parameters})
        self.trial.deployment = replace(self.trial.deployment, outputs=outputs)
        return self


@pytest.fixture
def case() -> Case:
    table, queue, logs, time = FakeTable(), FakeQueue(), FakeLogs(), FakeTime()
    api = Api(table, time)
    session: Any = FakeSession(table, queue, logs)
    known = KnownSecrets(dict(SECRETS), dict.fromkeys(SECRETS, NOW - timedelta(days=3)))
    client = httpx.Client(transport=httpx.MockTransport(api))
    trial = Probe(
        Deployment(
            session,
            "callhooks",
            None,
            OUTPUTS,
            [StackResource("AWS::Logs::LogGroup", "WavixCallLogGroup", "wavix-log")],
        ),
        known,
        client,
        time.clock,
        time.monotonic,
        time.sleep,
        "ab12",
    )
    return Case(api, queue, logs, trial)


def told(findings: list[Finding], outcome: FindingLevel = FindingLevel.FAILURE) -> list[str]:
    """What was found of an outcome, each with its remedy; and that no finding has a secret in it."""
    for finding in findings:
        text = f"{finding.check} {finding.words} {finding.remedy}"
        assert not [secret for secret in EVERY_SECRET if secret not in NOT_SECRET and secret in text]
    return [f"{one.check}: {one.words} {one.remedy}" for one in findings if one.outcome is outcome]


def only(findings: list[Finding], outcome: FindingLevel = FindingLevel.FAILURE) -> str:
    (one,) = told(findings, outcome)
    return one


class TestAHealthyDeployment:
    def test_has_nothing_wrong_and_nothing_is_left(self, case: Case) -> None:
        findings = case.all_findings()
        assert told(findings) == told(findings, FindingLevel.WARNING) == []
        assert "The 9 items of the test events are removed." in "".join(told(findings, FindingLevel.OK))
        assert case.api.table.items == []

    def test_is_sent_ids_and_a_caller_that_nobody_takes_for_a_call(self, case: Case) -> None:
        case.all_findings()
        bodies = [json.loads(one.content) for one in case.api.requests if one.content]
        for body in bodies:
            call = body.get("payload", body)
            assert str(call.get("call_sid") or call["id"]).startswith("callhooks-doctor-ab12")
            assert "callhooks-doctor" in (call.get("from"), call.get("src"))

    def test_tells_how_long_a_new_call_waited(self, case: Case) -> None:
        (new_call,) = [one for one in told(case.all_findings(), FindingLevel.OK) if one.startswith("jambonz new call")]
        assert "answered in 0 ms, and kept; its repeat was known, and got the same answer" in new_call


class TestThePublicUrl:
    @pytest.mark.parametrize(
        ("cause", "words"),
        [
            (socket.gaierror(-2, "Name or service not known"), "hooks.example.com is not a known name."),
            (
                ssl.SSLCertVerificationError(1, "certificate verify failed"),
                "The certificate of hooks.example.com is not",
            ),
            (ssl.SSLError(1, "wrong version number"), "hooks.example.com does not speak TLS as it should."),
            (ConnectionRefusedError(111, "refused"), f"{BASE} does not answer (ConnectError)."),
        ],
    )
    def test_that_cannot_be_reached_is_told_with_the_cause(self, cause: Exception, words: str, case: Case) -> None:
        def fail(_request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("no") from cause

        case.api.answers["/openapi.json"] = fail
        assert words in only(list(url_findings(case.trial)))
        assert not case.trial.is_reachable

    def test_that_is_silent_is_told(self, case: Case) -> None:
        def hang(_request: httpx.Request) -> httpx.Response:
            case.api.time.sleep(30)
            raise httpx.ReadTimeout("no")

        case.api.answers["/openapi.json"] = hang
        assert "gave no answer within 30 s" in only(list(url_findings(case.trial)))

    @pytest.mark.parametrize("status", [403, 404, 200])
    def test_that_leads_elsewhere_is_told(self, status: int, case: Case) -> None:
        case.api.answers["/openapi.json"] = answered(status)
        finding = only(list(url_findings(case.trial)))
        assert "The URL does not lead to this API" in finding
        assert "PublicUrl" in finding
        assert "API mapping" in finding
        assert not case.trial.is_reachable

    def test_that_redirects_is_told(self, case: Case) -> None:
        case.api.answers["/openapi.json"] = answered(302, location="https://elsewhere.example.com")
        assert "leads elsewhere (302), and no provider follows" in only(list(url_findings(case.trial)))

    @pytest.mark.parametrize(("status", "words"), [(500, "CallLogFunction fails"), (429, "throttled (429)")])
    def test_that_fails_is_told_and_the_webhooks_are_tried_all_the_same(
        self, status: int, words: str, case: Case
    ) -> None:
        case.api.answers["/openapi.json"] = answered(status)
        finding = only(list(url_findings(case.trial)))
        assert words in finding
        assert case.trial.is_reachable

    def test_without_tls_is_warned_of(self, case: Case) -> None:
        outputs = replace(case.trial.deployment.outputs, base_url="http://hooks.example.com")
        case.trial.deployment = replace(case.trial.deployment, outputs=outputs)
        assert "has no TLS" in only(list(url_findings(case.trial)), FindingLevel.WARNING)

    @pytest.mark.parametrize(("seconds", "word"), [(61, "fast"), (-61, "slow")])
    def test_tells_that_this_machine_has_another_time(self, seconds: int, word: str, case: Case) -> None:
        there = NOW - timedelta(seconds=seconds)
        case.api.answers["/openapi.json"] = answered(
            200, {"openapi": "3.1.0"}, date=format_datetime(there.replace(microsecond=0), usegmt=True)
        )
        finding = only(list(url_findings(case.trial)))
        assert finding.startswith("clock: This machine's clock is 61 s " + word)
        assert "what is signed here is refused" in finding

    def test_s_clock_may_be_missing(self, case: Case) -> None:
        case.api.answers["/openapi.json"] = answered(200, {"openapi": "3.1.0"}, date="no date")
        assert told(list(url_findings(case.trial))) == []


class TestWhoProvesNothing:
    @pytest.mark.parametrize(
        "path",
        ["/webhooks/call", "/webhooks/call/events", "/webhooks/wavix", "/webhooks/bird", "/webhooks/voipstudio",
         "/webhooks/client-auth", "/webhooks/tool/openai", "/webhooks/call/flows/doctor/doctor"],
    )  # fmt: skip
    def test_is_told_in_capital_words_where_it_is_let_in(self, path: str, case: Case) -> None:
        case.api.lets_in = (path,)
        findings = told(list(refusal_findings(case.trial)))
        assert findings
        assert all("ANYBODY IS LET IN" in finding for finding in findings)
        list(cleaning_findings(case.trial))
        assert case.api.table.items == []

    def test_shows_no_credentials_to_the_call_hook_whose_alarm_they_would_set_off(self, case: Case) -> None:
        list(refusal_findings(case.trial))
        at_call_hook = [request for request in case.api.requests if request.url.path == "/webhooks/call"]
        assert [request.headers.keys() & {"authorization", "jambonz-signature"} for request in at_call_hook] == [set()]

    def test_who_can_read_the_call_log_is_told_in_capital_words(self, case: Case) -> None:
        case.api.lets_in = ("/calls",)
        assert "ANYBODY CAN READ THE CALL LOG" in only(list(refusal_findings(case.trial)))

    def test_gets_the_fallback_while_nobody_can_be_verified(self, case: Case) -> None:
        case.api.answers["/webhooks/call"] = answered(200, VERBS)
        finding = only(list(refusal_findings(case.trial)))
        assert "It got the plan's fallback: the function cannot verify anybody" in finding

    def test_is_told_of_a_function_that_cannot_read_its_secrets(self, case: Case) -> None:
        case.api.answers["/webhooks/bird"] = always(
            lambda: problem(503, "The sender cannot be authenticated at the moment.")
        )
        finding = only(list(refusal_findings(case.trial)))
        assert "BirdVoiceFunction cannot read the secret store: it can verify nobody (503)." in finding
        assert "sam logs --stack-name callhooks --name BirdVoiceFunction" in finding


PATHS = {
    "jambonz new call": "/webhooks/call",
    "jambonz call status": "/webhooks/call/events",
    "Wavix on-call event": "/webhooks/wavix",
    "Bird event": "/webhooks/bird",
    "VoIPstudio event": "/webhooks/voipstudio",
}


class TestADeliveryThatIsNotTaken:
    @pytest.mark.parametrize("name", PATHS)
    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            (answered(403), "The URL does not lead to this API: it was answered 403."),
            (answered(404), "The URL does not lead to this API: it was answered 404."),
            (answered(429), "It was throttled (429)"),
            (answered(500), "fails, is throttled, or does not start (500)."),
            (answered(503), "fails, is throttled, or does not start (503)."),
            (
                always(lambda: problem(503, "The event could not be stored.")),
                "neither in the table nor in the spill queue",
            ),
            (
                always(lambda: problem(503, "The sender cannot be authenticated at the moment.")),
                "cannot read the secret store",
            ),
            (answered(202, {"status": "quarantined"}), "it went into quarantine"),
            (always(lambda: problem(413, "The body is larger.")), "It was answered 413. The body is larger."),
        ],
    )
    def test_is_told_with_the_cause(self, name: str, answer: Handler, words: str, case: Case) -> None:
        case.api.answers[PATHS[name]] = answer
        finding = only(list(delivery_findings(case.trial)))
        assert finding.startswith(f"{name}: ")
        assert words in finding

    def test_names_the_log_and_how_to_read_it(self, case: Case) -> None:
        case.api.answers["/webhooks/wavix"] = answered(500)
        assert "sam logs --stack-name callhooks --name WavixCallFunction" in only(list(delivery_findings(case.trial)))

    @pytest.mark.parametrize("name", PATHS)
    def test_is_told_where_the_connection_breaks(self, name: str, case: Case) -> None:
        def fail(_request: httpx.Request) -> httpx.Response:
            raise httpx.RemoteProtocolError("no")

        case.api.answers[PATHS[name]] = fail
        assert "does not answer (RemoteProtocolError)" in only(list(delivery_findings(case.trial)))

    def test_of_bird_has_the_wrong_public_url(self, case: Case) -> None:
        case.api.answers["/webhooks/bird"] = always(lambda: problem(401, "missing or wrong"))
        finding = only(list(delivery_findings(case.trial)))
        assert f"is not the address that was called, {BASE}/webhooks/bird" in finding
        assert "most likely since PublicUrl" in finding
        assert "Bird signs the URL" in finding

    @pytest.mark.parametrize(
        ("path", "parameter"),
        [("/webhooks/wavix", "WavixAllowedAddresses"), ("/webhooks/voipstudio", "VoipstudioAllowedAddresses")],
    )
    def test_from_an_address_that_is_not_allowed_cannot_be_tried(self, path: str, parameter: str, case: Case) -> None:
        case.with_parameters(**{parameter: "62.212.73.112"}).api.answers[path] = always(lambda: problem(401, "missing"))
        findings = list(delivery_findings(case.trial))
        assert told(findings) == []
        warned = only(findings, FindingLevel.WARNING)
        assert "cannot be tried from here" in warned
        assert parameter in warned

    @pytest.mark.parametrize("name", ["jambonz new call", "Wavix on-call event", "VoIPstudio event"])
    def test_has_the_stack_s_own_secrets_and_is_refused(self, name: str, case: Case) -> None:
        case.api.answers[PATHS[name]] = always(lambda: problem(401, "missing or wrong"))
        finding = only(list(delivery_findings(case.trial)))
        assert "It was refused (401), though it has what the stack's own secrets say" in finding

    def test_has_a_secret_that_was_just_changed(self, case: Case) -> None:
        case.trial.known.changed_at["WavixCredentials"] = NOW - timedelta(seconds=20)
        case.api.answers["/webhooks/wavix"] = always(lambda: problem(401, "missing or wrong"))
        findings = list(delivery_findings(case.trial))
        assert told(findings) == []
        assert "Its secret was changed 20 s ago" in only(findings, FindingLevel.WARNING)
        case.trial.known.changed_at["WavixCredentials"] = NOW - timedelta(seconds=61)
        assert "It was refused (401)" in only(list(delivery_findings(case.trial)))

    @pytest.mark.parametrize(
        ("path", "answer", "member"),
        [
            ("/webhooks/wavix", always(lambda: problem(503, NOBODY_IS_VERIFIED)), "WavixCredentials"),
            ("/webhooks/bird", always(lambda: problem(503, NOBODY_IS_VERIFIED)), "BirdCredentials"),
            ("/webhooks/call/events", always(lambda: problem(503, NOBODY_IS_VERIFIED)), "JambonzWebhookSecrets"),
            ("/webhooks/call", answered(200, VERBS), "JambonzCredentials"),
        ],
    )
    def test_has_a_secret_that_was_just_repaired_and_is_not_read_yet(
        self, path: str, answer: Handler, member: str, case: Case
    ) -> None:
        case.trial.known.changed_at[member] = NOW - timedelta(seconds=20)
        case.api.answers[path] = answer
        findings = [*refusal_findings(case.trial), *delivery_findings(case.trial)]
        assert told(findings) == []
        warned = told(findings, FindingLevel.WARNING)
        assert len(warned) >= 2
        assert all("Its secret was changed" in one and "Run this again in a minute." in one for one in warned)
        case.trial.known.changed_at[member] = NOW - timedelta(seconds=90)
        assert told([*refusal_findings(case.trial), *delivery_findings(case.trial)])

    def test_points_at_its_function_only_where_that_was_found_wrong(self, case: Case) -> None:
        case.api.answers["/webhooks/wavix"] = answered(500)
        assert "above" not in only(list(delivery_findings(case.trial)))
        case.trial.found_wrong = frozenset({"function WavixCallFunction", "function BirdVoiceFunction"})
        assert "See function WavixCallFunction, above. The log of" in only(list(delivery_findings(case.trial)))

    @pytest.mark.parametrize("member", SECRETS)
    def test_is_not_tried_without_its_secret(self, member: str, case: Case) -> None:
        del case.trial.known.values[member]
        findings = case.tried()
        assert told(findings) == []
        assert all("Not tried: its secret is not in order." in one for one in told(findings, FindingLevel.WARNING))
        assert told(findings, FindingLevel.WARNING)


class TestAnAnswer:
    @pytest.mark.parametrize(
        ("path", "document", "words"),
        [
            ("/webhooks/call", [], "has no verbs. jambonz would hang up"),
            ("/webhooks/call", {"verb": "say"}, "not a JSON array"),
            ("/webhooks/call", list(BUILTIN_VERBS), "cannot read the call plan in the layer"),
            ("/webhooks/call/events", {"status": "stored"}, "not a JSON array"),
            ("/webhooks/bird", {"status": "ignored"}, "A filter ignored the event"),
            ("/webhooks/wavix", {"ok": True}, "does not come from this version"),
        ],
    )
    def test_of_another_kind_is_told(self, path: str, document: Any, words: str, case: Case) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            case.api.healthy(request)
            return httpx.Response(200, json=document)

        case.api.answers[path] = answer
        assert words in only(list(delivery_findings(case.trial)))

    def test_that_comes_too_late_is_told(self, case: Case) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            case.api.time.sleep(10.5)
            return case.api.healthy(request)

        case.api.answers["/webhooks/call"] = answer
        assert "The answer took 10.5 s: a sender waits 10 s." in only(list(delivery_findings(case.trial)))

    @pytest.mark.parametrize(
        ("second", "words"),
        [
            ({"json": [{"verb": "hangup"}], "headers": {"idempotent-replayed": "true"}}, "got another answer"),
            ({"json": VERBS}, "was not known as one"),
        ],
    )
    def test_to_a_repeat_is_the_first_one(self, second: dict[str, Any], words: str, case: Case) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            known = case.api.has(*key_of(request))
            return httpx.Response(200, **second) if known else case.api.healthy(request)

        case.api.answers["/webhooks/call"] = answer
        assert words in only(list(delivery_findings(case.trial)))


class TestWhatIsNotInTheTable:
    def test_was_answered_with_the_fallback(self, case: Case) -> None:
        case.api.answers["/webhooks/call"] = answered(200, VERBS)
        finding = only(list(delivery_findings(case.trial)))
        assert "It got the plan's fallback, and nothing was stored" in finding

    def test_is_in_quarantine(self, case: Case) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            came = Request("POST", "/webhooks/call", body=request.content)
            case.api.table.items.append(
                quarantine_item(QuarantinedDelivery("jambonz", "x", NOW), came, Response(200, "[]"), retention_days=1)
            )
            return httpx.Response(200, json=VERBS)

        case.api.answers["/webhooks/call"] = answer
        assert "went into quarantine: the flow, a variable or the code is broken" in only(
            list(delivery_findings(case.trial))
        )
        list(cleaning_findings(case.trial))
        assert case.api.table.items == []

    def test_waits_in_the_spill_queue(self, case: Case) -> None:
        case.api.answers["/webhooks/wavix"] = answered(200, {"status": "stored"})
        case.queue.messages = 1
        finding = only(list(delivery_findings(case.trial)))
        assert "It waits in the spill queue: the table does not take it" in finding
        assert "callhooks forget callhooks-doctor --stack callhooks" in finding

    def test_came_through_the_spill_queue(self, case: Case) -> None:
        spilled: list[httpx.Request] = []

        def spill(request: httpx.Request) -> httpx.Response:
            spilled.append(request)
            return httpx.Response(200, json={"status": "stored"})

        case.api.answers["/webhooks/wavix"] = spill
        sleep = case.api.time.sleep

        def drain(seconds: float) -> None:
            sleep(seconds)
            for request in spilled:
                case.api.healthy(request)

        case.trial.sleep = drain
        finding = only(list(delivery_findings(case.trial)))
        assert "It came into the table through the spill queue: the table refuses WavixCallFunction itself" in finding

    def test_came_so_fast_through_the_spill_queue_that_only_its_repeat_tells(self, case: Case) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            case.api.healthy(request)
            return httpx.Response(200, json={"status": "stored"})

        case.api.answers["/webhooks/wavix"] = answer
        finding = only(list(delivery_findings(case.trial)))
        assert "Its repeat was not known as one: the table refuses WavixCallFunction itself" in finding

    def test_came_so_fast_through_the_spill_queue_that_only_the_log_tells(self, case: Case) -> None:
        case.logs.lines["wavix-log"] = [
            '{"call_id":"callhooks-doctor-another","outcome":"spilled","AnswerTime":[9.0]}',
            '{"call_id":"callhooks-doctor-ab12","AnswerTime":[9.0]}',
        ]
        assert told(case.tried()) == []
        case.logs.lines["wavix-log"].append(
            '{"call_id":"callhooks-doctor-ab12","outcome":"spilled","AnswerTime":[9.0]}'
        )
        finding = only(case.tried())
        assert finding.startswith(
            "Wavix on-call event: It came into the table through the spill queue: the table refuses"
        )
        assert "WavixCallFunction itself (its permissions, its EVENTS_TABLE), or was down for a moment." in finding

    @pytest.mark.parametrize(
        ("reason", "words"),
        [
            (
                "AccessDeniedException",
                "refuses WavixCallFunction itself (its permissions, its EVENTS_TABLE): AccessDeniedException.",
            ),
            ("no time was left", "WavixCallFunction could not write it: no time was left."),
        ],
    )
    def test_came_through_the_spill_queue_for_the_reason_that_the_log_names(
        self, reason: str, words: str, case: Case
    ) -> None:
        case.logs.lines["wavix-log"] = [
            "EventSpilled is no JSON here",
            json.dumps({"EventSpilled": [1.0], "provider": "wavix", "reason": "an older one"}),
            json.dumps({"EventSpilled": [1.0], "provider": "wavix", "reason": reason}),
            '{"call_id":"callhooks-doctor-ab12","outcome":"spilled","AnswerTime":[9.0]}',
        ]
        finding = only(case.tried())
        assert words in finding
        assert "down for a moment" not in finding

    def test_is_let_drain_before_it_is_removed(self, case: Case) -> None:
        case.api.answers["/webhooks/wavix"] = answered(200, {"status": "stored"})
        case.queue.messages = 1
        list(delivery_findings(case.trial))
        sleep, waited = case.trial.sleep, case.api.time.slept

        def drain(seconds: float) -> None:
            sleep(seconds)
            case.queue.messages = 0
            case.api.table.keep("wavix#callhooks-doctor-ab12", "event#late")

        case.trial.sleep = drain
        assert told(list(cleaning_findings(case.trial))) == []
        assert case.api.table.items == []
        assert case.api.time.slept == waited + 0.5

    def test_is_nowhere(self, case: Case) -> None:
        case.api.answers["/webhooks/wavix"] = answered(200, {"status": "stored"})
        assert "the function writes elsewhere" in only(list(delivery_findings(case.trial)))

    def test_cannot_be_looked_for(self, case: Case) -> None:
        denied: Any = {"Error": {"Code": "AccessDeniedException", "Message": "x"}}
        case.api.table.fault = ClientError(denied, "Query")
        findings = case.tried()
        warned = told(findings, FindingLevel.WARNING)
        assert "your AWS credentials may not do Query" in warned[0]
        assert "could not be removed (AccessDeniedException)" in only(findings)


class TestBirdsFilters:
    @pytest.mark.parametrize(
        ("statuses", "event", "status"),
        [
            ("", "voice.inbound", "completed"),
            ("busy, completed", "voice.inbound", "busy"),
            ("accepted", "voice.outbound", "accepted"),
            ("cancelled", "voice.outbound", "cancelled"),
        ],
    )
    def test_are_passed(self, statuses: str, event: str, status: str, case: Case) -> None:
        channel = "6d0c1f0e-97c1-4f3e-9b0f-2a3f5b7c9d10"
        case.with_parameters(BirdStatuses=statuses, BirdChannelId=channel)
        list(delivery_findings(case.trial))
        sent = next(json.loads(one.content) for one in case.api.requests if one.url.path == "/webhooks/bird")
        assert (sent["event"], sent["payload"]["status"], sent["payload"]["channelId"]) == (event, status, channel)


class TestTheProjector:
    def test_that_does_not_run_is_told_after_half_a_minute(self, case: Case) -> None:
        case.api.projects = False
        finding = only(case.tried())
        assert "became no call within 30 s: the projector does not run" in finding
        assert 30 <= case.api.time.slept < 32

    def test_that_lags_for_a_moment_is_waited_for(self, case: Case) -> None:
        case.api.projects = False
        list(delivery_findings(case.trial))
        sleep = case.trial.sleep

        def project(seconds: float) -> None:
            sleep(seconds)
            for pk in {one["pk"]["S"] for one in case.api.table.items}:
                case.api.project(pk)

        case.trial.sleep = project
        (finding,) = projection_findings(case.trial)
        assert "It has written 4 calls, 0.5 s after the last delivery." in finding.words

    def test_is_not_waited_for_where_nothing_was_stored(self, case: Case) -> None:
        assert list(projection_findings(case.trial)) == []

    def test_points_at_what_was_found_wrong_of_it_and_nowhere_else(self, case: Case) -> None:
        case.api.projects = False
        assert "above" not in only(case.tried())
        case.trial.found_wrong = frozenset({"event source CallProjectorFunctionNewEvents", "queue SpillQueue"})
        assert "See event source CallProjectorFunctionNewEvents, above. The log of" in only(case.tried())


class TestWhatIsPublished:
    def aside(self, case: Case, number: int, *, after: float) -> None:
        """The projector puts so many events into the retry queue, some time after the first one came."""
        sleep, until = case.trial.sleep, case.api.time.slept + after

        def put_aside(seconds: float) -> None:
            sleep(seconds)
            if case.api.time.slept >= until:
                case.queue.retries = number

        case.trial.sleep = put_aside

    @pytest.mark.parametrize("after", [0.0, 6.0])
    def test_is_not_what_the_projector_puts_aside(self, after: float, case: Case) -> None:
        case.queue.retries = 2
        self.aside(case, 7, after=after)
        finding = only(case.tried())
        assert finding == (
            "publishing: Calls are written, but their events were not published (or were not projected): the retry "
            'queue has 5 more than before. The log of CallProjectorFunction has the cause at "not projected": '
            "sam logs --stack-name callhooks --name CallProjectorFunction"
        )

    def test_is_all_where_nothing_is_put_aside_for_as_long_as_the_projector_tries(self, case: Case) -> None:
        case.queue.retries = 2
        assert "publishing: The projector has put nothing aside. " in told(case.tried(), FindingLevel.OK)
        assert 8 <= case.api.time.slept < 9

    def test_is_not_asked_for_where_the_projector_has_written_nothing(self, case: Case) -> None:
        case.api.projects = False
        self.aside(case, 5, after=0)
        assert "became no call" in only(case.tried())

    def test_cannot_be_told_without_the_queue(self, case: Case) -> None:
        denied: Any = {"Error": {"Code": "AccessDenied", "Message": "x"}}
        case.queue.fault = ClientError(denied, "GetQueueAttributes")
        findings = case.tried()
        assert told(findings) == []
        warned = only(findings, FindingLevel.WARNING)
        assert warned.startswith("publishing: could not be looked at: your AWS credentials may not do GetQueueAttrib")


class TestTheCallLog:
    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            (always(lambda: problem(401, "wrong")), "It refuses the user name and the password of its own secret"),
            (always(lambda: problem(404, "No such call.")), "it reads another one"),
            (answered(200, {"timeline": []}), "it reads another one"),
            (always(lambda: problem(503, "Calls cannot be read.")), "CallLogFunction can read the table or its"),
            (answered(500), "CallLogFunction fails"),
        ],
    )
    def test_that_does_not_show_what_was_sent_is_told(self, answer: Handler, words: str, case: Case) -> None:
        case.api.answers["/calls/wavix/callhooks-doctor-ab12"] = answer
        assert words in only(case.tried())

    def test_whose_password_was_just_changed_is_not_broken(self, case: Case) -> None:
        case.trial.known.changed_at["ConsoleCredentials"] = NOW
        case.api.answers["/calls/wavix/callhooks-doctor-ab12"] = always(lambda: problem(401, "wrong"))
        findings = case.tried()
        assert told(findings) == []
        assert "Its password was changed a moment ago" in only(findings, FindingLevel.WARNING)
