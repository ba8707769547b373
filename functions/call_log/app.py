"""The call log: `GET /`, `/calls`, `/calls/{provider}/{call_id}`, `/stats`, `/openapi.json`, and `/session`."""

import os
from pathlib import Path

from callhooks import start
from callhooks.aws import reader_dynamodb_client, secret_reader
from callhooks.call_list import CallList
from callhooks.call_log import CallLog
from callhooks.call_store import CallStore
from callhooks.deployed import deployed_credentials, log_invocation, utc_now
from callhooks.http import HttpApiEvent, HttpPayload, Response
from callhooks.page import load_page
from callhooks.session import read_console_credentials
from callhooks.settings import CallLogSettings, StoreSettings

settings = CallLogSettings.from_environment(os.environ)
table = StoreSettings.from_environment(os.environ).events_table
client = reader_dynamodb_client()
page = load_page(Path(__file__).with_name("page"))
call_log = CallLog(
    page=Response(200, page.html, headers=page.headers),
    calls=CallList(client, table),
    store=CallStore(client, table),
    credentials=deployed_credentials([settings.credentials], read_console_credentials, secret_reader()),
    clock=utc_now,
    public_url=settings.public_url,
)
start.done()


def handler(event: HttpApiEvent, context: object) -> HttpPayload:
    """Answer one event of the HTTP API."""
    log_invocation(context)
    return call_log.answer(event)
