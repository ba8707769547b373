"""`callhooks quarantine` and `callhooks recover`, with the simulated account as a stack."""

from __future__ import annotations

import io
import itertools
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from boto3.dynamodb.types import TypeDeserializer
from botocore.exceptions import EndpointConnectionError
from callhooks.events.call_event import QuarantinedDelivery
from callhooks.events.event_item import Item, answer_of, body_of_item, quarantine_item
from callhooks.providers.bird import BirdWebhook, SigningKeys, SubscriptionFilter
from callhooks.providers.jambonz.authentication import (
    DEFAULT_SIGNATURE_HEADER,
    JambonzCredentials,
    verify_or_accept_get,
)
from callhooks.runtime.http import Request, Sender
from callhooks.webhooks.webhook import quarantined
from callhooks_tools.cli import app
from callhooks_tools.commands import quarantine as quarantine_command
from callhooks_tools.commands import recover as recover_command
from callhooks_tools.recovery.quarantine import reparse
from callhooks_tools.stack.recordings import read_delivery
from callhooks_tools.stack.stack import StackResource
from typer.testing import CliRunner, Result

from tests.commands import done, failed, misused
from tests.integration.conftest import TABLE, Aws, Handler
from tests.integration.functions.test_event_functions import as_sent_now
from tests.senders import SIGNING_KEY, document_of
from tests.stacks import stack_outputs
from tests.support import (
    EVENTS,
    PASSWORD,
    PUBLIC_URL,
    USERNAME,
    WEBHOOK_SECRET,
    FakeDynamoDB,
    FakeQueue,
    detail_attributes,
    template,
    writer_of,
)

REASON = "There was a fault."
LOG_GROUPS = ("/aws/lambda/wavix", "/aws/lambda/bird")
Command = Callable[..., Result]


@pytest.fixture
def command(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Command:
    parameters = {"JambonzSignatureHeader": DEFAULT_SIGNATURE_HEADER, "BirdStatuses": "completed"}
    outputs = stack_outputs(events_table=TABLE, parameters=parameters)
    for module in (quarantine_command, recover_command):
        monkeypatch.setattr(module, "stack_in_aws", lambda _name: (boto3.session.Session(), outputs))
    groups = [StackResource("AWS::Logs::LogGroup", "", name) for name in LOG_GROUPS]
    monkeypatch.setattr(recover_command, "stack_resources", lambda _session, _stack_name: groups)
    # The fixture records the calls of clients of the default session, and tests can make them fail.
    monkeypatch.setattr(boto3.session, "Session", lambda: boto3.DEFAULT_SESSION)
    return lambda *arguments: CliRunner().invoke(app, arguments)


def wavix(name: str = "ringing", **changes: Any) -> Request:
    body = json.dumps(document_of("wavix", name) | changes).encode()
    return Request("POST", "/webhooks/wavix/t", body=body, route="POST /webhooks/wavix/{token}")


def bird(name: str) -> Request:
    body = json.dumps(document_of("bird", name)).encode()
    return Request("POST", "/webhooks/bird", body=body, route="POST /webhooks/bird")


def quarantine(
    aws: Aws,
    request: Request,
    *,
    provider: str = "wavix",
    age: timedelta = timedelta(0),
    sent_ahead: timedelta | None = None,
    reason: str = REASON,
) -> str:
    """Put a delivery into quarantine, and return its full key."""
    now = datetime.now(UTC) - age
    if sent_ahead is not None:
        request = request._replace(sender=Sender(now + sent_ahead))
    delivery = QuarantinedDelivery(provider, reason, now)
    item = quarantine_item(delivery, request, quarantined(reason), retention_days=90)
    aws.dynamodb.put_item(TableName=TABLE, Item=item)
    _, _, day = item["pk"]["S"].split("#")
    return f"{provider}/{day}/{item['sk']['S']}"


def short(key: str) -> str:
    """Return a key as the list shows it."""
    return key[: key.rindex("/") + 9]


def kinds(aws: Aws) -> list[str]:
    """Return the kinds of the events in the table, and `quarantine` for each delivery there."""
    return sorted(item["kind"]["S"] if "kind" in item else "quarantine" for item in aws.items())


def rows(result: Result) -> list[list[str]]:
    return [line.split(maxsplit=3) for line in done(result).splitlines() if "/" in line]


class TestTheList:
    def test_shows_the_newest_first_and_counts_reasons(self, aws: Aws, command: Command) -> None:
        old = quarantine(aws, wavix("busy"), age=timedelta(days=2))
        new = quarantine(aws, wavix("ringing"), reason="The body is not JSON.")
        middle = quarantine(aws, bird("voice_inbound_busy"), provider="bird", age=timedelta(days=1))
        aws.calls.clear()
        listed = command("quarantine", "list")
        assert set(aws.calls) == {"Query"}, "never a scan of the table"
        shown = rows(listed)
        assert [row[0] for row in shown] == [short(key) for key in (new, middle, old)]
        assert shown[0][3].split("  ") == ["POST /webhooks/wavix/{token}", "The body is not JSON."]
        assert listed.stdout.splitlines()[-2:] == [f"     2  {REASON}", "     1  The body is not JSON."]

    def test_can_be_limited_to_a_provider_and_to_days(self, aws: Aws, command: Command) -> None:
        assert command("quarantine", "list").output == "No deliveries in quarantine.\n"
        old = quarantine(aws, wavix("busy"), age=timedelta(days=40))
        # A signature may be from the future.
        ahead = quarantine(aws, bird("voice_inbound_busy"), provider="bird", sent_ahead=timedelta(days=7))
        assert rows(command("quarantine", "list", "--provider", "wavix")) == []
        (found,) = rows(command("quarantine", "list", "--provider", "wavix", "--days", "41"))
        assert old.startswith(found[0])
        (found,) = rows(command("quarantine", "list", "--days", "1"))
        assert ahead.startswith(found[0])


class TestShow:
    def test_shows_the_delivery_and_its_answer(self, aws: Aws, command: Command) -> None:
        request = wavix(uuid="call-1\u202e")._replace(
            raw_query="a=1", headers={"user-agent": "Wavix\x1b[2J", "authorization": "Basic secret"}
        )
        key = quarantine(aws, request)
        (row,) = rows(command("quarantine", "list"))
        shown = command("quarantine", "show", row[0]).stdout
        assert shown.splitlines()[0] == key
        for line in (
            f"reason       {REASON}",
            "route        POST /webhooks/wavix/{token}",
            "query        a=1",
            "header user-agent: Wavix\\x1b[2J",
            f"body: {len(request.body)} bytes",
            '    "uuid": "call-1\\u202e",',
            "answered: 202",
            '    "status": "quarantined",',
        ):
            assert line in shown.splitlines()
        assert "secret" not in shown

    def test_has_every_member_in_json(self, aws: Aws, command: Command) -> None:
        shown = json.loads(command("quarantine", "show", quarantine(aws, wavix()), "--json").stdout)
        members = ("key", "received_at", "route", "reason", "method", "path", "query", "request_id", "path_parameters")
        assert tuple(shown) == (*members, "headers", "body", "answer")
        assert (shown["method"], shown["query"], shown["path_parameters"], shown["headers"]) == ("POST", None, {}, {})

    def test_shows_a_binary_body_as_bytes(self, aws: Aws, command: Command) -> None:
        key = quarantine(aws, wavix()._replace(body=b"\x1f\x8b\x00{"))
        assert "body: 4 bytes, not UTF-8\n  \\x1f\\x8b\\x00{\n" in command("quarantine", "show", key).stdout

    def test_needs_the_key_of_a_delivery_in_quarantine(self, command: Command) -> None:
        for verb in ("show", "retry"):
            for name in ("wavix", "Telco/2026-11-21/aa", "wavix/2026-11-21/", "wavix/2026-11-21/xyz", "wavix//aa"):
                assert "PROVIDER/DAY/HASH" in misused(command("quarantine", verb, name))
            message = failed(command("quarantine", verb, "wavix/2026-11-21/aa"))
            assert message == "wavix/2026-11-21/aa is not in quarantine.\n"
        for arguments in ([], ["--all", "wavix/2026-11-21/aa"]):
            expected = "Give either the keys of deliveries or --all.\n"
            assert command("quarantine", "retry", *arguments).stderr == expected

    def test_rejects_an_ambiguous_key(self, aws: Aws, command: Command) -> None:
        keys = [quarantine(aws, wavix(uuid=f"call-{number}")) for number in range(17)]
        starts = [key[: key.rindex("/") + 2] for key in keys]
        ambiguous = next(start for start in starts if starts.count(start) > 1)
        assert f"{ambiguous} is ambiguous. It matches " in failed(command("quarantine", "show", ambiguous))


class TestRetry:
    def test_a_delivery_that_parses_now_is_stored_and_removed(self, aws: Aws, command: Command) -> None:
        key = quarantine(aws, wavix(), age=timedelta(days=3))
        (delivery,) = aws.items()
        assert command("quarantine", "retry", key).output == "Deliveries: 1 stored.\n"
        (item,) = aws.items()
        assert item["kind"]["S"] == "call.ringing"
        for attribute in ("received_at", "answer", "answer_status", "body", "expires_at"):
            assert item[attribute] == delivery[attribute]
        assert command("quarantine", "retry", "--all").output == "No deliveries in quarantine.\n"
        quarantine(aws, wavix())
        assert command("quarantine", "retry", "--all").output == "Deliveries: 1 already stored.\n"
        assert aws.items() == [item]

    def test_that_fails_at_once_prints_no_json(self, command: Command) -> None:
        result = command("quarantine", "retry", "wavix/2026-11-21/aa", "--json")
        assert (failed(result), result.stdout) == ("wavix/2026-11-21/aa is not in quarantine.\n", "")

    def test_of_several_bodies_with_one_id_the_first_gets_the_key(self, aws: Aws, command: Command) -> None:
        event = document_of("voipstudio", "call_connected")
        for age in (1, 3, 2):
            body = json.dumps({**event, "delivered": 4 - age}).encode()
            request = Request("POST", "/webhooks/voipstudio/t", body=body, route="POST /webhooks/voipstudio/{token}")
            quarantine(aws, request, provider="voipstudio", age=timedelta(hours=age))
        retried = [json.loads(body_of_item(item))["delivered"] for item in aws.items()]
        assert sorted(retried) == [1, 2, 3]

        delays: list[float] = []

        def slow(**_: object) -> None:
            # The first write is the slowest; the others must wait for it.
            delays.append(0.3 - 0.1 * len(delays))
            time.sleep(max(0, delays[-1]))

        boto3.DEFAULT_SESSION.events.register("before-call.dynamodb.PutItem", slow)  # type: ignore[union-attr]
        assert command("quarantine", "retry", "--all").output == "Deliveries: 3 stored.\n"
        stored = {item["sk"]["S"]: json.loads(body_of_item(item))["delivered"] for item in aws.items()}
        assert sorted(stored.values()) == [1, 2, 3]
        assert stored[f"event#{event['id']}"] == 1

    def test_a_delivery_that_still_does_not_parse_stays(self, aws: Aws, command: Command) -> None:
        key = quarantine(aws, wavix()._replace(body=b"{"))
        quarantine(aws, wavix())
        retried = command("quarantine", "retry", "--all")
        assert failed(retried) == f"{short(key)}: The body is not JSON.\n"
        assert retried.stdout == "Deliveries: 1 stored, 1 still not parsed.\n"
        assert kinds(aws) == ["call.ringing", "quarantine"]

    def test_a_delivery_that_a_filter_now_excludes_is_removed(self, aws: Aws, command: Command) -> None:
        key = quarantine(aws, bird("voice_inbound_busy"), provider="bird")
        quarantine(aws, bird("voice_inbound_completed"), provider="bird")
        retried = command("quarantine", "retry", "--all", "--provider", "bird")
        assert retried.stdout == "Deliveries: 1 stored, 1 ignored and removed.\n"
        assert retried.stderr == f"{short(key)}: ignored and removed (filtered)\n"
        assert kinds(aws) == ["call.completed"]

    def test_only_chosen_deliveries_are_retried_even_many(self, aws: Aws, command: Command) -> None:
        quarantine(aws, wavix("busy"), age=timedelta(days=40))
        quarantine(aws, bird("voice_inbound_completed"), provider="bird")
        for number in range(60):
            quarantine(aws, wavix(uuid=f"call-{number}"))
        retried = command("quarantine", "retry", "--all", "--provider", "wavix")
        assert retried.output == "Deliveries: 60 stored.\n"
        assert kinds(aws) == ["call.ringing"] * 60 + ["quarantine"] * 2

    @pytest.mark.parametrize("operation", ["Query", "GetItem", "PutItem", "DeleteItem"])
    def test_a_second_run_completes_a_retry_interrupted_at_any_request(
        self, aws: Aws, command: Command, operation: str
    ) -> None:
        faults = KeyboardInterrupt(), EndpointConnectionError(endpoint_url="http://database")
        moments = itertools.product(faults, ("before-call", "after-call"))
        for number, (fault, moment) in enumerate(moments):
            key = quarantine(aws, wavix(uuid=f"call-{number}"))

            def stop(*, fault: BaseException = fault, **_: object) -> None:
                raise fault

            events = boto3.DEFAULT_SESSION.events  # type: ignore[union-attr]
            events.register(f"{moment}.dynamodb.{operation}", stop)
            stopped = command("quarantine", "retry", key)
            events.unregister(f"{moment}.dynamodb.{operation}", stop)
            assert stopped.exit_code != 0
            assert kinds(aws)[number:] in (["call.ringing"], ["quarantine"], ["call.ringing", "quarantine"])

            second = command("quarantine", "retry", "--all", "--provider", "wavix")
            assert second.exit_code == 0, second.output
            assert kinds(aws) == ["call.ringing"] * (number + 1)


FUNCTIONS = {
    event["Properties"]["Path"]: resource["Properties"]["CodeUri"].strip("/").rpartition("/")[2]
    for resource in template()["Resources"].values()
    if resource["Type"] == "AWS::Serverless::Function"
    for event in resource["Properties"]["Events"].values()
    if event["Type"] == "HttpApi"
}
RECORDED = [
    read_delivery(path)
    for provider in ("jambonz", "wavix", "bird", "voipstudio")
    for path in sorted((EVENTS / provider).glob("*.json"))
]


def authenticated(request: Request, provider: str) -> Request:
    """Return a request with the sender that authentication establishes."""
    now = datetime.now(UTC)
    if provider == "jambonz":
        credentials = JambonzCredentials(USERNAME, (PASSWORD,), (WEBHOOK_SECRET,))
        return request._replace(sender=verify_or_accept_get(request, credentials, now))
    if provider == "bird":
        webhook = BirdWebhook(public_url=PUBLIC_URL, window=timedelta(days=1), wanted=SubscriptionFilter())
        return request._replace(sender=webhook.authenticate(request, SigningKeys((SIGNING_KEY,)), now))
    return request


@pytest.mark.parametrize("folder", sorted({FUNCTIONS[delivery.route] for delivery in RECORDED}))
def test_a_retry_stores_the_same_event_as_the_function(
    folder: str, aws: Aws, new_container: Callable[..., Handler]
) -> None:
    handler, requests = new_container(folder), dict[str, Request]()
    for delivery in RECORDED:
        if FUNCTIONS[delivery.route] == folder:
            event = as_sent_now(delivery)
            handler(event)
            request = authenticated(Request.from_event(event), delivery.provider)
            # Some are duplicates of others.
            requests.setdefault(request.request_id, request)
    items = aws.items()
    assert items
    for item in items:
        request = requests[item["request_id"]["S"]]
        not_parsed = QuarantinedDelivery(
            item["provider"]["S"], REASON, datetime.fromisoformat(item["received_at"]["S"])
        )
        aside = quarantine_item(not_parsed, request, answer_of(item), retention_days=90)
        made = reparse(aside, {})
        assert isinstance(made, dict)
        stored, reparsed = detail_attributes(item), detail_attributes(made)
        if folder == "jambonz_client_auth":
            # A retry does not check the client again.
            assert stored.pop("reason")["S"] in ("unknown client", "sent by GET, which is not signed")
            assert reparsed.pop("reason") == {"S": "not checked"}
        # The plan did not answer a delivery in quarantine, so the call entered no flow.
        answered = {"next_flows", "counts_as"} & stored.keys()
        assert reparsed == {name: value for name, value in stored.items() if name not in answered}
        assert plain({**made, "details": {"NULL": True}}) == plain({**item, "details": {"NULL": True}})


def plain(item: Item) -> object:
    return TypeDeserializer().deserialize({"M": item})


class TestRecover:
    @pytest.fixture
    def logs(self, aws: Aws) -> Any:
        logs = boto3.client("logs")
        for group in LOG_GROUPS:
            logs.create_log_group(logGroupName=group)
            logs.create_log_stream(logGroupName=group, logStreamName="stream")
        return logs

    @staticmethod
    def write(logs: Any, messages: list[str], *, group: str = LOG_GROUPS[0], age: timedelta = timedelta(0)) -> None:
        at = int((time.time() - age.total_seconds()) * 1000)
        events = [{"timestamp": at, "message": message} for message in messages]
        logs.put_log_events(logGroupName=group, logStreamName="stream", logEvents=events)

    @staticmethod
    def logged(log: io.StringIO, request: Request, *, age: timedelta = timedelta(0)) -> list[str]:
        """Return the log lines of a delivery that could be stored neither in the table nor in the queue."""
        log.seek(0)
        log.truncate()
        delivery = QuarantinedDelivery("wavix", REASON, datetime.now(UTC) - age)
        request = request._replace(sender=Sender(datetime.now(UTC)))
        item = quarantine_item(delivery, request, quarantined(REASON), retention_days=90)
        writer_of(FakeDynamoDB(), FakeQueue()).log(item, "ThrottlingException")
        return log.getvalue().splitlines()

    def test_reads_every_log_and_can_be_repeated(self, aws: Aws, command: Command, logs: Any, log: io.StringIO) -> None:
        self.write(logs, ["START RequestId: 1", *self.logged(log, wavix("busy")), "END RequestId: 1"])
        self.write(logs, self.logged(log, wavix("ringing")), group=LOG_GROUPS[1])
        assert command("recover").output == "Deliveries: 2 recovered.\n"
        assert kinds(aws) == ["quarantine", "quarantine"]
        assert command("recover").output == "Deliveries: 2 already stored.\n"
        assert command("quarantine", "retry", "--all").output == "Deliveries: 2 stored.\n"

    def test_of_duplicates_in_several_logs_the_earliest_is_recovered(
        self, aws: Aws, command: Command, logs: Any, log: io.StringIO
    ) -> None:
        newer, older = (self.logged(log, wavix("busy"), age=timedelta(hours=hours)) for hours in (1, 2))
        self.write(logs, newer)
        self.write(logs, older, group=LOG_GROUPS[1])
        assert command("recover").output == "Deliveries: 1 recovered, 1 already stored.\n"
        (item,) = aws.items()
        assert datetime.fromisoformat(item["received_at"]["S"]) < datetime.now(UTC) - timedelta(minutes=90)

    def test_can_be_limited_to_the_last_hours(self, aws: Aws, command: Command, logs: Any, log: io.StringIO) -> None:
        self.write(logs, self.logged(log, wavix("busy")), age=timedelta(days=2))
        nothing = "No deliveries to recover in the logs.\n"
        assert (command("recover", "--since", "47h").output, kinds(aws)) == (nothing, [])
        assert command("recover", "--since", "3d").output == "Deliveries: 1 recovered.\n"

    def test_reports_deliveries_that_cannot_be_read(
        self, aws: Aws, command: Command, logs: Any, log: io.StringIO
    ) -> None:
        (line,) = self.logged(log, wavix("busy"))
        part = json.dumps({**json.loads(line), "event": "0123456789abcdef", "parts": 2})
        self.write(logs, [line[:-9], part, *self.logged(log, wavix("ringing"))])
        recovered = command("recover")
        truncated, incomplete = failed(recovered).splitlines()
        assert recovered.stdout == "Deliveries: 1 recovered, 2 unreadable.\n"
        assert truncated.endswith("Z: its JSON is truncated or invalid")
        assert incomplete == "0123456789abcdef: only 1 of 2 parts found"
        assert kinds(aws) == ["quarantine"]

    def test_reports_that_the_database_is_still_down(
        self, aws: Aws, command: Command, logs: Any, log: io.StringIO
    ) -> None:
        self.write(logs, self.logged(log, wavix("busy")))

        def fail(**_: object) -> None:
            raise EndpointConnectionError(endpoint_url="http://database")

        boto3.DEFAULT_SESSION.events.register("before-call.dynamodb.PutItem", fail)  # type: ignore[union-attr]
        for arguments in ((), ("--json",)):
            recovered = command("recover", *arguments)
            assert (recovered.exit_code, recovered.stdout) == (1, "")
            assert recovered.stderr.startswith("Not all deliveries were recovered. Run the command again. Cause: ")

    def test_rejects_an_invalid_age(self, command: Command) -> None:
        for since in ("yesterday", "7", "h", "-1h", "0h", "1y"):
            assert misused(command("recover", f"--since={since}")) == (
                f"Invalid --since {since}. Use minutes, hours, days or weeks, for example 30m, 12h, 7d or 2w.\n"
            )
