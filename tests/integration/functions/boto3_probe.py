"""Pass calls to the function of new calls while AWS fails in several ways: `python -P -S boto3_probe.py`.

The script reads a JSON document on standard input and prints another one. Before it imports the function it only
imports the standard library, so that boto3 comes from the given import path.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

LIBRARIES = ("boto3", "botocore", "dateutil", "jmespath", "urllib3")


class Context:
    """The part of Lambda's context that the handler uses."""

    aws_request_id = "8f2c1e0a-5b7d-4c3e-9a1f-6d5e4c3b2a19"


class Double(ThreadingHTTPServer):
    """Double of DynamoDB, Secrets Manager, SQS and EventBridge, with faults.

    Attributes:
        faults: by action, the faults of its next requests; the last one stays.
    """

    daemon_threads = True

    def __init__(self, secrets: Mapping[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.secrets = secrets
        self.requests: list[str] = []
        self.user_agents: set[str] = set()
        self.faults: dict[str, list[str]] = {}
        self.items: dict[str, Any] = {}
        self.released = threading.Event()

    def fault_of(self, action: str) -> str:
        faults = self.faults.get(action, ["none"])
        return faults.pop(0) if len(faults) > 1 else faults[0]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Double

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        target = self.headers.get("x-amz-target")
        # SQS had its own protocol, with forms and XML, until botocore 1.31.81.
        action = target.partition(".")[2] if target else parse_qs(body.decode())["Action"][0]
        self.server.requests.append(action)
        self.server.user_agents.add(self.headers["user-agent"])
        fault = self.server.fault_of(action)
        if fault == "hang":
            self.server.released.wait(30)
        if fault in {"hang", "close"}:
            self.close_connection = True
        elif fault == "error":
            self.reply(500, {"__type": "InternalServerError"})
        elif target is None:
            self.reply_to_form(body)
        else:
            self.reply(*self.answer(action, json.loads(body)))

    def answer(self, action: str, request: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]]:
        match action:
            case "GetSecretValue":
                return 200, {"SecretString": self.server.secrets[request["SecretId"]]}
            case "PutItem":
                key = json.dumps([request["Item"]["pk"], request["Item"]["sk"]])
                if known := self.server.items.get(key):
                    return 400, {
                        "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
                        "Item": known,
                    }
                self.server.items[key] = request["Item"]
            case "SendMessage":
                return 200, {"MessageId": "1", "MD5OfMessageBody": hash_of(request["MessageBody"])}
            case "PutEvents":
                return 200, {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}
        return 200, {}

    def reply(self, status: int, document: Mapping[str, Any]) -> None:
        self.send(status, "application/x-amz-json-1.0", json.dumps(document).encode())

    def reply_to_form(self, body: bytes) -> None:
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        action = form["Action"]
        result = f"<MessageId>1</MessageId><MD5OfMessageBody>{hash_of(form.get('MessageBody', ''))}</MD5OfMessageBody>"
        document = f"<{action}Response><{action}Result>{result}</{action}Result></{action}Response>"
        self.send(200, "text/xml", document.encode())

    def send(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def hash_of(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def main() -> None:
    spec = json.load(sys.stdin)
    report = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.path[:0] = spec["path"]
    # Lambda's runtime does not have it, and botocore uses it if it is installed.
    sys.modules["awscrt"] = None  # type: ignore[assignment]
    double = Double(spec["secrets"])
    threading.Thread(target=double.serve_forever, daemon=True).start()
    os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{double.server_port}"
    deliveries = iter(spec["deliveries"])
    results: dict[str, Any] = {}
    handler: Any = None

    def receive(name: str, event: object, **faults: list[str]) -> None:
        double.faults, double.requests = faults, []
        began = time.monotonic()
        reply = handler(event, Context())
        results[name] = {
            "status": reply["statusCode"],
            "is_duplicate": "idempotent-replayed" in reply["headers"],
            "body": reply["body"],
            "requests": double.requests,
            "seconds": time.monotonic() - began,
        }

    first = next(deliveries)
    handler = importlib.import_module("app").handler
    receive("stored", first)
    del sys.modules["app"]
    handler = importlib.import_module("app").handler
    again = {**first, "requestContext": {**first["requestContext"], "requestId": "again"}}
    receive("duplicate in another container", again, GetSecretValue=["close", "none"])
    receive("DynamoDB fails once", next(deliveries), PutItem=["error", "none"])
    receive(
        "DynamoDB fails, SQS closes a connection", next(deliveries), PutItem=["error"], SendMessage=["close", "none"]
    )
    receive("DynamoDB hangs", next(deliveries), PutItem=["hang"])
    receive("DynamoDB has just hung", next(deliveries))
    double.released.set()

    clients = importlib.import_module("callhooks.runtime.aws_clients")
    double.faults, double.requests = {}, []
    clients.reader_dynamodb_client().query(TableName="events")
    clients.worker_dynamodb_client().get_item(TableName="events", Key={"pk": {"S": "pk"}})
    clients.worker_bus_client().put_events(Entries=[{"Source": "callhooks", "DetailType": "x", "Detail": "{}"}])
    clients.worker_queue_client().change_message_visibility(
        QueueUrl=spec["queue"], ReceiptHandle="1", VisibilityTimeout=5
    )
    results["workers"] = double.requests
    results["user agents"] = sorted(double.user_agents)
    results["versions"] = [sys.modules[name].__version__ for name in ("boto3", "botocore")]
    results["files"] = [sys.modules[name].__file__ for name in LIBRARIES]
    with report:
        json.dump(results, report)


if __name__ == "__main__":
    main()
