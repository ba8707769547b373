"""Test double of the AWS services that the measured functions use. It answers immediately, and counts requests.

A table is a dictionary. The only supported condition is that an item does not exist, and queries only use the partition
key. The double runs outside the measured process, so its own time is not measured.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

Item: TypeAlias = dict[str, Any]

_ASSIGNMENT = re.compile(r"(#?\w+) = (:\w+)")


class AwsDouble:
    """Double of DynamoDB, Secrets Manager, SQS and EventBridge on loopback.

    Args:
        secrets: values by the names of secrets.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self.calls: Counter[str] = Counter()
        self.tables: defaultdict[str, dict[str, Item]] = defaultdict(dict)
        self._secrets = secrets
        self._lock = threading.Lock()
        double = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["content-length"])))
                service, _, action = self.headers["x-amz-target"].partition(".")
                status, reply = double.answer(action, request)
                body = json.dumps(reply).encode("utf-8")
                self.send_response(status)
                self.send_header("content-type", f"application/x-amz-json-1.{0 if 'Dynamo' in service else 1}")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                self.wfile.flush()

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator[AwsDouble]:
        """Answer requests within the block."""
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def answer(self, action: str, request: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]]:
        """Return the HTTP status and the reply to a request."""
        with self._lock:
            self.calls[action] += 1
            match action:
                case "PutItem":
                    return self._put(request)
                case "UpdateItem":
                    return 200, self._update(request)
                case "GetItem":
                    item = self.tables[request["TableName"]].get(_key(request["Key"]))
                    return 200, {"Item": item} if item else {}
                case "Query":
                    return 200, self._query(request)
                case "GetSecretValue":
                    return 200, {"SecretString": self._secrets[request["SecretId"]]}
                case "PutEvents":
                    entries = [{"EventId": str(number)} for number in range(len(request["Entries"]))]
                    return 200, {"FailedEntryCount": 0, "Entries": entries}
            raise LookupError(f"unsupported action: {action}")

    def put(self, table: str, item: Mapping[str, Any]) -> None:
        """Put an item into a table."""
        with self._lock:
            self.tables[table][_key(item)] = dict(item)

    def _put(self, request: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]]:
        table, item = self.tables[request["TableName"]], request["Item"]
        key = _key(item)
        known = table.get(key)
        if known and "attribute_not_exists" in request.get("ConditionExpression", "") and item.get("sk") != _CALL:
            rejection = {"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "message": ""}
            return 400, {**rejection, "Item": known}
        table[key] = item
        return 200, {}

    def _update(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        item = self.tables[request["TableName"]].setdefault(_key(request["Key"]), dict(request["Key"]))
        names, values = request.get("ExpressionAttributeNames", {}), request["ExpressionAttributeValues"]
        for name, value in _ASSIGNMENT.findall(request["UpdateExpression"]):
            item[names.get(name, name)] = values[value]
        return {}

    def _query(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        if "IndexName" in request:
            return {"Items": [], "Count": 0, "ScannedCount": 0}
        wanted = request["ExpressionAttributeValues"][":pk"]
        items = [item for item in self.tables[request["TableName"]].values() if item.get("pk") == wanted]
        found = [item for item in items if item["sk"] != _CALL]
        return {"Items": found, "Count": len(found), "ScannedCount": len(found)}


_CALL = {"S": "call"}


def _key(item: Mapping[str, Any]) -> str:
    return json.dumps([item[name] for name in ("pk", "sk", "id") if name in item])
