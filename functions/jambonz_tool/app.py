"""`POST /webhooks/tool/{vendor}`: a language model in a call asks for a tool, and waits for its result."""

import os
import time
from functools import partial
from pathlib import Path

from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer
from callhooks import start
from callhooks.connected import connect
from callhooks.deployed import deployed_receiver, log_invocation
from callhooks.first_webhook import first_webhook_reader
from callhooks.http import HttpApiEvent, HttpPayload
from callhooks.past_calls import PastCalls
from callhooks.prepared_plan import installed_plan
from callhooks.providers.jambonz.verify import read_credentials
from callhooks.settings import JambonzSettings, StoreSettings, ToolSettings
from callhooks.tool_runner import ToolRunner
from callhooks.tools import load_toolbox
from callhooks.webhooks.jambonz_tool import tool_webhook

settings = JambonzSettings.from_environment(os.environ)
aws = connect()
runner = ToolRunner(
    load_toolbox(Path(__file__).with_name("tools")),
    store=DynamoDBPersistenceLayer(
        table_name=ToolSettings.from_environment(os.environ).tool_calls_table, boto3_client=aws.dynamodb
    ),
    monotonic=time.monotonic,
)
receiver = deployed_receiver(
    tool_webhook(
        runner,
        plan=installed_plan(),
        recall=first_webhook_reader(aws.store),
        past_calls=PastCalls(aws.dynamodb, StoreSettings.from_environment(os.environ).events_table),
        signature_header=settings.signature_header,
    ),
    secrets=[settings.credentials, settings.webhook_secrets],
    read_credentials=partial(read_credentials, signature_header=settings.signature_header),
    aws=aws,
)
start.done()


def handler(event: HttpApiEvent, context: object) -> HttpPayload:
    """Answer one event of the HTTP API."""
    log_invocation(context)
    return receiver.receive(event)
