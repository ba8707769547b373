"""FastAPI behind Mangum, and one conditional put with boto3."""

import os

import boto3
from call_status import CallStatus
from delivery import SIGNATURE, is_signed, item_of
from fastapi import FastAPI, HTTPException, Request
from mangum import Mangum

TABLE = os.environ["EVENTS_TABLE"]
client = boto3.client("dynamodb")
app = FastAPI()


@app.post("/webhooks/call/events")
async def call_status(request: Request) -> list[str]:
    body = await request.body()
    signature = request.headers.get(SIGNATURE, "")
    if not is_signed(signature, body):
        raise HTTPException(401)
    call = CallStatus.model_validate_json(body)
    item = item_of(signature, body, call.call_sid, call.call_status)
    try:
        client.put_item(TableName=TABLE, Item=item, ConditionExpression="attribute_not_exists(pk)")
    except client.exceptions.ConditionalCheckFailedException:
        pass
    return []


handler = Mangum(app, lifespan="off")
