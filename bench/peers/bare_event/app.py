"""The fairer baseline of a warm delivery: a put of 20 attributes with a gzipped body, and one log line."""

import gzip
import hashlib
import json
import os
import time
from datetime import UTC, datetime

import boto3
from delivery import SIGNATURE, body_of, is_signed

TABLE = os.environ["EVENTS_TABLE"]
RETENTION_SECONDS = 90 * 24 * 3600
client = boto3.client("dynamodb")


def handler(event, context):
    began = time.time()
    body = body_of(event)
    signature = event["headers"].get(SIGNATURE, "")
    if not is_signed(signature, body):
        return {"statusCode": 401, "body": ""}
    call = json.loads(body)
    now = datetime.now(UTC).isoformat()
    item = {
        "pk": {"S": f"jambonz#{call['call_sid']}"},
        "sk": {"S": f"event#{hashlib.sha256(signature.encode()).hexdigest()}"},
        "provider": {"S": "jambonz"},
        "call_id": {"S": call["call_sid"]},
        "account_id": {"S": call["account_sid"]},
        "kind": {"S": "call.status"},
        "event_name": {"S": call["call_status"]},
        "status": {"S": call["call_status"]},
        "sip_status": {"N": str(call["sip_status"])},
        "direction": {"S": call["direction"]},
        "from": {"S": call["from"]},
        "to": {"S": call["to"]},
        "occurred_at": {"S": now},
        "received_at": {"S": now},
        "body": {"B": gzip.compress(body)},
        "body_encoding": {"S": "gzip"},
        "answer": {"S": "[]"},
        "answer_status": {"N": "200"},
        "request_id": {"S": event["requestContext"]["requestId"]},
        "expires_at": {"N": str(int(began) + RETENTION_SECONDS)},
    }
    try:
        client.put_item(TableName=TABLE, Item=item, ConditionExpression="attribute_not_exists(pk)")
    except client.exceptions.ConditionalCheckFailedException:
        pass
    line = {"level": "INFO", "call_id": call["call_sid"], "status": call["call_status"], "provider": "jambonz"}
    print(json.dumps({**line, "milliseconds": round(1000 * (time.time() - began))}))
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": "[]"}
