"""Secrets change under traffic, and Secrets Manager fails."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from callhooks.webhooks.credentials import REFRESH_INTERVAL_SECONDS
from callhooks_tools.stack.secrets import secret_kinds
from callhooks_tools.stack.stack import LocalStack, StackCredentials

from tests.faults.traffic import NEW_CALL_PATH, Sent, Traffic, assert_same_answers, eventually
from tests.faulty_proxy import Fault, FaultyProxy
from tests.running_stack import RunningStack
from tests.stacks import PROVIDERS

READS = "secretsmanager.GetSecretValue"
MAX_READS = 5
"""The function for new calls reads two secrets; the functions of the other three providers read one each."""
PAUSE_SECONDS = 0.2


@dataclass
class Senders:
    """One sender per provider that sends continuously, with the current credentials of `stack`."""

    traffic: Traffic
    stack: LocalStack
    statuses: dict[str, list[int]] = field(default_factory=lambda: {provider: [] for provider in PROVIDERS})

    @contextmanager
    def at_work(self) -> Iterator[None]:
        over = threading.Event()
        with ThreadPoolExecutor() as pool:
            working = [pool.submit(self._work, provider, over) for provider in PROVIDERS]
            try:
                yield
            finally:
                over.set()
            for one in working:
                one.result()

    def _work(self, provider: str, over: threading.Event) -> None:
        while not over.wait(PAUSE_SECONDS):
            self.statuses[provider].append(first_of_a_call(self.traffic, provider, self.stack).status)

    def continue_without_rejection(self) -> None:
        """Wait until each sender has sent three more deliveries, and check that none was ever rejected."""
        before = {provider: len(statuses) for provider, statuses in self.statuses.items()}
        eventually(lambda: all(len(statuses) >= before[one] + 3 for one, statuses in self.statuses.items()))
        assert {status for statuses in self.statuses.values() for status in statuses} == {200}


def first_of_a_call(traffic: Traffic, provider: str, stack: LocalStack) -> Sent:
    """Send the first delivery of a new call with these credentials."""
    with_credentials = replace(traffic.running, stack=stack)
    (call,) = (call for call in Traffic(with_credentials, traffic.proxy).place() if call.provider == provider)
    return traffic.post(call, call.deliveries[0])


def with_credentials(stack: LocalStack, new: Mapping[str, str]) -> LocalStack:
    credentials = {
        "jambonz": {
            "username": stack.credentials.of("jambonz")["username"],
            "password": new["jambonz-password"],
            "webhook_secret": new["jambonz"],
        },
        "wavix": {"token": new["wavix"]},
        "bird": {"signing_key": new["bird"]},
        "voipstudio": {"token": new["voipstudio"]},
        "console": stack.credentials.console,
    }
    return stack.model_copy(update={"credentials": StackCredentials.model_validate(credentials)})


def secrets_in(stack: LocalStack) -> dict[str, str]:
    known = stack.credentials
    return {
        "jambonz": known.of("jambonz")["webhook_secret"],
        "jambonz-password": known.of("jambonz")["password"],
        "wavix": known.of("wavix")["token"],
        "bird": known.of("bird")["signing_key"],
        "voipstudio": known.of("voipstudio")["token"],
    }


def new_secrets() -> dict[str, str]:
    return {
        kind: ("wh_secret_" if kind == "jambonz" else "") + secrets.token_hex(20)
        for kind in secret_kinds()
        if kind != "console-password"
    }


def change(running: RunningStack, action: str, values: Mapping[str, str]) -> None:
    """Run `callhooks secret add` or `remove` for each of these secrets."""
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda kind: running.command("secret", action, kind, stdin=f"{values[kind]}\n"), values))
    assert [one.returncode for one in done] == [0] * len(values), [one.stderr for one in done]


def test_secrets_rotate_under_traffic_without_a_rejected_delivery(traffic: Traffic, proxy: FaultyProxy) -> None:
    """Add new secrets, switch the senders to them, and remove the old ones."""
    old = traffic.running.stack
    new = with_credentials(old, new_secrets())
    senders = Senders(traffic, old)
    with senders.at_work():
        senders.continue_without_rejection()
        read_at = proxy.seen_at[READS]
        change(traffic.running, "add", secrets_in(new))
        # Functions read their secrets at most once a minute.
        time.sleep(max(0, read_at + REFRESH_INTERVAL_SECONDS + 1 - time.monotonic()))
        senders.continue_without_rejection()

        senders.stack = new
        senders.continue_without_rejection()
        change(traffic.running, "remove", secrets_in(old))
        senders.continue_without_rejection()
    # Later tests need the new credentials.
    traffic.running.stack = new


def test_forged_deliveries_cause_at_most_one_read_of_secrets_a_minute(traffic: Traffic, proxy: FaultyProxy) -> None:
    """Send many deliveries with wrong credentials, one after the other."""
    reads = proxy.seen[READS]
    forged = with_credentials(traffic.running.stack, new_secrets())
    sent = [first_of_a_call(traffic, provider, forged) for _ in range(10) for provider in PROVIDERS]
    assert {one.status for one in sent} == {401}
    assert not any(traffic.events_of(one.call) for one in sent)
    assert proxy.seen[READS] - reads <= MAX_READS


def test_cached_secrets_keep_working_while_secrets_manager_hangs(traffic: Traffic) -> None:
    """Make Secrets Manager hang while the functions are warm."""
    calls, baseline = traffic.place_twins()
    with traffic.outage(Fault.HANG, "secretsmanager"):
        sent = traffic.send(calls)
        forged = with_credentials(traffic.running.stack, new_secrets())
        assert {first_of_a_call(traffic, provider, forged).status for provider in PROVIDERS} == {401}
    assert_same_answers(baseline, sent)
    assert traffic.records_of(calls) == baseline.records
    traffic.assert_stored_once(sent)


def test_without_secrets_new_calls_get_the_fallback_and_events_a_503(traffic: Traffic) -> None:
    """Make Secrets Manager hang while every function starts."""
    calls, baseline = traffic.place_twins()
    traffic.force_cold_starts()
    with traffic.outage(Fault.HANG, "secretsmanager") as broken:
        sent = traffic.send(calls)
        assert broken.hits
    for one in sent:
        if one.delivery.request.path == NEW_CALL_PATH:
            assert (one.status, one.verbs) == (200, ["say", "hangup"])
            assert one.call.call_id not in one.text
        else:
            assert one.status == 503
    assert not any(traffic.events_of(call) for call in calls)

    traffic.warm_up()
    retries = traffic.send(calls)
    assert_same_answers(baseline, retries)
    assert not any(one.is_replayed for one in retries)
    traffic.assert_stored_once(retries)
    assert traffic.records_of(calls) == baseline.records
