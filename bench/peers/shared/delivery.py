"""Code shared by the peers: check the signature of a jambonz delivery, and build an item from it."""

import base64
import hashlib
import hmac
import os
import time

SECRET = os.environ["WEBHOOK_SECRET"].encode()
SIGNATURE = "jambonz-signature"


def is_signed(signature, body):
    timestamp, _, digest = signature.removeprefix("t=").partition(",v1=")
    if not timestamp.isdigit() or abs(time.time() - int(timestamp)) > 300:
        return False
    expected = hmac.new(SECRET, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), digest.encode())


def body_of(event):
    return base64.b64decode(event["body"]) if event["isBase64Encoded"] else event["body"].encode()


def item_of(signature, body, call_sid, call_status):
    return {
        "pk": {"S": f"jambonz#{call_sid}"},
        "sk": {"S": hashlib.sha256(signature.encode()).hexdigest()},
        "status": {"S": call_status},
        "body": {"B": body},
    }
