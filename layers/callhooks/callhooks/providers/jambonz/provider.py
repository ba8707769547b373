"""jambonz as the command and who folds its calls see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import urlencode

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
"""Signs for a function that has no webhook secret configured, and so does not look at the signature."""
RETRIES = "#rc=2&rp=ct,5xx"
"""As in the outputs of template.yaml: what asks jambonz for retries."""
CALL_HOOK = "/webhooks/call"
CLIENT_AUTH_PATH = "/webhooks/client-auth"
"""A SIP client says who it is: there is no call yet."""

_VARIABLES = ("JAMBONZ_CREDENTIALS", "JAMBONZ_WEBHOOK_SECRETS", "JAMBONZ_SIGNATURE_HEADER")
_WITH_PLAN = ("PYTHONTZPATH", *_VARIABLES)
_PLAN = ("CallPlanLayer",)


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
                is_theirs=True,
                prefix="wh_secret_",
                unchecked="signatures are not checked",
            ),
        ),
        routes=(
            Route(CALL_HOOK, "JambonzNewCallFunction", _read_again, variables=_WITH_PLAN, layers=_PLAN),
            Route(
                f"{CALL_HOOK}/flows/{{flow}}/{{step}}",
                "JambonzActionFunction",
                _read_again,
                variables=_WITH_PLAN,
                layers=_PLAN,
            ),
            Route(f"{CALL_HOOK}/events", event, _read_again, variables=_VARIABLES),
            Route("/adulting", event, _read_again, variables=_VARIABLES),
            Route("/streaming-event", event, _read_again, names_call=False, variables=_VARIABLES),
            Route("/tokens-result", event, _read_again, names_call=False, variables=_VARIABLES),
            Route(
                CLIENT_AUTH_PATH,
                "JambonzClientAuthFunction",
                _read_again,
                names_call=False,
                variables=(*_VARIABLES, "CLIENTS_TABLE"),
            ),
            Route(
                "/webhooks/tool/{vendor}",
                "JambonzToolFunction",
                _read_again,
                variables=(*_VARIABLES, "TOOL_CALLS_TABLE"),
                layers=_PLAN,
            ),
        ),
        call_ids=("call_sid", "parent_call_sid"),
        nested=("parent_call_info", "dequeuer"),
        sign=_sign_now,
        samples=_samples,
        settings=_settings,
        without_credentials="new calls get the plan's fallback, and nothing else of jambonz is taken",
    )


def call_hook_url(base_url: str) -> str:
    """The call hook of an application, with the retries that jambonz makes only when asked."""
    return f"{base_url}{CALL_HOOK}{RETRIES}"


def call_status_url(base_url: str) -> str:
    """The call status hook of an application, which is the queue event hook of an account, too."""
    return f"{base_url}{CALL_HOOK}/events{RETRIES}"


def _read_again(aside: Quarantined) -> CallEvent | Ignored:
    # Who folds calls needs no hook.
    from callhooks.providers.jambonz.quarantined import read_again  # noqa: PLC0415

    return read_again(aside)


def _sign_now(request: Request, signing: Signing) -> Request:
    credentials = signing.credentials
    secret = credentials.get("webhook_secret")
    header = signing.parameters.get("JambonzSignatureHeader") or DEFAULT_SIGNATURE_HEADER
    # jambonz always signs, though nobody may know its secret.
    signature = signature_header_value(secret or RECORDING_SECRET, signing.now, request.body)
    return with_headers(
        _with_signed_call(request, secret or credentials["password"]),
        {"authorization": basic_header_value(credentials["username"], credentials["password"]), header: signature},
    )


def _with_signed_call(request: Request, key: str) -> Request:
    """The request with the call in its URL signed, as callhooks signs it in the URLs of its hooks."""
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
    comes_in = {**call, "call_status": "trying", "sip_status": 100, "sip_reason": "Trying"}
    has_ended = {
        **call,
        "call_status": "completed",
        "sip_status": 200,
        "sip_reason": "OK",
        "call_termination_by": "caller",
        "duration": 1,
    }
    return [
        Sample("new call", json_delivery(CALL_HOOK, comes_in), _no_verbs, has_fallback=True),
        Sample("call status", json_delivery(f"{CALL_HOOK}/events", has_ended), _no_array),
        *(
            Sample(what, json_delivery(path, call), _no_array, is_for_refusal=True)
            for what, path in (
                ("action hook", f"{CALL_HOOK}/flows/doctor/doctor"),
                ("registration hook", CLIENT_AUTH_PATH),
                ("tool hook", "/webhooks/tool/openai"),
            )
        ),
    ]


def _no_array(document: object) -> str:
    if not isinstance(document, list):
        return "The answer is no JSON array, which is all that jambonz takes: something else has answered."
    return ""


def _no_verbs(document: object) -> str:
    from callhooks.providers.jambonz.plan.plan import LAST_RESORT  # noqa: PLC0415 - who folds calls needs no plan

    if problem := _no_array(document):
        return problem
    if not document:
        return "The answer has no verbs: jambonz would hang up."
    if document == list(LAST_RESORT):
        return "It got the last resort that is built in: the call plan in the layer cannot be read."
    return ""


def _settings(setup: Setup) -> Sequence[SettingGroup]:
    credentials: Mapping[str, str] = setup.credentials
    hook = [
        Setting("  Method", "POST"),
        Setting("  Username", credentials["username"]),
        Setting("  Password", credentials["password"]),
    ]
    known = credentials.get("webhook_secret")
    return [
        SettingGroup(
            "Portal: Applications, the application",
            [
                Setting("Calling webhook", call_hook_url(setup.base_url)),
                *hook,
                Setting("Call status webhook", call_status_url(setup.base_url)),
                *hook,
            ],
            [
                "Tick Use HTTP basic authentication for each, to enter Username and Password.",
                "The end of the URLs, from # on, asks jambonz for the retries that it makes only when asked.",
            ],
        ),
        SettingGroup(
            "Portal: Accounts, the account",
            [
                Setting("Queue event webhook", call_status_url(setup.base_url)),
                *hook,
                Setting("Registration webhook", f"{setup.base_url}{CLIENT_AUTH_PATH}"),
                *hook,
            ],
            [
                "The registration webhook only where callhooks knows the SIP clients (callhooks clients): with it",
                "jambonz asks its own table no more. jambonz never repeats it, so that it has no fragment.",
            ],
        ),
        SettingGroup(
            "From the portal to callhooks: Accounts, the account, Webhook secret",
            [
                Setting("Run", f"callhooks secret add jambonz{setup.stack_option}"),
                *([Setting("Known", known)] if known is not None else []),
            ],
            ["Without it nobody checks jambonz's signatures."],
        ),
    ]
