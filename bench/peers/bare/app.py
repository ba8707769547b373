"""The baseline of a warm delivery: json, hmac and one conditional put with boto3."""

import json
import os

import boto3
from delivery import SIGNATURE, body_of, is_signed, item_of

TABLE = os.environ["EVENTS_TABLE"]
client = boto3.client("dynamodb")


def handler(event, context):
    body = body_of(event)
    signature = event["headers"].get(SIGNATURE, "")
    if not is_signed(signature, body):
        return {"statusCode": 401, "body": ""}
    call = json.loads(body)
    item = item_of(signature, body, call["call_sid"], call["call_status"])
    try:
        client.put_item(TableName=TABLE, Item=item, ConditionExpression="attribute_not_exists(pk)")
    except client.exceptions.ConditionalCheckFailedException:
        pass
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": "[]"}
