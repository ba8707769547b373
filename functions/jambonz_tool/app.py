"""`POST /webhooks/tool/{vendor}`: a language model in a call requests a tool and waits for its result."""

import os
import time
from functools import partial
from pathlib import Path

from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer
from callhooks.calls.caller_history import PastCalls
from callhooks.providers.jambonz.authentication import read_credentials
from callhooks.providers.jambonz.initial_webhook import initial_webhook_loader
from callhooks.providers.jambonz.llm_tools.runner import ToolRunner
from callhooks.providers.jambonz.llm_tools.toolbox import load_toolbox
from callhooks.providers.jambonz.plan.loader import installed_plan
from callhooks.providers.jambonz.settings import JambonzSettings, ToolSettings
from callhooks.providers.jambonz.tool_hook import ToolWebhook
from callhooks.runtime import cold_start
from callhooks.runtime.http import HttpApiEvent, HttpPayload
from callhooks.runtime.settings import StoreSettings
from callhooks.webhooks.aws_resources import AwsResources
from callhooks.webhooks.bootstrap import build_receiver, log_invocation

settings = JambonzSettings.from_environment(os.environ)
aws = AwsResources.from_env().connect()
runner = ToolRunner(
    load_toolbox(Path(__file__).with_name("tools")),
    store=DynamoDBPersistenceLayer(
        table_name=ToolSettings.from_environment(os.environ).tool_calls_table, boto3_client=aws.dynamodb
    ),
    monotonic=time.monotonic,
)
receiver = build_receiver(
    ToolWebhook(
        runner,
        plan=installed_plan(),
        load_initial_webhook=initial_webhook_loader(aws.store),
        past_calls=PastCalls(aws.dynamodb, StoreSettings.from_environment(os.environ).events_table),
        signature_header=settings.signature_header,
    ),
    secrets=[settings.credentials, settings.webhook_secrets],
    read_credentials=partial(read_credentials, signature_header=settings.signature_header),
    aws=aws,
)
cold_start.freeze_gc()


def handler(event: HttpApiEvent, context: object) -> HttpPayload:
    """Handle one event of the HTTP API."""
    log_invocation(context)
    return receiver.receive(event)
