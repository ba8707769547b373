"""Flask behind apig-wsgi, and one conditional put with boto3."""

import os

import boto3
from apig_wsgi import make_lambda_handler
from delivery import SIGNATURE, is_signed, item_of
from flask import Flask, abort, jsonify, request

TABLE = os.environ["EVENTS_TABLE"]
client = boto3.client("dynamodb")
app = Flask(__name__)


@app.post("/webhooks/call/events")
def call_status():
    body = request.get_data()
    signature = request.headers.get(SIGNATURE, "")
    if not is_signed(signature, body):
        abort(401)
    call = request.get_json()
    item = item_of(signature, body, call["call_sid"], call["call_status"])
    try:
        client.put_item(TableName=TABLE, Item=item, ConditionExpression="attribute_not_exists(pk)")
    except client.exceptions.ConditionalCheckFailedException:
        pass
    return jsonify([])


handler = make_lambda_handler(app)
