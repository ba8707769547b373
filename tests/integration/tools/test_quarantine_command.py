"""`callhooks quarantine` and `callhooks recover`, on the simulated account in place of a stack."""

from __future__ import annotations

import io
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
from callhooks.events.event_writer import UNSTORED_MARKER
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
from callhooks_tools.recovery.quarantine import read_again
from callhooks_tools.stack.recordings import read_delivery
from callhooks_tools.stack.stack import StackResource
from typer.testing import CliRunner, Result

from tests.commands import done, failed
from tests.integration.conftest import TABLE, Aws, Handler
from tests.integration.functions.test_event_functions import sent_now
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
    # Clients of the default session tell of every call, and can be made to fail.
    monkeypatch.setattr(boto3.session, "Session", lambda: boto3.DEFAULT_SESSION)
    return lambda *arguments: CliRunner().invoke(app, arguments)


def wavix(name: str = "ringing", **changes: Any) -> Request:
    body = json.dumps(document_of("wavix", name) | changes).encode()
    return Request("POST", "/webhooks/wavix/t", body=body, route="POST /webhooks/wavix/{token}")


def bird(name: str) -> Request:
    body = json.dumps(document_of("bird", name)).encode()
    return Request("POST", "/webhooks/bird", body=body, route="POST /webhooks/bird")


def put_aside(
    aws: Aws,
    request: Request,
    *,
    provider: str = "wavix",
    age: timedelta = timedelta(0),
    sent_ahead: timedelta | None = None,
    reason: str = REASON,
) -> str:
    """Put a delivery into quarantine, and return its whole key."""
    now = datetime.now(UTC) - age
    if sent_ahead is not None:
        request = request._replace(sender=Sender(now + sent_ahead))
    delivery = QuarantinedDelivery(provider, reason, now)
    item = quarantine_item(delivery, request, quarantined(reason), retention_days=90)
    aws.dynamodb.put_item(TableName=TABLE, Item=item)
    _, _, day = item["pk"]["S"].split("#")
    return f"{provider}/{day}/{item['sk']['S']}"


def short(key: str) -> str:
    """A key as a list shows it."""
    return key[: key.rindex("/") + 9]


def kinds(aws: Aws) -> list[str]:
    """What lies in the table: the kinds of events, and `quarantine`."""
    return sorted(item["kind"]["S"] if "kind" in item else "quarantine" for item in aws.items())


def rows(result: Result) -> list[list[str]]:
    return [line.split(maxsplit=3) for line in done(result).splitlines() if "/" in line]


class TestTheList:
    def test_it_shows_the_newest_first_and_counts_reasons(self, aws: Aws, command: Command) -> None:
        old = put_aside(aws, wavix("busy"), age=timedelta(days=2))
        new = put_aside(aws, wavix("ringing"), reason="The body is not JSON.")
        middle = put_aside(aws, bird("voice_inbound_busy"), provider="bird", age=timedelta(days=1))
        listed = command("quarantine", "list")
        shown = rows(listed)
        assert [row[0] for row in shown] == [short(key) for key in (new, middle, old)]
        assert shown[0][3].split("  ") == ["POST /webhooks/wavix/{token}", "The body is not JSON."]
        assert listed.stdout.splitlines()[-2:] == [f"     2  {REASON}", "     1  The body is not JSON."]

    def test_it_can_be_held_to_a_provider_and_to_days(self, aws: Aws, command: Command) -> None:
        old = put_aside(aws, wavix("busy"), age=timedelta(days=40))
        put_aside(aws, bird("voice_inbound_busy"), provider="bird")
        assert rows(command("quarantine", "list", "--provider", "wavix")) == []
        (found,) = rows(command("quarantine", "list", "--provider", "wavix", "--days", "41"))
        assert old.startswith(found[0])

    def test_it_has_what_the_senders_clock_puts_ahead(self, aws: Aws, command: Command) -> None:
        ahead = put_aside(aws, bird("voice_inbound_busy"), provider="bird", sent_ahead=timedelta(days=7))
        (found,) = rows(command("quarantine", "list", "--days", "1"))
        assert ahead.startswith(found[0])

    def test_it_asks_for_keys_and_never_for_the_whole_table(self, aws: Aws, command: Command) -> None:
        put_aside(aws, wavix())
        aws.calls.clear()
        assert len(rows(command("quarantine", "list"))) == 1
        assert set(aws.calls) == {"Query"}

    def test_nothing_is_told_as_nothing(self, command: Command) -> None:
        assert command("quarantine", "list").output == "Nothing is in quarantine.\n"


class TestOne:
    def test_it_is_shown_as_it_came(self, aws: Aws, command: Command) -> None:
        request = wavix(uuid="call-1\u202e")._replace(
            raw_query="a=1", headers={"user-agent": "Wavix\x1b[2J", "authorization": "Basic secret"}
        )
        key = put_aside(aws, request)
        (row,) = rows(command("quarantine", "list"))
        shown = command("quarantine", "show", row[0]).stdout
        assert shown.splitlines()[0] == key
        for told in (
            f"reason       {REASON}",
            "route        POST /webhooks/wavix/{token}",
            "query        a=1",
            "header user-agent: Wavix\\x1b[2J",
            f"body: {len(request.body)} bytes",
            '    "uuid": "call-1\\u202e",',
            "answered: 202",
            '    "status": "quarantined",',
        ):
            assert told in shown.splitlines()
        assert "secret" not in shown

    def test_a_body_that_is_no_text_is_shown_as_bytes(self, aws: Aws, command: Command) -> None:
        key = put_aside(aws, wavix()._replace(body=b"\x1f\x8b\x00{"))
        assert "body: 4 bytes, not UTF-8\n  \\x1f\\x8b\\x00{\n" in command("quarantine", "show", key).stdout

    @pytest.mark.parametrize("verb", ["show", "retry"])
    def test_it_has_to_be_named_and_to_be_there(self, aws: Aws, command: Command, verb: str) -> None:
        for name in ("wavix", "Telco/2026-11-21/aa", "wavix/2026-11-21/", "wavix/2026-11-21/xyz", "wavix//aa"):
            assert "PROVIDER/DAY/HASH" in failed(command("quarantine", verb, name))
        told = failed(command("quarantine", verb, "wavix/2026-11-21/aa"))
        assert told == "wavix/2026-11-21/aa is not in quarantine.\n"

    def test_a_name_that_means_several_is_told(self, aws: Aws, command: Command) -> None:
        keys = [put_aside(aws, wavix(uuid=f"call-{number}")) for number in range(17)]
        starts = [key[: key.rindex("/") + 2] for key in keys]
        ambiguous = next(start for start in starts if starts.count(start) > 1)
        assert f"{ambiguous} may be any of " in failed(command("quarantine", "show", ambiguous))


class TestTheRetry:
    def test_what_is_understood_now_is_stored_and_taken_out(self, aws: Aws, command: Command) -> None:
        key = put_aside(aws, wavix(), age=timedelta(days=3))
        (aside,) = aws.items()
        assert command("quarantine", "retry", key).output == "Deliveries: 1 stored.\n"
        (item,) = aws.items()
        assert item["kind"]["S"] == "call.ringing"
        for kept in ("received_at", "answer", "answer_status", "body", "expires_at"):
            assert item[kept] == aside[kept]
        assert command("quarantine", "retry", "--all").output == "Nothing is in quarantine.\n"

    def test_of_an_id_with_several_bodies_the_first_gets_the_key_of_the_id(self, aws: Aws, command: Command) -> None:
        event = document_of("voipstudio", "call_connected")
        for age in (1, 3, 2):
            body = json.dumps({**event, "delivered": 4 - age}).encode()
            request = Request("POST", "/webhooks/voipstudio/t", body=body, route="POST /webhooks/voipstudio/{token}")
            put_aside(aws, request, provider="voipstudio", age=timedelta(hours=age))
        retried = [json.loads(body_of_item(item))["delivered"] for item in aws.items()]
        assert sorted(retried) == [1, 2, 3]

        held_up: list[float] = []

        def slow(**_: object) -> None:
            # The first to write is the last to be done, where others do not wait for it.
            held_up.append(0.3 - 0.1 * len(held_up))
            time.sleep(max(0, held_up[-1]))

        boto3.DEFAULT_SESSION.events.register("before-call.dynamodb.PutItem", slow)  # type: ignore[union-attr]
        assert command("quarantine", "retry", "--all").output == "Deliveries: 3 stored.\n"
        stored = {item["sk"]["S"]: json.loads(body_of_item(item))["delivered"] for item in aws.items()}
        assert sorted(stored.values()) == [1, 2, 3]
        assert stored[f"event#{event['id']}"] == 1

    def test_what_was_stored_before_is_only_taken_out(self, aws: Aws, command: Command) -> None:
        key = put_aside(aws, wavix())
        command("quarantine", "retry", key)
        stored = aws.items()
        put_aside(aws, wavix())
        assert command("quarantine", "retry", "--all").output == "Deliveries: 1 stored before.\n"
        assert aws.items() == stored

    def test_what_is_still_not_understood_stays_and_is_told(self, aws: Aws, command: Command) -> None:
        key = put_aside(aws, wavix()._replace(body=b"{"))
        put_aside(aws, wavix())
        tried = command("quarantine", "retry", "--all")
        assert failed(tried) == f"{short(key)}: The body is not JSON.\n"
        assert tried.stdout == "Deliveries: 1 stored, 1 still not understood.\n"
        assert kinds(aws) == ["call.ringing", "quarantine"]

    def test_what_a_filter_leaves_out_now_is_removed_and_told(self, aws: Aws, command: Command) -> None:
        key = put_aside(aws, bird("voice_inbound_busy"), provider="bird")
        put_aside(aws, bird("voice_inbound_completed"), provider="bird")
        tried = command("quarantine", "retry", "--all", "--provider", "bird")
        assert tried.stdout == "Deliveries: 1 stored, 1 ignored now and removed.\n"
        assert tried.stderr == f"{short(key)}: ignored now and removed (filtered)\n"
        assert kinds(aws) == ["call.completed"]

    def test_only_what_is_chosen_is_tried(self, aws: Aws, command: Command) -> None:
        put_aside(aws, wavix("busy"), age=timedelta(days=40))
        put_aside(aws, bird("voice_inbound_completed"), provider="bird")
        put_aside(aws, wavix("ringing"))
        command("quarantine", "retry", "--all", "--provider", "wavix")
        assert kinds(aws) == ["call.ringing", "quarantine", "quarantine"]

    def test_many_are_tried(self, aws: Aws, command: Command) -> None:
        for number in range(60):
            put_aside(aws, wavix(uuid=f"call-{number}"))
        assert command("quarantine", "retry", "--all").output == "Deliveries: 60 stored.\n"
        assert kinds(aws) == ["call.ringing"] * 60

    @pytest.mark.parametrize("arguments", [[], ["--all", "wavix/2026-11-21/aa"]])
    def test_something_has_to_be_chosen(self, command: Command, arguments: list[str]) -> None:
        assert command("quarantine", "retry", *arguments).stderr == "Name deliveries, or take --all.\n"

    @pytest.mark.parametrize("operation", ["Query", "GetItem", "PutItem", "DeleteItem"])
    @pytest.mark.parametrize("moment", ["before-call", "after-call"])
    @pytest.mark.parametrize("fault", [KeyboardInterrupt(), EndpointConnectionError(endpoint_url="http://database")])
    def test_wherever_it_is_stopped_nothing_is_lost_and_a_second_run_ends_right(
        self, aws: Aws, command: Command, operation: str, moment: str, fault: BaseException
    ) -> None:
        key = put_aside(aws, wavix())

        def stop(**_: object) -> None:
            raise fault

        events = boto3.DEFAULT_SESSION.events  # type: ignore[union-attr]
        events.register(f"{moment}.dynamodb.{operation}", stop)
        stopped = command("quarantine", "retry", key)
        events.unregister(f"{moment}.dynamodb.{operation}", stop)
        assert stopped.exit_code != 0
        assert "call.ringing" in kinds(aws) or "quarantine" in kinds(aws)

        again = command("quarantine", "retry", "--all", "--provider", "wavix")
        assert again.exit_code == 0, again.output
        assert kinds(aws) == ["call.ringing"]


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


def proven(request: Request, provider: str) -> Request:
    """A request with what verification establishes about its sender."""
    now = datetime.now(UTC)
    if provider == "jambonz":
        credentials = JambonzCredentials(USERNAME, (PASSWORD,), (WEBHOOK_SECRET,))
        return request._replace(sender=verify_or_accept_get(request, credentials, now))
    if provider == "bird":
        webhook = BirdWebhook(public_url=PUBLIC_URL, window=timedelta(days=1), wanted=SubscriptionFilter())
        return request._replace(sender=webhook.authenticate(request, SigningKeys((SIGNING_KEY,)), now))
    return request


@pytest.mark.parametrize("folder", sorted({FUNCTIONS[delivery.route] for delivery in RECORDED}))
def test_a_retry_makes_the_very_event_that_the_function_makes(
    folder: str, aws: Aws, new_container: Callable[..., Handler]
) -> None:
    handler, requests = new_container(folder), dict[str, Request]()
    for delivery in RECORDED:
        if FUNCTIONS[delivery.route] == folder:
            event = sent_now(delivery)
            handler(event)
            request = proven(Request.from_event(event), delivery.provider)
            # Some are repeats of others.
            requests.setdefault(request.request_id, request)
    items = aws.items()
    assert items
    for item in items:
        request = requests[item["request_id"]["S"]]
        delivery_aside = QuarantinedDelivery(
            item["provider"]["S"], REASON, datetime.fromisoformat(item["received_at"]["S"])
        )
        aside = quarantine_item(delivery_aside, request, answer_of(item), retention_days=90)
        made = read_again(aside, {})
        assert isinstance(made, dict)
        understood, understood_now = detail_attributes(item), detail_attributes(made)
        if folder == "jambonz_client_auth":
            # No client is checked twice.
            assert understood.pop("reason")["S"] in ("unknown client", "sent by GET, which is not signed")
            assert understood_now.pop("reason") == {"S": "not checked"}
        assert understood_now == understood
        assert plain({**made, "details": {"NULL": True}}) == plain({**item, "details": {"NULL": True}})


def plain(item: Item) -> object:
    return TypeDeserializer().deserialize({"M": item})


class TestTheRecovery:
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
        """The lines of a delivery that was not understood and could be kept nowhere."""
        log.seek(0)
        log.truncate()
        delivery = QuarantinedDelivery("wavix", REASON, datetime.now(UTC) - age)
        request = request._replace(sender=Sender(datetime.now(UTC)))
        item = quarantine_item(delivery, request, quarantined(REASON), retention_days=90)
        writer_of(FakeDynamoDB(), FakeQueue()).log(item, "ThrottlingException")
        return log.getvalue().splitlines()

    def test_it_reads_every_log_and_may_be_run_again(
        self, aws: Aws, command: Command, logs: Any, log: io.StringIO
    ) -> None:
        self.write(logs, ["START RequestId: 1", *self.logged(log, wavix("busy")), "END RequestId: 1"])
        self.write(logs, self.logged(log, wavix("ringing")), group=LOG_GROUPS[1])
        assert command("recover").output == "Deliveries: 2 brought in.\n"
        assert kinds(aws) == ["quarantine", "quarantine"]
        assert command("recover").output == "Deliveries: 2 there already.\n"
        assert command("quarantine", "retry", "--all").output == "Deliveries: 2 stored.\n"

    def test_of_the_same_delivery_twice_the_first_one_is_brought_in_wherever_it_stands(
        self, aws: Aws, command: Command, logs: Any, log: io.StringIO
    ) -> None:
        newer, older = (self.logged(log, wavix("busy"), age=timedelta(hours=hours)) for hours in (1, 2))
        self.write(logs, newer)
        self.write(logs, older, group=LOG_GROUPS[1])
        assert command("recover").output == "Deliveries: 1 brought in, 1 there already.\n"
        (item,) = aws.items()
        assert datetime.fromisoformat(item["received_at"]["S"]) < datetime.now(UTC) - timedelta(minutes=90)

    def test_it_can_be_held_to_the_last_hours(self, aws: Aws, command: Command, logs: Any, log: io.StringIO) -> None:
        self.write(logs, self.logged(log, wavix("busy")), age=timedelta(days=2))
        told = "The logs hold nothing that was not stored.\n"
        assert (command("recover", "--since", "47h").output, kinds(aws)) == (told, [])
        assert command("recover", "--since", "3d").output == "Deliveries: 1 brought in.\n"

    def test_what_cannot_be_read_is_named(self, aws: Aws, command: Command, logs: Any, log: io.StringIO) -> None:
        (line,) = self.logged(log, wavix("busy"))
        part = {"message": UNSTORED_MARKER, "event": "0123456789abcdef", "part": 1, "parts": 2, "delivery": "H4sI"}
        self.write(logs, [line[:-9], json.dumps(part), *self.logged(log, wavix("ringing"))])
        recovered = command("recover")
        cut, incomplete = failed(recovered).splitlines()
        assert recovered.stdout == "Deliveries: 1 brought in, 2 not to be read.\n"
        assert cut.startswith(f"{LOG_GROUPS[0]} stream 20")
        assert cut.endswith("Z: its JSON is cut off or broken")
        assert incomplete == "0123456789abcdef: 1 of 2 parts are there"
        assert kinds(aws) == ["quarantine"]

    def test_a_database_that_is_still_down_is_told(
        self, aws: Aws, command: Command, logs: Any, log: io.StringIO
    ) -> None:
        self.write(logs, self.logged(log, wavix("busy")))

        def fail(**_: object) -> None:
            raise EndpointConnectionError(endpoint_url="http://database")

        boto3.DEFAULT_SESSION.events.register("before-call.dynamodb.PutItem", fail)  # type: ignore[union-attr]
        recovered = command("recover")
        assert (recovered.exit_code, recovered.stdout) == (1, "")
        assert recovered.stderr.startswith("Not everything was read or stored, run it again: ")

    @pytest.mark.parametrize("since", ["yesterday", "7", "h", "-1h", "0h", "1y"])
    def test_it_says_how_a_time_is_given(self, command: Command, since: str) -> None:
        told = failed(command("recover", f"--since={since}"))
        assert told == f"--since takes minutes, hours, days or weeks, such as 30m, 12h, 7d or 2w, and not {since}\n"
