"""The worked example of docs/adding-a-provider.md: put where the page says, and held to what the page promises."""

from __future__ import annotations

import base64
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl, urlencode

import boto3
import pytest
from callhooks.calls.call import Call, fold
from callhooks.events.event_item import body_of_item, event_of_item
from callhooks.runtime.http import Request
from callhooks.webhooks.credentials import CredentialStore
from callhooks.webhooks.pipeline import MAX_BODY_BYTES, Receiver
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import CANARY, in_bounded_time, texts
from tests.integration.conftest import Aws, Handler
from tests.limits import assert_storable
from tests.properties import examples
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
    read_template,
)

EXAMPLE = ROOT / "docs" / "examples" / "twilio"
PAGE = ROOT / "docs" / "adding-a-provider.md"
MODULE = "callhooks.providers.twilio"
TOKEN = "12345"
RECORDED: Event = json.loads((EXAMPLE / "completed.json").read_text("utf-8"))
CALL = dict(parse_qsl(RECORDED["body"], keep_blank_values=True))

Fields = Sequence[tuple[str, str]]


def loaded(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As much of the repository as the page's first block needs, after that block."""
    root = tmp_path_factory.mktemp("repository")
    for folder in ("layers/callhooks/callhooks/providers", "functions", "events"):
        (root / folder).mkdir(parents=True)
    (root / "docs").symlink_to(ROOT / "docs")
    first = next(block for language, block in blocks_of_the_page() if language == "bash")
    subprocess.run(["bash", "-euc", first], cwd=root, check=True)
    return root


@pytest.fixture(scope="module")
def twilio(repository: Path) -> Iterator[Any]:
    """The module where the page puts it, in the package."""
    yield loaded(MODULE, repository / "layers" / "callhooks" / "callhooks" / "providers" / "twilio.py")
    del sys.modules[MODULE]


@pytest.fixture
def deployed(twilio: Any, repository: Path, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Handler:
    """The function, as it is after the page's steps, in the simulated account."""
    boto3.client("secretsmanager").create_secret(
        Name="twilio-credentials", SecretString=json.dumps({"auth_token": TOKEN})
    )
    monkeypatch.setenv("TWILIO_CREDENTIALS", "twilio-credentials")
    app: Any = loaded("app", repository / "functions" / "twilio_status" / "app.py")
    aws.calls.clear()
    return lambda event: Answer(**app.handler(event, None))


def callback(twilio: Any, fields: Fields, *, token: str = TOKEN, body: bytes | None = None) -> Event:
    """A callback as Twilio sends it now; a `body` is sent as it is, with the signature of the fields."""
    url = f"{PUBLIC_URL}/webhooks/twilio"
    raw = urlencode(list(fields)).encode() if body is None else body
    signature = twilio.sign(token, url, fields)
    headers = {**RECORDED["headers"], twilio.SIGNATURE_HEADER: signature}
    return {**RECORDED, "headers": headers, "body": base64.b64encode(raw).decode(), "isBase64Encoded": True}


def told(**changes: str) -> Fields:
    """The fields of the recorded callback, with others in their place."""
    return list({**CALL, **changes}.items())


def of_call(twilio: Any, status: str, seconds: int, **changes: str) -> Event:
    at = NOW + timedelta(seconds=seconds)
    return callback(twilio, told(CallStatus=status, Timestamp=f"{at:%a, %d %b %Y %H:%M:%S} +0000", **changes))


def call_in(aws: Aws) -> Call:
    return fold(event_of_item(item) for item in aws.items())


class TestADelivery:
    def test_is_stored_once_and_a_repeat_gets_the_first_answer(self, twilio: Any, deployed: Handler, aws: Aws) -> None:
        event = callback(twilio, told())
        first, again = deployed(event), deployed(event)
        assert (first.statusCode, first.body, first.replayed) == (200, '{"status":"stored"}', False)
        assert (again.statusCode, again.body, again.replayed) == (200, first.body, True)
        (item,) = aws.items()
        assert body_of_item(item) == base64.b64decode(event["body"])
        assert aws.calls.count("PutItem") == 1
        kept = event_of_item(item)
        assert (kept.provider, kept.call_id, kept.kind) == ("twilio", CALL["CallSid"], "call.completed")
        assert (kept.direction, kept.from_, kept.to) == ("outbound", "+12125550187", "+14155550123")
        assert kept.occurred_at.isoformat() == "2026-11-21T06:30:51+00:00"
        assert kept.details == {"sequence_number": 3, "duration_seconds": 42, "sip_status": 200}

    @pytest.mark.parametrize(
        "forge",
        [
            lambda twilio: callback(twilio, told(), token="another"),
            lambda twilio: {**callback(twilio, told()), "headers": RECORDED["headers"]},
            lambda twilio: {**callback(twilio, told()), "rawQueryString": "bodySHA256=0"},
            lambda twilio: callback(twilio, told(), body=urlencode(told(To="+14155550199")).encode()),
            lambda twilio: callback(twilio, [("a", str(number)) for number in range(1000)]),
        ],
    )
    def test_that_is_forged_is_refused(self, forge: Any, twilio: Any, deployed: Handler, aws: Aws) -> None:
        assert deployed(forge(twilio)).statusCode == 401
        assert aws.items() == []

    def test_without_a_signature_is_refused_without_a_call_of_aws(
        self, twilio: Any, deployed: Handler, aws: Aws
    ) -> None:
        assert deployed(RECORDED).statusCode == 401
        assert aws.calls == []

    @pytest.mark.parametrize("missing", ["CallSid", "CallStatus"])
    def test_that_is_not_understood_is_in_quarantine(
        self, missing: str, twilio: Any, deployed: Handler, aws: Aws
    ) -> None:
        answer = deployed(callback(twilio, told(**{missing: ""})))
        assert (answer.statusCode, json.loads(answer.body)["status"]) == (202, "quarantined")
        (item,) = aws.items()
        assert item["pk"]["S"].startswith("quarantine#twilio#")

    def test_is_unavailable_until_there_is_an_auth_token(
        self, twilio: Any, deployed: Handler, aws: Aws, extended_template: Path
    ) -> None:
        secret = read_template(extended_template)["Resources"]["TwilioCredentials"]["Properties"]["SecretString"]
        boto3.client("secretsmanager").put_secret_value(SecretId="twilio-credentials", SecretString=secret)
        assert deployed(callback(twilio, told())).statusCode == 503
        assert aws.items() == []

    def test_may_be_signed_with_either_token_while_one_takes_the_other_s_place(
        self, twilio: Any, deployed: Handler
    ) -> None:
        both = {"auth_token": TOKEN, "further_auth_tokens": ["next"]}
        boto3.client("secretsmanager").put_secret_value(SecretId="twilio-credentials", SecretString=json.dumps(both))
        assert deployed(callback(twilio, told())).statusCode == 200
        assert deployed(callback(twilio, told(CallStatus="busy"), token="next")).statusCode == 200


def test_the_signature_is_that_of_twilio_s_own_libraries(twilio: Any) -> None:
    # The vector that their tests have in common.
    number = "+14158675309"
    fields = {"To": "+18005551212", "From": number, "Caller": number, "Digits": "1234", "CallSid": "CA1234567890ABCDE"}
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert twilio.sign("12345", url, fields.items()) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


class TestTheEventsOfACall:
    def test_come_to_one_call_in_whatever_order_they_come(self, twilio: Any, deployed: Handler, aws: Aws) -> None:
        for status, seconds in [("completed", 51), ("ringing", 2), ("initiated", 0), ("in-progress", 9)]:
            assert deployed(of_call(twilio, status, seconds)).statusCode == 200
        call = call_in(aws)
        assert (call.provider, call.event_count, call.status, call.outcome) == ("twilio", 4, "completed", "answered")
        assert (call.ring_seconds, call.talk_seconds) == (7, 42)

    @pytest.mark.parametrize(
        ("status", "outcome"),
        [("busy", "busy"), ("no-answer", "no_answer"), ("canceled", "cancelled"), ("failed", "failed")],
    )
    def test_tell_how_it_ended(self, status: str, outcome: str, twilio: Any, deployed: Handler, aws: Aws) -> None:
        for one, seconds in [(status, 20), ("ringing", 20), ("initiated", 20)]:
            deployed(of_call(twilio, one, seconds, SipResponseCode="", CallDuration="0"))
        assert call_in(aws).outcome == outcome

    def test_of_a_status_that_nobody_knows_are_kept(self, twilio: Any, deployed: Handler, aws: Aws) -> None:
        assert deployed(of_call(twilio, "teleported", 3)).statusCode == 200
        (item,) = aws.items()
        kept = event_of_item(item)
        assert (kept.kind, kept.name, kept.status) == ("call.other", "teleported", "teleported")

    @pytest.mark.parametrize("moment", ["", "yesterday", "Sat, 21 Nov 99999999999 06:30:51 +0000"])
    def test_without_a_time_happened_when_they_came(
        self, moment: str, twilio: Any, deployed: Handler, aws: Aws
    ) -> None:
        assert deployed(callback(twilio, told(Timestamp=moment))).statusCode == 200
        (item,) = aws.items()
        kept = event_of_item(item)
        assert kept.occurred_at == kept.received_at


_fields = st.lists(st.tuples(st.sampled_from([*CALL]) | texts, texts), max_size=5)


def _encoded(fields: Fields) -> bytes:
    return urlencode(list(fields), errors="surrogatepass").encode()


@given(
    body=_fields.map(lambda fields: _encoded([*CALL.items(), *fields]))
    | _fields.map(_encoded)
    | st.sampled_from([*CALL]).flatmap(lambda name: texts.map(lambda text: _encoded(told(**{name: text}))))
    | st.binary(max_size=180)
    | st.binary(max_size=60).map(lambda more: RECORDED["body"].encode() + more)
)
@examples(150)
def test_whatever_a_proven_sender_sends_is_kept_or_put_aside(twilio: Any, body: bytes) -> None:
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
    event = callback(twilio, twilio.fields_of(Request("POST", "/webhooks/twilio", body=body)), body=body)
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


# What the page says.


@pytest.fixture(scope="session")
def extended_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template with the resources where the page puts them."""
    before, outputs, after = (ROOT / "template.yaml").read_text("utf-8").partition("\nOutputs:\n")
    path = tmp_path_factory.mktemp("template") / "template.yaml"
    path.write_text(f"{before}\n{(EXAMPLE / 'resources.yaml').read_text('utf-8')}{outputs}{after}", "utf-8")
    return path


def blocks_of_the_page() -> list[tuple[str, str]]:
    """The fenced blocks, each with its language."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def test_every_block_of_the_page_stands_in_the_example() -> None:
    files = {
        "python": [EXAMPLE / "twilio.py", EXAMPLE / "app.py"],
        "yaml": [EXAMPLE / "resources.yaml"],
    }
    blocks = [(language, block) for language, block in blocks_of_the_page() if language != "bash"]
    assert {language for language, _ in blocks} == set(files)
    for language, block in blocks:
        assert any(block in path.read_text("utf-8") for path in files[language]), block


def test_the_page_shows_the_handler_and_the_resources_whole() -> None:
    shown = "".join(block for _, block in blocks_of_the_page())
    for name in ("app.py", "resources.yaml"):
        assert (EXAMPLE / name).read_text("utf-8") in shown


def test_the_page_shows_every_function_of_the_module() -> None:
    shown = "".join(block for language, block in blocks_of_the_page() if language == "python")
    functions = re.findall(r"^(?:def|class) \w+", (EXAMPLE / "twilio.py").read_text("utf-8"), re.MULTILINE)
    assert functions
    assert [name for name in functions if name not in shown] == []


def test_the_resources_lint_where_the_page_puts_them(extended_template: Path) -> None:
    done = subprocess.run(
        [Path(sys.prefix) / "bin" / "cfn-lint", extended_template],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_resources_are_like_those_of_other_event_functions(extended_template: Path) -> None:
    resources = read_template(extended_template)["Resources"]
    assert resources["TwilioStatusFunction"]["Properties"].keys() == resources["WavixCallFunction"]["Properties"].keys()
    policies = ("DeletionPolicy", "UpdateReplacePolicy")
    assert [resources["TwilioCredentials"].get(name) for name in policies] == [
        resources["WavixCredentials"].get(name) for name in policies
    ]
    for kind in ("Role", "LogGroup"):
        own = json.dumps(resources[f"WavixCall{kind}"])
        expected = own.replace("WavixCall", "TwilioStatus").replace("Wavix", "Twilio")
        assert resources[f"TwilioStatus{kind}"] == json.loads(expected)
