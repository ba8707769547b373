"""Powertools as documented: parser with an envelope, its DynamoDB idempotency layer, and a put."""

import os

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.parser import envelopes, parse
from call_status import CallStatus
from delivery import SIGNATURE, body_of, is_signed

logger = Logger(service="callhooks")
table = boto3.resource("dynamodb").Table(os.environ["EVENTS_TABLE"])
persistence_layer = DynamoDBPersistenceLayer(table_name=os.environ["IDEMPOTENCY_TABLE"])
config = IdempotencyConfig(
    event_key_jmespath=f'[headers."{SIGNATURE}", body]', raise_on_no_idempotency_key=True, use_local_cache=True
)


@idempotent_function(data_keyword_argument="event", config=config, persistence_store=persistence_layer)
def store(event):
    call = parse(event=event, model=CallStatus, envelope=envelopes.ApiGatewayV2Envelope)
    table.put_item(
        Item={
            "pk": f"jambonz#{call.call_sid}",
            "sk": event["headers"][SIGNATURE],
            "status": call.call_status,
            "body": event["body"],
        }
    )
    logger.info("stored", call_sid=call.call_sid, status=call.call_status)
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": "[]"}


@logger.inject_lambda_context
def handler(event, context):
    if not is_signed(event["headers"].get(SIGNATURE, ""), body_of(event)):
        return {"statusCode": 401, "body": ""}
    config.register_lambda_context(context)
    return store(event=event)
