"""Call log: `/` (console), `/calls`, `/calls/{provider}/{call_id}`, `/stats`, `/openapi.json` and `/session`."""

import os
from pathlib import Path

from callhooks.call_log.app import CallLog
from callhooks.call_log.listing import CallList
from callhooks.call_log.page import load_page
from callhooks.call_log.session import read_console_credentials
from callhooks.calls.repository import CallStore
from callhooks.providers.registry import hints_for, providers
from callhooks.runtime import cold_start
from callhooks.runtime.aws_clients import reader_dynamodb_client, secret_reader
from callhooks.runtime.http import HttpApiEvent, HttpPayload, Response
from callhooks.runtime.settings import CallLogSettings, StoreSettings
from callhooks.webhooks.bootstrap import build_credentials, log_invocation, utc_now

settings = CallLogSettings.from_environment(os.environ)
table = StoreSettings.from_environment(os.environ).events_table
client = reader_dynamodb_client()
page = load_page(Path(__file__).with_name("page"))
call_log = CallLog(
    page=Response(200, page.html, headers=page.headers),
    calls=CallList(client, table),
    store=CallStore(client, table),
    credentials=build_credentials([settings.credentials], read_console_credentials, secret_reader()),
    clock=utc_now,
    public_url=settings.public_url,
    hints_for=hints_for,
    providers=providers,
)
cold_start.freeze_gc()


def handler(event: HttpApiEvent, context: object) -> HttpPayload:
    """Handle one event of the HTTP API."""
    log_invocation(context)
    return call_log.answer(event)
