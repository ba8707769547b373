"""`callhooks control`: control a call through its provider's REST API."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from callhooks_tools.providers.call_control import CallControl, CallRequest, RecordingAction
from callhooks_tools.providers.registry import call_controls
from callhooks_tools.providers.rest.errors import CallIsOver
from callhooks_tools.providers.rest.provider_apis import print_document, print_documents, provider_failures
from callhooks_tools.stack.terminal import JsonOutput, callhooks, console, fail, misuse, shown

CONTROLS = call_controls()
TRANSFERRING = ", ".join(control.title for control in CONTROLS.values() if "transfer" in control.command_help)


def _option_help(option: str) -> str:
    """Return the help of an option: what it does at each provider that supports it."""
    helps = ((control, control.option_help.get(option)) for control in CONTROLS.values())
    return " ".join(f"{control.title}: {text}" for control, text in helps if text)


def _providers_with(command: str) -> str:
    """List the providers that support a command, with their differences."""
    helps = ((control.title, control.command_help.get(command)) for control in CONTROLS.values())
    return "; ".join(f"{title}: {text}" if text else title for title, text in helps if text is not None)


control_app = typer.Typer(
    help="Control a call through its provider's REST API: show it, transfer it, end it, or fetch its records and "
    "recordings. Set the provider's keys in the environment "
    f"({'; '.join(f'{control.title}: {control.keys}' for control in CONTROLS.values())}).",
    no_args_is_help=True,
)


def _checked_provider(text: str) -> str:
    if text not in CONTROLS:
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(map(repr, CONTROLS))}.")
    return text


ProviderName = Annotated[
    str,
    typer.Argument(parser=_checked_provider, metavar="|".join(CONTROLS), help="Provider of the call."),
]
CallId = Annotated[
    str, typer.Argument(metavar="CALL_ID", help="The provider's id of the call, as shown in events and the call log.")
]
Channel = Annotated[str | None, typer.Option("--channel", metavar="ID", help=_option_help("--channel"))]
AlwaysJson = Annotated[bool, typer.Option("--json", help="Print JSON, which is also the default.")]
Wait = Annotated[
    float,
    typer.Option("--wait", min=0, max=600, metavar="SECONDS", help="Wait up to this long if there is none yet."),
]


@control_app.command("show")
def show(provider: ProviderName, call_id: CallId, channel: Channel = None, _json: AlwaysJson = False) -> None:
    """Show the current state of a call."""
    control = _control_of(provider, {"--channel": channel})
    with provider_failures():
        try:
            call = control.show(CallRequest(call_id, channel=channel))
        except CallIsOver as over:
            has_records = "cdr" in control.command_help
            hint = f". To see its call detail records, run: {callhooks(f'control cdr {provider} {call_id}')}"
            fail(shown(f"{over}{hint if has_records else ''}"))
        print_document(call)


@control_app.command("calls", help=f"List the calls in progress, with their ids ({_providers_with('calls')}).")
def calls(provider: ProviderName, _json: AlwaysJson = False) -> None:
    """List the calls in progress, with their ids."""
    with provider_failures():
        print_documents(CONTROLS[provider].calls())


@control_app.command(
    "transfer", help=f"Transfer a call ({TRANSFERRING}). The APIs of the other providers cannot transfer calls."
)
def transfer(
    provider: ProviderName,
    call_id: CallId,
    destination: Annotated[str, typer.Argument(help=f"Destination. {_providers_with('transfer')}.")],
    channel: Channel = None,
    from_: Annotated[str | None, typer.Option("--from", help=_option_help("--from"))] = None,
) -> None:
    """Transfer a call."""
    control = _control_of(provider, {"--channel": channel, "--from": from_})
    with provider_failures(maybe_done=_check_hint(provider, call_id)):
        control.transfer(CallRequest(call_id, channel=channel, from_=from_), destination)
    console.print(f"{control.title} accepted the transfer.")


@control_app.command("hangup")
def hangup(provider: ProviderName, call_id: CallId) -> None:
    """End a call."""
    with provider_failures(maybe_done=_check_hint(provider, call_id)):
        CONTROLS[provider].hang_up(CallRequest(call_id))
    console.print(f"{CONTROLS[provider].title} accepted the request to end the call.")


@control_app.command("answer", help=f"Answer an incoming call ({_providers_with('answer')}).")
def answer(
    provider: ProviderName,
    call_id: CallId,
    record: Annotated[bool, typer.Option("--record", help=_option_help("--record"))] = False,
    channel: Channel = None,
) -> None:
    """Answer an incoming call."""
    control = _control_of(provider, {"--channel": channel, "--record": record})
    with provider_failures(maybe_done=_check_hint(provider, call_id)):
        control.answer(CallRequest(call_id, channel=channel, record=record))
    console.print(f"{control.title} accepted the request to answer the call.")


@control_app.command(
    "record", help=f"Start, stop, pause or resume the recording of a call in progress ({_providers_with('record')})."
)
def record(  # noqa: PLR0913, PLR0917 - one parameter for each option
    provider: ProviderName,
    call_id: CallId,
    action: Annotated[RecordingAction, typer.Argument(help="What to do with the recording.")],
    siprec: Annotated[str | None, typer.Option("--siprec", metavar="URI", help=_option_help("--siprec"))] = None,
    cloud: Annotated[bool, typer.Option("--cloud", help=_option_help("--cloud"))] = False,
    recording_id: Annotated[str | None, typer.Option("--recording-id", help=_option_help("--recording-id"))] = None,
) -> None:
    """Start, stop, pause or resume the recording of a call in progress."""
    request = CallRequest(call_id, siprec=siprec, cloud=cloud, recording_id=recording_id)
    with provider_failures(maybe_done=_check_hint(provider, call_id)):
        CONTROLS[provider].record(request, action)
    console.print(f"{CONTROLS[provider].title} accepted the request to {action} the recording.")


@control_app.command("cdr", help=f"Show the call detail records of a finished call ({_providers_with('cdr')}).")
def cdr(provider: ProviderName, call_id: CallId, wait: Wait = 0, _json: AlwaysJson = False) -> None:
    """Show the call detail records of a finished call."""
    request = CallRequest(call_id, wait=wait)
    with provider_failures():
        found = CONTROLS[provider].call_detail_records(request)
    if not found:
        request.fail_not_found("call detail record")
    print_documents(found)


@control_app.command(
    "recordings", help=f"List or download the recordings of a finished call ({_providers_with('recordings')})."
)
def recordings(
    provider: ProviderName,
    call_id: CallId,
    download: Annotated[
        Path | None,
        typer.Option("--download", metavar="FOLDER", file_okay=False, help=_option_help("--download")),
    ] = None,
    wait: Wait = 0,
    as_json: JsonOutput = False,
) -> None:
    """List or download the recordings of a finished call."""
    control = _control_of(provider, {"--download": download})
    with provider_failures():
        control.recordings(CallRequest(call_id, download=download, wait=wait, as_json=as_json))


def _check_hint(provider: str, call_id: str) -> str:
    return f"The request may have taken effect anyway. Check with: {callhooks(f'control show {provider} {call_id}')}"


def _control_of(provider: str, options: dict[str, object]) -> CallControl:
    """Return a provider's call control. Ends the command if an option is only for other providers."""
    control = CONTROLS[provider]
    given = [option for option, value in options.items() if value and option not in control.option_help]
    if given:
        owners = [other.name for other in CONTROLS.values() if given[0] in other.option_help]
        misuse(f"Only {' and '.join(owners)} supports {' and '.join(given)}.")
    return control
