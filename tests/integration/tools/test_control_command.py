"""`callhooks control`, against local servers that speak the providers' APIs."""

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
        mine = (self.voipstudio, self.wavix, self.bird, self.jambonz)
        return {name: value for api in mine for name, value in api.environment.items()}


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


def failed(result: Result) -> str:
    assert result.exit_code == 1, result.output
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
class TestACall:
    def test_is_shown_as_json(self, call: tuple[str, str], members: dict[str, str], command: Command) -> None:
        assert members.items() <= read(command("show", *call)).items()

    def test_is_among_all_of_them(self, call: tuple[str, str], members: dict[str, str], command: Command) -> None:
        (only,) = read(command("calls", call[0]))
        assert members.items() <= only.items()


def test_a_call_of_bird_is_shown_by_its_channel(command: Command, apis: Apis) -> None:
    assert read(command("show", *BIRD, "--channel", bird.CHANNEL))["id"] == bird.CALL_ID
    assert apis.bird.lines == [f"GET /workspaces/{bird.WORKSPACE}/channels/{bird.CHANNEL}/calls/{bird.CALL_ID}"]


def test_what_a_provider_sends_does_nothing_to_a_terminal(command: Command, apis: Apis) -> None:
    apis.voipstudio.calls[voipstudio.CALL_ID] |= {"src_name": "Zoë \x1b[2J\u202e", "more": ["\x9b1m", {"\ud800": 1}]}
    told = done(command("show", *VOIPSTUDIO))
    assert all(char.isprintable() or char == "\n" for char in told)
    assert json.loads(told)["src_name"] == "Zoë \x1b[2J\u202e"


class TestATransfer:
    def test_of_voipstudio_goes_to_an_extension(self, command: Command, apis: Apis) -> None:
        assert done(command("transfer", "voipstudio", "139543232", "2002")) == "voipstudio transfers the call.\n"
        assert apis.voipstudio.calls["139543232"]["dst"] == "2002"

    def test_of_bird_finds_the_channel(self, command: Command, apis: Apis) -> None:
        done(command("transfer", *BIRD, "+14155550199", "--from", "+14155550123"))
        assert apis.bird.commands == [("bridge", {"to": "+14155550199", "from": "+14155550123"})]

    def test_of_bird_may_be_told_the_channel(self, command: Command, apis: Apis) -> None:
        done(command("transfer", *BIRD, "+14155550199", "--channel", bird.CHANNEL))
        assert len(apis.bird.asked) == 1

    def test_of_bird_needs_a_channel(self, command: Command, apis: Apis) -> None:
        call = {"id": bird.CALL_ID}
        apis.bird.faults = [Reply(200, {"results": [call]})]
        told = failed(command("transfer", *BIRD, "+14155550199"))
        assert told == "Bird's log does not tell the channel of the call: --channel names it.\n"

    def test_of_jambonz_goes_to_a_webhook(self, command: Command, apis: Apis) -> None:
        done(command("transfer", *JAMBONZ, HOOK))
        assert apis.jambonz.updates == [{"call_hook": HOOK}]

    def test_of_jambonz_does_not_go_to_a_number(self, command: Command, apis: Apis) -> None:
        told = failed(command("transfer", *JAMBONZ, "+14155550199"))
        assert told.startswith("jambonz transfers a call to a webhook, whose verbs it gets from then on: give its URL.")
        assert apis.jambonz.asked == []

    def test_is_nothing_that_wavix_knows(self, command: Command, apis: Apis) -> None:
        assert failed(command("transfer", *WAVIX, "2002")).startswith("Wavix's API knows no transfer")
        assert apis.wavix.asked == []

    def test_that_may_be_done_says_so(self, command: Command, apis: Apis) -> None:
        apis.voipstudio.faults = [Drop()]
        told = failed(command("transfer", *VOIPSTUDIO, "2002"))
        look = f"It may be done all the same: callhooks control show voipstudio {voipstudio.CALL_ID}\n"
        assert told.endswith(look)

    def test_that_is_refused_says_why(self, command: Command) -> None:
        told = failed(command("transfer", *VOIPSTUDIO, "nobody"))
        assert told == "VoIPstudio refuses (422): dst: nobody is not valid for ...\n"


class TestHangup:
    @pytest.mark.parametrize("call", [VOIPSTUDIO, WAVIX, JAMBONZ], ids=["voipstudio", "wavix", "jambonz"])
    def test_ends_a_call(self, call: tuple[str, str], command: Command, apis: Apis) -> None:
        provider, _ = call
        assert done(command("hangup", *call)) == f"{provider} ends the call.\n"
        assert getattr(apis, provider).calls == {}
        told = failed(command("hangup", *call))
        assert "has no such call that lasts: it is over, or the id is not one of this account (404)" in told

    def test_is_nothing_that_bird_documents(self, command: Command, apis: Apis) -> None:
        assert failed(command("hangup", *BIRD)).startswith("No page of Bird tells how a call that lasts is ended.")
        assert apis.bird.asked == []


class TestAnswer:
    def test_of_wavix_may_record(self, command: Command, apis: Apis) -> None:
        done(command("answer", *WAVIX, "--record"))
        assert apis.wavix.done == [("POST answer", {"call_recording": True, "call_transcription": False})]

    def test_of_bird_finds_the_channel(self, command: Command, apis: Apis) -> None:
        done(command("answer", *BIRD))
        assert apis.bird.commands == [("answer", None)]

    @pytest.mark.parametrize("call", [VOIPSTUDIO, JAMBONZ], ids=["voipstudio", "jambonz"])
    def test_is_nothing_for_the_others(self, call: tuple[str, str], command: Command, apis: Apis) -> None:
        assert "answer" in failed(command("answer", *call))
        assert all(api.asked == [] for api in apis.all)


class TestRecord:
    @pytest.mark.parametrize("action", ["stop", "pause", "resume"])
    def test_of_jambonz_says_what_to_do(self, action: str, command: Command, apis: Apis) -> None:
        assert done(command("record", *JAMBONZ, action)) == f"jambonz has taken it: {action} of the recording.\n"
        assert apis.jambonz.updates == [{"record": {"action": f"{action}CallRecording"}}]

    def test_of_jambonz_starts_at_a_recording_server(self, command: Command, apis: Apis) -> None:
        done(command("record", *JAMBONZ, "start", "--siprec", "sip:rec@a.example.com", "--recording-id", "r-1"))
        record = {"action": "startCallRecording", "siprecServerURL": "sip:rec@a.example.com", "recordingID": "r-1"}
        assert apis.jambonz.updates == [{"record": record}]

    def test_of_jambonz_needs_one_for_a_start(self, command: Command, apis: Apis) -> None:
        assert "--siprec" in failed(command("record", *JAMBONZ, "start"))
        assert apis.jambonz.asked == []

    @pytest.mark.parametrize("call", [VOIPSTUDIO, WAVIX, BIRD], ids=["voipstudio", "wavix", "bird"])
    def test_is_nothing_for_the_others(self, call: tuple[str, str], command: Command, apis: Apis) -> None:
        assert "record" in failed(command("record", *call, "stop"))
        assert all(api.asked == [] for api in apis.all)


class TestTheDetailRecord:
    def test_of_voipstudio_has_a_leg_each(self, command: Command, apis: Apis) -> None:
        apis.voipstudio.rows["cdrs"] = [a_record(1), a_record(2)]
        assert [record["id"] for record in read(command("cdr", *VOIPSTUDIO))] == ["1", "2"]

    def test_of_wavix_has_the_charge(self, command: Command, apis: Apis) -> None:
        apis.wavix.records[wavix.CALL_ID] = wavix.a_record()
        (record,) = read(command("cdr", *WAVIX))
        assert (record["charge"], record["disposition"]) == ("0.0130", "answered")

    @pytest.mark.parametrize("call", [VOIPSTUDIO, WAVIX], ids=["voipstudio", "wavix"])
    def test_may_not_be_there_yet(self, call: tuple[str, str], command: Command) -> None:
        told = (
            "There is no record of this call. One may come within a minute of the call's end: --wait 60 looks again.\n"
        )
        assert failed(command("cdr", *call)) == told

    def test_is_what_a_call_that_is_over_is_followed_by(self, command: Command, apis: Apis) -> None:
        apis.voipstudio.calls.clear()
        told = failed(command("show", *VOIPSTUDIO))
        assert told.endswith(f"callhooks control cdr voipstudio {voipstudio.CALL_ID} has its record.\n")

    @pytest.mark.parametrize("call", [BIRD, JAMBONZ], ids=["bird", "jambonz"])
    def test_is_nothing_for_the_others(self, call: tuple[str, str], command: Command) -> None:
        assert "has no detail records" in failed(command("cdr", *call))


class TestRecordings:
    def test_of_voipstudio_are_listed(self, command: Command, apis: Apis) -> None:
        apis.voipstudio.rows["monitors"] = [a_recording(77), a_recording(78)]
        assert [one["id"] for one in read(command("recordings", *VOIPSTUDIO))] == ["77", "78"]

    def test_of_voipstudio_are_written_once(self, command: Command, apis: Apis, tmp_path: Path) -> None:
        apis.voipstudio.rows["monitors"] = [a_recording(77), a_recording(78)]
        folder = tmp_path / "recordings" / "new"
        told = done(command("recordings", *VOIPSTUDIO, "--download", str(folder)))
        files = [folder / f"voipstudio-{voipstudio.CALL_ID}-{number}.mp3" for number in (77, 78)]
        assert sorted(folder.iterdir()) == files
        assert [file.read_bytes() for file in files] == [AUDIO, AUDIO]
        assert told == "".join(f"{file}  {len(AUDIO):,} bytes\n" for file in files)
        files[0].write_bytes(b"half")
        told = done(command("recordings", *VOIPSTUDIO, "--download", str(folder)))
        assert told == f"{files[0]}  {len(AUDIO):,} bytes\n{files[1]}  is there already\n"

    def test_of_voipstudio_are_not_written_anywhere_else(self, command: Command, apis: Apis, tmp_path: Path) -> None:
        apis.voipstudio.rows["monitors"] = [{**a_recording(77), "id": "/../../outside"}]
        failed(command("recordings", *VOIPSTUDIO, "--download", str(tmp_path / "a")))
        assert list(tmp_path.rglob("*.mp3")) == []

    def test_need_a_folder_that_can_be_made(self, command: Command, apis: Apis, tmp_path: Path) -> None:
        apis.voipstudio.rows["monitors"] = [a_recording(77)]
        (tmp_path / "file").touch()
        told = failed(command("recordings", *VOIPSTUDIO, "--download", str(tmp_path / "file" / "folder")))
        assert told.endswith("Not a directory\n")

    def test_of_wavix_are_an_address(self, command: Command, apis: Apis) -> None:
        apis.wavix.records[wavix.CALL_ID] = wavix.a_record()
        assert done(command("recordings", *WAVIX)) == f"https://api.wavix.com/v1/recordings/{wavix.CALL_ID}\n"
        del apis.wavix.records[wavix.CALL_ID]["recording_url"]
        assert failed(command("recordings", *WAVIX)).startswith("There is no recording of this call.")

    @pytest.mark.parametrize("call", [BIRD, JAMBONZ], ids=["bird", "jambonz"])
    def test_are_nothing_for_the_others(self, call: tuple[str, str], command: Command) -> None:
        assert "lists no recordings" in failed(command("recordings", *call))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("show", *WAVIX, "--channel", "1"), "Only bird takes --channel."),
        (("transfer", *VOIPSTUDIO, "2002", "--channel", "1", "--from", "2"), "Only bird takes --channel and --from."),
        (("answer", *BIRD, "--record"), "Only wavix takes --record."),
        (("recordings", *WAVIX, "--download", "."), "Only voipstudio takes --download."),
    ],
)
def test_an_option_of_another_provider_is_not_passed_over(
    arguments: tuple[str, ...], told: str, command: Command, apis: Apis
) -> None:
    assert failed(command(*arguments)) == f"{told}\n"
    assert all(api.asked == [] for api in apis.all)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (VOIPSTUDIO, "VOIPSTUDIO_API_KEY"),
        (WAVIX, "WAVIX_API_KEY"),
        (BIRD, "BIRD_ACCESS_KEY"),
        (BIRD, "BIRD_WORKSPACE_ID"),
        (JAMBONZ, "JAMBONZ_API_KEY"),
        (JAMBONZ, "JAMBONZ_ACCOUNT_SID"),
        (JAMBONZ, "JAMBONZ_API_URL"),
    ],
)
def test_a_key_that_is_not_set_is_named(call: tuple[str, str], name: str, command: Command) -> None:
    assert failed(command("show", *call, **{name: ""})).startswith(f"{name} is not set in the environment: ")
