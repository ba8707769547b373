"""FastAPI with Mangum as documented: a body model, a dependency, and one conditional put."""

import os
from typing import Annotated

import boto3
from call_status import CallStatus
from delivery import is_signed, item_of
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from mangum import Mangum

TABLE = os.environ["EVENTS_TABLE"]
client = boto3.client("dynamodb")
app = FastAPI()


async def signed_body(request: Request, jambonz_signature: Annotated[str, Header()] = "") -> bytes:
    body = await request.body()
    if not is_signed(jambonz_signature, body):
        raise HTTPException(401)
    return body


# boto3 blocks, so this is a plain function, which FastAPI runs in its thread pool.
@app.post("/webhooks/call/events")
def call_status(
    call: CallStatus,
    body: Annotated[bytes, Depends(signed_body)],
    jambonz_signature: Annotated[str, Header()] = "",
) -> list[str]:
    item = item_of(jambonz_signature, body, call.call_sid, call.call_status)
    try:
        client.put_item(TableName=TABLE, Item=item, ConditionExpression="attribute_not_exists(pk)")
    except client.exceptions.ConditionalCheckFailedException:
        pass
    return []


handler = Mangum(app, lifespan="off")
