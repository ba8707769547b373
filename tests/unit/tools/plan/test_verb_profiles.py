"""Faults in verbs for which each version of jambonz would reject them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from callhooks_tools.providers.jambonz.plan.verb_profiles import (
    Profile,
    VerbFault,
    check_verb,
    long_form,
    verb_faults,
    verbs_of,
)

Verb = dict[str, Any]

OPENAI = {"auth": {"apiKey": "key"}, "llmOptions": {"response_create": {"instructions": "You take messages."}}}
GOOGLE = {"auth": {"apiKey": "key"}, "llmOptions": {"setup": {}}}
DEEPGRAM = {
    "auth": {"apiKey": "key"},
    "llmOptions": {"Settings": {"agent": {"think": {"provider": {"type": "open_ai", "model": "gpt-4o-mini"}}}}},
}
TARGET = {"type": "phone", "number": "+14155550100"}
SESSION_UPDATE = {"instructions": "You take messages for Acme."}
MINIMAL: dict[str, Verb] = {
    "agent": {},
    "alert": {"message": "somebody calls"},
    "answer": {},
    "conference": {"name": "sales"},
    "config": {},
    "deepgram_s2s": DEEPGRAM,
    "dequeue": {"name": "sales"},
    "dial": {"target": [TARGET]},
    "dialogflow": {"project": "acme", "credentials": {"type": "service_account"}, "lang": "en-US"},
    "dtmf": {"dtmf": "123#"},
    "dub": {"action": "addTrack", "track": "music"},
    "elevenlabs_s2s": {"auth": {"agent_id": "agent-1"}, "llmOptions": {}},
    "enqueue": {"name": "sales"},
    "gather": {},
    "google_s2s": GOOGLE,
    "gptlive_s2s": {"auth": {"apiKey": "key"}, "llmOptions": {"session_update": SESSION_UPDATE}},
    "hangup": {},
    "leave": {},
    "lex": {"botId": "1", "botAlias": "prod", "region": "us-east-1", "credentials": {}},
    "listen": {"url": "wss://example.com/audio"},
    "llm": {"vendor": "openai", **OPENAI},
    "message": {"to": "+14155550100", "from": "+14155550101"},
    "microsoft_s2s": OPENAI | {"connectOptions": {"host": "example.com"}},
    "nova_s2s": {"auth": {"accessKeyId": "id", "secretAccessKey": "key"}},
    "openai_s2s": OPENAI,
    "pause": {"length": 1.5},
    "play": {"url": "https://example.com/hello.wav"},
    "qwen_s2s": OPENAI,
    "rasa": {"url": "https://example.com/rasa"},
    "redirect": {"actionHook": "https://example.com/next"},
    "room": {"name": "sales"},
    "s2s": {"vendor": "google", **GOOGLE},
    "say": {"text": "Hello"},
    "sip:decline": {"status": 486},
    "sip:refer": {"referTo": "sip:alice@example.com"},
    "sip:request": {"method": "INFO"},
    "stream": {"url": "wss://example.com/audio"},
    "tag": {"data": {"customer": 5}},
    "transcribe": {},
    "transfer": {"mode": "blind", "target": [TARGET]},
    "ultravox_s2s": {"auth": {"apiKey": "key"}, "llmOptions": {}},
    "voiceagent_s2s": DEEPGRAM,
    "voicelive_s2s": {
        "auth": {"apiKey": "key"},
        "connectOptions": {"host": "example.com"},
        "llmOptions": {"session_update": SESSION_UPDATE, "response_create": {}},
    },
}
ONLY_IN_11 = {"agent", "gptlive_s2s", "nova_s2s", "qwen_s2s", "room", "transfer", "voicelive_s2s"}
ONLY_IN_0_9 = {"lex", "rasa"}
VERBS = [(profile, name) for profile in Profile for name in verbs_of(profile)]
SHARED = sorted(verbs_of(Profile.OSS).keys() & verbs_of(Profile.V11).keys())


def minimal(name: str, **members: Any) -> Verb:
    return {"verb": name, **MINIMAL[name], **members}


def faults_of(verb: Verb, profile: Profile) -> dict[str, str]:
    """Return the message of each fault by its dotted place."""
    faults = verb_faults(verb, profile)
    by_place = {".".join(map(str, fault.location)): fault.message for fault in faults}
    assert len(by_place) == len(faults)
    return by_place


def warnings_of(verb: Verb, profile: Profile) -> dict[str, str]:
    """Return the message of each warning by its dotted place, for a verb without faults."""
    assert verb_faults(verb, profile) == []
    return {".".join(map(str, warning.location)): warning.message for warning in check_verb(verb, profile)}


# Verbs that jambonz accepts


@pytest.mark.parametrize(
    ("profile", "missing"), [(Profile.OSS, ONLY_IN_11), (Profile.V11, ONLY_IN_0_9)], ids=["0.9", "11"]
)
def test_a_profile_has_the_verbs_of_its_version(profile: Profile, missing: set[str]) -> None:
    assert verbs_of(profile).keys() == MINIMAL.keys() - missing


@pytest.mark.parametrize(("profile", "name"), VERBS)
def test_a_verb_is_accepted_with_its_required_members_and_not_without(profile: Profile, name: str) -> None:
    assert faults_of(minimal(name), profile) == faults_of(minimal(name, id="a-1"), profile) == {}
    assert set(faults_of({"verb": name}, profile)) >= set(verbs_of(profile)[name].get("required", []))


@pytest.mark.parametrize(
    "example",
    [example for schema in verbs_of(Profile.V11).values() for example in schema.get("examples", ())],
    ids=lambda example: example["verb"],
)
def test_the_examples_of_jambonz_are_accepted(example: Verb) -> None:
    assert check_verb(example, Profile.V11) == []
    is_for_a_model = example["verb"] in ("llm", "s2s") or example["verb"].endswith("_s2s")
    if example["verb"] not in ONLY_IN_11 and not is_for_a_model:
        assert faults_of(example, Profile.OSS) == {}


RECOGNIZER = {"vendor": "default"}
SYNTHESIZER = {"vendor": "google", "language": "en-US", "voice": {"name": "x"}, "fallbackVendor": "aws"}
LISTEN = {"url": "wss://example.com/a"}
RICH: list[Verb] = [
    {"verb": "config", "synthesizer": SYNTHESIZER,
     "recognizer": {
         "vendor": "deepgram", "hints": ["sales", {"phrase": "support", "boost": 5}], "minConfidence": 0.6,
         "vad": {"enable": True, "mode": 2, "vendor": "silero", "threshold": 0.5},
         "deepgramOptions": {"endpointing": 300, "redact": "true", "keyterms": ["Acme"]},
         "openaiOptions": {"turn_detection": {"type": "server_vad"}, "promptTemplates": {"hintsTemplate": "x"}},
         "gladiaOptions": {"anything": [1]}},
     "bargeIn": {"enable": True, "sticky": True, "input": ["speech", "digits"], "actionHook": "/barge"},
     "ttsStream": {"enable": True, "synthesizer": {"vendor": "default"}},
     "record": {"action": "startCallRecording", "type": "siprec", "siprecServerURL": ["sip:rec@example.com"]},
     "listen": {"enable": True, **LISTEN, "wsAuth": {"username": "u", "password": "p"}},
     "transcribe": {"enable": True, "transcriptionHook": "/t", "recognizer": {"vendor": "default"}},
     "amd": {"actionHook": "/amd", "timers": {"toneTimeoutMs": 20000}}, "reset": ["synthesizer"],
     "fillerNoise": {"enable": True, "startDelaySecs": 2}, "boostAudioSignal": "+5 dB", "notifyEvents": True,
     "actionHookDelayAction": {
         "enabled": True, "noResponseTimeout": 3, "noResponseGiveUpTimeout": 30, "retries": 2,
         "actions": [{"verb": "say", "text": "One moment"}, {"play": {"url": "/wait.wav", "loop": 2}}],
         "giveUpActions": [{"verb": "say", "text": "Sorry"}, {"hangup": {}}]}},
    {"verb": "gather", "input": ["digits", "speech"], "numDigits": 1, "timeout": 0, "partialResultHook": "/partial",
     "actionHook": {"url": "/menu", "method": "POST", "basicAuth": {"username": "u", "password": "p"}},
     "say": {"text": ["Press 1", "Press one"], "loop": "forever", "synthesizer": {"vendor": "default"}},
     "play": {"url": ["/a.wav", "/b.wav"], "seekOffset": "8000"},
     "recognizer": {"vendor": "google", "googleOptions": {"serviceVersion": "v2", "transcriptNormalization": [{}]}}},
    {"verb": "dial", "headers": {"X-Try": 1, "X-Reason": "sales"}, "dtmfCapture": {"childCall": ["*2"]},
     "target": [
         TARGET | {"trunk": "acme", "headers": {"X-Reason": "sales"}, "confirmHook": {"url": "/confirm"}},
         {"type": "sip", "sipUri": "sip:alice@example.com", "auth": {"username": "u", "password": "p"}},
         {"type": "user", "name": "alice@example.com", "from": {"user": "acme"}},
         {"type": "teams", "number": "+14155550101", "tenant": "acme.example.com", "vmail": True}],
     "dtmfHook": "/keys", "listen": {**LISTEN, "mixType": "stereo", "transcribe": {"channel": 2}},
     "transcribe": {"transcriptionHook": "/t", "recognizer": {"vendor": "default"}},
     "dub": [{"action": "sayOnTrack", "track": "coach", "say": {"text": "Be nice"}, "gain": "-5 dB"}],
     "amd": {"actionHook": {"url": "/amd"}, "recognizer": {"vendor": "default"}}, "tag": {"any": ["thing", None]},
     "srtpEncryption": "sdes"},
    minimal("conference", listen=LISTEN, record={"path": "x"}, statusEvents=["join"]),
    minimal("enqueue", waitHook="/wait", actionHook="/done", priority=1),
    minimal("dub", action="playOnTrack", play="/music.mp3", loop=True, gain=-5),
    minimal("message", text="Hello", media=["https://example.com/a.png"], actionHook="/sent"),
    minimal("llm", mcpServers=[{"url": "https://example.com"}], events=["a.*"], auth={"apiKey": "k", "more": 1}),
    minimal("dialogflow", credentials="{}", model="cx", agent="a", queryInput={"event": "x"}, tts=RECOGNIZER),
    {"verb": "say", "stream": True, "closeStreamOnEmpty": False},
    minimal("pause", length=0),
]  # fmt: skip


@pytest.mark.parametrize("profile", Profile)
@pytest.mark.parametrize("verb", RICH, ids=lambda verb: verb["verb"])
def test_a_verb_with_many_members_is_accepted(verb: Verb, profile: Profile) -> None:
    assert faults_of(verb, profile) == {}


def test_the_table_resolves_to_json_types() -> None:
    def types(schema: object) -> Iterator[str]:
        if isinstance(schema, dict):
            yield from [schema["type"]] if isinstance(schema.get("type"), str) else ()
            schema = list(schema.values())
        for part in schema if isinstance(schema, list) else ():
            yield from types(part)

    for verb in verbs_of(Profile.OSS).values():
        assert set(types(verb)) <= {"string", "number", "integer", "boolean", "object", "array"}


# Verbs that only one version accepts


def hearing(**options: object) -> Verb:
    return minimal("gather", recognizer=RECOGNIZER | options)


ONLY_11: list[tuple[str, Verb]] = [
    ("stream", minimal("conference", stream={"url": "wss://example.com/a"})),
    ("codecs", minimal("dial", codecs=["PCMU"])),
    ("deployment", minimal("dialogflow", deployment="x")),
    ("sessionId", minimal("dialogflow", sessionId="x")),
    ("toolHook", minimal("dialogflow", toolHook="/x")),
    ("enable", minimal("transcribe", enable=True)),
    ("recognizer.xaiOptions", minimal("transcribe", recognizer=RECOGNIZER | {"xaiOptions": {}})),
    ("recognizer.modulateOptions", hearing(modulateOptions={})),
    ("recognizer.zoomOptions", hearing(zoomOptions={})),
    ("recognizer.gradiumOptions", hearing(gradiumOptions={})),
    ("recognizer.mistralOptions", hearing(mistralOptions={})),
    ("recognizer.openaiOptions.delay", hearing(openaiOptions={"delay": "low"})),
    ("recognizer.googleOptions.mode", hearing(googleOptions={"mode": "SMART"})),
    (
        "recognizer.sonioxOptions.languageHints",
        hearing(sonioxOptions={"languageHints": ["en"]}),
    ),
    (
        "recognizer.houndifyOptions.eoqThreshold",
        hearing(houndifyOptions={"eoqThreshold": 0.5}),
    ),
    (
        "recognizer.speechmaticsOptions.audio_events_config",
        minimal("gather", recognizer=RECOGNIZER | {"speechmaticsOptions": {"audio_events_config": {}}}),
    ),
    ("noiseIsolation.label", minimal("config", noiseIsolation={"enable": True, "label": "x"})),
    ("mcpServers.0.roots", minimal("llm", mcpServers=[{"url": "https://example.com", "roots": [{}]}])),
    *[
        (member, minimal(name, **{member: value}))
        for name in SHARED
        if name == "llm" or name.endswith("s2s")
        for member, value in {
            "handoff": {"mode": "blind", "target": [TARGET]},
            "hangup": {"reason": "done"},
            "responseTimeoutMs": 500,
            "cancelOnResponseTimeout": True,
            "cancelOnBargeIn": True,
        }.items()
    ],
]
ONLY_0_9: list[tuple[str, Verb]] = [
    ("auth", minimal("listen", auth={"username": "u", "password": "p"})),
    ("auth", minimal("stream", auth={"username": "u", "password": "p"})),
    ("_", minimal("enqueue", _={"any": "thing"})),
    ("recognizer.nuanceOptions", hearing(nuanceOptions={"topic": "x"})),
    ("recognizer.cobaltOptions", hearing(cobaltOptions={"serverUri": "x"})),
    ("recognizer.verbioOptions", hearing(verbioOptions={"topic": 1})),
    ("bargeIn.numDigits", minimal("config", bargeIn={"enable": True, "numDigits": 1})),
    ("bargeIn.partialResultHook", minimal("config", bargeIn={"enable": True, "partialResultHook": "/x"})),
]


@pytest.mark.parametrize(("place", "verb"), ONLY_11, ids=str)
def test_0_9_rejects_a_member_that_only_11_accepts_with_a_hint(place: str, verb: Verb) -> None:
    assert check_verb(verb, Profile.V11) == []
    assert faults_of(verb, Profile.OSS) == {place: "unknown member; only jambonz 11 accepts it"}


@pytest.mark.parametrize(("place", "verb"), ONLY_0_9, ids=str)
def test_a_member_that_only_0_9_accepts_is_a_warning_in_11(place: str, verb: Verb) -> None:
    assert check_verb(verb, Profile.OSS) == []
    assert warnings_of(verb, Profile.V11) == {place: "unknown member; only jambonz 0.9 accepts it"}


@pytest.mark.parametrize(
    ("verb", "warnings"),
    [
        (minimal("say", txt="Hi"), {"txt": "unknown member; did you mean 'text'?"}),
        (minimal("agent", turnDetectoin="krisp"), {"turnDetectoin": "unknown member; did you mean 'turnDetection'?"}),
        (minimal("agent", llm={"llmOptions": {"vendorParam": {}}}),
         {"llm.llmOptions.vendorParam": "unknown member; did you mean 'vendorParams'?"}),
        (minimal("agent", noiseIsolation={"mode": "krisp", "level_": 5}),
         {"noiseIsolation.level_": "unknown member; did you mean 'level'?"}),
        (minimal("dial", target=[TARGET | {"number_": "1"}]),
         {"target.0.number_": "unknown member; did you mean 'number'?"}),
        (minimal("play", actionHook={"url": "/x", "metod": "POST"}),
         {"actionHook.metod": "unknown member; did you mean 'method'?"}),
        (minimal("play", actionHook={"url": "/x", "username": "u", "password": "p"}),
         dict.fromkeys(("actionHook.username", "actionHook.password"),
                       "unknown member; write basicAuth: {username: ..., password: ...}")),
        (minimal("gather", say={"text": "Hi", "xyz": 1}), {"say.xyz": "unknown member"}),
        (minimal("agent", turnDetection="jambonz"), {}),
        (minimal("agent", turnDetection={"mode": "jambonz", "threshold": 0.9}), {}),
        (minimal("agent", greeting="Welcome to Acme."), {}),
        (minimal("agent", greeting=False), {}),
        (minimal("agent", noiseIsolation="aicoustics"), {}),
        (minimal("agent", llm={"llmOptions": {"vendorParams": {"provider": {"order": ["a"]}}}}), {}),
        (minimal("agent", llm={"vendorParams": {"a": 1}}), {}),
    ],
    ids=str,
)  # fmt: skip
def test_11_accepts_members_that_its_schemas_lack(verb: Verb, warnings: dict[str, str]) -> None:
    assert warnings_of(verb, Profile.V11) == warnings


@pytest.mark.parametrize(
    ("place", "verb"),
    [
        ("turnDetection", minimal("agent", turnDetection="jambon")),
        ("greeting", minimal("agent", greeting=5)),
        ("timeout", minimal("dial", timeout="5", timout=5)),
        ("target.0.type", minimal("dial", target=[{"type": "fax", "xyz": 1}])),
    ],
)
def test_11_still_rejects_a_wrong_value_of_a_known_member(place: str, verb: Verb) -> None:
    assert set(faults_of(verb, Profile.V11)) == {place}


def test_10_is_another_name_of_11() -> None:
    assert Profile("10") is Profile("11") is Profile.V11


@pytest.mark.parametrize("name", sorted(ONLY_IN_11 | ONLY_IN_0_9))
def test_a_verb_only_in_the_other_version_is_rejected_with_a_hint(name: str) -> None:
    profile, other = (Profile.OSS, Profile.V11) if name in ONLY_IN_11 else (Profile.V11, Profile.OSS)
    assert faults_of(minimal(name), profile) == {"": f"unknown verb {name!r}; only jambonz {other} has it"}


def test_text_as_the_confirm_hook_of_a_target_is_ambiguous_only_to_11() -> None:
    verb = minimal("dial", target=[TARGET | {"confirmHook": "/confirm"}])
    assert faults_of(verb, Profile.OSS) == {}
    assert faults_of(verb, Profile.V11)["target.0.confirmHook"].startswith("must be a mapping")


@pytest.mark.parametrize(
    ("members", "faults"),
    [
        ({"bargeIn": {"sticky": True}}, {"bargeIn.enable": "field required"}),
        ({"listen": {"url": "wss://example.com"}}, {"listen.enable": "field required"}),
        ({"stream": {}}, {"stream.enable": "field required"}),
        ({"transcribe": {}}, {"transcribe.enable": "field required"}),
        ({"ttsStream": {}}, {"ttsStream.enable": "field required"}),
        ({"record": {}}, {"record.action": "field required"}),
        ({"listen": {"enable": False, "finishOnKey": "#"}}, {"listen.finishOnKey": "unknown member"}),
        ({"transcribe": {"enable": True, "channel": 1}}, {"transcribe.channel": "unknown member"}),
        ({"record": {"action": "start"}}, {"record.action": "must be 'startCallRecording', 'stopCallRecording', "
                                                            "'pauseCallRecording' or 'resumeCallRecording'"}),
    ],
    ids=str,
)  # fmt: skip
def test_the_members_of_config_are_strict_only_in_0_9(members: Verb, faults: dict[str, str]) -> None:
    assert faults_of({"verb": "config", **members}, Profile.OSS) == faults
    assert faults_of({"verb": "config", **members}, Profile.V11) == {}


@pytest.mark.parametrize(
    ("place", "verb"),
    [
        ("actionHook.method", minimal("gather", actionHook={"url": "/x", "method": "GET"})),
        ("target.0.method", minimal("dial", target=[TARGET | {"method": "GET"}])),
        ("amd.actionHook.method", minimal("dial", amd={"actionHook": {"url": "/x", "method": "GET"}})),
    ],
)
def test_a_hook_with_get_is_rejected_in_0_9_with_the_reason(place: str, verb: Verb) -> None:
    assert faults_of(verb, Profile.OSS) == {place: "must be 'POST'; with GET jambonz 0.9 sends nothing"}
    assert faults_of(verb, Profile.V11) == {}


# Messages

BOTH: list[tuple[str, str, Verb]] = [
    ("txt", "unknown member; did you mean 'text'?", minimal("say", txt="Hi")),
    ("timout", "unknown member; did you mean 'timeout'?", minimal("dial", timout=5)),
    ("action_hook", "unknown member; did you mean 'actionHook'?", minimal("gather", action_hook="/x")),
    ("xyz", "unknown member", minimal("hangup", xyz=1)),
    ("earlyMedia", "unknown member", minimal("gather", earlyMedia=True)),
    (
        "actionHookDelayAction.noResponseGiveupTimeout",
        "unknown member; did you mean 'noResponseGiveUpTimeout'?",
        minimal("gather", actionHookDelayAction={"noResponseGiveupTimeout": 1}),
    ),
    ("actionHook.metod", "unknown member; did you mean 'method'?",
     minimal("play", actionHook={"url": "/x", "metod": "POST"})),
    ("length", "must be a number, not text", minimal("pause", length="1")),
    ("length", "must be a number", minimal("pause", length=True)),
    ("length", "has no value", minimal("pause", length=None)),
    ("actionHook", "has no value", minimal("gather", actionHook=None)),
    ("recognizer", "must be a mapping", minimal("gather", recognizer="google")),
    ("recognizer.vendor", "field required", minimal("gather", recognizer={"language": "en-US"})),
    ("synthesizer.vendor", "field required", minimal("say", synthesizer={})),
    ("synthesizer.engine", "must be 'standard', 'neural', 'generative' or 'long-form'",
     minimal("say", synthesizer={"vendor": "aws", "engine": "fast"})),
    ("recognizer.vad.mode", "must be 3 or less", hearing(vad={"mode": 4})),
    ("recognizer.hints.1", "must be text or a mapping; put it in quotes",
     hearing(hints=["a", 5])),
    ("recognizer.hints.0.phrase", "field required", hearing(hints=[{}])),
    ("loop", "must be a number or text", minimal("play", loop=[])),
    ("text", "must be text or a list; put it in quotes", minimal("say", text=5)),
    ("text.0", "must be text; put it in quotes", minimal("say", text=[5])),
    ("target", "must be a list", minimal("dial", target=TARGET)),
    ("target.0", "must be a mapping", minimal("dial", target=["+14155550100"])),
    ("target.0.type", "must be 'phone', 'sip', 'user' or 'teams'", minimal("dial", target=[{"type": "fax"}])),
    ("target.0.type", "field required", minimal("dial", target=[{"number": "+14155550100"}])),
    ("target.0.number", "must be text; put it in quotes", minimal("dial", target=[TARGET | {"number": 14155550100}])),
    ("headers.X-A", "must be text or a number; put it in quotes", minimal("hangup", headers={"X-A": True})),
    ("channel", "must be 1 or 2", minimal("transcribe", channel=3)),
    ("bargein", "must be true or false", minimal("gather", bargein="yes")),
    ("vendor", "must be 'openai'", minimal("openai_s2s", vendor="google")),
    ("auth.agent_id", "field required", minimal("elevenlabs_s2s", auth={})),
    # Verbs that validate, but fail on the server or are ignored.
    ("text", "field required, unless stream is true", {"verb": "say"}),
    ("text", "field required, unless stream is true", {"verb": "say", "instructions": "be kind"}),
    ("text", "field required, unless stream is true", {"verb": "say", "stream": False}),
    ("target", "is empty; write at least one target", minimal("dial", target=[])),
    ("target", "has 11 targets; jambonz calls 10 at most", minimal("dial", target=[TARGET] * 11)),
    ("target.0.number", "field required for the type 'phone'", minimal("dial", target=[{"type": "phone"}])),
    ("target.0.number", "field required for the type 'phone'", minimal("dial", target=[TARGET | {"number": ""}])),
    ("target.1.sipUri", "field required for the type 'sip'", minimal("dial", target=[TARGET, {"type": "sip"}])),
    ("target.0.name", "field required for the type 'user'", minimal("dial", target=[{"type": "user"}])),
    ("target.0.number", "field required for the type 'teams'", minimal("dial", target=[{"type": "teams"}])),
    ("status", "must be a SIP status from 400 to 699", minimal("sip:decline", status=200)),
    ("status", "must be a SIP status from 400 to 699", minimal("sip:decline", status=700)),
    ("status", "must be a SIP status from 400 to 699", minimal("sip:decline", status=486.5)),
    ("status", "must be a number, not text", minimal("sip:decline", status="486")),
    ("input", "is empty; write digits, speech or both", minimal("gather", input=[])),
    ("numDigits", "cannot be combined with minDigits or maxDigits", minimal("gather", numDigits=1, maxDigits=2)),
    ("minDigits", "must not be more than maxDigits", minimal("gather", minDigits=3, maxDigits=2)),
    ("play", "field required for playOnTrack", minimal("dub", action="playOnTrack")),
    ("say", "field required for sayOnTrack", minimal("dub", action="sayOnTrack")),
    # Verbs inside verbs.
    ("say.text", "field required, unless stream is true", minimal("gather", say={})),
    ("say.txt", "unknown member; did you mean 'text'?", minimal("gather", say={"text": "Hi", "txt": "Hi"})),
    ("play.url", "field required", minimal("gather", play={})),
    ("listen.url", "field required", minimal("dial", listen={})),
    ("listen.transcribe.channel", "must be 1 or 2",
     minimal("dial", listen={"url": "wss://example.com", "transcribe": {"channel": 0}})),
    ("stream.url", "field required", minimal("dial", stream={})),
    ("transcribe.channel", "must be 1 or 2", minimal("dial", transcribe={"channel": 3})),
    ("listen.url", "field required", minimal("conference", listen={})),
    ("dub.0.play", "field required for playOnTrack", minimal("dial", dub=[{"action": "playOnTrack", "track": "a"}])),
    ("dub.0.say.text", "must be text or a list; put it in quotes",
     minimal("dial", dub=[{"action": "sayOnTrack", "track": "a", "say": {"text": 5}}])),
    ("actionHookDelayAction.actions.0.text", "field required, unless stream is true",
     minimal("gather", actionHookDelayAction={"actions": [{"verb": "say"}]})),
    ("actionHookDelayAction.actions.1.play.urll", "unknown member; did you mean 'url'?",
     minimal("config", actionHookDelayAction={"actions": [{"say": {"text": "a"}}, {"play": {"url": "/", "urll": 1}}]})),
    ("actionHookDelayAction.actions.0", "must be a say or a play",
     minimal("gather", actionHookDelayAction={"actions": [{"verb": "hangup"}]})),
    ("actionHookDelayAction.giveUpActions.0", "unknown verb 'hangupp'; did you mean 'hangup'?",
     minimal("gather", actionHookDelayAction={"giveUpActions": [{"verb": "hangupp"}]})),
    ("actionHookDelayAction.giveUpActions.0", "has no verb; write it as jambonz does: {verb: say, text: Hello}",
     minimal("gather", actionHookDelayAction={"giveUpActions": [{"text": "Hi"}]})),
    ("actionHookDelayAction.actions.0.sya", "unknown verb 'sya'; did you mean 'say'?",
     minimal("gather", actionHookDelayAction={"actions": [{"sya": {"text": "Hi"}}]})),
    # Not a verb.
    ("", "unknown verb 'sya'; did you mean 'say'?", {"verb": "sya", "text": "Hi"}),
    ("", "unknown verb 'rest:dial'; did you mean 'dial'?", {"verb": "rest:dial", "to": TARGET}),
    ("", "unknown verb 'xyz'", {"verb": "xyz"}),
    ("", "unknown verb 'vad'", {"verb": "vad", "enable": True}),
    ("", "has no verb; write it as jambonz does: {verb: say, text: Hello}", {"text": "Hi"}),
    ("", "has no verb; write it as jambonz does: {verb: say, text: Hello}", {"verb": 5}),
    ("loop", "must be a finite number", minimal("say", loop=float("inf"))),
    ("data.x.0", "must be a finite number", minimal("tag", data={"x": [float("nan")]})),
    ("data", "the name True must be in quotes", minimal("tag", data={True: 1})),
    ("data.day", "must be text; put it in quotes", minimal("tag", data=yaml.safe_load("day: 2026-12-25"))),
]  # fmt: skip


@pytest.mark.parametrize("profile", Profile)
@pytest.mark.parametrize(("place", "message", "verb"), BOTH)
def test_a_fault_is_reported_at_its_place(place: str, message: str, verb: Verb, profile: Profile) -> None:
    found = {".".join(map(str, fault.location)): fault for fault in check_verb(verb, profile)}[place]
    assert found.message == message
    assert found.is_warning == (profile is Profile.V11 and message.startswith("unknown member"))


def test_faults_are_in_the_order_of_the_members() -> None:
    verb: Verb = {"txt": 1, "verb": "gather", "timeout": "5", "say": {"b": 1, "text": 5, "a": 1}, "input": ["dtmf"]}
    places = [fault.location for fault in verb_faults(verb, Profile.OSS)]
    assert places == [("txt",), ("timeout",), ("say", "b"), ("say", "text"), ("say", "a"), ("input", 0)]


def test_a_nested_verb_with_a_verb_member_is_a_fault_in_0_9() -> None:
    verb = minimal("gather", say={"verb": "say", "text": "Hello"})
    assert verb_faults(verb, Profile.OSS) == [VerbFault(("say", "verb"), "unknown member")]


@pytest.mark.parametrize("profile", Profile)
def test_no_message_contains_a_value(profile: Profile) -> None:
    secret = "wh_secret_1"
    verb = minimal(
        "dial",
        target=[{"type": secret, "auth": {"username": [secret], "password": {"x": secret}}}],
        timeout=secret,
        srtpEncryption=secret,
        amd=secret,
    )
    faults = faults_of(verb, profile)
    assert len(faults) > 5
    assert secret not in str(faults)


# Short and long form


@pytest.mark.parametrize(
    ("written", "long"),
    [
        ({"verb": "say", "text": "Hi", "loop": 2}, {"verb": "say", "text": "Hi", "loop": 2}),
        ({"say": {"text": "Hi", "loop": 2}}, {"verb": "say", "text": "Hi", "loop": 2}),
        ({"hangup": {}}, {"verb": "hangup"}),
        ({"verb": "hangup"}, {"verb": "hangup"}),
        ({"stream": {"url": "wss://x"}}, {"verb": "stream", "url": "wss://x"}),
        ({"openai_s2s": {"llmOptions": {}}}, {"verb": "openai_s2s", "llmOptions": {}}),
        ({"unknown_verb": {"text": 1}}, {"verb": "unknown_verb", "text": 1}),
    ],
)
def test_both_forms_of_a_verb_become_the_long_form(written: Verb, long: Verb) -> None:
    assert long_form(written) == long


@pytest.mark.parametrize(
    "written", [{}, {"text": "Hi"}, {"say": "Hi"}, {"hangup": None}, {"say": {}, "id": "a"}], ids=str
)
def test_an_item_without_a_verb_has_no_long_form(written: Verb) -> None:
    with pytest.raises(ValueError, match="has no verb; write it as jambonz does"):
        long_form(written)
    with pytest.raises(ValueError, match="names its verb twice; leave out `verb` inside 'say'"):
        long_form({"say": {"verb": "say", "text": "Hi"}})
