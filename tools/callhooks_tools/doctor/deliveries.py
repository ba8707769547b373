"""Checks that send test deliveries: wrong credentials are rejected, and each provider's test event is stored."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import quote

from botocore.exceptions import BotoCoreError, ClientError
from callhooks.providers.description import TEST_SENDER as CALLER
from callhooks.providers.description import Credentials, Provider, Signing
from callhooks.providers.registry import providers
from callhooks.runtime.errors import CANNOT_AUTHENTICATE, CANNOT_STORE
from callhooks.webhooks.credentials import REFRESH_INTERVAL_SECONDS

from callhooks_tools.doctor.probe import Answer, NoAnswer, Probe, TestDelivery
from callhooks_tools.stack.deployment import Deployment
from callhooks_tools.stack.findings import (
    ACCESS_DENIED_CODES,
    Finding,
    catch_aws_errors,
    failure,
    ok,
    or_ok,
    reporting_aws_errors,
    warning,
)
from callhooks_tools.stack.stack import ConsoleAccess
from callhooks_tools.stack.terminal import callhooks

URL, CLOCK, AUTHENTICATION, PROJECTOR, PUBLISHING, CALL_LOG, CLEANUP = (
    "public URL",
    "clock",
    "authentication",
    "projector",
    "publishing",
    "call log",
    "cleanup",
)
MAX_CLOCK_LEAD = timedelta(seconds=60)
SECRET_REFRESH_INTERVAL = timedelta(seconds=REFRESH_INTERVAL_SECONDS)
"""After a function has read its secrets, it does not read them again for this long, even if a check fails."""
MAX_ANSWER_SECONDS = 10
"""Longest wait of a telephony server for an answer while the caller hears silence."""
SPILL_TIMEOUT_SECONDS = 10.0
PROJECTION_TIMEOUT_SECONDS = 30.0
PUBLISHING_TIMEOUT_SECONDS = 8.0
"""The projector tries to publish for 4 s, then sends rejected events to the retry queue."""
POLL_SECONDS = 0.5
WRONG_SECRET_BYTES = 20
TABLE_REJECTION_CODES = {*ACCESS_DENIED_CODES, "ResourceNotFoundException"}
CANNOT_WRITE = "{function} cannot write to the events table"
CHECK_WRITING = "check its permissions and its variable EVENTS_TABLE"
SEE_CHECKS = "See the checks of secrets, functions and permissions above."
WRONG_API = "The URL does not reach this API"


def url_findings(probe: Probe) -> Iterator[Finding]:
    """Check that the public URL reaches this API, and that the clocks agree."""
    base_url = probe.deployment.outputs.base_url
    if not probe.deployment.is_local and not base_url.startswith("https://"):
        rejecting = [provider.title for provider in providers().values() if provider.check_url(base_url)]
        yield warning(
            URL,
            f"{base_url} does not use TLS, so passwords are sent unencrypted. {' and '.join(rejecting)} would reject "
            "this URL.",
            "Set the parameter PublicUrl to an https:// address, and deploy.",
        )
    yield from _catch_no_answer(URL, _reached(probe, base_url))


def _reached(probe: Probe, base_url: str) -> Iterator[Finding]:
    answer = probe.request("GET", "/openapi.json")
    document = answer.document
    if answer.status == HTTPStatus.OK and isinstance(document, dict) and "openapi" in document:
        probe.is_reachable = True
        yield ok(URL, f"{base_url} reaches this API (answered in {1000 * answer.seconds:.0f} ms).")
    elif answer.status >= 500 or answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        probe.is_reachable = True
        yield failure(URL, *_describe_error(probe, answer, "CallLogFunction"))
    elif 300 <= answer.status < 400:
        yield failure(
            URL,
            f"{base_url} redirects ({answer.status}), and providers do not follow redirects.",
            _check_url(probe.deployment),
        )
    else:
        yield failure(URL, f"{WRONG_API}: {base_url} answered {answer.status}.", _check_url(probe.deployment))
    yield from _clock_findings(answer, probe.clock())


def _catch_no_answer(check: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """Yield findings while requests are sent for them; a missing answer becomes the last finding."""
    try:
        yield from findings
    except NoAnswer as no_answer:
        yield failure(check, no_answer.message, no_answer.remedy)


def _check_url(deployment: Deployment) -> str:
    return (
        "Check the parameter PublicUrl and the API mapping of the custom domain. To see the address: "
        f"{deployment.callhooks('urls')}"
    )


def _clock_findings(answer: Answer, now: datetime) -> Iterator[Finding]:
    try:
        api_time = parsedate_to_datetime(answer.headers.get("date", ""))
    except (TypeError, ValueError):
        return
    if api_time.tzinfo is None:
        return
    difference = now - api_time
    if abs(difference) > MAX_CLOCK_LEAD:
        yield failure(
            CLOCK,
            f"This machine's clock is {abs(difference).total_seconds():.0f} s "
            f"{'fast' if difference > timedelta() else 'slow'}, so requests signed here are rejected.",
            "Synchronise it with NTP. The functions use the clock of AWS.",
        )
    else:
        yield ok(CLOCK, "This machine's clock agrees with the API's.")


def rejection_findings(probe: Probe) -> Iterator[Finding]:
    """Check that every hook and the call log reject requests with wrong or no credentials."""
    deliveries = list(_invalid_deliveries(probe))
    found: list[Finding] = []
    for name, delivery in deliveries:
        found += catch_aws_errors(name, _catch_no_answer(name, _rejection_check(probe, name, delivery)))
    name = "call log, wrong password"
    found += _catch_no_answer(name, _call_log_rejection_check(probe, name))
    yield from or_ok(found, AUTHENTICATION, f"All {len(deliveries) + 1} unauthenticated requests were rejected.")


def _invalid_deliveries(probe: Probe) -> Iterator[tuple[str, TestDelivery]]:
    """Yield each sample with wrong credentials, and one sample for each further secret with only that one wrong."""
    parameters, call_id, now = probe.deployment.outputs.parameters, probe.rejected_call_id, probe.clock()
    guess = secrets.token_hex(WRONG_SECRET_BYTES)
    for provider in providers().values():
        samples = provider.samples(call_id, now, parameters)
        wrong = {secret.credential: guess for secret in provider.secrets}
        all_wrong = dict.fromkeys((name for secret in provider.secrets for name in secret.fixed), CALLER) | wrong
        for sample in samples:
            if sample.has_fallback:
                # Wrong credentials would set off CallRefusedAlarm here.
                unsigned = TestDelivery.unsigned(provider, sample, call_id)
                yield f"{unsigned.name}, no credentials", unsigned
                continue
            delivery = TestDelivery.signed(provider, sample, call_id, _signing(probe, all_wrong, now))
            yield f"{delivery.name}, wrong {provider.secrets[0].words}", delivery
        known = probe.known.credentials_of(provider)
        checked = next((one for one in samples if not one.has_fallback and not one.only_unauthenticated), None)
        if known is None or checked is None:
            continue
        for secret in provider.secrets[1:]:
            if secret.credential in known:
                one_wrong = {**known, secret.credential: guess}
                delivery = TestDelivery.signed(provider, checked, call_id, _signing(probe, one_wrong, now))
                yield f"{delivery.name}, wrong {secret.words}", delivery


def _signing(probe: Probe, credentials: Credentials, now: datetime) -> Signing:
    outputs = probe.deployment.outputs
    return Signing(credentials, now, outputs.base_url, outputs.parameters)


def _rejection_check(probe: Probe, name: str, delivery: TestDelivery) -> Iterator[Finding]:
    answer = probe.send(delivery)
    if answer.status == HTTPStatus.UNAUTHORIZED:
        return
    if _cannot_verify(answer) and (recent := _recent_secret_change(probe, name, delivery.provider, answer.status)):
        yield recent
    elif answer.status >= 300:
        yield failure(name, *_describe_error(probe, answer, delivery.function))
    elif delivery.sample.has_fallback and not probe.is_stored(delivery):
        yield _recent_secret_change(probe, name, delivery.provider, answer.status) or failure(
            name,
            "It got the plan's fallback: the function cannot authenticate any request, because it cannot read the "
            "secret store or its environment is broken. Every caller hears the fallback.",
            f"{SEE_CHECKS} {probe.deployment.log_of(delivery.function)}",
        )
    else:
        yield failure(
            name,
            f"UNAUTHENTICATED REQUESTS ARE ACCEPTED: this one was answered {answer.status}.",
            f"Someone has changed the code of {delivery.function}. Deploy a version that you trust.",
        )


def _call_log_rejection_check(probe: Probe, name: str) -> Iterator[Finding]:
    answer = probe.request("GET", "/calls?limit=1", basic=(CALLER, secrets.token_hex(WRONG_SECRET_BYTES)))
    if answer.status < 300:
        yield failure(
            name,
            "ANYONE CAN READ THE CALL LOG: it accepted a wrong password.",
            "Someone has changed the code of CallLogFunction. Deploy a version that you trust.",
        )
    elif answer.status != HTTPStatus.UNAUTHORIZED:
        yield failure(name, *_describe_error(probe, answer, "CallLogFunction"))


def delivery_findings(probe: Probe) -> Iterator[Finding]:
    """Send each provider's test event twice; check that it is answered, stored, and recognised as a duplicate."""
    yield from catch_aws_errors(PUBLISHING, _count_retries(probe))
    for name, delivery in _valid_deliveries(probe):
        if delivery is None:
            yield warning(name, "Skipped, because its secret cannot be used.", "See the checks of secrets above.")
        else:
            yield from catch_aws_errors(name, _catch_no_answer(name, _acceptance_check(probe, delivery)))


def _count_retries(probe: Probe) -> Iterator[Finding]:
    probe.retries_before = probe.retry_queue_depth()
    yield from ()


def _valid_deliveries(probe: Probe) -> Iterator[tuple[str, TestDelivery | None]]:
    """Yield each delivery only when it is sent, because a signature contains the time."""
    parameters, call_id = probe.deployment.outputs.parameters, probe.call_id
    for provider in providers().values():
        known = probe.known.credentials_of(provider)
        for sample in provider.samples(call_id, probe.clock(), parameters):
            if sample.only_unauthenticated:
                continue
            signing = None if known is None else _signing(probe, known, probe.clock())
            yield (
                f"{provider.title} {sample.title}",
                TestDelivery.signed(provider, sample, call_id, signing) if signing else None,
            )


def _acceptance_check(probe: Probe, delivery: TestDelivery) -> Iterator[Finding]:
    name, answer = delivery.name, probe.send(delivery)
    if answer.status != HTTPStatus.OK:
        yield _not_accepted(probe, delivery, answer)
        return
    problem = delivery.sample.check_answer(answer.document if answer.is_json else None)
    if problem:
        remedy = f"See the checks of functions above. {probe.deployment.log_of(delivery.function)}"
        yield failure(name, problem, remedy)
    if answer.seconds > MAX_ANSWER_SECONDS:
        yield failure(
            name,
            f"The answer took {answer.seconds:.1f} s. Providers wait at most {MAX_ANSWER_SECONDS} s.",
            "Run this command again: a cold start is slow only once. If it stays slow, look for ReadTimeoutError in "
            f"the log, or increase MemorySize. {probe.deployment.log_of(delivery.function)}",
        )
    if not probe.is_stored(delivery):
        yield _not_stored(probe, delivery)
        return
    probe.accepted.append(delivery)
    if problem:
        return
    problem = _duplicate_problem(probe, delivery, answer)
    if problem:
        yield failure(name, problem, f"{SEE_CHECKS} {probe.deployment.log_of(delivery.function)}")
        return
    problem = _other_path_problem(probe, delivery, answer)
    if problem:
        yield warning(
            name, problem, f"Enter the URL as {probe.deployment.callhooks('urls')} shows it, without the slash."
        )
        return
    milliseconds = 1000 * answer.seconds
    yield ok(name, f"Answered in {milliseconds:.0f} ms and stored. A duplicate was recognised and got the same answer.")


def _duplicate_problem(probe: Probe, delivery: TestDelivery, first: Answer) -> str:
    """Send a delivery again, and return what is wrong with the answer; empty if it is right."""
    try:
        second = probe.send(delivery)
    except NoAnswer as no_answer:
        return f"The duplicate was not answered. {no_answer.message}"
    if second.status != first.status or second.text != first.text:
        return "The duplicate got a different answer, so a provider's retry would not get the first one."
    if second.headers.get("idempotent-replayed") != "true":
        probe.spilling_functions.add(delivery.function)
        return (
            f"The duplicate was not recognised: {CANNOT_WRITE.format(function=delivery.function)} ({CHECK_WRITING}), "
            "or something in front of the API removes the header idempotent-replayed."
        )
    return ""


def _other_path_problem(probe: Probe, delivery: TestDelivery, first: Answer) -> str:
    """Send a delivery to the other spelling of its path, and return what is wrong; empty if it is the same webhook."""
    path = delivery.sample.other_path
    if not path:
        return ""
    other = replace(delivery, request=delivery.request._replace(path=path))
    try:
        answer = probe.send(other)
    except NoAnswer as no_answer:
        return f"A delivery to {path} was not answered. {no_answer.message}"
    if answer.status != first.status or answer.text != first.text:
        return f"A delivery to {path} was answered {answer.status}, and not as one to {delivery.request.path}."
    return ""


def _not_accepted(probe: Probe, delivery: TestDelivery, answer: Answer) -> Finding:
    name = delivery.name
    if answer.status == HTTPStatus.UNAUTHORIZED:
        return _unauthorized(probe, delivery)
    if _cannot_verify(answer) and (recent := _recent_secret_change(probe, name, delivery.provider, answer.status)):
        return recent
    if answer.status == HTTPStatus.ACCEPTED:
        return failure(
            name,
            "It was answered 202 and is in quarantine: the code could not parse it, or failed on it.",
            f"To see the reason: {probe.deployment.callhooks('doctor --keep')}, then "
            f"{probe.deployment.callhooks('quarantine list')}. {probe.deployment.log_of(delivery.function)}",
        )
    return failure(name, *_describe_error(probe, answer, delivery.function))


def _cannot_verify(answer: Answer) -> bool:
    return answer.status == HTTPStatus.SERVICE_UNAVAILABLE and answer.detail == CANNOT_AUTHENTICATE


def _describe_error(probe: Probe, answer: Answer, function: str) -> tuple[str, str]:
    """Return the message and the remedy for an answer that is neither 2xx nor 401."""
    log, status = probe.deployment.log_of(function), answer.status
    see_log = f"{SEE_CHECKS} {log}"
    if status in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED) and not answer.detail:
        return f"{WRONG_API}: the request was answered {status}.", _check_url(probe.deployment)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return (
            "The request was throttled (429): the API got more requests in this second than it allows.",
            "Run this command again. If it happens often, ask AWS to raise the account's limit.",
        )
    if _cannot_verify(answer):
        return f"{function} cannot read the secret store, so it cannot authenticate any request (503).", see_log
    if status == HTTPStatus.SERVICE_UNAVAILABLE and answer.detail == CANNOT_STORE:
        return (
            f"{function} could not store the event in the events table or in the spill queue (503).",
            f"See the checks of tables and queues above. {log}. After the fix: {probe.deployment.callhooks('recover')}",
        )
    if status >= 500 and not answer.detail:
        message = f"{function} fails, is throttled, or does not start ({status})."
        check = f"function {function}"
        throttled = "If the log has no error, raise the concurrency that Lambda allows the function."
        return message, f"{f'See {check} above.' if check in probe.flagged_checks else throttled} {log}"
    return f"The request was answered {status}. {answer.detail}".strip(), see_log


def _unauthorized(probe: Probe, delivery: TestDelivery) -> Finding:
    """Return the finding for a delivery that was rejected despite the stack's own credentials."""
    name, outputs = delivery.name, probe.deployment.outputs
    provider = delivery.provider
    parameter = f"{provider.name.capitalize()}AllowedAddresses"
    addresses = outputs.parameters.get(parameter)
    if addresses:
        return warning(
            name,
            f"Cannot be tested from this machine, because {parameter} does not include its address.",
            f"Run this command from an address in {parameter}, or look for events of {provider.title} in the call log.",
        )
    if recent := _recent_secret_change(probe, name, delivery.provider, HTTPStatus.UNAUTHORIZED):
        return recent
    if provider.signs_url:
        called = f"{outputs.base_url}{delivery.redacted_path}"
        return failure(
            name,
            f"It was rejected (401). {provider.title} signs the URL, so the parameter PublicUrl is probably not the "
            f"address that was called, {called}. Otherwise the function uses a different key.",
            f"Set PublicUrl to the address that {provider.title} calls, and deploy. "
            f"{probe.deployment.log_of(delivery.function, 'names the URL that was checked')}",
        )
    message = "It was rejected (401), although it has the stack's own credentials"
    log = probe.deployment.log_of(delivery.function, "names the check that failed")
    if header := outputs.parameters.get(f"{provider.name.capitalize()}SignatureHeader"):
        return failure(
            name,
            f"{message}: the function uses different secrets, expects the signature in a header other than "
            f"{header}, or something in front of the API removes headers.",
            f"{SEE_CHECKS} {log}",
        )
    return failure(
        name,
        f"{message}: the function uses a different secret, or allows only other addresses.",
        f"{SEE_CHECKS} {log}",
    )


def _recent_secret_change(probe: Probe, name: str, provider: Provider, status: int) -> Finding | None:
    """Return a warning if a provider's secret is so new that functions may still use the previous one."""
    ages = [
        probe.clock() - changed_at
        for secret in provider.secrets
        if (changed_at := probe.known.changed_at.get(secret.logical_id)) is not None
    ]
    age = min(ages, default=SECRET_REFRESH_INTERVAL)
    if age >= SECRET_REFRESH_INTERVAL:
        return None
    return warning(
        name,
        f"Its secret was changed {age.total_seconds():.0f} s ago, and the function still uses the previous one "
        f"({status}).",
        "Run this command again in a minute.",
    )


def _not_stored(probe: Probe, delivery: TestDelivery) -> Finding:
    """Return the finding for a delivery that was answered 200 but is not in the table.

    A function writes before it answers, so the delivery went elsewhere.
    """
    name, deployment = delivery.name, probe.deployment
    log = deployment.log_of(delivery.function)
    if probe.find_quarantined(delivery) is not None:
        return failure(
            name,
            "It got the plan's fallback and is in quarantine: the flow, a variable or the code is broken.",
            f"{log}. To check the plan: {callhooks('plan check')}",
        )
    probe.spilling_functions.add(delivery.function)
    until = probe.monotonic() + SPILL_TIMEOUT_SECONDS
    while probe.monotonic() < until:
        if probe.is_stored(delivery):
            probe.accepted.append(delivery)
            reason = _reason_of(probe, delivery.function)
            return failure(
                name,
                f"It was stored through the spill queue: {_describe_spill(delivery.function, reason)}",
                f"{SEE_CHECKS} {log}",
            )
        probe.sleep(POLL_SECONDS)
    if probe.spill_queue_depth():
        return failure(
            name,
            "It is waiting in the spill queue: neither the function nor the drainer can write to the events table.",
            deployment.log_of("SpillDrainerFunction", 'shows the cause at "not drained"')
            + f". Once it is stored, remove it: {deployment.callhooks(f'forget {CALLER}')}",
        )
    if delivery.sample.has_fallback:
        return _recent_secret_change(probe, name, delivery.provider, HTTPStatus.OK) or failure(
            name,
            "It got the plan's fallback and was not stored: the function cannot read the secret store, or its "
            "environment is broken.",
            f"{SEE_CHECKS} {log}",
        )
    return failure(
        name,
        "It was answered 200, but it is not in the events table or the spill queue: the function writes to another "
        "table.",
        f"Set EVENTS_TABLE in the environment of {delivery.function} to {deployment.outputs.events_table}. {log}",
    )


def spill_findings(probe: Probe) -> Iterator[Finding]:
    """Check the logs for events that a function spilled and the drainer stored before the doctor looked for them."""
    names = {delivery.function: delivery.name for delivery in probe.accepted}
    for function in sorted(names.keys() - probe.spilling_functions):
        yield from catch_aws_errors(names[function], _spilled(probe, names[function], function))


def _spilled(probe: Probe, name: str, function: str) -> Iterator[Finding]:
    reason = probe.find_spill(function)
    if reason is not None:
        probe.spilling_functions.add(function)
        yield failure(
            name,
            f"It was stored through the spill queue: {_describe_spill(function, reason)}",
            f"{SEE_CHECKS} {probe.deployment.log_of(function)}",
        )


def _reason_of(probe: Probe, function: str) -> str:
    """Return why an event went to the spill queue; empty if the log does not say."""
    try:
        return probe.find_spill(function) or ""
    except (ClientError, BotoCoreError):
        # The spill itself is a finding even without its reason.
        return ""


def _describe_spill(function: str, reason: str) -> str:
    cannot_write = CANNOT_WRITE.format(function=function)
    if not reason:
        return f"{cannot_write} ({CHECK_WRITING}), or the table was down for a moment."
    return f"{cannot_write} ({reason}{f'; {CHECK_WRITING}' if reason in TABLE_REJECTION_CODES else ''})."


@reporting_aws_errors(PROJECTOR)
def projection_findings(probe: Probe) -> Iterator[Finding]:
    """Check that the projector has written calls from the test events."""
    deliveries = {delivery.pk: delivery for delivery in probe.accepted}
    expected = [(pk, probe.event_count(pk)) for pk in deliveries]
    if not expected:
        return
    started = probe.monotonic()
    missing = expected
    while missing := [(pk, events) for pk, events in missing if probe.projected_event_count(pk) < events]:
        if probe.monotonic() - started > PROJECTION_TIMEOUT_SECONDS:
            break
        probe.sleep(POLL_SECONDS)
    if missing:
        names = ", ".join(deliveries[pk].provider.title for pk, _ in missing)
        yield failure(
            PROJECTOR,
            f"The stored events ({names}) did not become calls within {PROJECTION_TIMEOUT_SECONDS:.0f} s: the "
            "projector does not run, fails, or is far behind. Lists of calls are out of date, and subscribers wait.",
            f"{_see_above(probe)}{probe.deployment.log_of('CallProjectorFunction')}",
        )
    else:
        probe.projected_at = probe.monotonic()
        seconds = probe.monotonic() - started
        number = f"{len(expected)} calls" if len(expected) > 1 else "1 call"
        yield ok(PROJECTOR, f"It wrote {number} within {seconds:.1f} s of the last delivery.")


def _see_above(probe: Probe) -> str:
    """Return a reference to earlier findings about the projector."""
    parts = ("function CallProjectorFunction", "event source CallProjectorFunction", "queue Projection")
    checks = sorted(check for check in probe.flagged_checks if check.startswith(parts))
    return f"See {', '.join(checks)} above. " if checks else ""


@reporting_aws_errors(PUBLISHING)
def publishing_findings(probe: Probe) -> Iterator[Finding]:
    """Check that the projector has sent none of the test events to the retry queue after it wrote their calls."""
    if probe.retries_before is None or probe.projected_at is None:
        return
    until = probe.projected_at + PUBLISHING_TIMEOUT_SECONDS
    while (more := probe.retry_queue_depth() - probe.retries_before) <= 0 and probe.monotonic() < until:
        probe.sleep(POLL_SECONDS)
    if more > 0:
        events = "event" if more == 1 else "events"
        yield failure(
            PUBLISHING,
            f"The calls were written, but {more} {events} went to the retry queue: not published, or not projected.",
            "See the checks of permissions and the event bus above. "
            + probe.deployment.log_of("CallProjectorFunction", 'shows the cause at "not projected"'),
        )
    else:
        yield ok(PUBLISHING, "The projector sent no event to the retry queue.")


def call_log_findings(probe: Probe) -> Iterator[Finding]:
    """Check that the call log shows the test events."""
    access = probe.known.console
    deliveries = {delivery.pk: delivery for delivery in probe.accepted}.values()
    if access is None:
        yield warning(CALL_LOG, "Skipped, because its secret cannot be used.", "See the checks of secrets above.")
        return
    found = [
        finding for delivery in deliveries for finding in _catch_no_answer(CALL_LOG, _shown(probe, delivery, access))
    ]
    yield from found
    if deliveries and not found:
        yield ok(CALL_LOG, f"It shows the test events of {len(deliveries)} of {len(providers())} providers.")


def _shown(probe: Probe, delivery: TestDelivery, access: ConsoleAccess) -> Iterator[Finding]:
    path = f"/calls/{delivery.provider.name}/{quote(delivery.call_id, safe='')}"
    answer = probe.request("GET", path, basic=(access.username, access.password))
    document = answer.document
    timeline = document.get("timeline") if isinstance(document, dict) else None
    log = probe.deployment.log_of("CallLogFunction")
    if answer.status == HTTPStatus.OK and timeline:
        return
    if answer.status == HTTPStatus.UNAUTHORIZED:
        changed_at = probe.known.changed_at.get("ConsoleCredentials")
        if changed_at is not None and probe.clock() - changed_at < SECRET_REFRESH_INTERVAL:
            yield warning(
                CALL_LOG,
                "Its password was changed a moment ago and is not in use yet (401).",
                "Run this command again in a minute.",
            )
        else:
            yield failure(
                CALL_LOG,
                "The call log rejects the login in the secret ConsoleCredentials (401).",
                f"Check that CONSOLE_CREDENTIALS in CallLogFunction's environment names that secret. {log}",
            )
    elif answer.status in (HTTPStatus.NOT_FOUND, HTTPStatus.OK):
        yield failure(
            CALL_LOG,
            f"It does not show the {delivery.name}, which is in the table: it reads another table.",
            f"Set EVENTS_TABLE in the environment of CallLogFunction to {probe.deployment.outputs.events_table}. {log}",
        )
    elif answer.status == HTTPStatus.SERVICE_UNAVAILABLE and answer.detail:
        yield failure(
            CALL_LOG,
            "CallLogFunction cannot read the events table or the secret ConsoleCredentials (503).",
            f"{SEE_CHECKS} {log}",
        )
    else:
        yield failure(CALL_LOG, *_describe_error(probe, answer, "CallLogFunction"))


def cleanup_findings(probe: Probe) -> Iterator[Finding]:
    """Remove the test events; report them if they cannot be removed."""
    forget = probe.deployment.callhooks(f"forget {CALLER}")
    if not probe.sent:
        return
    try:
        _wait_for_drain(probe)
        removed = probe.clean()
    except (ClientError, BotoCoreError) as error:
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
        yield failure(CLEANUP, f"The test events could not be removed ({code}).", f"To remove them: {forget}")
        return
    yield ok(CLEANUP, f"The {removed} items of the test events were removed." if removed else "Nothing to remove.")


def _wait_for_drain(probe: Probe) -> None:
    """Wait for the spill queue to drain, so that removed events are not stored again."""
    until = probe.monotonic() + SPILL_TIMEOUT_SECONDS
    while probe.spilling_functions and probe.monotonic() < until and probe.spill_queue_depth():
        probe.sleep(POLL_SECONDS)
