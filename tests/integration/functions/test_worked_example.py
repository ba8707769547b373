"""The four pieces of a provider: Twilio from docs/adding-a-provider.md works in the functions and the command."""

from __future__ import annotations

import base64
import importlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from urllib.parse import parse_qsl, urlencode

import boto3
import httpx
import pytest
from callhooks import providers as package
from callhooks.calls.call import Call
from callhooks.calls.repository import CallStore
from callhooks.events.call_event import QuarantinedDelivery
from callhooks.events.event_item import EVENT_PREFIX, body_of_item, event_of_item, partition_key, quarantine_item
from callhooks.providers.registry import find_provider, providers
from callhooks.runtime.http import Request, Response
from callhooks.webhooks.credentials import CredentialStore
from callhooks.webhooks.pipeline import MAX_BODY_BYTES, Receiver
from callhooks_tools.cli import app
from callhooks_tools.doctor.deliveries import delivery_findings, rejection_findings
from callhooks_tools.doctor.probe import Probe
from callhooks_tools.doctor.secrets import KnownSecrets, secret_findings
from callhooks_tools.stack import selection
from callhooks_tools.stack.deployment import Deployment
from callhooks_tools.stack.findings import Finding, FindingLevel
from callhooks_tools.stack.stack import ConsoleAccess, LocalStack, StackCredentials, StackOutputs
from callhooks_tools.stack.template import ALIAS, read_template
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.calls import fold
from tests.console import api_event, basic
from tests.hostile import CANARY, in_bounded_time, texts
from tests.integration.conftest import CALL_BUS, TABLE, Aws, Handler, loaded_handler
from tests.limits import assert_storable
from tests.processed_template import process
from tests.properties import examples
from tests.stacks import SECRET_IDS, stack_outputs
from tests.support import (
    NOW,
    PUBLIC_URL,
    ROOT,
    Answer,
    Clock,
    Event,
    FakeDynamoDB,
    FakeQueue,
    FakeSecrets,
    get_writer_of,
)

EXAMPLE = ROOT / "tests" / "worked_example"
MODULE = EXAMPLE / "layers" / "callhooks" / "callhooks" / "providers" / "twilio.py"
APP = EXAMPLE / "functions" / "twilio_status" / "app.py"
RECORDING = EXAMPLE / "events" / "twilio" / "completed.json"
PAGE = ROOT / "docs" / "adding-a-provider.md"
SECRET_ID = "twilio-credentials"
TOKEN = "12345678"
RECORDED: Event = json.loads(RECORDING.read_text("utf-8"))
CALL = dict(parse_qsl(RECORDED["body"], keep_blank_values=True))

Fields = Sequence[tuple[str, str]]
Command = Callable[..., str]


@pytest.fixture(scope="module")
def twilio() -> Iterator[Any]:
    """The Twilio module, as part of the package of providers."""
    folder = str(MODULE.parent)
    package.__path__.append(folder)
    _forget_providers()
    yield importlib.import_module("callhooks.providers.twilio")
    package.__path__.remove(folder)
    del sys.modules["callhooks.providers.twilio"], package.twilio
    _forget_providers()


def _forget_providers() -> None:
    importlib.invalidate_caches()
    providers.cache_clear()
    find_provider.cache_clear()


@pytest.fixture
def deployed(twilio: Any, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Handler:
    """The Twilio function in the simulated account."""
    boto3.client("secretsmanager").create_secret(Name=SECRET_ID, SecretString=json.dumps({"auth_token": TOKEN}))
    monkeypatch.setenv("TWILIO_CREDENTIALS", SECRET_ID)
    handler = loaded_handler("twilio_status", EXAMPLE)
    aws.calls.clear()
    return lambda event: Answer(**handler(event, None))


def callback(twilio: Any, fields: Fields, *, token: str = TOKEN, body: bytes | None = None) -> Event:
    """Return a callback as Twilio would send it now; a `body` is sent unchanged, with the signature of the fields."""
    url = f"{PUBLIC_URL}/webhooks/twilio"
    raw = urlencode(list(fields)).encode() if body is None else body
    signature = twilio.sign(token, url, fields)
    headers = {**RECORDED["headers"], twilio.SIGNATURE_HEADER: signature}
    return {**RECORDED, "headers": headers, "body": base64.b64encode(raw).decode(), "isBase64Encoded": True}


def fields_with(**changes: str) -> Fields:
    """Return the fields of the recorded callback with some replaced."""
    return list({**CALL, **changes}.items())


def callback_of(twilio: Any, status: str, seconds: int, **changes: str) -> Event:
    at = NOW + timedelta(seconds=seconds)
    return callback(twilio, fields_with(CallStatus=status, Timestamp=f"{at:%a, %d %b %Y %H:%M:%S} +0000", **changes))


def call_in(aws: Aws) -> Call:
    return fold(event_of_item(item) for item in aws.items() if item["sk"]["S"].startswith(EVENT_PREFIX))


class TestADelivery:
    def test_is_stored_once_and_a_duplicate_gets_the_first_answer(
        self, twilio: Any, deployed: Handler, aws: Aws
    ) -> None:
        event = callback(twilio, fields_with())
        first, again = deployed(event), deployed(event)
        assert (first.statusCode, first.body, first.replayed) == (200, '{"status":"stored"}', False)
        assert (again.statusCode, again.body, again.replayed) == (200, first.body, True)
        (item,) = aws.items()
        assert body_of_item(item) == base64.b64decode(event["body"])
        assert aws.calls.count("PutItem") == 1
        stored = event_of_item(item)
        assert (stored.provider, stored.call_id, stored.kind) == ("twilio", CALL["CallSid"], "call.completed")
        assert (stored.direction, stored.from_, stored.to) == ("outbound", "+12125550187", "+14155550123")
        assert stored.occurred_at.isoformat() == "2026-11-21T06:30:51+00:00"
        assert stored.details == {"sequence_number": 3, "duration_seconds": 42, "sip_status": 200}

    def test_that_is_forged_is_rejected_and_without_a_signature_costs_nothing(
        self, twilio: Any, deployed: Handler, aws: Aws
    ) -> None:
        assert (deployed(RECORDED).statusCode, aws.calls) == (401, [])
        good = callback(twilio, fields_with())
        for forged in (
            callback(twilio, fields_with(), token="another"),
            {**good, "headers": RECORDED["headers"]},
            {**good, "rawQueryString": "bodySHA256=0"},
            callback(twilio, fields_with(), body=urlencode(fields_with(To="+14155550199")).encode()),
            callback(twilio, [("a", str(number)) for number in range(1000)]),
        ):
            assert deployed(forged).statusCode == 401
        assert aws.items() == []

    def test_that_cannot_be_parsed_is_quarantined(self, twilio: Any, deployed: Handler, aws: Aws) -> None:
        for missing in ("CallSid", "CallStatus"):
            answer = deployed(callback(twilio, fields_with(**{missing: ""})))
            assert (answer.statusCode, json.loads(answer.body)["status"]) == (202, "quarantined")
        assert [item["pk"]["S"].startswith("quarantine#twilio#") for item in aws.items()] == [True, True]

    def test_gets_503_until_the_command_has_added_the_auth_token(
        self, twilio: Any, deployed: Handler, command: Command, aws: Aws, extended_template: Path
    ) -> None:
        secret = read_template(extended_template)["Resources"]["TwilioCredentials"]["Properties"]["SecretString"]
        client = boto3.client("secretsmanager")
        client.put_secret_value(SecretId=SECRET_ID, SecretString=secret)
        assert deployed(callback(twilio, fields_with())).statusCode == 503
        assert aws.items() == []
        command("secret", "add", "twilio", stdin=f"{TOKEN}\n")
        assert json.loads(client.get_secret_value(SecretId=SECRET_ID)["SecretString"])["auth_token"] == TOKEN

    def test_may_be_signed_with_either_token_during_a_rotation(self, twilio: Any, deployed: Handler) -> None:
        both = {"auth_token": TOKEN, "further_auth_tokens": ["next"]}
        boto3.client("secretsmanager").put_secret_value(SecretId=SECRET_ID, SecretString=json.dumps(both))
        assert deployed(callback(twilio, fields_with())).statusCode == 200
        assert deployed(callback(twilio, fields_with(CallStatus="busy"), token="next")).statusCode == 200


def test_the_signature_matches_twilio_s_own_libraries(twilio: Any) -> None:
    # The test vector that these libraries share.
    number = "+14158675309"
    fields = {"To": "+18005551212", "From": number, "Caller": number, "Digits": "1234", "CallSid": "CA1234567890ABCDE"}
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert twilio.sign("12345", url, fields.items()) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


class TestTheEventsOfACall:
    def test_give_one_call_in_any_order(self, twilio: Any, deployed: Handler, aws: Aws) -> None:
        for status, seconds in [("completed", 51), ("ringing", 2), ("initiated", 0), ("in-progress", 9)]:
            assert deployed(callback_of(twilio, status, seconds)).statusCode == 200
        call = call_in(aws)
        assert (call.provider, call.event_count, call.status, call.outcome) == ("twilio", 4, "completed", "answered")
        assert (call.ring_seconds, call.talk_seconds) == (7, 42)

    def test_give_its_outcome(self, twilio: Any, deployed: Handler, aws: Aws) -> None:
        outcomes = {"busy": "busy", "no-answer": "no_answer", "canceled": "cancelled", "failed": "failed"}
        for status in outcomes:
            for one in (status, "ringing", "initiated"):
                deployed(callback_of(twilio, one, 20, SipResponseCode="", CallDuration="0", CallSid=status))
        events = [event_of_item(item) for item in aws.items()]
        assert {
            status: fold(event for event in events if event.call_id == status).outcome for status in outcomes
        } == outcomes

    def test_with_an_unknown_status_or_time_are_stored(self, twilio: Any, deployed: Handler, aws: Aws) -> None:
        assert deployed(callback_of(twilio, "teleported", 3)).statusCode == 200
        (item,) = aws.items()
        stored = event_of_item(item)
        assert (stored.kind, stored.name, stored.status) == ("call.other", "teleported", "teleported")
        for number, moment in enumerate(("", "yesterday", "Sat, 21 Nov 99999999999 06:30:51 +0000")):
            assert deployed(callback(twilio, fields_with(Timestamp=moment, CallSid=f"{number}"))).statusCode == 200
        undated = [event for event in map(event_of_item, aws.items()) if event.kind != "call.other"]
        assert [event.occurred_at == event.received_at for event in undated] == [True] * 3


_fields = st.lists(st.tuples(st.sampled_from([*CALL]) | texts, texts), max_size=5)


def _encoded(fields: Fields) -> bytes:
    return urlencode(list(fields), errors="surrogatepass").encode()


@given(
    body=_fields.map(lambda fields: _encoded([*CALL.items(), *fields]))
    | _fields.map(_encoded)
    | st.sampled_from([*CALL]).flatmap(lambda name: texts.map(lambda text: _encoded(fields_with(**{name: text}))))
    | st.binary(max_size=180)
    | st.binary(max_size=60).map(lambda more: RECORDED["body"].encode() + more)
)
@examples(150)
def test_any_authenticated_body_is_stored_or_quarantined(twilio: Any, body: bytes) -> None:
    secrets, database, clock = FakeSecrets(text=json.dumps({"auth_token": TOKEN})), FakeDynamoDB(), Clock()
    receiver = Receiver(
        twilio.TwilioWebhook(public_url=PUBLIC_URL),
        credentials=CredentialStore(
            ["credentials"], build=twilio.read_auth_tokens, read_secret=secrets.read, monotonic=clock.monotonic
        ),
        get_writer=get_writer_of(database, FakeQueue()),
        clock=clock,
        retention_days=90,
    )
    event = callback(twilio, twilio.form_fields(Request("POST", "/webhooks/twilio", body=body)), body=body)
    with in_bounded_time():
        answer, again = Answer(**receiver.receive(event)), Answer(**receiver.receive(event))
    if len(body) > MAX_BODY_BYTES:
        assert (answer.statusCode, database.items) == (413, {})
        return
    assert answer.statusCode in (200, 202)
    assert (again.statusCode, again.body, again.replayed) == (answer.statusCode, answer.body, True)
    assert CANARY not in answer.body
    assert_storable(database.item)
    assert body_of_item(database.item) == body


# Twilio in the command and the doctor.

OUTPUTS = stack_outputs(
    stack_name="callhooks",
    base_url=PUBLIC_URL,
    events_table=TABLE,
    call_bus=CALL_BUS,
    secrets={**SECRET_IDS, "TwilioCredentials": SECRET_ID},
)


@pytest.fixture
def command(deployed: Handler, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs the command for a stack with the Twilio function; its HTTP requests go to the function."""
    monkeypatch.setattr(StackOutputs, "read", lambda *_: OUTPUTS)
    monkeypatch.setattr(selection, "session_of", lambda _: (boto3.session.Session(), "callhooks", None))
    monkeypatch.setattr(LocalStack, "read", lambda: LOCAL)
    monkeypatch.setattr(
        httpx.HTTPTransport, "handle_request", lambda _, request: http_answer(deployed(http_event(request)))
    )

    def run(*arguments: str, stdin: str = "") -> str:
        done = CliRunner().invoke(app, arguments, input=stdin)
        assert done.exit_code == 0, done.output
        return done.stdout

    return run


LOCAL = LocalStack(
    base_url=PUBLIC_URL,
    aws_endpoint_url="http://127.0.0.1:4566",
    aws_access_key_id="test",
    aws_secret_access_key="test",
    region="us-east-1",
    stack_name="callhooks",
    events_table=TABLE,
    credentials=StackCredentials(providers={}, console=ConsoleAccess(username="console", password="console-password")),
)


def http_event(request: httpx.Request) -> Event:
    """Return API Gateway's event for a request."""
    route, path = "POST /webhooks/twilio", request.url.path
    return {
        "version": "2.0",
        "routeKey": route,
        "rawPath": path,
        "rawQueryString": request.url.query.decode(),
        "headers": dict(request.headers),
        "requestContext": {"routeKey": route, "http": {"method": request.method, "path": path}},
        "body": base64.b64encode(request.read()).decode(),
        "isBase64Encoded": True,
    }


def http_answer(answer: Answer) -> httpx.Response:
    return httpx.Response(answer.statusCode, headers=answer.headers, content=answer.body.encode())


class TestTheCommand:
    def test_sends_a_recorded_delivery_as_twilio_would(self, command: Command, aws: Aws) -> None:
        assert '"status": "stored"' in command("send", str(RECORDING))
        (item,) = aws.items()
        assert event_of_item(item).call_id == CALL["CallSid"]
        command("send", "--new-call", str(RECORDING))
        assert len({item["pk"]["S"] for item in aws.items()}) == 2

    def test_shows_what_to_enter_at_twilio(self, command: Command) -> None:
        shown = command("urls", "--credentials", "--stack", "callhooks")
        assert "Twilio" in shown
        assert f"{PUBLIC_URL}/webhooks/twilio" in shown
        assert "callhooks secret add twilio --stack callhooks" in shown
        assert TOKEN not in shown

    def test_adds_a_new_auth_token_to_the_old_one(self, command: Command, twilio: Any) -> None:
        assert "takes effect within five minutes" in command("secret", "add", "twilio", stdin="the-next-token\n")
        stored = json.loads(boto3.client("secretsmanager").get_secret_value(SecretId=SECRET_ID)["SecretString"])
        assert twilio.read_auth_tokens([stored]).tokens == ("the-next-token", TOKEN)
        assert len(command("secret", "list", "twilio").splitlines()) == 2
        command("secret", "remove", "twilio", stdin=f"{TOKEN}\n")

    def test_retries_a_quarantined_delivery(self, command: Command, aws: Aws) -> None:
        request = Request("POST", "/webhooks/twilio", body=RECORDED["body"].encode(), route="POST /webhooks/twilio")
        delivery = QuarantinedDelivery("twilio", "There was a fault.", datetime.now(UTC))
        item = quarantine_item(delivery, request, Response(202, "{}"), retention_days=90)
        aws.dynamodb.put_item(TableName=TABLE, Item=item)
        assert "1 stored" in command("quarantine", "retry", "--all", "--stack", "callhooks")
        (item,) = aws.items()
        assert event_of_item(item).call_id == CALL["CallSid"]


class TestTheDoctor:
    @pytest.fixture
    def probe(self, deployed: Handler, aws: Aws) -> Probe:
        def answer(request: httpx.Request) -> httpx.Response:
            if request.url.path != "/webhooks/twilio":
                return httpx.Response(404)
            return http_answer(deployed(http_event(request)))

        queue = boto3.client("sqs").create_queue(QueueName="retries")["QueueUrl"]
        outputs = replace(OUTPUTS, projection_retry_queue=queue)
        deployment = Deployment(boto3.session.Session(), "callhooks", None, outputs, [])
        known = KnownSecrets()
        assert "TwilioCredentials" not in [one.check for one in secret_findings(deployment, known)]
        client = httpx.Client(transport=httpx.MockTransport(answer))
        return Probe(
            deployment,
            known,
            client,
            clock=lambda: datetime.now(UTC),
            monotonic=time.monotonic,
            sleep=time.sleep,
            run_id="ab12",
        )

    def of_twilio(self, findings: Iterator[Finding]) -> list[Finding]:
        return [one for one in findings if one.check.startswith("Twilio")]

    def test_sends_a_test_event_and_finds_it_again(self, probe: Probe, aws: Aws) -> None:
        (finding,) = self.of_twilio(delivery_findings(probe))
        assert (finding.check, finding.level) == ("Twilio status callback", FindingLevel.OK), finding
        (item,) = aws.items()
        assert (item["pk"]["S"], item["from"]["S"]) == ("twilio#callhooks-doctor-ab12", "callhooks-doctor")

    def test_finds_that_a_wrong_auth_token_is_refused(self, probe: Probe, aws: Aws) -> None:
        assert self.of_twilio(rejection_findings(probe)) == []
        assert "/webhooks/twilio" in [one.request.path for one in probe.sent]
        assert aws.items() == []

    def test_reports_that_public_url_is_another_address(self, probe: Probe) -> None:
        # Otherwise a new secret would be the likelier reason.
        probe.known.changed_at.clear()
        outputs = replace(probe.deployment.outputs, base_url="https://another.example.com")
        probe.deployment = replace(probe.deployment, outputs=outputs)
        (finding,) = self.of_twilio(delivery_findings(probe))
        assert "Twilio signs the URL" in finding.message

    def test_reports_that_the_secret_is_still_empty(self, probe: Probe) -> None:
        boto3.client("secretsmanager").put_secret_value(SecretId=SECRET_ID, SecretString="{}")
        wrong = [one for one in secret_findings(probe.deployment, KnownSecrets()) if "Twilio" in one.check]
        assert [one.check for one in wrong] == ["secret TwilioCredentials"]
        assert "all deliveries of Twilio are rejected" in wrong[0].message


def test_the_secret_is_found_by_its_name_if_it_is_not_an_output(twilio: Any) -> None:
    names = list(read_template(ROOT / "template.yaml")["Outputs"])
    stack = {
        "Outputs": [{"OutputKey": name, "OutputValue": f"the {name}"} for name in names],
        "Parameters": [{"ParameterKey": name, "ParameterValue": ""} for name in ("RetentionDays", "PublicUrl")],
    }
    secret = {
        "ResourceType": "AWS::SecretsManager::Secret",
        "LogicalResourceId": "TwilioCredentials",
        "PhysicalResourceId": "arn:twilio",
        "ResourceStatus": "CREATE_COMPLETE",
    }
    session = Mock()
    cloudformation = session.client.return_value
    cloudformation.describe_stacks.return_value = {"Stacks": [stack]}
    cloudformation.get_paginator.return_value.paginate.return_value = [{"StackResourceSummaries": [secret]}]
    outputs = StackOutputs.read(session, "callhooks")
    assert outputs.secrets["TwilioCredentials"] == "arn:twilio"
    assert outputs.secrets["WavixCredentials"] == "the WavixCredentials"


def test_the_call_log_shows_its_calls(deployed: Handler, aws: Aws, new_container: Callable[..., Handler]) -> None:
    for status, seconds in [("ringing", 2), ("in-progress", 9), ("completed", 51)]:
        deployed(callback_of(importlib.import_module("callhooks.providers.twilio"), status, seconds))
    call = call_in(aws)
    CallStore(aws.dynamodb, TABLE).write_if_newer(partition_key("twilio", call.call_id), call, expires_at=None)
    call_log = new_container("call_log")
    headers = {"authorization": basic()}
    listed = call_log(api_event("/calls", query={"day": f"{NOW:%Y-%m-%d}", "provider": "twilio"}, headers=headers))
    (shown,) = json.loads(listed.body)["calls"]
    assert (shown["provider"], shown["outcome"], shown["talk_seconds"]) == ("twilio", "answered", 42)
    read = json.loads(call_log(api_event(shown["path"], headers=headers)).body)
    assert [one["name"] for one in read["timeline"]] == ["ringing", "in-progress", "completed"]


# The documentation page.


@pytest.fixture(scope="session")
def extended_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template with the resources inserted where the page says."""
    before, outputs, after = (ROOT / "template.yaml").read_text("utf-8").partition("\nOutputs:\n")
    path = tmp_path_factory.mktemp("template") / "template.yaml"
    path.write_text(f"{before}\n{(EXAMPLE / 'resources.yaml').read_text('utf-8')}{outputs}{after}", "utf-8")
    return path


def blocks_of_the_page() -> list[tuple[str, str]]:
    """Return the fenced code blocks of the page, each with its language."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def test_the_page_shows_the_example_and_nothing_else() -> None:
    resources = EXAMPLE / "resources.yaml"
    files = {"python": [MODULE, APP], "yaml": [resources]}
    blocks = [(language, block) for language, block in blocks_of_the_page() if language != "bash"]
    for language, block in blocks:
        assert any(block in path.read_text("utf-8") for path in files[language]), block
    shown = "".join(block for _, block in blocks)
    functions = re.findall(r"^(?:def|class) \w+", MODULE.read_text("utf-8"), re.MULTILINE)
    assert functions
    required = [*functions, APP.read_text("utf-8"), resources.read_text("utf-8")]
    assert [text for text in required if text not in shown] == []


def test_the_page_links_to_every_piece() -> None:
    pieces = {str(path.relative_to(EXAMPLE)) for path in EXAMPLE.rglob("*.*") if path.suffix != ".pyc"}
    assert len(pieces) == 4
    text = PAGE.read_text("utf-8")
    assert [piece for piece in pieces if f"(../tests/worked_example/{piece})" not in text] == []


def test_the_resources_pass_cfn_lint_in_the_template(extended_template: Path) -> None:
    done = subprocess.run(
        [Path(sys.prefix) / "bin" / "cfn-lint", extended_template],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_resources_match_those_of_other_event_functions(extended_template: Path) -> None:
    resources = read_template(extended_template)["Resources"]
    assert resources["TwilioStatusFunction"]["Properties"].keys() == resources["WavixCallFunction"]["Properties"].keys()
    policies = ("DeletionPolicy", "UpdateReplacePolicy")
    assert [resources["TwilioCredentials"].get(name) for name in policies] == [
        resources["WavixCredentials"].get(name) for name in policies
    ]
    assert process(read_template(extended_template))["Resources"]["TwilioStatusFunctionPostPermission"]["Properties"][
        "FunctionName"
    ] == {"Ref": f"TwilioStatusFunctionAlias{ALIAS}"}
    for kind in ("Role", "LogGroup"):
        own = json.dumps(resources[f"WavixCall{kind}"])
        expected = own.replace("WavixCall", "TwilioStatus").replace("Wavix", "Twilio")
        assert resources[f"TwilioStatus{kind}"] == json.loads(expected)
