"""`callhooks control`, against local servers that implement the providers' APIs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from callhooks_tools.cli import app
from typer.testing import CliRunner, Result

from tests.provider_apis import bird, jambonz, voipstudio, wavix
from tests.provider_apis.bird import BirdApi
from tests.provider_apis.jambonz import JambonzApi
from tests.provider_apis.server import Api, Drop, Reply
from tests.provider_apis.voipstudio import AUDIO, VoipstudioApi, a_record, a_recording
from tests.provider_apis.wavix import WavixApi

CALLS = {
    "voipstudio": voipstudio.CALL_ID,
    "wavix": wavix.CALL_ID,
    "bird": bird.CALL_ID,
    "jambonz": jambonz.CALL_SID,
}
VOIPSTUDIO, WAVIX, BIRD, JAMBONZ = CALLS.items()
HOOK = "https://hooks.example.com/transfer"


@dataclass
class Apis:
    voipstudio: VoipstudioApi = field(default_factory=VoipstudioApi)
    wavix: WavixApi = field(default_factory=WavixApi)
    bird: BirdApi = field(default_factory=BirdApi)
    jambonz: JambonzApi = field(default_factory=JambonzApi)

    @property
    def all(self) -> tuple[Api, ...]:
        return self.voipstudio, self.wavix, self.bird, self.jambonz

    @property
    def environment(self) -> dict[str, str]:
        return {name: value for api in self.all for name, value in api.environment.items()}


@pytest.fixture
def apis() -> Iterator[Apis]:
    apis = Apis()
    with apis.voipstudio.running(), apis.wavix.running(), apis.bird.running(), apis.jambonz.running():
        yield apis


Command = Callable[..., Result]


@pytest.fixture
def command(apis: Apis) -> Command:
    def run(*arguments: str, **others: str) -> Result:
        environment = {"COLUMNS": "200", **apis.environment, **others}
        return CliRunner().invoke(app, ["control", *arguments], env=environment)

    return run


def done(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def read(result: Result) -> Any:
    return json.loads(done(result))


def failed(result: Result, code: int = 1) -> str:
    assert result.exit_code == code, result.output
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.mark.parametrize(
    ("call", "members"),
    [
        (VOIPSTUDIO, {"id": voipstudio.CALL_ID, "dst": "441183211001", "connected_at": "2021-04-28 08:46:02+00:00"}),
        (WAVIX, {"id": wavix.CALL_ID, "event_type": "answered", "from": "+18045961058"}),
        (BIRD, {"id": bird.CALL_ID, "channelId": bird.CHANNEL, "status": "ongoing"}),
        (JAMBONZ, {"call_sid": jambonz.CALL_SID, "call_status": "in-progress", "from": "+12125550187"}),
    ],
    ids=CALLS,
)
class TestCall:
    def test_is_shown_as_json(self, call: tuple[str, str], members: dict[str, str], command: Command) -> None:
        assert members.items() <= read(command("show", *call)).items()

    def test_is_in_the_list_of_calls(self, call: tuple[str, str], members: dict[str, str], command: Command) -> None:
        (only,) = read(command("calls", call[0]))
        assert members.items() <= only.items()


def test_a_bird_call_is_read_from_its_channel(command: Command, apis: Apis) -> None:
    assert read(command("show", *BIRD, "--channel", bird.CHANNEL))["id"] == bird.CALL_ID
    assert apis.bird.lines == [f"GET /workspaces/{bird.WORKSPACE}/channels/{bird.CHANNEL}/calls/{bird.CALL_ID}"]


def test_text_from_a_provider_cannot_control_the_terminal(command: Command, apis: Apis) -> None:
    apis.voipstudio.calls[voipstudio.CALL_ID] |= {"src_name": "Zoë \x1b[2J\u202e", "more": ["\x9b1m", {"\ud800": 1}]}
    output = done(command("show", *VOIPSTUDIO))
    assert all(char.isprintable() or char == "\n" for char in output)
    assert json.loads(output)["src_name"] == "Zoë \x1b[2J\u202e"


class TestTransfer:
    def test_of_voipstudio_goes_to_an_extension(self, command: Command, apis: Apis) -> None:
        assert done(command("transfer", "voipstudio", "139543232", "2002")) == "VoIPstudio accepted the transfer.\n"
        assert apis.voipstudio.calls["139543232"]["dst"] == "2002"

    def test_of_bird_finds_the_channel(self, command: Command, apis: Apis) -> None:
        done(command("transfer", *BIRD, "+14155550199", "--from", "+14155550123"))
        assert apis.bird.commands == [("bridge", {"to": "+14155550199", "from": "+14155550123"})]

    def test_of_bird_uses_the_channel_from_the_option(self, command: Command, apis: Apis) -> None:
        done(command("transfer", *BIRD, "+14155550199", "--channel", bird.CHANNEL))
        assert len(apis.bird.requests) == 1

    def test_of_bird_needs_a_channel(self, command: Command, apis: Apis) -> None:
        call = {"id": bird.CALL_ID}
        apis.bird.faults = [Reply(200, {"results": [call]})]
        message = failed(command("transfer", *BIRD, "+14155550199"))
        assert message == "Bird's log does not name the channel of this call. Add --channel ID.\n"

    def test_of_jambonz_goes_to_a_webhook(self, command: Command, apis: Apis) -> None:
        done(command("transfer", *JAMBONZ, HOOK))
        assert apis.jambonz.updates == [{"call_hook": HOOK}]

    def test_that_may_have_happened_says_so(self, command: Command, apis: Apis) -> None:
        apis.voipstudio.faults = [Drop()]
        message = failed(command("transfer", *VOIPSTUDIO, "2002"))
        check = f"callhooks control show voipstudio {voipstudio.CALL_ID}"
        assert message.endswith(f". The request may have taken effect anyway. Check with: {check}\n")

    def test_that_is_rejected_gives_the_reason(self, command: Command) -> None:
        message = failed(command("transfer", *VOIPSTUDIO, "nobody"))
        assert message == "VoIPstudio rejected the request (422): dst: nobody is not valid for ...\n"


def test_an_ended_call_of_jambonz_is_marked(command: Command, apis: Apis) -> None:
    apis.jambonz.calls["another"] = jambonz.a_call("another", "busy")
    assert [call["ended"] for call in read(command("calls", "jambonz"))] == [False, True]


class TestHangup:
    @pytest.mark.parametrize("call", [VOIPSTUDIO, WAVIX], ids=["voipstudio", "wavix"])
    def test_ends_a_call(self, call: tuple[str, str], command: Command, apis: Apis) -> None:
        provider, _ = call
        assert done(command("hangup", *call)).endswith(" accepted the request to end the call.\n")
        assert getattr(apis, provider).calls == {}
        message = failed(command("hangup", *call))
        assert "has no active call with this id: the call is over, or the id is not one of this account" in message
        assert "(404)" in message

    def test_of_jambonz_ends_an_unanswered_call(self, command: Command, apis: Apis) -> None:
        apis.jambonz.placed("ringing", is_answered=False)
        assert done(command("hangup", *JAMBONZ)) == "jambonz accepted the request to end the call.\n"
        assert apis.jambonz.calls[jambonz.CALL_SID]["call_status"] == "no-answer"
        assert failed(command("hangup", *JAMBONZ)) == (
            "jambonz has no active call with this id: the call is over, or the id is not one of this account: "
            "its status is no-answer\n"
        )


@pytest.mark.parametrize(
    "arguments",
    [("transfer", *JAMBONZ, HOOK), ("record", *JAMBONZ, "pause", "--cloud"), ("hangup", *JAMBONZ)],
    ids=["transfer", "record", "hangup"],
)
def test_a_jambonz_call_without_a_session_is_reported_as_over(
    arguments: tuple[str, ...], command: Command, apis: Apis
) -> None:
    apis.jambonz.sessions.clear()
    assert failed(command(*arguments)) == (
        "jambonz has no active call with this id: the call is over, or the id is not one of this account (422): "
        f"call session is gone for call_sid {jambonz.CALL_SID}\n"
    )


class TestAnswer:
    def test_of_wavix_may_record(self, command: Command, apis: Apis) -> None:
        done(command("answer", *WAVIX, "--record"))
        assert apis.wavix.done == [("POST answer", {"call_recording": True, "call_transcription": False})]

    def test_of_bird_finds_the_channel(self, command: Command, apis: Apis) -> None:
        done(command("answer", *BIRD))
        assert apis.bird.commands == [("answer", None)]


class TestRecord:
    @pytest.mark.parametrize("action", ["start", "stop", "pause", "resume"])
    @pytest.mark.parametrize(
        ("options", "members"),
        [
            (("--siprec", "sip:rec@a.example.com"), {"siprecServerURL": "sip:rec@a.example.com"}),
            (("--cloud",), {"type": "cloud"}),
        ],
        ids=["siprec", "cloud"],
    )
    def test_of_jambonz_names_the_recording(
        self, options: tuple[str, ...], members: dict[str, str], action: str, command: Command, apis: Apis
    ) -> None:
        output = done(command("record", *JAMBONZ, action, *options))
        assert output == f"jambonz accepted the request to {action} the recording.\n"
        assert apis.jambonz.updates == [{"record": {"action": f"{action}CallRecording", **members}}]

    def test_of_jambonz_starts_with_a_recording_server(self, command: Command, apis: Apis) -> None:
        done(command("record", *JAMBONZ, "start", "--siprec", "sip:rec@a.example.com", "--recording-id", "r-1"))
        record = {"action": "startCallRecording", "siprecServerURL": "sip:rec@a.example.com", "recordingID": "r-1"}
        assert apis.jambonz.updates == [{"record": record}]


class TestCallDetailRecord:
    def test_of_voipstudio_is_one_for_each_leg(self, command: Command, apis: Apis) -> None:
        apis.voipstudio.rows["cdrs"] = [a_record(1), a_record(2)]
        assert [record["id"] for record in read(command("cdr", *VOIPSTUDIO))] == ["1", "2"]

    def test_of_wavix_has_the_charge(self, command: Command, apis: Apis) -> None:
        apis.wavix.records[wavix.CALL_ID] = wavix.a_record()
        (record,) = read(command("cdr", *WAVIX))
        assert (record["charge"], record["disposition"]) == ("0.0130", "answered")

    @pytest.mark.parametrize("call", [VOIPSTUDIO, WAVIX], ids=["voipstudio", "wavix"])
    def test_may_not_exist_yet(self, call: tuple[str, str], command: Command) -> None:
        assert failed(command("cdr", *call)) == (
            "No call detail record found for this call. It can appear up to a minute after the call ends. "
            "To wait for it, add --wait 60\n"
        )

    def test_is_suggested_for_a_finished_call(self, command: Command, apis: Apis) -> None:
        apis.voipstudio.calls.clear()
        message = failed(command("show", *VOIPSTUDIO))
        assert message.endswith(f"records, run: callhooks control cdr voipstudio {voipstudio.CALL_ID}\n")


class TestRecordings:
    def test_of_voipstudio_are_listed(self, command: Command, apis: Apis) -> None:
        apis.voipstudio.rows["monitors"] = [a_recording(77), a_recording(78)]
        assert [recording["id"] for recording in read(command("recordings", *VOIPSTUDIO))] == ["77", "78"]

    def test_of_voipstudio_are_downloaded_once(self, command: Command, apis: Apis, tmp_path: Path) -> None:
        apis.voipstudio.rows["monitors"] = [a_recording(77), a_recording(78)]
        folder = tmp_path / "recordings" / "new"
        output = done(command("recordings", *VOIPSTUDIO, "--download", str(folder)))
        files = [folder / f"voipstudio-{voipstudio.CALL_ID}-{number}.mp3" for number in (77, 78)]
        assert sorted(folder.iterdir()) == files
        assert [file.read_bytes() for file in files] == [AUDIO, AUDIO]
        assert output == "".join(f"{file}  {len(AUDIO):,} bytes\n" for file in files)
        files[0].write_bytes(b"half")
        again = command("recordings", *VOIPSTUDIO, "--download", str(folder))
        assert (done(again), again.stderr) == (output, f"{files[1]}  already downloaded\n")

    def test_of_voipstudio_are_never_written_outside_the_folder(
        self, command: Command, apis: Apis, tmp_path: Path
    ) -> None:
        apis.voipstudio.rows["monitors"] = [{**a_recording(77), "id": "/../../outside"}]
        failed(command("recordings", *VOIPSTUDIO, "--download", str(tmp_path / "a")))
        assert list(tmp_path.rglob("*.mp3")) == []

    def test_need_a_folder_that_can_be_created(self, command: Command, apis: Apis, tmp_path: Path) -> None:
        apis.voipstudio.rows["monitors"] = [a_recording(77)]
        (tmp_path / "file").touch()
        message = failed(command("recordings", *VOIPSTUDIO, "--download", str(tmp_path / "file" / "folder")))
        assert message.endswith("Not a directory\n")

    def test_of_wavix_are_an_address(self, command: Command, apis: Apis) -> None:
        apis.wavix.records[wavix.CALL_ID] = wavix.a_record()
        assert done(command("recordings", *WAVIX)) == f"https://api.wavix.com/v1/recordings/{wavix.CALL_ID}\n"
        del apis.wavix.records[wavix.CALL_ID]["recording_url"]
        assert failed(command("recordings", *WAVIX)).startswith("No recording found for this call.")


UNSUPPORTED: list[tuple[tuple[str, ...], str]] = [
    (("transfer", *WAVIX, "2002"), "Wavix's API cannot transfer"),
    (("hangup", *BIRD), "Bird's API does not document how to end a call"),
    *((("answer", *call), "answer") for call in (VOIPSTUDIO, JAMBONZ)),
    *((("record", *call, "stop"), "record") for call in (VOIPSTUDIO, WAVIX, BIRD)),
    *((("cdr", *call), "has no call detail records") for call in (BIRD, JAMBONZ)),
    *((("recordings", *call), "does not list recordings") for call in (BIRD, JAMBONZ)),
]
MISUSED: list[tuple[tuple[str, ...], str]] = [
    (("transfer", *JAMBONZ, "+14155550199"), "jambonz transfers a call to a webhook, not to a number."),
    *((("record", *JAMBONZ, action), "--siprec") for action in ("start", "stop", "pause", "resume")),
    (("record", *JAMBONZ, "stop", "--siprec", ""), "--cloud"),
    (("record", *JAMBONZ, "stop", "--siprec", "sip:rec@a.example.com", "--cloud"), "--cloud"),
    (("record", *JAMBONZ, "start", "--cloud", "--recording-id", "r-1"), "--recording-id only with --siprec"),
    (("show", *WAVIX, "--channel", "1"), "Only bird supports --channel.\n"),
    (("transfer", *VOIPSTUDIO, "1", "--channel", "1", "--from", "2"), "Only bird supports --channel and --from.\n"),
    (("answer", *BIRD, "--record"), "Only wavix supports --record.\n"),
    (("recordings", *WAVIX, "--download", "."), "Only voipstudio supports --download.\n"),
]


def test_a_command_or_option_that_a_provider_does_not_support_is_an_error(command: Command, apis: Apis) -> None:
    for code, cases in ((1, UNSUPPORTED), (2, MISUSED)):
        for arguments, message in cases:
            assert message in failed(command(*arguments), code)
    assert all(api.requests == [] for api in apis.all)


REQUIRED = {
    VOIPSTUDIO: ("VOIPSTUDIO_API_KEY",),
    WAVIX: ("WAVIX_API_KEY",),
    BIRD: ("BIRD_ACCESS_KEY", "BIRD_WORKSPACE_ID"),
    JAMBONZ: ("JAMBONZ_API_KEY", "JAMBONZ_ACCOUNT_SID", "JAMBONZ_API_URL"),
}


@pytest.mark.parametrize("call", REQUIRED, ids=CALLS)
def test_a_missing_key_is_named_with_its_source(call: tuple[str, str], command: Command) -> None:
    for name in REQUIRED[call]:
        message = failed(command("show", *call, **{name: " "}))
        assert message.startswith(f"{name} is not set in the environment. ")
        assert "Create an API key" in message or call not in (VOIPSTUDIO, WAVIX)
