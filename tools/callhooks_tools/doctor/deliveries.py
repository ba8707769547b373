"""What `callhooks doctor` finds with deliveries: who is let in, and what becomes of each provider's test event."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import quote

from botocore.exceptions import BotoCoreError, ClientError
from callhooks.providers.jambonz.authentication import basic_header_value
from callhooks.providers.jambonz.plan.plan import LAST_RESORT
from callhooks.webhooks.credentials import REFRESH_INTERVAL_SECONDS

from callhooks_tools.doctor.findings import DENIED, Finding, failure, fine, looked_at, warning
from callhooks_tools.doctor.probe import (
    CALLER,
    JSON,
    NAMES,
    Answer,
    NoAnswer,
    Probe,
    TestDelivery,
    bird_event,
    call_status,
    new_call,
    other_jambonz_hooks,
    voipstudio_event,
    wavix_event,
)
from callhooks_tools.stack.stack import BirdAccess, JambonzAccess, Provider, TokenAccess

URL, CLOCK, REFUSALS, PROJECTOR, PUBLISHING, CALL_LOG, CLEANING = (
    "public URL",
    "clock",
    "refusals",
    "projector",
    "publishing",
    "call log",
    "cleaning up",
)
MAX_CLOCK_LEAD = timedelta(seconds=60)
SECRETS_ARE_NOT_READ_AGAIN = timedelta(seconds=REFRESH_INTERVAL_SECONDS)
"""Within so long after it has read its secrets, a function does not look for newer ones when a check fails."""
JAMBONZ_WAITS_SECONDS = 10
SPILL_SECONDS = 10.0
PROJECTION_SECONDS = 30.0
PUBLISHING_SECONDS = 8.0
"""The projector tries to publish for 4 s, and then puts what was refused into the retry queue."""
LOOK_AGAIN_SECONDS = 0.5
WRONG_BYTES = 20
REFUSALS_OF_THE_TABLE = {*DENIED, "ResourceNotFoundException"}
THE_TABLE_REFUSES = "the table refuses {function} itself (its permissions, its EVENTS_TABLE)"
NOT_READ_YET = "the function has not read the new one yet"
NO_SUCH_ADDRESS = "The URL does not lead to this API"
LOOK_AT_ADDRESS = (
    "Look at the parameter PublicUrl, and at the API mapping of the custom domain: callhooks urls shows the address."
)


def url_findings(trial: Probe) -> Iterator[Finding]:
    """Whether the public URL leads to this API, and whether the clocks agree."""
    base_url = trial.deployment.outputs.base_url
    if not trial.deployment.is_local and not base_url.startswith("https://"):
        yield warning(URL, f"{base_url} has no TLS: passwords go unencrypted, and Bird takes no such URL.")
    try:
        answer = trial.request("GET", "/openapi.json")
    except NoAnswer as no_answer:
        yield failure(URL, no_answer.words, no_answer.remedy)
        return
    document = answer.document
    if answer.status == HTTPStatus.OK and isinstance(document, dict) and "openapi" in document:
        trial.is_reachable = True
        yield fine(URL, f"{base_url} leads to this API; it answered in {1000 * answer.seconds:.0f} ms.")
    elif answer.status >= 500 or answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        trial.is_reachable = True
        yield failure(URL, *_broken(trial, answer, "CallLogFunction"))
    elif 300 <= answer.status < 400:
        yield failure(URL, f"{base_url} leads elsewhere ({answer.status}), and no provider follows.", LOOK_AT_ADDRESS)
    else:
        yield failure(URL, f"{NO_SUCH_ADDRESS}: {base_url} answered {answer.status}.", LOOK_AT_ADDRESS)
    yield from _clock_findings(answer, trial.clock())


def _clock_findings(answer: Answer, now: datetime) -> Iterator[Finding]:
    try:
        there = parsedate_to_datetime(answer.headers.get("date", ""))
    except (TypeError, ValueError):
        return
    if there.tzinfo is None:
        return
    difference = now - there
    if abs(difference) > MAX_CLOCK_LEAD:
        yield failure(
            CLOCK,
            f"This machine's clock is {abs(difference).total_seconds():.0f} s "
            f"{'fast' if difference > timedelta() else 'slow'}: what is signed here is refused.",
            "Set it (NTP). The functions' clocks are AWS's.",
        )
    else:
        yield fine(CLOCK, "This machine's clock and that of the API agree.")


def refusal_findings(trial: Probe) -> Iterator[Finding]:
    """Whether a sender who does not prove who they are is refused, at every hook and at the call log."""
    probes = list(_wrong_deliveries(trial))
    found: list[Finding] = []
    for name, delivery in probes:
        found += looked_at(name, _refused(trial, name, delivery))
    found += _stranger_at_the_call_log(trial)
    yield from found
    if not found:
        yield fine(REFUSALS, f"Whoever does not prove who they are is refused, in {len(probes) + 1} ways.")


def _wrong_deliveries(trial: Probe) -> Iterator[tuple[str, TestDelivery]]:
    outputs, call_id, now = trial.deployment.outputs, trial.refused_call_id, trial.clock()
    guess = secrets.token_hex(WRONG_BYTES)
    stranger = JambonzAccess(username=CALLER, password=guess, webhook_secret=guess)
    # Wrong ones at the call hook would set off CallRefusedAlarm.
    yield "jambonz new call, no credentials", replace(new_call(outputs, stranger, call_id, now), headers=JSON)
    yield "jambonz call status, wrong password", call_status(outputs, stranger, call_id, now)
    for delivery in other_jambonz_hooks(outputs, stranger, call_id, now):
        yield f"{delivery.name}, wrong password", delivery
    access = trial.known.jambonz
    if access is not None and access.webhook_secret is not None:
        forger = access.model_copy(update={"webhook_secret": guess})
        yield "jambonz call status, wrong signature", call_status(outputs, forger, call_id, now)
    yield "Wavix event, wrong token", wavix_event(TokenAccess(token=guess), call_id, now)
    yield "Bird event, wrong signature", bird_event(outputs, BirdAccess(signing_key=guess), call_id, now)
    yield "VoIPstudio event, wrong token", voipstudio_event(TokenAccess(token=guess), call_id, now)


def _refused(trial: Probe, name: str, delivery: TestDelivery) -> Iterator[Finding]:
    try:
        answer = trial.send(delivery)
    except NoAnswer as no_answer:
        yield failure(name, no_answer.words, no_answer.remedy)
        return
    if answer.status == HTTPStatus.UNAUTHORIZED:
        return
    if _cannot_verify(answer) and (young := _just_changed(trial, name, delivery.provider, answer.status)):
        yield young
    elif answer.status >= 300:
        yield failure(name, *_broken(trial, answer, delivery.function))
    elif delivery.function == "JambonzNewCallFunction" and not trial.stored(delivery):
        yield _just_changed(trial, name, delivery.provider, answer.status) or failure(
            name,
            "It got the plan's fallback: the function cannot verify anybody, since it cannot read the secret store, or "
            "its environment is broken. Every caller hears the fallback.",
            trial.deployment.log_of(delivery.function),
        )
    else:
        yield failure(
            name,
            f"ANYBODY IS LET IN: what did not prove who it is was answered {answer.status}.",
            f"Somebody has changed the code of {delivery.function}. Deploy a version that you know.",
        )


def _stranger_at_the_call_log(trial: Probe) -> Iterator[Finding]:
    name = "call log, wrong password"
    headers = {"authorization": basic_header_value(CALLER, secrets.token_hex(WRONG_BYTES))}
    try:
        answer = trial.request("GET", "/calls?limit=1", headers=headers)
    except NoAnswer as no_answer:
        yield failure(name, no_answer.words, no_answer.remedy)
        return
    if answer.status < 300:
        yield failure(
            name,
            "ANYBODY CAN READ THE CALL LOG: a wrong password was taken.",
            "Somebody has changed the code of CallLogFunction. Deploy a version that you know.",
        )
    elif answer.status != HTTPStatus.UNAUTHORIZED:
        yield failure(name, *_broken(trial, answer, "CallLogFunction"))


def delivery_findings(trial: Probe) -> Iterator[Finding]:
    """What becomes of each provider's test event: answered, kept, and the repeat of a new call known."""
    yield from looked_at(PUBLISHING, _retries_counted(trial))
    for name, delivery in _right_deliveries(trial):
        if delivery is None:
            yield warning(name, "Not tried: its secret is not in order.", "See the secrets, above.")
        else:
            yield from looked_at(name, _taken(trial, delivery))


def _retries_counted(trial: Probe) -> Iterator[Finding]:
    trial.retries_before = trial.retried()
    yield from ()


def _right_deliveries(trial: Probe) -> Iterator[tuple[str, TestDelivery | None]]:
    """Each is made when it is asked for: a signature has the time."""
    outputs, call_id, known = trial.deployment.outputs, trial.call_id, trial.known
    jambonz, wavix, bird, voipstudio = (
        known.jambonz,
        known.token_of("wavix"),
        known.bird,
        known.token_of("voipstudio"),
    )
    now = trial.clock
    yield "jambonz new call", new_call(outputs, jambonz, call_id, now()) if jambonz else None
    yield "jambonz call status", call_status(outputs, jambonz, call_id, now()) if jambonz else None
    yield "Wavix on-call event", wavix_event(wavix, call_id, now()) if wavix else None
    yield "Bird event", bird_event(outputs, bird, call_id, now()) if bird else None
    yield "VoIPstudio event", voipstudio_event(voipstudio, call_id, now()) if voipstudio else None


def _taken(trial: Probe, delivery: TestDelivery) -> Iterator[Finding]:
    name = delivery.name
    try:
        answer = trial.send(delivery)
    except NoAnswer as no_answer:
        yield failure(name, no_answer.words, no_answer.remedy)
        return
    if answer.status != HTTPStatus.OK:
        yield _not_taken(trial, delivery, answer)
        return
    problem = _wrong_answer(delivery, answer)
    if problem:
        yield failure(name, problem, trial.deployment.log_of(delivery.function))
    if answer.seconds > JAMBONZ_WAITS_SECONDS:
        yield failure(
            name,
            f"The answer took {answer.seconds:.1f} s: jambonz waits {JAMBONZ_WAITS_SECONDS} s.",
            trial.deployment.log_of(delivery.function),
        )
    if not trial.stored(delivery):
        yield _not_kept(trial, delivery)
        return
    trial.taken.append(delivery)
    if problem:
        return
    repeated = _repeat(trial, delivery, answer)
    if repeated:
        yield failure(name, repeated, trial.deployment.log_of(delivery.function))
        return
    milliseconds = 1000 * answer.seconds
    yield fine(name, f"answered in {milliseconds:.0f} ms, and kept; its repeat was known, and got the same answer.")


def _wrong_answer(delivery: TestDelivery, answer: Answer) -> str:
    """What is wrong with an answer of 200; empty where nothing is."""
    if delivery.provider is Provider.JAMBONZ:
        return _wrong_verbs(answer, are_wanted=delivery.function == "JambonzNewCallFunction")
    document = answer.document
    status = document.get("status") if isinstance(document, dict) else None
    if status == "ignored":
        return "It was left out by a filter, which is another one than the stack's parameters say."
    return "" if status == "stored" else "It was answered 200, but not as this version answers: something else did."


def _wrong_verbs(answer: Answer, *, are_wanted: bool) -> str:
    document = answer.document
    if not answer.is_json or not isinstance(document, list):
        return "The answer is no JSON array, which is all that jambonz takes: something else has answered."
    if are_wanted and not document:
        return "The answer has no verbs: jambonz would hang up."
    if are_wanted and document == list(LAST_RESORT):
        return "It got the last resort that is built in: the call plan in the layer cannot be read."
    return ""


def _repeat(trial: Probe, delivery: TestDelivery, first: Answer) -> str:
    try:
        again = trial.send(delivery)
    except NoAnswer as no_answer:
        return f"Its repeat was not answered. {no_answer.words}"
    if again.status != first.status or again.text != first.text:
        return "Its repeat got another answer: a sender that tries again would be told something else."
    if again.headers.get("idempotent-replayed") != "true":
        trial.spilled_by.add(delivery.function)
        return (
            f"Its repeat was not known as one: {THE_TABLE_REFUSES.format(function=delivery.function)}; or something "
            "before the API takes the header idempotent-replayed away."
        )
    return ""


def _not_taken(trial: Probe, delivery: TestDelivery, answer: Answer) -> Finding:
    name = delivery.name
    if answer.status == HTTPStatus.UNAUTHORIZED:
        return _turned_away(trial, delivery)
    if _cannot_verify(answer) and (young := _just_changed(trial, name, delivery.provider, answer.status)):
        return young
    if answer.status == HTTPStatus.ACCEPTED:
        return failure(
            name,
            "It was answered 202: it went into quarantine, since the code did not understand it, or failed on it.",
            f"{trial.deployment.callhooks('quarantine list')} names the reason (run this with --keep). "
            f"{trial.deployment.log_of(delivery.function)}",
        )
    return failure(name, *_broken(trial, answer, delivery.function))


def _cannot_verify(answer: Answer) -> bool:
    return answer.status == HTTPStatus.SERVICE_UNAVAILABLE and "verified" in answer.detail


def _broken(trial: Probe, answer: Answer, function: str) -> tuple[str, str]:
    """What an answer says that is neither 2xx nor 401, and what to do."""
    log, status = trial.deployment.log_of(function), answer.status
    if status in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED) and not answer.detail:
        return f"{NO_SUCH_ADDRESS}: it was answered {status}.", LOOK_AT_ADDRESS
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return (
            "It was throttled (429): more came within this second than the API lets through.",
            "Look at the parameters WebhookRateLimit and ConsoleRateLimit, and run this again.",
        )
    if _cannot_verify(answer):
        return f"{function} cannot read the secret store: it can verify nobody (503).", log
    if status == HTTPStatus.SERVICE_UNAVAILABLE and "stored" in answer.detail:
        return (
            f"{function} could store it neither in the table nor in the spill queue (503).",
            f"{log}. Afterwards: {trial.deployment.callhooks('recover')}",
        )
    if status >= 500 and not answer.detail:
        words = f"{function} fails, is throttled, or does not start ({status})."
        check = f"function {function}"
        return words, f"See {check}, above. {log}" if check in trial.found_wrong else log
    return f"It was answered {status}. {answer.detail}".strip(), log


def _turned_away(trial: Probe, delivery: TestDelivery) -> Finding:
    """The stack's own credentials were refused."""
    name, outputs = delivery.name, trial.deployment.outputs
    allowed = {
        Provider.WAVIX: ("WavixAllowedAddresses", outputs.wavix_allowed_addresses),
        Provider.VOIPSTUDIO: ("VoipstudioAllowedAddresses", outputs.voipstudio_allowed_addresses),
    }
    parameter, addresses = allowed.get(delivery.provider, ("", ""))
    if addresses:
        return warning(
            name,
            f"It cannot be tried from here: {parameter} lets only some addresses in, and not this machine's.",
            f"Run this from one of them, or look in the call log for what {NAMES[delivery.provider]} sends.",
        )
    if young := _just_changed(trial, name, delivery.provider, HTTPStatus.UNAUTHORIZED):
        return young
    if delivery.provider is Provider.BIRD:
        called = f"{outputs.base_url}{delivery.shown_path}"
        return failure(
            name,
            f"It was refused (401), most likely since PublicUrl (the parameter) is not the address that was called, "
            f"{called}: Bird signs the URL. Else the function reads another key.",
            "Set PublicUrl to the address that Bird calls, and deploy. "
            f"{trial.deployment.log_of(delivery.function, 'names the URL that was checked')}",
        )
    words = "It was refused (401), though it has what the stack's own secrets say"
    log = trial.deployment.log_of(delivery.function, "names the proof that failed")
    if delivery.provider is Provider.JAMBONZ:
        return failure(
            name,
            f"{words}: the function reads other secrets, or expects the signature in another header than "
            f"{outputs.jambonz_signature_header}, or something before the API takes headers away.",
            log,
        )
    return failure(
        name,
        f"{words}: the function reads another secret, or lets only other addresses in.",
        log,
    )


def _just_changed(trial: Probe, name: str, provider: Provider, status: int) -> Finding | None:
    """The warning where a provider's secret is so new that functions may still have the one before."""
    age = _age_of_secret(trial, provider)
    if age is None:
        return None
    return warning(
        name,
        f"Its secret was changed {age.total_seconds():.0f} s ago: {NOT_READ_YET} ({status}).",
        "Run this again in a minute.",
    )


def _age_of_secret(trial: Probe, provider: Provider) -> timedelta | None:
    """How long ago a provider's secret was changed, where functions may still have the one before."""
    ages = [
        trial.clock() - changed_at
        for member, changed_at in trial.known.changed_at.items()
        if member.startswith(provider.value)
    ]
    youngest = min(ages, default=SECRETS_ARE_NOT_READ_AGAIN)
    return youngest if youngest < SECRETS_ARE_NOT_READ_AGAIN else None


def _not_kept(trial: Probe, delivery: TestDelivery) -> Finding:
    """It was answered 200 and is not in the table: the write comes before the answer, so it went another way."""
    name, deployment = delivery.name, trial.deployment
    log = deployment.log_of(delivery.function)
    if trial.quarantined(delivery) is not None:
        return failure(
            name,
            "It got the plan's fallback and went into quarantine: the flow, a variable or the code is broken.",
            f"{log}. callhooks plan check looks at the plan.",
        )
    trial.spilled_by.add(delivery.function)
    until = trial.monotonic() + SPILL_SECONDS
    while trial.monotonic() < until:
        if trial.stored(delivery):
            trial.taken.append(delivery)
            reason = _reason_of(trial, delivery.function)
            return failure(
                name, f"It came into the table through the spill queue: {_not_written(delivery.function, reason)}", log
            )
        trial.sleep(LOOK_AGAIN_SECONDS)
    if trial.spilled():
        return failure(
            name,
            "It waits in the spill queue: the table does not take it, and neither from the drainer.",
            deployment.log_of("SpillDrainerFunction", 'has the cause at "not drained"')
            + f". Once it goes in: {deployment.callhooks(f'forget {CALLER}')}",
        )
    if delivery.function == "JambonzNewCallFunction":
        return _just_changed(trial, name, delivery.provider, HTTPStatus.OK) or failure(
            name,
            "It got the plan's fallback, and nothing was stored: the function cannot read the secret store, or its "
            "environment is broken.",
            log,
        )
    return failure(
        name,
        "It was answered 200, and is neither in the table nor in the spill queue: the function writes elsewhere.",
        f"Look at EVENTS_TABLE in its environment. {log}",
    )


def spill_findings(trial: Probe) -> Iterator[Finding]:
    """Whether a function has spilled what the drainer then stored before it was looked for: its log tells."""
    names = {delivery.function: delivery.name for delivery in trial.taken}
    for function in sorted(names.keys() - trial.spilled_by):
        yield from looked_at(names[function], _spilled(trial, names[function], function))


def _spilled(trial: Probe, name: str, function: str) -> Iterator[Finding]:
    spill = trial.spill(function)
    if spill is not None:
        trial.spilled_by.add(function)
        yield failure(
            name,
            f"It came into the table through the spill queue: {_not_written(function, spill.reason)}",
            trial.deployment.log_of(function),
        )


def _reason_of(trial: Probe, function: str) -> str:
    """Why something went into the spill queue; empty where the log does not tell."""
    try:
        spill = trial.spill(function)
    except (ClientError, BotoCoreError):
        # That it went there is known without the log, and is a finding all the same.
        return ""
    return "" if spill is None else spill.reason


def _not_written(function: str, reason: str) -> str:
    refused = THE_TABLE_REFUSES.format(function=function)
    if not reason:
        return f"{refused}, or was down for a moment."
    return f"{refused}: {reason}." if reason in REFUSALS_OF_THE_TABLE else f"{function} could not write it: {reason}."


@dataclass(frozen=True, slots=True)
class _Written:
    """A call that the projector was waited for."""

    delivery: TestDelivery
    events: int


def projection_findings(trial: Probe) -> Iterator[Finding]:
    """Whether the projector has made calls of the test events."""
    yield from looked_at(PROJECTOR, _projected(trial))


def _projected(trial: Probe) -> Iterator[Finding]:
    waited = [
        _Written(delivery, trial.events_of(delivery.pk))
        for delivery in {delivery.pk: delivery for delivery in trial.taken}.values()
    ]
    if not waited:
        return
    started = trial.monotonic()
    missing = waited
    while missing := [one for one in missing if trial.projected(one.delivery.pk) < one.events]:
        if trial.monotonic() - started > PROJECTION_SECONDS:
            break
        trial.sleep(LOOK_AGAIN_SECONDS)
    if missing:
        names = ", ".join(NAMES[one.delivery.provider] for one in missing)
        yield failure(
            PROJECTOR,
            f"What was stored ({names}) became no call within {PROJECTION_SECONDS:.0f} s: the projector does not run, "
            "fails, or is far behind. Lists are out of date, and subscribers wait.",
            f"{_above(trial)}{trial.deployment.log_of('CallProjectorFunction')}",
        )
    else:
        trial.projected_at = trial.monotonic()
        seconds = trial.monotonic() - started
        number = f"{len(waited)} calls" if len(waited) > 1 else "1 call"
        yield fine(PROJECTOR, f"It has written {number}, {seconds:.1f} s after the last delivery.")


def _above(trial: Probe) -> str:
    """Where the parts of the projector were found wrong before."""
    parts = ("function CallProjectorFunction", "event source CallProjectorFunction", "queue Projection")
    checks = sorted(check for check in trial.found_wrong if check.startswith(parts))
    return f"See {', '.join(checks)}, above. " if checks else ""


def publishing_findings(trial: Probe) -> Iterator[Finding]:
    """Whether the projector has put any of the test events aside, after it had written their calls."""
    yield from looked_at(PUBLISHING, _published(trial))


def _published(trial: Probe) -> Iterator[Finding]:
    if trial.retries_before is None or trial.projected_at is None:
        return
    until = trial.projected_at + PUBLISHING_SECONDS
    while (more := trial.retried() - trial.retries_before) <= 0 and trial.monotonic() < until:
        trial.sleep(LOOK_AGAIN_SECONDS)
    if more > 0:
        yield failure(
            PUBLISHING,
            "Calls are written, but their events were not published (or were not projected): the retry queue has "
            f"{more} more than before.",
            trial.deployment.log_of("CallProjectorFunction", 'has the cause at "not projected"'),
        )
    else:
        yield fine(PUBLISHING, "The projector has put nothing aside.")


def call_log_findings(trial: Probe) -> Iterator[Finding]:
    """Whether the call log shows the test events."""
    access = trial.known.console
    deliveries = {delivery.pk: delivery for delivery in trial.taken}.values()
    if access is None:
        yield warning(CALL_LOG, "Not tried: its secret is not in order.", "See the secrets, above.")
        return
    headers = {"authorization": basic_header_value(access.username, access.password)}
    found = [finding for delivery in deliveries for finding in _shown(trial, delivery, headers)]
    yield from found
    if deliveries and not found:
        yield fine(CALL_LOG, f"It shows what was sent for {len(deliveries)} of 4 providers.")


def _shown(trial: Probe, delivery: TestDelivery, headers: dict[str, str]) -> Iterator[Finding]:
    try:
        path = f"/calls/{delivery.provider.value}/{quote(delivery.call_id, safe='')}"
        answer = trial.request("GET", path, headers=headers)
    except NoAnswer as no_answer:
        yield failure(CALL_LOG, no_answer.words, no_answer.remedy)
        return
    document = answer.document
    timeline = document.get("timeline") if isinstance(document, dict) else None
    log = trial.deployment.log_of("CallLogFunction")
    if answer.status == HTTPStatus.OK and timeline:
        return
    if answer.status == HTTPStatus.UNAUTHORIZED:
        changed_at = trial.known.changed_at.get("console_credentials")
        if changed_at is not None and trial.clock() - changed_at < SECRETS_ARE_NOT_READ_AGAIN:
            yield warning(
                CALL_LOG,
                "Its password was changed a moment ago, and is not taken yet (401).",
                "Run this again in a minute.",
            )
        else:
            yield failure(CALL_LOG, "It refuses the user name and the password of its own secret (401).", log)
    elif answer.status in (HTTPStatus.NOT_FOUND, HTTPStatus.OK):
        yield failure(
            CALL_LOG,
            f"It does not show the {delivery.name}, which is in the table: it reads another one.",
            f"Look at EVENTS_TABLE in the environment of CallLogFunction. {log}",
        )
    elif answer.status == HTTPStatus.SERVICE_UNAVAILABLE and answer.detail:
        yield failure(CALL_LOG, "CallLogFunction can read the table or its credentials not (503).", log)
    else:
        yield failure(CALL_LOG, *_broken(trial, answer, "CallLogFunction"))


def cleaning_findings(trial: Probe) -> Iterator[Finding]:
    """Remove what was sent; what cannot be removed is told."""
    forget = trial.deployment.callhooks(f"forget {CALLER}")
    if not trial.sent:
        return
    try:
        _let_it_drain(trial)
        removed = trial.clean()
    except (ClientError, BotoCoreError) as error:
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
        yield failure(CLEANING, f"The test events could not be removed ({code}).", f"Remove them: {forget}")
        return
    yield fine(CLEANING, f"The {removed} items of the test events are removed." if removed else "Nothing was left.")


def _let_it_drain(trial: Probe) -> None:
    """What is in the spill queue would come into the table again after it was removed."""
    until = trial.monotonic() + SPILL_SECONDS
    while trial.spilled_by and trial.monotonic() < until and trial.spilled():
        trial.sleep(LOOK_AGAIN_SECONDS)
