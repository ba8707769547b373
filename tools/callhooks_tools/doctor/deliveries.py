"""What `callhooks doctor` finds with deliveries: who is let in, and what becomes of each provider's test event."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import quote

from botocore.exceptions import BotoCoreError, ClientError
from callhooks.providers.description import TEST_SENDER as CALLER
from callhooks.providers.description import Credentials, Provider, Signing
from callhooks.providers.registry import providers
from callhooks.webhooks.credentials import REFRESH_INTERVAL_SECONDS

from callhooks_tools.doctor.probe import Answer, NoAnswer, Probe, TestDelivery
from callhooks_tools.stack.findings import DENIED, Finding, failure, fine, looked_at, warning
from callhooks_tools.stack.stack import ConsoleAccess

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
MAX_ANSWER_SECONDS = 10
"""So long waits the telephony server whose callers hear nothing meanwhile."""
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
        refusing = [provider.title for provider in providers().values() if provider.check_url(base_url)]
        yield warning(
            URL, f"{base_url} has no TLS: passwords go unencrypted. {', '.join(refusing)} would refuse the URL."
        )
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
    """Each sample with nothing but wrong credentials, and the last one with each secret wrong of several right ones."""
    parameters, call_id, now = trial.deployment.outputs.parameters, trial.refused_call_id, trial.clock()
    guess = secrets.token_hex(WRONG_BYTES)
    for provider in providers().values():
        samples = provider.samples(call_id, now, parameters)
        wrong = {secret.credential: guess for secret in provider.secrets}
        stranger = dict.fromkeys((name for secret in provider.secrets for name in secret.fixed), CALLER) | wrong
        for sample in samples:
            if sample.has_fallback:
                # Wrong ones there would set off CallRefusedAlarm.
                unsigned = TestDelivery.unsigned(provider, sample, call_id)
                yield f"{unsigned.name}, no credentials", unsigned
                continue
            delivery = TestDelivery.signed(provider, sample, call_id, _signing(trial, stranger, now))
            yield f"{delivery.name}, wrong {provider.secrets[0].words}", delivery
        known = trial.known.credentials_of(provider)
        checked = next((one for one in samples if not one.has_fallback and not one.only_unauthenticated), None)
        if known is None or checked is None:
            continue
        for secret in provider.secrets[1:]:
            if secret.credential in known:
                forger = {**known, secret.credential: guess}
                delivery = TestDelivery.signed(provider, checked, call_id, _signing(trial, forger, now))
                yield f"{delivery.name}, wrong {secret.words}", delivery


def _signing(trial: Probe, credentials: Credentials, now: datetime) -> Signing:
    outputs = trial.deployment.outputs
    return Signing(credentials, now, outputs.base_url, outputs.parameters)


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
    elif delivery.sample.has_fallback and not trial.stored(delivery):
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
    try:
        answer = trial.request("GET", "/calls?limit=1", basic=(CALLER, secrets.token_hex(WRONG_BYTES)))
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
    parameters, call_id = trial.deployment.outputs.parameters, trial.call_id
    for provider in providers().values():
        known = trial.known.credentials_of(provider)
        for sample in provider.samples(call_id, trial.clock(), parameters):
            if sample.only_unauthenticated:
                continue
            signing = None if known is None else _signing(trial, known, trial.clock())
            yield (
                f"{provider.title} {sample.title}",
                TestDelivery.signed(provider, sample, call_id, signing) if signing else None,
            )


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
    problem = delivery.sample.check_answer(answer.document if answer.is_json else None)
    if problem:
        yield failure(name, problem, trial.deployment.log_of(delivery.function))
    if answer.seconds > MAX_ANSWER_SECONDS:
        yield failure(
            name,
            f"The answer took {answer.seconds:.1f} s: a sender waits {MAX_ANSWER_SECONDS} s.",
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
    provider = delivery.provider
    parameter = f"{provider.name.capitalize()}AllowedAddresses"
    addresses = outputs.parameters.get(parameter)
    if addresses:
        return warning(
            name,
            f"It cannot be tried from here: {parameter} lets only some addresses in, and not this machine's.",
            f"Run this from one of them, or look in the call log for what {provider.title} sends.",
        )
    if young := _just_changed(trial, name, delivery.provider, HTTPStatus.UNAUTHORIZED):
        return young
    if provider.signs_url:
        called = f"{outputs.base_url}{delivery.shown_path}"
        return failure(
            name,
            f"It was refused (401), most likely since PublicUrl (the parameter) is not the address that was called, "
            f"{called}: {provider.title} signs the URL. Else the function reads another key.",
            f"Set PublicUrl to the address that {provider.title} calls, and deploy. "
            f"{trial.deployment.log_of(delivery.function, 'names the URL that was checked')}",
        )
    words = "It was refused (401), though it has what the stack's own secrets say"
    log = trial.deployment.log_of(delivery.function, "names the proof that failed")
    if header := outputs.parameters.get(f"{provider.name.capitalize()}SignatureHeader"):
        return failure(
            name,
            f"{words}: the function reads other secrets, or expects the signature in another header than "
            f"{header}, or something before the API takes headers away.",
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
        for secret in provider.secrets
        if (changed_at := trial.known.changed_at.get(secret.logical_id)) is not None
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
    if delivery.sample.has_fallback:
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
        names = ", ".join(one.delivery.provider.title for one in missing)
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
    found = [finding for delivery in deliveries for finding in _shown(trial, delivery, access)]
    yield from found
    if deliveries and not found:
        yield fine(CALL_LOG, f"It shows what was sent for {len(deliveries)} of {len(providers())} providers.")


def _shown(trial: Probe, delivery: TestDelivery, access: ConsoleAccess) -> Iterator[Finding]:
    try:
        path = f"/calls/{delivery.provider.name}/{quote(delivery.call_id, safe='')}"
        answer = trial.request("GET", path, basic=(access.username, access.password))
    except NoAnswer as no_answer:
        yield failure(CALL_LOG, no_answer.words, no_answer.remedy)
        return
    document = answer.document
    timeline = document.get("timeline") if isinstance(document, dict) else None
    log = trial.deployment.log_of("CallLogFunction")
    if answer.status == HTTPStatus.OK and timeline:
        return
    if answer.status == HTTPStatus.UNAUTHORIZED:
        changed_at = trial.known.changed_at.get("ConsoleCredentials")
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
