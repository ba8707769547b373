"""Findings of the doctor from the answers of the public URL and the items in the table."""

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
from callhooks.runtime.errors import CANNOT_AUTHENTICATE, CANNOT_STORE
from callhooks.runtime.http import Request, Response
from callhooks_tools.doctor.deliveries import (
    call_log_findings,
    cleanup_findings,
    delivery_findings,
    projection_findings,
    publishing_findings,
    rejection_findings,
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
NOT_SECRET = ("jambonz", "console")


@dataclass
class FakeTable:
    """Table of events with the requests that the doctor makes; `fault` makes it fail."""

    items: list[dict[str, Any]] = field(default_factory=list)
    fault: Exception | None = None

    def get_paginator(self, name: str) -> FakeTable:
        assert name == "query"
        return self

    def paginate(self, *, ExpressionAttributeValues: dict[str, Any], **query: Any) -> Iterator[dict[str, Any]]:  # noqa: N803
        assert query["ConsistentRead"] is True
        if self.fault is not None:
            raise self.fault
        pk, sk = ExpressionAttributeValues[":pk"]["S"], ExpressionAttributeValues.get(":sk", {"S": ""})["S"]
        yield {"Items": [one for one in self.items if one["pk"]["S"] == pk and one["sk"]["S"].startswith(sk)]}

    def delete_item(self, *, TableName: str, Key: dict[str, Any]) -> None:  # noqa: N803
        self.items = [one for one in self.items if (one["pk"], one["sk"]) != (Key["pk"], Key["sk"])]

    def store(self, pk: str, sk: str, body: bytes = b"", **members: Any) -> None:
        item = {"pk": {"S": pk}, "sk": {"S": sk}, "body": {"B": body}, "body_encoding": {"S": "identity"}, **members}
        if (pk, sk) not in [(one["pk"]["S"], one["sk"]["S"]) for one in self.items]:
            self.items.append(item)


@dataclass
class FakeQueue:
    """The spill queue and the retry queue; messages in the retry queue are delayed."""

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
    """Lines of each log group."""

    lines: dict[str, list[str]] = field(default_factory=dict)

    def get_paginator(self, name: str) -> FakeLogs:
        assert name == "filter_log_events"
        return self

    def paginate(self, *, logGroupName: str, filterPattern: str, startTime: int) -> Iterator[dict[str, Any]]:  # noqa: N803
        assert startTime < NOW.timestamp() * 1000
        text = filterPattern.strip('"')
        at = int(NOW.timestamp() * 1000)
        yield {"events": [{"timestamp": at, "message": one} for one in self.lines.get(logGroupName, []) if text in one]}


@dataclass
class FakeSession:
    table: FakeTable
    queue: FakeQueue
    logs: FakeLogs

    def client(self, service: str, **_: object) -> Any:
        return {"dynamodb": self.table, "sqs": self.queue, "logs": self.logs}[service]


@dataclass
class FakeTime:
    """Clock that advances only when something sleeps."""

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
    """Small double of the deployed application: it authenticates, stores and projects.

    `answers` replaces its answer to a path, and `unprotected` are paths that accept any credentials.
    """

    table: FakeTable
    time: FakeTime
    answers: dict[str, Handler] = field(default_factory=dict)
    unprotected: tuple[str, ...] = ()
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
        if not self.is_authenticated(request) and prefix_of(path) not in self.unprotected:
            return problem(401, "The credentials or the signature of this request are missing or wrong.")
        if path.startswith("/calls"):
            pk = "#".join(path.split("/")[2:])
            return httpx.Response(
                200, json={"timeline": [one["sk"] for one in self.table.items if one["pk"]["S"] == pk]}
            )
        pk, sk = key_of(request)
        headers = {"idempotent-replayed": "true"} if self.has(pk, sk) else {}
        self.table.store(pk, sk, request.content)
        if self.projects:
            self.project(pk)
        answer: Any = {"status": "stored"}
        if path.startswith("/webhooks/call"):
            answer = VERBS if path == "/webhooks/call" else []
        return httpx.Response(200, json=answer, headers=headers)

    def has(self, pk: str, sk: str) -> bool:
        return any((one["pk"]["S"], one["sk"]["S"]) == (pk, sk) for one in self.table.items)

    def project(self, pk: str) -> None:
        self.table.items = [one for one in self.table.items if (one["pk"]["S"], one["sk"]["S"]) != (pk, "call")]
        number = len([one for one in self.table.items if one["pk"]["S"] == pk])
        self.table.store(pk, "call", event_count={"N": str(number)})

    def is_authenticated(self, request: httpx.Request) -> bool:
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
    segment = request.url.path.split("/")[2]
    provider = segment if segment in ("wavix", "bird", "voipstudio") else "jambonz"
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
    """Probe of such an API."""

    api: Api
    queue: FakeQueue
    logs: FakeLogs
    probe: Probe

    def all_findings(self) -> list[Finding]:
        return [*url_findings(self.probe), *rejection_findings(self.probe), *self.after_sending()]

    def after_sending(self) -> list[Finding]:
        return [
            *delivery_findings(self.probe),
            *projection_findings(self.probe),
            *call_log_findings(self.probe),
            *spill_findings(self.probe),
            *publishing_findings(self.probe),
            *cleanup_findings(self.probe),
        ]

    def with_parameters(self, **parameters: str) -> Case:
        known = self.probe.deployment.outputs
        outputs = replace(known, parameters={**known.parameters, **parameters})
        self.probe.deployment = replace(self.probe.deployment, outputs=outputs)
        return self


@pytest.fixture
def case() -> Case:
    table, queue, logs, time = FakeTable(), FakeQueue(), FakeLogs(), FakeTime()
    api = Api(table, time)
    session: Any = FakeSession(table, queue, logs)
    known = KnownSecrets(dict(SECRETS), dict.fromkeys(SECRETS, NOW - timedelta(days=3)))
    client = httpx.Client(transport=httpx.MockTransport(api))
    probe = Probe(
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
    return Case(api, queue, logs, probe)


def reported(findings: list[Finding], level: FindingLevel = FindingLevel.FAILURE) -> list[str]:
    """Return the findings of a level with their remedies; assert that no finding contains a secret."""
    for finding in findings:
        text = f"{finding.check} {finding.message} {finding.remedy}"
        assert not [secret for secret in EVERY_SECRET if secret not in NOT_SECRET and secret in text]
    return [f"{one.check}: {one.message} {one.remedy}" for one in findings if one.level is level]


def only(findings: list[Finding], level: FindingLevel = FindingLevel.FAILURE) -> str:
    (one,) = reported(findings, level)
    return one


class TestAHealthyDeployment:
    def test_has_no_findings_and_no_items_left(self, case: Case) -> None:
        findings = case.all_findings()
        assert reported(findings) == reported(findings, FindingLevel.WARNING) == []
        assert "The 9 items of the test events were removed." in "".join(reported(findings, FindingLevel.OK))
        assert case.api.table.items == []

    def test_gets_ids_and_a_caller_that_mark_the_test_events(self, case: Case) -> None:
        case.all_findings()
        bodies = [json.loads(one.content) for one in case.api.requests if one.content]
        for body in bodies:
            call = body.get("payload", body)
            assert str(call.get("call_sid") or call["id"]).startswith("callhooks-doctor-ab12")
            assert "callhooks-doctor" in (call.get("from"), call.get("src"))

    def test_shows_how_long_a_new_call_took(self, case: Case) -> None:
        passed = reported(case.all_findings(), FindingLevel.OK)
        (new_call,) = [one for one in passed if one.startswith("jambonz new call")]
        assert "Answered in 0 ms and stored. A duplicate was recognised and got the same answer." in new_call


class TestThePublicUrl:
    @pytest.mark.parametrize(
        ("cause", "expected"),
        [
            (socket.gaierror(-2, "Name or service not known"), "The name hooks.example.com cannot be resolved."),
            (
                ssl.SSLCertVerificationError(1, "certificate verify failed"),
                "The certificate of hooks.example.com is not",
            ),
            (ssl.SSLError(1, "wrong version number"), "The TLS handshake with hooks.example.com failed."),
            (ConnectionRefusedError(111, "refused"), f"{BASE} does not answer (ConnectError)."),
        ],
    )
    def test_that_cannot_be_reached_is_reported_with_the_cause(
        self, cause: Exception, expected: str, case: Case
    ) -> None:
        def fail(_request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("no") from cause

        case.api.answers["/openapi.json"] = fail
        assert expected in only(list(url_findings(case.probe)))
        assert not case.probe.is_reachable

    def test_that_does_not_answer_is_reported(self, case: Case) -> None:
        def hang(_request: httpx.Request) -> httpx.Response:
            case.api.time.sleep(30)
            raise httpx.ReadTimeout("no")

        case.api.answers["/openapi.json"] = hang
        assert "did not answer within 30 s" in only(list(url_findings(case.probe)))

    @pytest.mark.parametrize("status", [403, 404, 200])
    def test_of_another_api_is_reported(self, status: int, case: Case) -> None:
        case.api.answers["/openapi.json"] = answered(status)
        finding = only(list(url_findings(case.probe)))
        assert "The URL does not reach this API" in finding
        assert "PublicUrl" in finding
        assert "API mapping" in finding
        assert finding.endswith("callhooks urls --stack callhooks")
        assert not case.probe.is_reachable

    def test_that_redirects_is_reported(self, case: Case) -> None:
        case.api.answers["/openapi.json"] = answered(302, location="https://elsewhere.example.com")
        assert "redirects (302), and providers do not follow redirects" in only(list(url_findings(case.probe)))

    @pytest.mark.parametrize(("status", "expected"), [(500, "CallLogFunction fails"), (429, "throttled (429)")])
    def test_that_fails_is_reported_and_the_webhooks_are_still_tested(
        self, status: int, expected: str, case: Case
    ) -> None:
        case.api.answers["/openapi.json"] = answered(status)
        finding = only(list(url_findings(case.probe)))
        assert expected in finding
        assert case.probe.is_reachable

    def test_without_tls_is_a_warning(self, case: Case) -> None:
        outputs = replace(case.probe.deployment.outputs, base_url="http://hooks.example.com")
        case.probe.deployment = replace(case.probe.deployment, outputs=outputs)
        assert "does not use TLS" in only(list(url_findings(case.probe)), FindingLevel.WARNING)

    @pytest.mark.parametrize(("seconds", "word"), [(61, "fast"), (-61, "slow")])
    def test_shows_that_this_machine_s_clock_is_wrong(self, seconds: int, word: str, case: Case) -> None:
        api_time = NOW - timedelta(seconds=seconds)
        case.api.answers["/openapi.json"] = answered(
            200, {"openapi": "3.1.0"}, date=format_datetime(api_time.replace(microsecond=0), usegmt=True)
        )
        finding = only(list(url_findings(case.probe)))
        assert finding.startswith("clock: This machine's clock is 61 s " + word)
        assert "requests signed here are rejected" in finding

    def test_may_answer_without_a_date(self, case: Case) -> None:
        case.api.answers["/openapi.json"] = answered(200, {"openapi": "3.1.0"}, date="no date")
        assert reported(list(url_findings(case.probe))) == []


class TestAnUnauthenticatedRequest:
    @pytest.mark.parametrize(
        "path",
        ["/webhooks/call", "/webhooks/call/events", "/webhooks/wavix", "/webhooks/bird", "/webhooks/voipstudio",
         "/webhooks/client-auth", "/webhooks/tool/openai", "/webhooks/call/flows/doctor/doctor"],
    )  # fmt: skip
    def test_is_reported_in_capitals_if_it_is_accepted(self, path: str, case: Case) -> None:
        case.api.unprotected = (path,)
        findings = reported(list(rejection_findings(case.probe)))
        assert findings
        assert all("UNAUTHENTICATED REQUESTS ARE ACCEPTED" in finding for finding in findings)
        list(cleanup_findings(case.probe))
        assert case.api.table.items == []

    def test_has_no_credentials_at_the_call_hook_because_of_its_alarm(self, case: Case) -> None:
        list(rejection_findings(case.probe))
        at_call_hook = [request for request in case.api.requests if request.url.path == "/webhooks/call"]
        assert [request.headers.keys() & {"authorization", "jambonz-signature"} for request in at_call_hook] == [set()]

    def test_is_reported_in_capitals_if_it_can_read_the_call_log(self, case: Case) -> None:
        case.api.unprotected = ("/calls",)
        assert "ANYONE CAN READ THE CALL LOG" in only(list(rejection_findings(case.probe)))

    def test_gets_the_fallback_if_no_request_can_be_authenticated(self, case: Case) -> None:
        case.api.answers["/webhooks/call"] = answered(200, VERBS)
        finding = only(list(rejection_findings(case.probe)))
        assert "It got the plan's fallback: the function cannot authenticate any request" in finding

    def test_shows_that_a_function_cannot_read_its_secrets(self, case: Case) -> None:
        case.api.answers["/webhooks/bird"] = always(lambda: problem(503, CANNOT_AUTHENTICATE))
        finding = only(list(rejection_findings(case.probe)))
        assert "BirdVoiceFunction cannot read the secret store, so it cannot authenticate any request (503)." in finding
        assert "sam logs --stack-name callhooks --name BirdVoiceFunction" in finding


PATHS = {
    "jambonz new call": "/webhooks/call",
    "jambonz call status": "/webhooks/call/events",
    "Wavix on-call event": "/webhooks/wavix",
    "Bird event": "/webhooks/bird",
    "VoIPstudio event": "/webhooks/voipstudio",
}


class TestADeliveryThatIsNotAccepted:
    @pytest.mark.parametrize("name", PATHS)
    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            (answered(403), "The URL does not reach this API: the request was answered 403."),
            (answered(404), "The URL does not reach this API: the request was answered 404."),
            (answered(429), "The request was throttled (429)"),
            (answered(500), "fails, is throttled, or does not start (500)."),
            (answered(503), "fails, is throttled, or does not start (503)."),
            (
                always(lambda: problem(503, CANNOT_STORE)),
                "could not store the event in the events table or",
            ),
            (
                always(lambda: problem(503, CANNOT_AUTHENTICATE)),
                "cannot read the secret store",
            ),
            (answered(202, {"status": "quarantined"}), "is in quarantine"),
            (always(lambda: problem(413, "The body is larger.")), "The request was answered 413. The body is larger."),
        ],
    )
    def test_is_reported_with_the_cause(self, name: str, answer: Handler, expected: str, case: Case) -> None:
        case.api.answers[PATHS[name]] = answer
        finding = only(list(delivery_findings(case.probe)))
        assert finding.startswith(f"{name}: ")
        assert expected in finding

    def test_has_the_command_that_shows_the_log(self, case: Case) -> None:
        case.api.answers["/webhooks/wavix"] = answered(500)
        assert "sam logs --stack-name callhooks --name WavixCallFunction" in only(list(delivery_findings(case.probe)))

    @pytest.mark.parametrize("name", PATHS)
    def test_is_reported_if_the_connection_breaks(self, name: str, case: Case) -> None:
        def fail(_request: httpx.Request) -> httpx.Response:
            raise httpx.RemoteProtocolError("no")

        case.api.answers[PATHS[name]] = fail
        assert "does not answer (RemoteProtocolError)" in only(list(delivery_findings(case.probe)))

    def test_of_bird_points_to_the_public_url(self, case: Case) -> None:
        case.api.answers["/webhooks/bird"] = always(lambda: problem(401, "missing or wrong"))
        finding = only(list(delivery_findings(case.probe)))
        assert f"the address that was called, {BASE}/webhooks/bird" in finding
        assert "Bird signs the URL, so the parameter PublicUrl is probably not the address" in finding

    @pytest.mark.parametrize(
        ("path", "parameter"),
        [("/webhooks/wavix", "WavixAllowedAddresses"), ("/webhooks/voipstudio", "VoipstudioAllowedAddresses")],
    )
    def test_from_an_address_that_is_not_allowed_is_a_warning(self, path: str, parameter: str, case: Case) -> None:
        case.with_parameters(**{parameter: "62.212.73.112"}).api.answers[path] = always(lambda: problem(401, "missing"))
        findings = list(delivery_findings(case.probe))
        assert reported(findings) == []
        warned = only(findings, FindingLevel.WARNING)
        assert "Cannot be tested from this machine" in warned
        assert parameter in warned

    @pytest.mark.parametrize("name", ["jambonz new call", "Wavix on-call event", "VoIPstudio event"])
    def test_is_rejected_despite_the_stack_s_own_credentials(self, name: str, case: Case) -> None:
        case.api.answers[PATHS[name]] = always(lambda: problem(401, "missing or wrong"))
        finding = only(list(delivery_findings(case.probe)))
        assert "It was rejected (401), although it has the stack's own credentials" in finding

    def test_with_a_secret_that_was_just_changed_is_a_warning(self, case: Case) -> None:
        case.probe.known.changed_at["WavixCredentials"] = NOW - timedelta(seconds=20)
        case.api.answers["/webhooks/wavix"] = always(lambda: problem(401, "missing or wrong"))
        findings = list(delivery_findings(case.probe))
        assert reported(findings) == []
        assert "Its secret was changed 20 s ago" in only(findings, FindingLevel.WARNING)
        case.probe.known.changed_at["WavixCredentials"] = NOW - timedelta(seconds=61)
        assert "It was rejected (401)" in only(list(delivery_findings(case.probe)))

    @pytest.mark.parametrize(
        ("path", "answer", "member"),
        [
            ("/webhooks/wavix", always(lambda: problem(503, CANNOT_AUTHENTICATE)), "WavixCredentials"),
            ("/webhooks/bird", always(lambda: problem(503, CANNOT_AUTHENTICATE)), "BirdCredentials"),
            ("/webhooks/call/events", always(lambda: problem(503, CANNOT_AUTHENTICATE)), "JambonzWebhookSecrets"),
            ("/webhooks/call", answered(200, VERBS), "JambonzCredentials"),
        ],
    )
    def test_with_a_secret_that_was_just_repaired_is_a_warning(
        self, path: str, answer: Handler, member: str, case: Case
    ) -> None:
        case.probe.known.changed_at[member] = NOW - timedelta(seconds=20)
        case.api.answers[path] = answer
        findings = [*rejection_findings(case.probe), *delivery_findings(case.probe)]
        assert reported(findings) == []
        warned = reported(findings, FindingLevel.WARNING)
        assert len(warned) >= 2
        assert all("Its secret was changed" in one and "Run this command again in a minute." in one for one in warned)
        case.probe.known.changed_at[member] = NOW - timedelta(seconds=90)
        assert reported([*rejection_findings(case.probe), *delivery_findings(case.probe)])

    def test_refers_to_its_function_only_if_that_has_a_finding(self, case: Case) -> None:
        case.api.answers["/webhooks/wavix"] = answered(500)
        assert "above" not in only(list(delivery_findings(case.probe)))
        case.probe.flagged_checks = frozenset({"function WavixCallFunction", "function BirdVoiceFunction"})
        assert "See function WavixCallFunction above. The log of" in only(list(delivery_findings(case.probe)))

    @pytest.mark.parametrize("member", SECRETS)
    def test_is_skipped_without_its_secret(self, member: str, case: Case) -> None:
        del case.probe.known.values[member]
        findings = case.after_sending()
        assert reported(findings) == []
        assert all(
            "Skipped, because its secret cannot be used." in one for one in reported(findings, FindingLevel.WARNING)
        )
        assert reported(findings, FindingLevel.WARNING)


class TestAnAnswer:
    @pytest.mark.parametrize(
        ("path", "document", "expected"),
        [
            ("/webhooks/call", [], "has no verbs. jambonz would hang up"),
            ("/webhooks/call", {"verb": "say"}, "not a JSON array"),
            ("/webhooks/call", list(BUILTIN_VERBS), "cannot read the call plan in the layer"),
            ("/webhooks/call/events", {"status": "stored"}, "not a JSON array"),
            ("/webhooks/bird", {"status": "ignored"}, "A filter ignored the event"),
            ("/webhooks/wavix", {"ok": True}, "does not come from this version"),
        ],
    )
    def test_of_another_kind_is_reported(self, path: str, document: Any, expected: str, case: Case) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            case.api.healthy(request)
            return httpx.Response(200, json=document)

        case.api.answers[path] = answer
        assert expected in only(list(delivery_findings(case.probe)))

    def test_that_comes_too_late_is_reported(self, case: Case) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            case.api.time.sleep(10.5)
            return case.api.healthy(request)

        case.api.answers["/webhooks/call"] = answer
        assert "The answer took 10.5 s. Providers wait at most 10 s." in only(list(delivery_findings(case.probe)))

    @pytest.mark.parametrize(
        ("second", "expected"),
        [
            ({"json": [{"verb": "hangup"}], "headers": {"idempotent-replayed": "true"}}, "got a different answer"),
            ({"json": VERBS}, "was not recognised"),
        ],
    )
    def test_to_a_duplicate_is_the_first_one(self, second: dict[str, Any], expected: str, case: Case) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            known = case.api.has(*key_of(request))
            return httpx.Response(200, **second) if known else case.api.healthy(request)

        case.api.answers["/webhooks/call"] = answer
        assert expected in only(list(delivery_findings(case.probe)))


class TestADeliveryThatIsNotInTheTable:
    def test_got_the_fallback(self, case: Case) -> None:
        case.api.answers["/webhooks/call"] = answered(200, VERBS)
        finding = only(list(delivery_findings(case.probe)))
        assert "It got the plan's fallback and was not stored" in finding

    def test_is_in_quarantine(self, case: Case) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            delivery = Request("POST", "/webhooks/call", body=request.content)
            case.api.table.items.append(
                quarantine_item(
                    QuarantinedDelivery("jambonz", "x", NOW), delivery, Response(200, "[]"), retention_days=1
                )
            )
            return httpx.Response(200, json=VERBS)

        case.api.answers["/webhooks/call"] = answer
        assert "is in quarantine: the flow, a variable or the code is broken" in only(
            list(delivery_findings(case.probe))
        )
        list(cleanup_findings(case.probe))
        assert case.api.table.items == []

    def test_waits_in_the_spill_queue(self, case: Case) -> None:
        case.api.answers["/webhooks/wavix"] = answered(200, {"status": "stored"})
        case.queue.messages = 1
        finding = only(list(delivery_findings(case.probe)))
        assert "It is waiting in the spill queue: neither the function nor the drainer can" in finding
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

        case.probe.sleep = drain
        finding = only(list(delivery_findings(case.probe)))
        assert "It was stored through the spill queue: WavixCallFunction cannot write to the events table" in finding

    def test_came_through_the_spill_queue_so_fast_that_only_the_duplicate_shows_it(self, case: Case) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            case.api.healthy(request)
            return httpx.Response(200, json={"status": "stored"})

        case.api.answers["/webhooks/wavix"] = answer
        finding = only(list(delivery_findings(case.probe)))
        assert "The duplicate was not recognised: WavixCallFunction cannot write to the events table" in finding

    def test_came_through_the_spill_queue_so_fast_that_only_the_log_shows_it(self, case: Case) -> None:
        case.logs.lines["wavix-log"] = [
            '{"call_id":"callhooks-doctor-another","outcome":"spilled","AnswerTime":[9.0]}',
            '{"call_id":"callhooks-doctor-ab12","AnswerTime":[9.0]}',
        ]
        assert reported(case.after_sending()) == []
        case.logs.lines["wavix-log"].append(
            '{"call_id":"callhooks-doctor-ab12","outcome":"spilled","AnswerTime":[9.0]}'
        )
        finding = only(case.after_sending())
        assert finding.startswith(
            "Wavix on-call event: It was stored through the spill queue: WavixCallFunction cannot write to the "
        )
        assert "events table (check its permissions and its variable EVENTS_TABLE), or the table was down" in finding

    @pytest.mark.parametrize(
        ("reason", "expected"),
        [
            (
                "AccessDeniedException",
                "(AccessDeniedException; check its permissions and its variable EVENTS_TABLE).",
            ),
            ("no time was left", "WavixCallFunction cannot write to the events table (no time was left)."),
        ],
    )
    def test_came_through_the_spill_queue_for_the_reason_in_the_log(
        self, reason: str, expected: str, case: Case
    ) -> None:
        case.logs.lines["wavix-log"] = [
            "EventSpilled is no JSON here",
            json.dumps({"EventSpilled": [1.0], "provider": "wavix", "reason": "an older one"}),
            json.dumps({"EventSpilled": [1.0], "provider": "wavix", "reason": reason}),
            '{"call_id":"callhooks-doctor-ab12","outcome":"spilled","AnswerTime":[9.0]}',
        ]
        finding = only(case.after_sending())
        assert expected in finding
        assert "down for a moment" not in finding

    def test_is_drained_before_it_is_removed(self, case: Case) -> None:
        case.api.answers["/webhooks/wavix"] = answered(200, {"status": "stored"})
        case.queue.messages = 1
        list(delivery_findings(case.probe))
        sleep, waited = case.probe.sleep, case.api.time.slept

        def drain(seconds: float) -> None:
            sleep(seconds)
            case.queue.messages = 0
            case.api.table.store("wavix#callhooks-doctor-ab12", "event#late")

        case.probe.sleep = drain
        assert reported(list(cleanup_findings(case.probe))) == []
        assert case.api.table.items == []
        assert case.api.time.slept == waited + 0.5

    def test_is_in_no_queue_either(self, case: Case) -> None:
        case.api.answers["/webhooks/wavix"] = answered(200, {"status": "stored"})
        assert "the function writes to another table" in only(list(delivery_findings(case.probe)))

    def test_cannot_be_looked_for_without_permission(self, case: Case) -> None:
        denied: Any = {"Error": {"Code": "AccessDeniedException", "Message": "x"}}
        case.api.table.fault = ClientError(denied, "Query")
        findings = case.after_sending()
        warned = reported(findings, FindingLevel.WARNING)
        assert "your AWS credentials do not allow Query" in warned[0]
        assert "could not be removed (AccessDeniedException)" in only(findings)


class TestBirdFilters:
    @pytest.mark.parametrize(
        ("statuses", "event", "status"),
        [
            ("", "voice.inbound", "completed"),
            ("busy, completed", "voice.inbound", "busy"),
            ("accepted", "voice.outbound", "accepted"),
            ("cancelled", "voice.outbound", "cancelled"),
        ],
    )
    def test_let_the_test_event_pass(self, statuses: str, event: str, status: str, case: Case) -> None:
        channel = "6d0c1f0e-97c1-4f3e-9b0f-2a3f5b7c9d10"
        case.with_parameters(BirdStatuses=statuses, BirdChannelId=channel)
        list(delivery_findings(case.probe))
        sent = next(json.loads(one.content) for one in case.api.requests if one.url.path == "/webhooks/bird")
        assert (sent["event"], sent["payload"]["status"], sent["payload"]["channelId"]) == (event, status, channel)


class TestTheProjector:
    def test_that_does_not_run_is_reported_after_half_a_minute(self, case: Case) -> None:
        case.api.projects = False
        finding = only(case.after_sending())
        assert "did not become calls within 30 s: the projector does not run" in finding
        assert 30 <= case.api.time.slept < 32

    def test_that_lags_for_a_moment_is_waited_for(self, case: Case) -> None:
        case.api.projects = False
        list(delivery_findings(case.probe))
        sleep = case.probe.sleep

        def project(seconds: float) -> None:
            sleep(seconds)
            for pk in {one["pk"]["S"] for one in case.api.table.items}:
                case.api.project(pk)

        case.probe.sleep = project
        (finding,) = projection_findings(case.probe)
        assert "It wrote 4 calls within 0.5 s of the last delivery." in finding.message

    def test_is_not_waited_for_if_nothing_was_stored(self, case: Case) -> None:
        assert list(projection_findings(case.probe)) == []

    def test_refers_to_its_own_findings_only(self, case: Case) -> None:
        case.api.projects = False
        assert "above" not in only(case.after_sending())
        case.probe.flagged_checks = frozenset({"event source CallProjectorFunctionNewEvents", "queue SpillQueue"})
        assert "See event source CallProjectorFunctionNewEvents above. The log of" in only(case.after_sending())


class TestPublishing:
    def retry_events(self, case: Case, number: int, *, after: float) -> None:
        """Let the projector send this many events to the retry queue, after a delay in seconds."""
        sleep, until = case.probe.sleep, case.api.time.slept + after

        def retry(seconds: float) -> None:
            sleep(seconds)
            if case.api.time.slept >= until:
                case.queue.retries = number

        case.probe.sleep = retry

    @pytest.mark.parametrize("after", [0.0, 6.0])
    def test_fails_if_the_projector_sends_events_to_the_retry_queue(self, after: float, case: Case) -> None:
        case.queue.retries = 2
        self.retry_events(case, 7, after=after)
        finding = only(case.after_sending())
        assert finding == (
            "publishing: The calls were written, but 5 events went to the retry queue unpublished. See the checks of "
            'permissions and the event bus above. The log of CallProjectorFunction shows the cause at "not projected": '
            "sam logs --stack-name callhooks --name CallProjectorFunction"
        )

    def test_passes_if_the_retry_queue_stays_the_same_while_the_projector_tries(self, case: Case) -> None:
        case.queue.retries = 2
        passed = reported(case.after_sending(), FindingLevel.OK)
        assert "publishing: The projector sent no event to the retry queue. " in passed
        assert 8 <= case.api.time.slept < 9

    def test_is_not_checked_if_the_projector_has_written_nothing(self, case: Case) -> None:
        case.api.projects = False
        self.retry_events(case, 5, after=0)
        assert "did not become calls" in only(case.after_sending())

    def test_cannot_be_checked_without_the_queue(self, case: Case) -> None:
        denied: Any = {"Error": {"Code": "AccessDenied", "Message": "x"}}
        case.queue.fault = ClientError(denied, "GetQueueAttributes")
        findings = case.after_sending()
        assert reported(findings) == []
        warned = only(findings, FindingLevel.WARNING)
        assert warned.startswith("publishing: Not checked: your AWS credentials do not allow GetQueueAttributes.")


class TestTheCallLog:
    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            (always(lambda: problem(401, "wrong")), "The call log rejects the login in the secret ConsoleCredentials"),
            (always(lambda: problem(404, "No such call.")), "it reads another table"),
            (answered(200, {"timeline": []}), "it reads another table"),
            (always(lambda: problem(503, "Calls cannot be read.")), "CallLogFunction cannot read the events table or"),
            (answered(500), "CallLogFunction fails"),
        ],
    )
    def test_that_does_not_show_the_test_events_is_reported(self, answer: Handler, expected: str, case: Case) -> None:
        case.api.answers["/calls/wavix/callhooks-doctor-ab12"] = answer
        assert expected in only(case.after_sending())

    def test_with_a_password_that_was_just_changed_is_a_warning(self, case: Case) -> None:
        case.probe.known.changed_at["ConsoleCredentials"] = NOW
        case.api.answers["/calls/wavix/callhooks-doctor-ab12"] = always(lambda: problem(401, "wrong"))
        findings = case.after_sending()
        assert reported(findings) == []
        assert "Its password was changed a moment ago" in only(findings, FindingLevel.WARNING)
