"""`callhooks control`: follow up a call by its provider's REST API."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from callhooks.providers.payload import Document

from callhooks_tools.providers.bird.api import BirdControl
from callhooks_tools.providers.rest.configuration import checked_id
from callhooks_tools.providers.rest.controlled import Provider
from callhooks_tools.providers.rest.errors import CallIsOver
from callhooks_tools.providers.rest.provider_apis import print_document, print_documents, provider_failures
from callhooks_tools.providers.voipstudio.api import PROVIDER, VoipstudioControl, VoipstudioRecording
from callhooks_tools.providers.wavix.api import WavixControl
from callhooks_tools.stack.terminal import console, fail, shown

if TYPE_CHECKING:
    from callhooks_tools.providers.jambonz.api import JambonzControl

control_app = typer.Typer(
    help="Follow up a call by its provider's REST API: look at it, transfer it, end it, fetch its record and its "
    "recordings. Keys come from the environment: VOIPSTUDIO_API_KEY; WAVIX_API_KEY; BIRD_ACCESS_KEY and "
    "BIRD_WORKSPACE_ID; JAMBONZ_API_KEY, JAMBONZ_ACCOUNT_SID and JAMBONZ_API_URL.",
    no_args_is_help=True,
)


class RecordingAction(StrEnum):
    """What is to be done with the recording of a call."""

    START = "start"
    STOP = "stop"
    PAUSE = "pause"
    RESUME = "resume"


ProviderName = Annotated[Provider, typer.Argument(help="Whose call it is.")]
CallId = Annotated[
    str, typer.Argument(metavar="CALL_ID", help="The call's id at its provider, as events and the call log have it.")
]
Channel = Annotated[
    str | None,
    typer.Option("--channel", metavar="ID", help="Bird: the call's channel; Bird's log tells it where it is left out."),
]
Wait = Annotated[
    float,
    typer.Option("--wait", min=0, max=600, metavar="SECONDS", help="Look again for so long while there is none yet."),
]


@control_app.command("show")
def show(provider: ProviderName, call_id: CallId, channel: Channel = None) -> None:
    """Show a call as its provider sees it now."""
    with provider_failures(), ExitStack() as stack:
        try:
            call = _call(stack, provider, call_id, channel)
        except CallIsOver as over:
            after = f" callhooks control cdr {provider} {call_id} has its record." if provider in _WITH_RECORDS else ""
            fail(shown(f"{over}.{after}"))
        print_document(call)


@control_app.command("calls")
def calls(provider: ProviderName) -> None:
    """Show the calls that last now, with their ids (Bird: those that are ongoing)."""
    with provider_failures(), ExitStack() as stack:
        found: Sequence[Document]
        match provider:
            case Provider.VOIPSTUDIO:
                found = stack.enter_context(_voipstudio()).list_calls()
            case Provider.WAVIX:
                found = stack.enter_context(_wavix()).list_calls()
            case Provider.BIRD:
                found = stack.enter_context(_bird()).list_calls(status="ongoing")
            case Provider.JAMBONZ:
                found = stack.enter_context(_jambonz()).list_calls()
        print_documents(found)


@control_app.command("transfer")
def transfer(
    provider: ProviderName,
    call_id: CallId,
    destination: Annotated[
        str,
        typer.Argument(
            help="VoIPstudio: an extension or a number. Bird: a number or a SIP URI. jambonz: the URL of a webhook, "
            "whose verbs the call is to get."
        ),
    ],
    channel: Channel = None,
    from_: Annotated[
        str | None, typer.Option("--from", help="Bird: the number that is shown to who is called.")
    ] = None,
) -> None:
    """Transfer a call, such as: callhooks control transfer voipstudio 139543232 2002."""
    _only(provider, Provider.BIRD, {"--channel": channel, "--from": from_})
    if provider is Provider.WAVIX:
        fail("Wavix's API knows no transfer of a call that lasts. Its number or trunk can forward it before.")
    if provider is Provider.JAMBONZ and not re.match(r"(https?|wss?)://", destination):
        fail(
            "jambonz transfers a call to a webhook, whose verbs it gets from then on: give its URL. "
            "Its dial verb then calls whom you want."
        )
    with provider_failures(maybe_done=_LOOK.format(provider=provider, call_id=call_id)), ExitStack() as stack:
        match provider:
            case Provider.VOIPSTUDIO:
                stack.enter_context(_voipstudio()).transfer(call_id, destination)
            case Provider.BIRD:
                bird = stack.enter_context(_bird())
                bird.transfer(_channel_of(bird, call_id, channel), call_id, destination, from_=from_)
            case Provider.JAMBONZ:
                # The SDK takes a second to import.
                from callhooks_tools.providers.jambonz.api import HookTarget  # noqa: PLC0415

                stack.enter_context(_jambonz()).transfer(call_id, HookTarget(destination))
    console.print(f"{provider} transfers the call.")


@control_app.command("hangup")
def hangup(provider: ProviderName, call_id: CallId) -> None:
    """End a call."""
    if provider is Provider.BIRD:
        fail("No page of Bird tells how a call that lasts is ended. A call flow can have a hangup in it.")
    with provider_failures(maybe_done=_LOOK.format(provider=provider, call_id=call_id)), ExitStack() as stack:
        match provider:
            case Provider.VOIPSTUDIO:
                stack.enter_context(_voipstudio()).hang_up(call_id)
            case Provider.WAVIX:
                stack.enter_context(_wavix()).hang_up(call_id)
            case Provider.JAMBONZ:
                stack.enter_context(_jambonz()).hang_up(call_id)
    console.print(f"{provider} ends the call.")


@control_app.command("answer")
def answer(
    provider: ProviderName,
    call_id: CallId,
    record: Annotated[bool, typer.Option("--record", help="Wavix: record it from the answer on.")] = False,
    channel: Channel = None,
) -> None:
    """Answer an inbound call that waits for it (Wavix, Bird)."""
    _only(provider, Provider.BIRD, {"--channel": channel})
    _only(provider, Provider.WAVIX, {"--record": record})
    if provider is Provider.JAMBONZ:
        fail("jambonz answers a call by the verbs that its webhook gets: the call plan says which.")
    if provider is Provider.VOIPSTUDIO:
        fail("VoIPstudio's API documents no answer: its users and queues answer calls.")
    with provider_failures(maybe_done=_LOOK.format(provider=provider, call_id=call_id)), ExitStack() as stack:
        if provider is Provider.WAVIX:
            stack.enter_context(_wavix()).answer(call_id, record=record)
        else:
            bird = stack.enter_context(_bird())
            bird.answer(_channel_of(bird, call_id, channel), call_id)
    console.print(f"{provider} answers the call.")


@control_app.command("record")
def record(
    provider: ProviderName,
    call_id: CallId,
    action: Annotated[RecordingAction, typer.Argument(help="What to do with its recording.")],
    siprec: Annotated[
        str | None, typer.Option("--siprec", metavar="URI", help="The SIP URI of the recording server, for a start.")
    ] = None,
    recording_id: Annotated[
        str | None, typer.Option("--recording-id", help="An id of your own for the recording, for a start.")
    ] = None,
) -> None:
    """Start, stop, pause or resume the recording of a call that lasts (jambonz)."""
    match provider:
        case Provider.VOIPSTUDIO:
            fail(
                "VoIPstudio's API starts and stops no recording: what is recorded is set in its dashboard. "
                f"callhooks control recordings voipstudio {call_id} lists what there is."
            )
        case Provider.WAVIX:
            fail(
                "Wavix records from the answer on, or by what is set for the number or the trunk: "
                "callhooks control answer wavix CALL_ID --record."
            )
        case Provider.BIRD:
            fail("No page of Bird tells how a call that lasts is recorded. A call flow can have record in it.")
    if action is RecordingAction.START and siprec is None:
        fail("jambonz wants to know the recording server for a start: --siprec sip:recorder.example.com.")
    with provider_failures(maybe_done=_LOOK.format(provider=provider, call_id=call_id)), _jambonz() as jambonz:
        from callhooks_tools.providers.jambonz.api import RecordAction  # noqa: PLC0415 - the SDK takes a second to import

        jambonz.record(call_id, RecordAction[action.name], siprec_url=siprec, recording_id=recording_id)
    console.print(f"jambonz has taken it: {action} of the recording.")


@control_app.command("cdr")
def cdr(provider: ProviderName, call_id: CallId, wait: Wait = 0) -> None:
    """Show the call detail record of a call that is over (VoIPstudio: one for each leg; Wavix)."""
    if provider not in _WITH_RECORDS:
        fail(f"{provider} has no detail records by a call's id. callhooks control show {provider} tells what it knows.")
    with provider_failures(), ExitStack() as stack:
        found: Sequence[Document]
        if provider is Provider.VOIPSTUDIO:
            found = stack.enter_context(_voipstudio()).call_detail_records(call_id, within=wait)
        else:
            found = stack.enter_context(_wavix()).call_detail_records(call_id, within=wait)
    if not found:
        fail(_none_yet("record", wait))
    print_documents(found)


@control_app.command("recordings")
def recordings(
    provider: ProviderName,
    call_id: CallId,
    download: Annotated[
        Path | None,
        typer.Option(
            "--download", metavar="FOLDER", file_okay=False, help="VoIPstudio: write the files into this folder."
        ),
    ] = None,
    wait: Wait = 0,
) -> None:
    """List the recordings of a call that is over, and fetch them (VoIPstudio; Wavix tells the address)."""
    _only(provider, Provider.VOIPSTUDIO, {"--download": download})
    if provider not in _WITH_RECORDS:
        fail(f"{provider} lists no recordings by the id of a call: they are where the recording was sent to.")
    with provider_failures(), ExitStack() as stack:
        if provider is Provider.WAVIX:
            records = stack.enter_context(_wavix()).call_detail_records(call_id, within=wait)
            addresses = [record.recording_url for record in records if record.recording_url]
            if not addresses:
                fail(_none_yet("recording" if records else "record", wait))
            for address in addresses:
                console.print(shown(address))
            return
        voipstudio = stack.enter_context(_voipstudio())
        found = voipstudio.recordings(call_id, within=wait)
        if not found:
            fail(_none_yet("recording", wait))
        if download is None:
            print_documents(found)
            return
        _download(voipstudio, call_id, found, download)


_WITH_RECORDS = (Provider.VOIPSTUDIO, Provider.WAVIX)
_LOOK = "It may be done all the same: callhooks control show {provider} {call_id}"


def _voipstudio() -> VoipstudioControl:
    return VoipstudioControl.from_environment(os.environ)


def _wavix() -> WavixControl:
    return WavixControl.from_environment(os.environ)


def _bird() -> BirdControl:
    return BirdControl.from_environment(os.environ)


def _jambonz() -> JambonzControl:
    # The SDK takes a second to import.
    from callhooks_tools.providers.jambonz.api import JambonzControl  # noqa: PLC0415

    return JambonzControl.from_environment(os.environ)


def _call(stack: ExitStack, provider: Provider, call_id: str, channel: str | None) -> Document:
    _only(provider, Provider.BIRD, {"--channel": channel})
    match provider:
        case Provider.VOIPSTUDIO:
            return stack.enter_context(_voipstudio()).get(call_id)
        case Provider.WAVIX:
            return stack.enter_context(_wavix()).get(call_id)
        case Provider.BIRD:
            bird = stack.enter_context(_bird())
            return bird.find(call_id) if channel is None else bird.get(channel, call_id)
        case Provider.JAMBONZ:
            return stack.enter_context(_jambonz()).get(call_id)


def _channel_of(bird: BirdControl, call_id: str, channel: str | None) -> str:
    if channel is not None:
        return channel
    found = bird.find(call_id).channel_id
    if found is None:
        fail("Bird's log does not tell the channel of the call: --channel names it.")
    return found


def _only(provider: Provider, owner: Provider, options: dict[str, object]) -> None:
    given = [name for name, value in options.items() if value]
    if given and provider is not owner:
        fail(f"Only {owner} takes {' and '.join(given)}.")


def _none_yet(what: str, wait: float) -> str:
    again = "" if wait else " One may come within a minute of the call's end: --wait 60 looks again."
    return f"There is no {what} of this call.{again}"


def _download(voipstudio: VoipstudioControl, call_id: str, found: Sequence[VoipstudioRecording], folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for recording in found:
            # Without the numbers of the call: more people see the names of files than hear them.
            target = folder / f"voipstudio-{call_id}-{checked_id(recording.id or '', PROVIDER)}.mp3"
            if recording.size and target.exists() and target.stat().st_size == recording.size:
                console.print(f"{target}  is there already")
                continue
            length = voipstudio.download(recording, target)
            console.print(f"{target}  {length:,} bytes")
    except OSError as error:
        fail(f"{folder}: {error.strerror}")
