"""Items of the events table: their keys and attributes, and the way back from an item to its event."""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

from callhooks.events.call_event import (
    ONCE_KEYS,
    CallEvent,
    Detail,
    Details,
    Kind,
    QuarantinedDelivery,
    canonical_party,
    clean_text,
    utc_text,
)
from callhooks.runtime.http import Request, Response

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

Item: TypeAlias = "dict[str, AttributeValueTypeDef]"

EVENT_PREFIX = "event#"
QUARANTINE = "quarantine#"
MAX_ID_BYTES = 200
MAX_DIGITS = 38
MAX_UNPACKED_BYTES = 4 * 1024 * 1024
"""An item has at most 400 KB; its JSON is at most six times as long."""

_PLAIN_ID = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._~=-]+", re.ASCII)
_SMALL_BYTES = 4096
_GZIP = 16
_HASHED_PREFIX = "sha256-"
_ONCE_SORT_KEYS = frozenset(f"{EVENT_PREFIX}{key}" for key in ONCE_KEYS)
_STORED_HEADERS = ("content-type", "user-agent")
_DELIVERY_ATTRIBUTES = (
    "provider",
    "received_at",
    "body",
    "body_encoding",
    "query",
    "request_id",
    "answer",
    "answer_status",
    "expires_at",
)
REFUSED_BY_DATABASE = "The database refuses it."


def key_part(identifier: str) -> str:
    """Return an identifier as part of a key: unchanged if it is short and plain, otherwise hashed.

    DynamoDB rejects keys over 2,048 and 1,024 bytes and lone surrogates; `#` separates the parts of a key; a path
    cannot end in `.` or `..`. Keys are logged, so anything that may be an international number or a SIP URI is hashed
    as well.
    """
    if (
        len(identifier) <= MAX_ID_BYTES
        and _PLAIN_ID.fullmatch(identifier)
        and not identifier.startswith(_HASHED_PREFIX)
    ):
        return identifier
    return _hashed(identifier)


def _hashed(identifier: str) -> str:
    return _HASHED_PREFIX + hashlib.sha256(identifier.encode("utf-8", "surrogatepass")).hexdigest()


def partition_key(provider: str, call_id: str) -> str:
    """Return the partition key of a call, which its events and its own item share."""
    return f"{provider}#{key_part(call_id)}"


def is_call_partition(pk: str) -> bool:
    """Return whether a partition key belongs to a call, not to an SMS, an event without a call, or quarantine."""
    _, _, subject = pk.partition("#")
    return not pk.startswith(QUARANTINE) and not subject.startswith(("sms#", "none#"))


def event_key(event: CallEvent) -> tuple[str, str]:
    """Return the partition key and the sort key of an event. A duplicate has the same keys, whenever it arrives."""
    if event.call_id:
        subject = key_part(event.call_id)
    elif event.sms_id:
        subject = f"sms#{key_part(event.sms_id)}"
    else:
        subject = f"none#{event.sent_at:%Y-%m-%d}" if event.sent_at else "none#undated"
    is_reserved = event.dedupe_key in ONCE_KEYS and not event.once
    key = _hashed(event.dedupe_key) if is_reserved else key_part(event.dedupe_key)
    return f"{event.provider}#{subject}", f"{EVENT_PREFIX}{key}"


def is_stored_once(item: Item) -> bool:
    """Return whether an item is the first event of a call: any later delivery with its key is a duplicate."""
    return item["sk"]["S"] in _ONCE_SORT_KEYS


def is_duplicate(item: Item, first: Item) -> bool:
    """Return whether an item is the same delivery as the stored item with its key.

    Another delivery may have the same key: a provider can reuse an id, and an unverified signature can come with
    another body.
    """
    if is_stored_once(item) or "body" not in first or first["body"] == item["body"]:
        return True
    try:
        return body_of_item(first) == body_of_item(item)
    except (KeyError, ValueError):
        return False


def with_own_key(item: Item) -> Item:
    """Return the item under a key that includes its body's hash.

    Raises:
        KeyError, ValueError: its body cannot be read.
    """
    digest = hashlib.sha256(body_of_item(item)).hexdigest()
    return {**item, "sk": {"S": f"{item['sk']['S']}~{digest}"}}


def party_key(party: str) -> str:
    """Return the index key for a number, a SIP user or a SIP URI."""
    return key_part(canonical_party(party))


def event_item(event: CallEvent, request: Request, answer: Response, *, retention_days: float) -> Item:
    """Return the item that stores a delivery in the events table.

    `body` holds the raw bytes, gzipped if that is shorter (`body_encoding`). `details` holds the parsed members as
    JSON, compressed with the body as dictionary: DynamoDB bills a write unit for each KB, and most members also occur
    in the body. With `retention_days` 0 the item never expires.
    """
    pk, sk = event_key(event)
    texts = {
        "pk": pk,
        "sk": sk,
        "provider": event.provider,
        "call_id": event.call_id and clean_text(event.call_id),
        "kind": event.kind.value,
        "event_name": event.name,
        "status": event.status,
        "direction": event.direction,
        "from": event.from_,
        "to": event.to,
        "occurred_at": utc_text(event.occurred_at),
        "received_at": utc_text(event.received_at),
    }
    item = {**_attributes(texts), **_delivery(request, answer, event.received_at, retention_days)}
    if event.details:
        item["details"] = {"B": _packed_details(event.details, request.body)}
    return item


def event_of_item(item: Mapping[str, AttributeValueTypeDef]) -> CallEvent:
    """Return the event stored in an item of `event_item`. Its `sent_at` is `occurred_at`, whichever clock that was.

    Raises:
        KeyError, ValueError: the item is not a valid event.
    """
    return CallEvent(
        provider=item["provider"]["S"],
        call_id=_text(item, "call_id"),
        dedupe_key=item["sk"]["S"].removeprefix(EVENT_PREFIX),
        kind=Kind(item["kind"]["S"]),
        name=_text(item, "event_name") or "",
        received_at=datetime.fromisoformat(item["received_at"]["S"]),
        sent_at=datetime.fromisoformat(item["occurred_at"]["S"]),
        status=_text(item, "status"),
        direction=_text(item, "direction"),
        from_=_text(item, "from"),
        to=_text(item, "to"),
        details=details_of_item(item),
    )


def details_of_item(item: Mapping[str, AttributeValueTypeDef]) -> Details:
    """Return the details of a stored event.

    Raises:
        KeyError, ValueError: the item is not a valid event.
    """
    packed = item.get("details", {})
    if "M" in packed:
        # The format before compression.
        return {name: _detail(value) for name, value in packed["M"].items()}
    return _unpacked_details(_bytes(packed["B"]), body_of_item(item)) if packed else {}


def _packed_details(details: Details, body: bytes) -> bytes:
    members = {name: _in_json(value) for name, value in details.items() if value not in (None, "")}
    text = json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
    window, memory = _window_for(len(body) + len(text))
    packer = zlib.compressobj(wbits=-window, memLevel=memory, zdict=body)
    return packer.compress(text) + packer.flush()


def _gzipped(body: bytes) -> bytes:
    window, memory = _window_for(len(body))
    packer = zlib.compressobj(wbits=_GZIP + window, memLevel=memory)
    return packer.compress(body) + packer.flush()


def _window_for(size: int) -> tuple[int, int]:
    """Return zlib's window and memory level for a size. The defaults take 256 KB, which is slow to allocate."""
    return (12, 5) if size <= _SMALL_BYTES else (zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL)


def _unpacked_details(packed: bytes, body: bytes) -> Details:
    unpacker = zlib.decompressobj(wbits=-zlib.MAX_WBITS, zdict=body)
    try:
        members = json.loads(unpacker.decompress(packed, MAX_UNPACKED_BYTES))
        return {
            name: _int_if_integral(Decimal(value["N"])) if isinstance(value, dict) else value
            for name, value in members.items()
        }
    except (zlib.error, ValueError, LookupError, ArithmeticError, AttributeError, TypeError) as error:
        raise ValueError("the details of an event cannot be read") from error


def _int_if_integral(number: Decimal) -> int | Decimal:
    return int(number) if number == number.to_integral_value() else number


def _in_json(value: Detail) -> object:
    if isinstance(value, bool | str):
        return value
    if not _is_storable(Decimal(value)):
        return str(value)
    number = _int_if_integral(Decimal(value))
    return number if isinstance(number, int) else {"N": f"{number:f}"}


def _bytes(value: bytes | str) -> bytes:
    """Return a binary attribute, which is base64 in the table's stream."""
    return base64.b64decode(value) if isinstance(value, str) else bytes(value)


def body_of_item(item: Mapping[str, AttributeValueTypeDef]) -> bytes:
    """Return the raw body stored in an item.

    Raises:
        KeyError, ValueError: the body is missing or cannot be read.
    """
    body = _bytes(item["body"]["B"])
    try:
        return gzip.decompress(body) if item["body_encoding"]["S"] == "gzip" else body
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError("the body of an event cannot be read") from error


def _text(item: Mapping[str, AttributeValueTypeDef], name: str) -> str | None:
    return item[name]["S"] if name in item else None


def _detail(value: AttributeValueTypeDef) -> Detail:
    if "N" in value:
        return _int_if_integral(Decimal(value["N"]))
    return value["BOOL"] if "BOOL" in value else value["S"]


def quarantine_item(
    delivery: QuarantinedDelivery, request: Request, answer: Response, *, retention_days: float
) -> Item:
    """Return the item that quarantines a delivery, with everything needed to retry it later.

    The key includes everything that distinguishes two hooks with the same body: the sender's mark, the query, and the
    path if it contains no token.
    """
    sender = request.sender
    texts = {
        "pk": f"{QUARANTINE}{delivery.provider}#{sender.sent_at or delivery.received_at:%Y-%m-%d}",
        "sk": _quarantine_key(request),
        "provider": delivery.provider,
        "reason": delivery.reason,
        "received_at": utc_text(delivery.received_at),
        "method": request.method,
        "path": None if "token" in request.path_parameters else clean_text(request.path),
        "route": request.route,
        "sent_at": utc_text(sender.sent_at) if sender.sent_at else None,
        "sender_mark": clean_text(sender.mark),
        "signed_call": clean_text(sender.call_id or ""),
    }
    stored = {*_STORED_HEADERS, *sender.stored_headers}
    headers = {name: clean_text(value) for name, value in request.headers.items() if name in stored}
    return {
        **_attributes(texts),
        "headers": {"M": _attributes(headers)},
        "path_parameters": {"M": _attributes(_stored_path_parameters(request))},
        **_delivery(request, answer, delivery.received_at, retention_days),
    }


def refused_item(item: Item) -> Item:
    """Return the quarantine item for an event that DynamoDB will never accept: the delivery without its parsed members.

    The key depends only on the item.
    """
    day, key = item["received_at"]["S"][:10], f"{item['pk']['S']}|{item['sk']['S']}"
    texts = {
        "pk": f"{QUARANTINE}{item['provider']['S']}#{day}",
        "sk": hashlib.sha256(key.encode("utf-8")).hexdigest(),
        "reason": REFUSED_BY_DATABASE,
    }
    return {**{name: item[name] for name in _DELIVERY_ATTRIBUTES if name in item}, **_attributes(texts)}


def _quarantine_key(request: Request) -> str:
    parts = {"?": request.raw_query, "mark": request.sender.mark}
    if "token" not in request.path_parameters:
        parts |= {"method": request.method, "path": request.path}
    present = {name: clean_text(text) for name, text in parts.items() if text}
    if not present:
        return request.body_hash
    return hashlib.sha256(json.dumps([request.body_hash, present], sort_keys=True).encode("utf-8")).hexdigest()


def _stored_path_parameters(request: Request) -> dict[str, str]:
    return {name: clean_text(text) for name, text in request.path_parameters.items() if name != "token"}


def _attributes(members: Mapping[str, Detail | None]) -> Item:
    return {name: _attribute(value) for name, value in members.items() if value not in (None, "")}


def _attribute(value: Detail | None) -> AttributeValueTypeDef:
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int | Decimal):
        number = Decimal(value)
        if _is_storable(number):
            return {"N": f"{number:f}"}
    return {"S": str(value)}


def _is_storable(number: Decimal) -> bool:
    """Return whether DynamoDB accepts a number. It rejects the whole item if one number is too long or too large."""
    return number.is_finite() and len(number.as_tuple().digits) <= MAX_DIGITS and abs(number.adjusted()) <= MAX_DIGITS


def _delivery(request: Request, answer: Response, received_at: datetime, retention_days: float) -> Item:
    gzipped = _gzipped(request.body)
    compressed = len(gzipped) < len(request.body)
    item: Item = {
        "body": {"B": gzipped if compressed else request.body},
        "body_encoding": {"S": "gzip" if compressed else "identity"},
        "answer": {"S": answer.body},
        "answer_status": {"N": str(answer.status)},
    }
    item |= _attributes({"query": clean_text(request.raw_query), "request_id": clean_text(request.request_id)})
    if retention_days:
        expires_at = received_at + timedelta(days=retention_days)
        item["expires_at"] = {"N": str(int(expires_at.timestamp()))}
    return item


def answer_of(item: Item) -> Response:
    """Return the response stored with an event."""
    return Response(int(item["answer_status"]["N"]), item["answer"]["S"])


def pack_item(item: Item) -> str:
    """Return an item as text: base64 of its gzipped JSON, with bytes as `{"base64": "..."}`."""
    text = json.dumps(item, default=lambda raw: {"base64": base64.b64encode(raw).decode("ascii")})
    return base64.b64encode(gzip.compress(text.encode("utf-8"), mtime=0)).decode("ascii")


def unpack_item(text: str) -> Item:
    """Return the item that `pack_item` packed.

    Raises:
        ValueError: the text is not a packed item.
    """
    try:
        unzip = zlib.decompressobj(zlib.MAX_WBITS | 16)
        unpacked = unzip.decompress(base64.b64decode(text, validate=True), MAX_UNPACKED_BYTES)
        item = json.loads(unpacked, object_hook=_bytes_or_mapping)
        if unzip.eof and all(isinstance(item[name]["S"], str) for name in ("pk", "sk")):
            return item  # type: ignore[no-any-return]
    except (zlib.error, binascii.Error, ValueError, LookupError, TypeError, RecursionError) as error:
        # Their texts may contain packed data, so only the type is shown.
        raise ValueError(f"not a packed item ({type(error).__name__})") from None
    raise ValueError("not a packed item")


def _bytes_or_mapping(mapping: dict[str, object]) -> object:
    encoded = mapping.get("base64")
    return base64.b64decode(encoded, validate=True) if isinstance(encoded, str) and len(mapping) == 1 else mapping
