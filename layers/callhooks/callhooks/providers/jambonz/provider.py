"""Description of jambonz for the command, the doctor and the fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import urlencode

from callhooks.calls.call import FoldHints
from callhooks.events.call_event import CallEvent, Ignored
from callhooks.providers.description import (
    TEST_NUMBER,
    TEST_SENDER,
    Parameters,
    Provider,
    Quarantined,
    Route,
    Sample,
    Secret,
    Setting,
    SettingGroup,
    Setup,
    Signing,
    json_delivery,
    with_headers,
)
from callhooks.providers.jambonz.authentication import (
    DEFAULT_SIGNATURE_HEADER,
    basic_header_value,
    signature_header_value,
)
from callhooks.providers.jambonz.plan.call_signature import call_signature
from callhooks.runtime.http import Request

PROVIDER = "jambonz"
RECORDING_SECRET = "wh_secret_cJqgtMDPzDhhnjmaJH6Mtk"
"""Signing secret for a stack without a webhook secret, which does not check signatures."""
RETRIES = "#rc=2&rp=all"
"""URL fragment that turns on jambonz's retries, as in the outputs of template.yaml."""
CALL_HOOK = "/webhooks/call"
CLIENT_AUTH_PATH = "/webhooks/client-auth"
"""Authentication of SIP clients, which has no call."""


def describe() -> Provider:
    """Describe jambonz."""
    event = "JambonzEventFunction"
    return Provider(
        name=PROVIDER,
        title="jambonz",
        secrets=(
            Secret(
                "JambonzCredentials",
                "jambonz-password",
                "password",
                "password",
                "password",
                "further_passwords",
                fixed=("username",),
            ),
            Secret(
                "JambonzWebhookSecrets",
                PROVIDER,
                "webhook secret",
                "webhook_secret",
                None,
                "webhook_secrets",
                is_issued_by_provider=True,
                prefix="wh_secret_",
                unchecked="signatures are not checked",
            ),
        ),
        routes=(
            Route(CALL_HOOK, "JambonzNewCallFunction", _normalise_quarantined),
            Route(f"{CALL_HOOK}/flows/{{flow}}/{{step}}", "JambonzActionFunction", _normalise_quarantined),
            Route(f"{CALL_HOOK}/events", event, _normalise_quarantined),
            Route("/adulting", event, _normalise_quarantined),
            Route("/streaming-event", event, _normalise_quarantined, names_call=False),
            Route("/tokens-result", event, _normalise_quarantined, names_call=False),
            Route(CLIENT_AUTH_PATH, "JambonzClientAuthFunction", _normalise_quarantined, names_call=False),
            Route("/webhooks/tool/{vendor}", "JambonzToolFunction", _normalise_quarantined),
        ),
        call_ids=("call_sid", "parent_call_sid"),
        nested=("parent_call_info", "dequeuer"),
        sign=_sign_now,
        samples=_samples,
        settings=_settings,
        fold_hints=FoldHints(ended_by_application="jambonz"),
        without_credentials="new calls get the plan's fallback, and all other jambonz requests are rejected",
    )


def call_hook_url(base_url: str) -> str:
    """Return the URL of an application's call hook, with retries turned on."""
    return f"{base_url}{CALL_HOOK}{RETRIES}"


def call_status_url(base_url: str) -> str:
    """Return the URL of an application's call status hook, which is also an account's queue event hook."""
    return f"{base_url}{CALL_HOOK}/events{RETRIES}"


def _normalise_quarantined(delivery: Quarantined) -> CallEvent | Ignored:
    # Folding needs no hooks.
    from callhooks.providers.jambonz.quarantined import normalise_quarantined  # noqa: PLC0415

    return normalise_quarantined(delivery)


def _sign_now(request: Request, signing: Signing) -> Request:
    credentials = signing.credentials
    secret = credentials.get("webhook_secret")
    header = signing.parameters.get("JambonzSignatureHeader") or DEFAULT_SIGNATURE_HEADER
    # jambonz always signs, even if the stack does not know the webhook secret.
    signature = signature_header_value(secret or RECORDING_SECRET, signing.now, request.body)
    return with_headers(
        _with_signed_call(request, secret or credentials["password"]),
        {"authorization": basic_header_value(credentials["username"], credentials["password"]), header: signature},
    )


def _with_signed_call(request: Request, key: str) -> Request:
    """Return the request with the call in its URL signed, as in the hook URLs that callhooks sends."""
    query = [(name, value) for name, value in request.query if name != "sig"]
    calls = [value for name, value in query if name == "call"]
    if not calls:
        return request
    return request._replace(raw_query=urlencode([*query, ("sig", call_signature(key, calls[-1]))]))


def _samples(call_id: str, _now: datetime, _parameters: Parameters) -> Sequence[Sample]:
    call = {
        "call_sid": call_id,
        "call_id": call_id,
        "account_sid": TEST_SENDER,
        "application_sid": TEST_SENDER,
        "direction": "inbound",
        "from": TEST_SENDER,
        "to": TEST_NUMBER,
    }
    new_call = {**call, "call_status": "trying", "sip_status": 100, "sip_reason": "Trying"}
    ended_call = {
        **call,
        "call_status": "completed",
        "sip_status": 200,
        "sip_reason": "OK",
        "call_termination_by": "caller",
        "duration": 1,
    }
    return [
        Sample(
            "new call",
            json_delivery(CALL_HOOK, new_call),
            _check_verbs,
            has_fallback=True,
            other_path=f"{CALL_HOOK}/",
        ),
        Sample(
            "call status",
            json_delivery(f"{CALL_HOOK}/events", ended_call),
            _check_array,
            other_path=f"{CALL_HOOK}/events/",
        ),
        *(
            Sample(title, json_delivery(path, call), _check_array, only_unauthenticated=True)
            for title, path in (
                ("action hook", f"{CALL_HOOK}/flows/doctor/doctor"),
                ("registration hook", CLIENT_AUTH_PATH),
                ("tool hook", "/webhooks/tool/openai"),
            )
        ),
    ]


def _check_array(document: object) -> str:
    if not isinstance(document, list):
        return "The response is not a JSON array, so it does not come from callhooks. jambonz accepts only arrays."
    return ""


def _check_verbs(document: object) -> str:
    from callhooks.providers.jambonz.plan.plan import BUILTIN_VERBS  # noqa: PLC0415 - folding needs no plan

    if problem := _check_array(document):
        return problem
    if not document:
        return "The response has no verbs. jambonz would hang up."
    if document == list(BUILTIN_VERBS):
        return "The response is the built-in plan: callhooks cannot read the call plan in the layer."
    return ""


def _settings(setup: Setup) -> Sequence[SettingGroup]:
    credentials: Mapping[str, str] = setup.credentials
    hook = [
        Setting("Method", "POST", is_nested=True),
        Setting("Username", credentials["username"], is_nested=True),
        Setting("Password", credentials["password"], is_nested=True),
    ]
    current = credentials.get("webhook_secret")
    return [
        SettingGroup(
            "Portal: Applications > your application",
            [
                Setting("Calling webhook", call_hook_url(setup.base_url)),
                *hook,
                Setting("Call status webhook", call_status_url(setup.base_url)),
                *hook,
            ],
            [
                "Tick Use HTTP basic authentication for each webhook, then enter Username and Password.",
                "The fragment at the end of the URLs (from #) turns on jambonz's retries. They are off by default.",
            ],
        ),
        SettingGroup(
            "Portal: Accounts > your account",
            [
                Setting("Queue event webhook", call_status_url(setup.base_url)),
                *hook,
                Setting("Registration webhook", f"{setup.base_url}{CLIENT_AUTH_PATH}"),
                *hook,
            ],
            [
                "Set the registration webhook only if callhooks manages your SIP clients (callhooks clients):",
                "jambonz then ignores its own clients. It never retries this webhook, so the URL has no fragment.",
            ],
        ),
        SettingGroup(
            "Copy from the portal: Accounts > your account > Webhook secret",
            [
                Setting("Run", f"{setup.program} secret add jambonz{setup.stack_options}"),
                *([Setting("Current", current)] if current is not None else []),
            ],
            ["Without it callhooks does not check jambonz's signatures."],
        ),
    ]
