"""Findings of the doctor from the answers of the public URL and the items in the table."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email.utils import format_datetime
from types import SimpleNamespace
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

from tests.console import basic
from tests.stacks import stack_outputs
from tests.support import NOW, Clock

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

    items: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    fault: Exception | None = None

    def get_paginator(self, name: str) -> FakeTable:
        assert name == "query"
        return self

    def paginate(self, *, ExpressionAttributeValues: dict[str, Any], **query: Any) -> Iterator[dict[str, Any]]:  # noqa: N803
        assert query["ConsistentRead"] is True
        if self.fault is not None:
            raise self.fault
        pk, sk = ExpressionAttributeValues[":pk"]["S"], ExpressionAttributeValues.get(":sk", {"S": ""})["S"]
        yield {"Items": [one for key, one in self.items.items() if key[0] == pk and key[1].startswith(sk)]}

    def delete_item(self, *, TableName: str, Key: dict[str, Any]) -> None:  # noqa: N803
        self.items.pop((Key["pk"]["S"], Key["sk"]["S"]), None)

    def put(self, item: dict[str, Any]) -> None:
        self.items.setdefault((item["pk"]["S"], item["sk"]["S"]), item)

    def store(self, pk: str, sk: str, body: bytes = b"", **members: Any) -> None:
        self.put({"pk": {"S": pk}, "sk": {"S": sk}, "body": {"B": body}, "body_encoding": {"S": "identity"}, **members})


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

    lines: dict[str, list[str]]

    def get_paginator(self, name: str) -> FakeLogs:
        assert name == "filter_log_events"
        return self

    def paginate(self, *, logGroupName: str, filterPattern: str, startTime: int) -> Iterator[dict[str, Any]]:  # noqa: N803
        assert startTime < NOW.timestamp() * 1000
        text = filterPattern.strip('"')
        at = int(NOW.timestamp() * 1000)
        yield {"events": [{"timestamp": at, "message": one} for one in self.lines.get(logGroupName, []) if text in one]}


Handler = Callable[[httpx.Request], httpx.Response]


@dataclass
class Api:
    """Small double of the deployed application: it authenticates, stores and projects.

    `answers` replaces its answer to a path, and `unprotected` are paths that accept any credentials.
    """

    table: FakeTable
    clock: Clock
    answers: dict[str, Handler] = field(default_factory=dict)
    unprotected: tuple[str, ...] = ()
    requests: list[httpx.Request] = field(default_factory=list)
    projects: bool = True

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        handler = self.answers.get(request.url.path) or self.answers.get(prefix_of(request.url.path))
        response = handler(request) if handler else self.healthy(request)
        response.headers.setdefault("date", format_datetime(self.clock(), usegmt=True))
        return response

    def healthy(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/openapi.json":
            return httpx.Response(200, json={"openapi": "3.1.0"})
        if not self.is_authenticated(request) and prefix_of(path) not in self.unprotected:
            return problem(401, "The credentials or the signature of this request are missing or wrong.")
        if path.startswith("/calls"):
            pk = "#".join(path.split("/")[2:])
            return httpx.Response(200, json={"timeline": [key[1] for key in self.table.items if key[0] == pk]})
        pk, sk = key_of(request)
        headers = {"idempotent-replayed": "true"} if (pk, sk) in self.table.items else {}
        self.table.store(pk, sk, request.content)
        if self.projects:
            self.project(pk)
        answer: Any = {"status": "stored"}
        if path.startswith("/webhooks/call"):
            answer = VERBS if path.rstrip("/") == "/webhooks/call" else []
        return httpx.Response(200, json=answer, headers=headers)

    def project(self, pk: str) -> None:
        self.table.items.pop((pk, "call"), None)
        number = len([key for key in self.table.items if key[0] == pk])
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
            return request.headers["authorization"] == basic("console", "console-password")
        signature = read_signature(request.headers.get("jambonz-signature"))
        if signature is None:
            return False
        is_signed = signature.digests == (sign("wh_secret_cJqgtMDPzDhhnjmaJH6Mtk", signature.timestamp, body),)
        return is_signed and request.headers["authorization"] == basic("jambonz", "s3cr3t-password")


def prefix_of(path: str) -> str:
    return "/".join(path.split("/")[:3]) if path.startswith(("/webhooks/wavix", "/webhooks/voipstudio")) else path


def key_of(request: httpx.Request) -> tuple[str, str]:
    document = json.loads(request.content)
    call = document.get("payload", document)
    segment = request.url.path.split("/")[2]
    provider = segment if segment in ("wavix", "bird", "voipstudio") else "jambonz"
    call_id = call.get("call_sid") or call.get("call_id") or call.get("id")
    return f"{provider}#{call_id}", f"event#{request.url.path.rstrip('/').rpartition('/')[2]}"


def problem(status: int, detail: str) -> httpx.Response:
    return httpx.Response(status, json={"detail": detail}, headers={"content-type": "application/problem+json"})


def rejected(status: int, detail: str) -> Handler:
    return lambda _request: problem(status, detail)


def answered(status: int, document: Any = None, **headers: str) -> Handler:
    body = {"message": "x"} if document is None else document
    return lambda _request: httpx.Response(status, json=body, headers=headers)


def failing(error: Exception, cause: Exception | None = None) -> Handler:
    def fail(_request: httpx.Request) -> httpx.Response:
        raise error from cause

    return fail


@dataclass
class Case:
    """Probe of such an API."""

    api: Api
    queue: FakeQueue
    logs: dict[str, list[str]]
    probe: Probe

    def all_findings(self) -> list[Finding]:
        return [*url_findings(self.probe), *rejection_findings(self.probe), *self.after_sending()]

    def deliver(self) -> list[Finding]:
        return list(delivery_findings(self.probe))

    def deliver_with(self, path: str, answer: Handler) -> list[Finding]:
        """Return the findings of the deliveries if the API answers a path like this."""
        self.api.answers[path] = answer
        return self.deliver()

    def after_sending(self) -> list[Finding]:
        return [
            *self.deliver(),
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

    def while_waiting(self, action: Callable[[], object]) -> None:
        """Do this each time the doctor waits."""

        def sleep(seconds: float) -> None:
            self.api.clock.advance(seconds)
            action()

        self.probe.sleep = sleep

    @property
    def slept(self) -> float:
        return (self.api.clock.now - NOW).total_seconds()


@pytest.fixture
def case() -> Case:
    table, queue, clock, lines = FakeTable(), FakeQueue(), Clock(), dict[str, list[str]]()
    api = Api(table, clock)
    clients = {"dynamodb": table, "sqs": queue, "logs": FakeLogs(lines)}
    session: Any = SimpleNamespace(client=lambda service, **_: clients[service])
    known = KnownSecrets(dict(SECRETS), dict.fromkeys(SECRETS, NOW - timedelta(days=3)))
    resources = [StackResource("AWS::Logs::LogGroup", "WavixCallLogGroup", "wavix-log")]
    probe = Probe(
        Deployment(session, "callhooks", None, OUTPUTS, resources),
        known,
        httpx.Client(transport=httpx.MockTransport(api)),
        clock,
        clock.monotonic,
        clock.advance,
        "ab12",
    )
    return Case(api, queue, lines, probe)


def reported(findings: Iterable[Finding], level: FindingLevel = FindingLevel.FAILURE) -> list[str]:
    """Return the findings of a level with their remedies; assert that no finding contains a secret."""
    found = list(findings)
    for finding in found:
        text = f"{finding.check} {finding.message} {finding.remedy}"
        assert not [secret for secret in EVERY_SECRET if secret not in NOT_SECRET and secret in text]
    return [f"{one.check}: {one.message} {one.remedy}" for one in found if one.level is level]


def only(findings: Iterable[Finding], level: FindingLevel = FindingLevel.FAILURE) -> str:
    (one,) = reported(findings, level)
    return one


def only_warning(findings: list[Finding]) -> str:
    assert reported(findings) == []
    return only(findings, FindingLevel.WARNING)


def denied(operation: str) -> ClientError:
    return ClientError({"Error": {"Code": "AccessDeniedException", "Message": "x"}}, operation)


def test_a_healthy_deployment_has_no_findings_and_no_items_left(case: Case) -> None:
    findings = case.all_findings()
    assert reported(findings) == reported(findings, FindingLevel.WARNING) == []
    passed = reported(findings, FindingLevel.OK)
    assert "The 9 items of the test events were removed." in "".join(passed)
    assert case.api.table.items == {}
    (new_call,) = [one for one in passed if one.startswith("jambonz new call")]
    assert "Answered in 0 ms and stored. A duplicate was recognised and got the same answer." in new_call
    for body in [json.loads(one.content) for one in case.api.requests if one.content]:
        call = body.get("payload", body)
        assert str(call.get("call_sid") or call["id"]).startswith("callhooks-doctor-ab12")
        assert "callhooks-doctor" in (call.get("from"), call.get("src"))


def unreachable(cause: Exception) -> Handler:
    return failing(httpx.ConnectError("no"), cause)


ANOTHER_API = ["The URL does not reach this API", "PublicUrl", "API mapping", "callhooks urls --stack callhooks"]


class TestThePublicUrl:
    @pytest.mark.parametrize(
        ("answer", "is_reachable", "expected"),
        [
            (unreachable(socket.gaierror(-2, "Name or service not known")), False,
             ["The name hooks.example.com cannot be resolved."]),
            (unreachable(ssl.SSLCertVerificationError(1, "certificate verify failed")), False,
             ["The certificate of hooks.example.com is not"]),
            (unreachable(ssl.SSLError(1, "wrong version number")), False,
             ["The TLS handshake with hooks.example.com failed."]),
            (unreachable(ConnectionRefusedError(111, "refused")), False, [f"{BASE} does not answer (ConnectError)."]),
            *((answered(status), False, ANOTHER_API) for status in (403, 404, 200)),
            (answered(302, location="https://elsewhere.example.com"), False,
             ["redirects (302), and providers do not follow redirects"]),
            # The webhooks are still tested.
            (answered(500), True, ["CallLogFunction fails"]),
            (answered(429), True, ["throttled (429)"]),
        ],
    )  # fmt: skip
    def test_that_does_not_work_is_reported_with_the_cause(
        self, answer: Handler, is_reachable: bool, expected: list[str], case: Case
    ) -> None:
        case.api.answers["/openapi.json"] = answer
        finding = only(url_findings(case.probe))
        assert [text for text in expected if text not in finding] == []
        assert case.probe.is_reachable is is_reachable

    def test_that_does_not_answer_is_reported(self, case: Case) -> None:
        def hang(_request: httpx.Request) -> httpx.Response:
            case.api.clock.advance(30)
            raise httpx.ReadTimeout("no")

        case.api.answers["/openapi.json"] = hang
        assert "did not answer within 30 s" in only(url_findings(case.probe))

    def test_without_tls_is_a_warning(self, case: Case) -> None:
        outputs = replace(case.probe.deployment.outputs, base_url="http://hooks.example.com")
        case.probe.deployment = replace(case.probe.deployment, outputs=outputs)
        assert "does not use TLS" in only(url_findings(case.probe), FindingLevel.WARNING)

    @pytest.mark.parametrize(("seconds", "word"), [(61, "fast"), (-61, "slow")])
    def test_shows_that_this_machine_s_clock_is_wrong(self, seconds: int, word: str, case: Case) -> None:
        date = format_datetime((NOW - timedelta(seconds=seconds)).replace(microsecond=0), usegmt=True)
        case.api.answers["/openapi.json"] = answered(200, {"openapi": "3.1.0"}, date=date)
        finding = only(url_findings(case.probe))
        assert finding.startswith("clock: This machine's clock is 61 s " + word)
        assert "requests signed here are rejected" in finding

    def test_may_answer_without_a_date(self, case: Case) -> None:
        case.api.answers["/openapi.json"] = answered(200, {"openapi": "3.1.0"}, date="no date")
        assert reported(url_findings(case.probe)) == []


class TestAnUnauthenticatedRequest:
    @pytest.mark.parametrize(
        "path",
        ["/webhooks/call", "/webhooks/call/events", "/webhooks/wavix", "/webhooks/bird", "/webhooks/voipstudio",
         "/webhooks/client-auth", "/webhooks/tool/openai", "/webhooks/call/flows/doctor/doctor"],
    )  # fmt: skip
    def test_is_reported_in_capitals_if_it_is_accepted(self, path: str, case: Case) -> None:
        case.api.unprotected = (path,)
        findings = reported(rejection_findings(case.probe))
        assert findings
        assert all("UNAUTHENTICATED REQUESTS ARE ACCEPTED" in finding for finding in findings)
        list(cleanup_findings(case.probe))
        assert case.api.table.items == {}

    def test_has_no_credentials_at_the_call_hook_because_of_its_alarm(self, case: Case) -> None:
        list(rejection_findings(case.probe))
        at_call_hook = [request for request in case.api.requests if request.url.path == "/webhooks/call"]
        assert [request.headers.keys() & {"authorization", "jambonz-signature"} for request in at_call_hook] == [set()]

    def test_is_reported_in_capitals_if_it_can_read_the_call_log(self, case: Case) -> None:
        case.api.unprotected = ("/calls",)
        assert "ANYONE CAN READ THE CALL LOG" in only(rejection_findings(case.probe))

    def test_shows_that_a_function_cannot_authenticate_any_request(self, case: Case) -> None:
        case.api.answers["/webhooks/call"] = answered(200, VERBS)
        case.api.answers["/webhooks/bird"] = rejected(503, CANNOT_AUTHENTICATE)
        of_bird, new_call = reported(rejection_findings(case.probe))
        assert "It got the plan's fallback: the function cannot authenticate any request" in new_call
        assert "BirdVoiceFunction cannot read the secret store, so it cannot authenticate any request (503)." in of_bird
        assert "sam logs --stack-name callhooks --name BirdVoiceFunction" in of_bird


PATHS = {
    "jambonz new call": "/webhooks/call",
    "jambonz call status": "/webhooks/call/events",
    "Wavix on-call event": "/webhooks/wavix",
    "Bird event": "/webhooks/bird",
    "VoIPstudio event": "/webhooks/voipstudio",
}
UNAUTHORIZED = rejected(401, "missing or wrong")
WITHOUT_SECRET = rejected(503, CANNOT_AUTHENTICATE)


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
            (rejected(503, CANNOT_STORE), "could not store the event in the events table or"),
            (WITHOUT_SECRET, "cannot read the secret store"),
            (answered(202, {"status": "quarantined"}), "is in quarantine"),
            (rejected(413, "The body is larger."), "The request was answered 413. The body is larger."),
            (failing(httpx.RemoteProtocolError("no")), "does not answer (RemoteProtocolError)"),
        ],
    )
    def test_is_reported_with_the_cause(self, name: str, answer: Handler, expected: str, case: Case) -> None:
        finding = only(case.deliver_with(PATHS[name], answer))
        assert finding.startswith(f"{name}: ")
        assert expected in finding

    def test_of_bird_points_to_the_public_url(self, case: Case) -> None:
        finding = only(case.deliver_with("/webhooks/bird", UNAUTHORIZED))
        assert f"the address that was called, {BASE}/webhooks/bird" in finding
        assert "Bird signs the URL, so the parameter PublicUrl is probably not the address" in finding

    @pytest.mark.parametrize(
        ("name", "parameter"),
        [("Wavix on-call event", "WavixAllowedAddresses"), ("VoIPstudio event", "VoipstudioAllowedAddresses"),
         ("jambonz new call", "")],
    )  # fmt: skip
    def test_is_rejected_despite_the_stack_s_own_credentials(self, name: str, parameter: str, case: Case) -> None:
        finding = only(case.deliver_with(PATHS[name], UNAUTHORIZED))
        assert "It was rejected (401), although it has the stack's own credentials" in finding
        if parameter:
            # This machine's address may not be allowed.
            warned = only_warning(case.with_parameters(**{parameter: "62.212.73.112"}).deliver())
            assert "Cannot be tested from this machine" in warned
            assert parameter in warned

    @pytest.mark.parametrize(
        ("path", "answer", "member"),
        [
            ("/webhooks/wavix", UNAUTHORIZED, "WavixCredentials"),
            ("/webhooks/wavix", WITHOUT_SECRET, "WavixCredentials"),
            ("/webhooks/bird", WITHOUT_SECRET, "BirdCredentials"),
            ("/webhooks/call/events", WITHOUT_SECRET, "JambonzWebhookSecrets"),
            ("/webhooks/call", answered(200, VERBS), "JambonzCredentials"),
        ],
    )
    def test_with_a_secret_that_was_just_changed_is_a_warning(
        self, path: str, answer: Handler, member: str, case: Case
    ) -> None:
        case.probe.known.changed_at[member] = NOW - timedelta(seconds=20)
        case.api.answers[path] = answer
        findings = [*rejection_findings(case.probe), *case.deliver()]
        assert reported(findings) == []
        warned = reported(findings, FindingLevel.WARNING)
        assert len(warned) >= (1 if answer is UNAUTHORIZED else 2)
        assert all("Its secret was changed" in one and "Run this command again in a minute." in one for one in warned)
        case.probe.known.changed_at[member] = NOW - timedelta(seconds=61)
        assert reported([*rejection_findings(case.probe), *case.deliver()])

    def test_refers_to_its_function_only_if_that_has_a_finding(self, case: Case) -> None:
        finding = only(case.deliver_with("/webhooks/wavix", answered(500)))
        assert "sam logs --stack-name callhooks --name WavixCallFunction" in finding
        assert "above" not in finding
        case.probe.flagged_checks = frozenset({"function WavixCallFunction", "function BirdVoiceFunction"})
        assert "See function WavixCallFunction above. The log of" in only(case.deliver())

    @pytest.mark.parametrize("member", SECRETS)
    def test_is_skipped_without_its_secret(self, member: str, case: Case) -> None:
        del case.probe.known.values[member]
        findings = case.after_sending()
        assert reported(findings) == []
        warned = reported(findings, FindingLevel.WARNING)
        assert warned
        assert all("Skipped, because its secret cannot be used." in one for one in warned)


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

        assert expected in only(case.deliver_with(path, answer))

    def test_that_comes_too_late_is_reported(self, case: Case) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            case.api.clock.advance(10.5)
            return case.api.healthy(request)

        finding = only(case.deliver_with("/webhooks/call", answer))
        assert "The answer took 10.5 s. Providers wait at most 10 s." in finding

    def test_to_the_path_with_a_slash_at_the_end_is_the_first_one(self, case: Case) -> None:
        case.api.answers["/webhooks/call/"] = answered(404)
        case.api.answers["/webhooks/call/events/"] = answered(200, [], server="a proxy")
        (finding,) = [finding for finding in case.deliver() if finding.level is not FindingLevel.OK]
        assert (finding.level, finding.check) == (FindingLevel.WARNING, "jambonz new call")
        assert finding.message == "A delivery to /webhooks/call/ was answered 404, and not as one to /webhooks/call."
        assert "without the slash" in finding.remedy

    @pytest.mark.parametrize(
        ("second", "expected"),
        [
            ({"json": [{"verb": "hangup"}], "headers": {"idempotent-replayed": "true"}}, "got a different answer"),
            ({"json": VERBS}, "was not recognised"),
        ],
    )
    def test_to_a_duplicate_is_the_first_one(self, second: dict[str, Any], expected: str, case: Case) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            is_known = key_of(request) in case.api.table.items
            return httpx.Response(200, **second) if is_known else case.api.healthy(request)

        assert expected in only(case.deliver_with("/webhooks/call", answer))


STORED = answered(200, {"status": "stored"})
SPILLED = '{"call_id":"callhooks-doctor-ab12","outcome":"spilled","AnswerTime":[9.0]}'


class TestADeliveryThatIsNotInTheTable:
    @pytest.mark.parametrize(
        ("path", "answer", "expected"),
        [
            ("/webhooks/call", answered(200, VERBS), "It got the plan's fallback and was not stored"),
            ("/webhooks/wavix", STORED, "the function writes to another table"),
        ],
    )
    def test_is_reported_with_the_cause(self, path: str, answer: Handler, expected: str, case: Case) -> None:
        assert expected in only(case.deliver_with(path, answer))

    def test_is_in_quarantine(self, case: Case) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            delivery = Request("POST", "/webhooks/call", body=request.content)
            quarantined = QuarantinedDelivery("jambonz", "x", NOW)
            case.api.table.put(quarantine_item(quarantined, delivery, Response(200, "[]"), retention_days=1))
            return httpx.Response(200, json=VERBS)

        finding = only(case.deliver_with("/webhooks/call", answer))
        assert "is in quarantine: the flow, a variable or the code is broken" in finding
        list(cleanup_findings(case.probe))
        assert case.api.table.items == {}

    def test_waits_in_the_spill_queue_and_is_drained_before_it_is_removed(self, case: Case) -> None:
        case.queue.messages = 1
        finding = only(case.deliver_with("/webhooks/wavix", STORED))
        assert "It is waiting in the spill queue: neither the function nor the drainer can" in finding
        assert "callhooks forget callhooks-doctor --stack callhooks" in finding
        waited = case.slept

        def drain() -> None:
            case.queue.messages = 0
            case.api.table.store("wavix#callhooks-doctor-ab12", "event#late")

        case.while_waiting(drain)
        assert reported(cleanup_findings(case.probe)) == []
        assert case.api.table.items == {}
        assert case.slept == waited + 0.5

    def test_came_through_the_spill_queue(self, case: Case) -> None:
        spilled: list[httpx.Request] = []

        def spill(request: httpx.Request) -> httpx.Response:
            spilled.append(request)
            return httpx.Response(200, json={"status": "stored"})

        case.while_waiting(lambda: [case.api.healthy(request) for request in spilled])
        finding = only(case.deliver_with("/webhooks/wavix", spill))
        assert "It was stored through the spill queue: WavixCallFunction cannot write to the events table" in finding

    def test_came_through_the_spill_queue_so_fast_that_only_the_duplicate_shows_it(self, case: Case) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            case.api.healthy(request)
            return httpx.Response(200, json={"status": "stored"})

        finding = only(case.deliver_with("/webhooks/wavix", answer))
        assert "The duplicate was not recognised: WavixCallFunction cannot write to the events table" in finding

    def test_came_through_the_spill_queue_so_fast_that_only_the_log_shows_it(self, case: Case) -> None:
        case.logs["wavix-log"] = [SPILLED.replace("ab12", "another"), '{"call_id":"callhooks-doctor-ab12"}']
        assert reported(case.after_sending()) == []
        case.logs["wavix-log"].append(SPILLED)
        finding = only(case.after_sending())
        assert finding.startswith(
            "Wavix on-call event: It was stored through the spill queue: WavixCallFunction cannot write to the "
        )
        assert "events table (check its permissions and its variable EVENTS_TABLE), or the table was down" in finding

    @pytest.mark.parametrize(
        ("reason", "expected"),
        [
            ("AccessDeniedException", "(AccessDeniedException; check its permissions and its variable EVENTS_TABLE)."),
            ("no time was left", "WavixCallFunction cannot write to the events table (no time was left)."),
        ],
    )
    def test_came_through_the_spill_queue_for_the_reason_in_the_log(
        self, reason: str, expected: str, case: Case
    ) -> None:
        spilled = {"EventSpilled": [1.0], "provider": "wavix"}
        case.logs["wavix-log"] = [
            "EventSpilled is no JSON here",
            *(json.dumps({**spilled, "reason": one}) for one in ("an older one", reason)),
            SPILLED,
        ]
        finding = only(case.after_sending())
        assert expected in finding
        assert "down for a moment" not in finding

    def test_cannot_be_looked_for_without_permission(self, case: Case) -> None:
        case.api.table.fault = denied("Query")
        findings = case.after_sending()
        assert "your AWS credentials do not allow Query" in reported(findings, FindingLevel.WARNING)[0]
        assert "could not be removed (AccessDeniedException)" in only(findings)


@pytest.mark.parametrize(
    ("statuses", "event", "status"),
    [
        ("", "voice.inbound", "completed"),
        ("busy, completed", "voice.inbound", "busy"),
        ("accepted", "voice.outbound", "accepted"),
        ("cancelled", "voice.outbound", "cancelled"),
    ],
)
def test_the_filters_of_bird_let_the_test_event_pass(statuses: str, event: str, status: str, case: Case) -> None:
    channel = "6d0c1f0e-97c1-4f3e-9b0f-2a3f5b7c9d10"
    case.with_parameters(BirdStatuses=statuses, BirdChannelId=channel).deliver()
    sent = next(json.loads(one.content) for one in case.api.requests if one.url.path == "/webhooks/bird")
    assert (sent["event"], sent["payload"]["status"], sent["payload"]["channelId"]) == (event, status, channel)


class TestTheProjector:
    def test_that_does_not_run_is_reported_after_half_a_minute(self, case: Case) -> None:
        case.api.projects = False
        finding = only(case.after_sending())
        assert "did not become calls within 30 s: the projector does not run" in finding
        assert "above" not in finding
        assert 30 <= case.slept < 32
        case.probe.flagged_checks = frozenset({"event source CallProjectorFunctionNewEvents", "queue SpillQueue"})
        assert "See event source CallProjectorFunctionNewEvents above. The log of" in only(case.after_sending())

    def test_that_lags_for_a_moment_is_waited_for(self, case: Case) -> None:
        case.api.projects = False
        case.deliver()

        def project() -> None:
            for pk in {key[0] for key in case.api.table.items}:
                case.api.project(pk)

        case.while_waiting(project)
        (finding,) = projection_findings(case.probe)
        assert "It wrote 4 calls within 0.5 s of the last delivery." in finding.message

    def test_is_not_waited_for_if_nothing_was_stored(self, case: Case) -> None:
        assert list(projection_findings(case.probe)) == []


class TestPublishing:
    def retry_events(self, case: Case, number: int, *, after: float) -> None:
        """Let the projector send this many events to the retry queue, after a delay in seconds."""

        def retry() -> None:
            if case.slept >= after:
                case.queue.retries = number

        case.while_waiting(retry)

    @pytest.mark.parametrize("after", [0.0, 6.0])
    def test_fails_if_the_projector_sends_events_to_the_retry_queue(self, after: float, case: Case) -> None:
        case.queue.retries = 2
        self.retry_events(case, 7, after=after)
        finding = only(case.after_sending())
        assert finding == (
            "publishing: The calls were written, but 5 events went to the retry queue: not published, or not "
            "projected. See the checks of "
            'permissions and the event bus above. The log of CallProjectorFunction shows the cause at "not projected": '
            "sam logs --stack-name callhooks --name CallProjectorFunction"
        )

    def test_passes_if_the_retry_queue_stays_the_same_while_the_projector_tries(self, case: Case) -> None:
        case.queue.retries = 2
        passed = reported(case.after_sending(), FindingLevel.OK)
        assert "publishing: The projector sent no event to the retry queue. " in passed
        assert 8 <= case.slept < 9

    def test_is_not_checked_if_the_projector_has_written_nothing(self, case: Case) -> None:
        case.api.projects = False
        self.retry_events(case, 5, after=0)
        assert "did not become calls" in only(case.after_sending())

    def test_cannot_be_checked_without_the_queue(self, case: Case) -> None:
        case.queue.fault = denied("GetQueueAttributes")
        warned = only_warning(case.after_sending())
        assert warned.startswith("publishing: Not checked: your AWS credentials do not allow GetQueueAttributes.")


class TestTheCallLog:
    PATH = "/calls/wavix/callhooks-doctor-ab12"

    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            (UNAUTHORIZED, "The call log rejects the login in the secret ConsoleCredentials"),
            (rejected(404, "No such call."), "it reads another table"),
            (answered(200, {"timeline": []}), "it reads another table"),
            (rejected(503, "Calls cannot be read."), "CallLogFunction cannot read the events table or"),
            (answered(500), "CallLogFunction fails"),
        ],
    )
    def test_that_does_not_show_the_test_events_is_reported(self, answer: Handler, expected: str, case: Case) -> None:
        case.api.answers[self.PATH] = answer
        assert expected in only(case.after_sending())

    def test_with_a_password_that_was_just_changed_is_a_warning(self, case: Case) -> None:
        case.probe.known.changed_at["ConsoleCredentials"] = NOW
        case.api.answers[self.PATH] = UNAUTHORIZED
        assert "Its password was changed a moment ago" in only_warning(case.after_sending())
