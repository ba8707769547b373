"""Search and redaction of a number in encoded texts and bytes."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from typing import Any
from urllib.parse import quote

import pytest
from callhooks_tools.recovery.encoded_text import (
    MARK,
    MAX_DECODED_BYTES,
    MAX_LAYERS,
    NumberPattern,
    contains_number,
    redact,
)
from callhooks_tools.recovery.forget import Person
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import in_bounded_time

NUMBER = "+14155550123"
OTHER = "+14155550124"
PATTERN = Person.of(NUMBER).pattern
assert PATTERN is not None
NUMBER_PATTERN: NumberPattern = PATTERN


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def texts(number: str) -> dict[str, str]:
    """Return texts that contain a number in different encodings."""
    document = json.dumps({"from": number, "note": "called ~~~ at noon"})
    plain = document.encode()
    return {
        "plain": document,
        "a number": json.dumps({"from": int(number)}),
        "JSON in JSON in JSON": json.dumps({"a": json.dumps([json.dumps({"b": f"at\n{number}"})])}),
        "escapes of JSON": '{"from": "' + "".join(f"\\u{ord(char):04x}" for char in number) + '"}',
        "escapes of a URL": f"https://example.com/?from={quote(number)}&to=1",
        "every sign escaped": "from=" + "".join(f"%{ord(char):02X}" for char in number),
        "escaped twice": quote(quote(f"{number[:5]} {number[5:]}", safe=""), safe=""),
        "a space that is two bytes": quote(f"{number[:5]}\u00a0{number[5:]}"),
        "entities": "".join(f"&#{ord(char)};" for char in number),
        "hexadecimal entities": f"&#x2B;{number[1:5]}&nbsp;{number[5:]}",
        "wide digits": number.translate({ord(digit): ord(digit) - ord("0") + 0xFF10 for digit in "0123456789"}),
        "Arabic digits": number.translate({ord(digit): ord(digit) - ord("0") + 0x660 for digit in "0123456789"}),
        "base64": b64(plain),
        "base64 of the number": b64(number.encode()),
        "base64 for URLs": base64.urlsafe_b64encode(b"\xfb\xff" + plain).decode().rstrip("="),
        "base64 in lines": base64.encodebytes(plain * 3).decode(),
        "base64 in indented lines": base64.encodebytes(plain * 3).decode().replace("\n", "\r\n\t"),
        "base64 in a member": json.dumps({"data": b64(plain)}),
        "base64 with its slashes escaped": json.dumps({"data": b64(b"\xff\xff\xff" + plain)}).replace("/", "\\/"),
        "base64 in a data URL": f"data:application/json;base64,{b64(plain)}",
        "base64 in a path": f"https://example.com/media/{b64(number.encode())}/1",
        "base64 in a query": f"payload={quote(b64(plain))}&v=1",
        "base64 in a token": f"{b64(b'{}')}.{b64(plain)}.{b64(b'signature')}",
        "base64 of base64": b64(b64(plain).encode()),
        "base64 of gzip": b64(gzip.compress(plain)),
        "base64 of zlib": b64(zlib.compress(plain)),
        "base64 of deflate": b64(deflated(plain)),
        "base64 of UTF-16": b64(document.encode("utf-16")),
        "base64 of gzip of base64 in JSON": json.dumps({"a": [b64(gzip.compress(b64(plain).encode()))]}),
    }


def data(number: str) -> dict[str, bytes]:
    """Return bytes that contain a number in different encodings."""
    document = json.dumps({"from": number, "note": "called at noon"})
    plain = document.encode()
    return {
        "gzip": gzip.compress(plain),
        "gzip twice": gzip.compress(gzip.compress(plain)),
        "two members of gzip": gzip.compress(b"{}") + gzip.compress(plain),
        "gzip that is cut off": gzip.compress(plain * 50)[:-9],
        "gzip in a form": b"--x\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(plain) + b"\r\n--x--",
        "zlib": zlib.compress(plain),
        "deflate": deflated(plain),
        "base64 of gzip": base64.b64encode(gzip.compress(plain)),
        "gzip of base64": gzip.compress(base64.b64encode(plain)),
        "UTF-16": document.encode("utf-16"),
        "UTF-16 without a mark": document.encode("utf-16-be"),
        "UTF-16 with a wide dash": f"{number[:5]}\u2011{number[5:]}".encode("utf-16"),
        "UTF-32": document.encode("utf-32"),
        "latin-1": f"Zo\u00eb {number[:5]}\u00a0{number[5:]}".encode("latin-1"),
    }


class TestANumberIsFound:
    @pytest.mark.parametrize("way", texts(NUMBER))
    def test_in_a_text(self, way: str) -> None:
        for number, held in ((NUMBER, True), (OTHER, False)):
            text = texts(number)[way]
            assert contains_number(NUMBER_PATTERN, text) is held
            assert contains_number(NUMBER_PATTERN, text.encode()) is held

    @pytest.mark.parametrize("way", data(NUMBER))
    def test_in_bytes(self, way: str) -> None:
        assert contains_number(NUMBER_PATTERN, data(NUMBER)[way])
        assert not contains_number(NUMBER_PATTERN, data(OTHER)[way])

    @pytest.mark.parametrize(
        "hostile",
        [
            gzip.compress(b"\\" * 2_000_000),
            gzip.compress(b"1(0)(0)(0)(0)" * 600_000),
            gzip.compress(b"QUFBQUFBQUFB\n" * 600_000),
            b"%" + b"25" * 200_000,
            *(sign * 100_000 for sign in (b"\\", b"&amp;", b"QUFB", b"1 ", b"\x1f\x8b\x08\x08")),
        ],
        ids=lambda _: "",
    )
    def test_in_bounded_time(self, hostile: bytes) -> None:
        with in_bounded_time():
            assert not contains_number(NUMBER_PATTERN, hostile)
            assert contains_number(NUMBER_PATTERN, hostile, NUMBER)

    @pytest.mark.parametrize(
        ("text", "held"),
        [
            (gzip.compress(b" " * (MAX_DECODED_BYTES - 100_000) + NUMBER.encode()), True),
            (gzip.compress(b" " * MAX_DECODED_BYTES + NUMBER.encode()), False),
            (f"{'A' * (MAX_DECODED_BYTES // 2)} {b64(NUMBER.encode())}".encode(), True),
            (f"{'A' * (MAX_DECODED_BYTES * 2 // 3)} {b64(NUMBER.encode())}".encode(), False),
        ],
        ids=["gzip within", "gzip beyond", "base64 within", "base64 beyond"],
    )
    def test_within_the_limit_of_decoded_bytes(self, text: bytes, held: bool) -> None:
        assert contains_number(NUMBER_PATTERN, gzip.compress(text)) is held

    @pytest.mark.parametrize(("layers", "held"), [(MAX_LAYERS, True), (MAX_LAYERS + 1, False)])
    def test_within_the_limit_of_layers(self, layers: int, held: bool) -> None:
        data = NUMBER.encode()
        for _ in range(layers):
            data = zlib.compress(data)
        assert contains_number(NUMBER_PATTERN, data) is held


class TestRedaction:
    @pytest.mark.parametrize("way", texts(NUMBER))
    def test_leaves_no_number_and_json_as_json(self, way: str) -> None:
        for text in (texts(NUMBER)[way], json.dumps([{"verb": "say", "text": texts(NUMBER)[way]}])):
            redacted = redact(NUMBER_PATTERN, text)
            assert MARK in redacted
            assert not contains_number(NUMBER_PATTERN, redacted)
            assert redact(NUMBER_PATTERN, redacted) == redacted
            assert len(redacted.encode()) <= len(text.encode())
            if text[0] in "[{":
                json.loads(redacted)

    @pytest.mark.parametrize("way", texts(OTHER))
    def test_changes_nothing_without_the_number(self, way: str) -> None:
        assert redact(NUMBER_PATTERN, texts(OTHER)[way]) == texts(OTHER)[way]

    @pytest.mark.parametrize(
        ("answer", "redacted"),
        [
            ('[ {"verb":"dial","target":[{"type":"phone","number":"+14155550123"}], "caf\u00e9": "\\u00e9"} ]',
             '[ {"verb":"dial","target":[{"type":"phone","number":"***"}], "caf\u00e9": "\\u00e9"} ]'),
            ('{"n": 14155550123, "m": -14155550123.0, "k": 1}', '{"n": "***", "m": "***", "k": 1}'),
            ('{"+14155550123": true}', '{"***": true}'),
            ('{"result":"{\\"phone\\": 14155550123, \\"name\\": \\"Zo\u00eb\\"}"}',
             '{"result":"{\\"phone\\": \\"***\\", \\"name\\": \\"Zo\u00eb\\"}"}'),
            ('{"text": "Call 1-415-555-0123, or 001 415 555 0123!"}', '{"text": "Call ***, or ***!"}'),
            ('{"text": "\\ud83d +14155550123 \\ud83d\\ude00 \u00e9"}', '{"text": "\\ud83d *** \U0001f600 \u00e9"}'),
            ('[{"actionHook":"/x?to=%2B14155550123&n=a%20b"},{"text":"14155550123x7"}]',
             '[{"actionHook":"/x?to=***&n=a%20b"},{"text":"***x7"}]'),
            ('{"text": "tel:\\u002b14155550123;x"}', '{"text": "tel:***;x"}'),
            ("Call &#43;1&nbsp;4155550123, &amp; so on", "Call ***, &amp; so on"),
            (f'{{"data": "see {b64(NUMBER.encode())} there"}}', '{"data": "see *** there"}'),
            (f'{{"n": 14155550123, "long": {"1" * 5000}}}', f'{{"n": "***", "long": {"1" * 5000}}}'),
            ("14155550123", '"***"'),
            ('"14155550123"', '"***"'),
        ],
    )  # fmt: skip
    def test_changes_nothing_else(self, answer: str, redacted: str) -> None:
        assert redact(NUMBER_PATTERN, answer) == redacted

    @given(
        document=st.recursive(
            st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from([NUMBER, int(NUMBER)]),
            lambda some: (
                st.lists(some, max_size=3)
                | st.dictionaries(st.text(max_size=5), some, max_size=3)
                | some.map(json.dumps)
                | some.map(lambda one: b64(json.dumps(one).encode()))
            ),
            max_leaves=8,
        ),
        ascii_only=st.booleans(),
    )
    def test_keeps_the_shape_of_any_json(self, document: Any, ascii_only: bool) -> None:
        answer = json.dumps([document], ensure_ascii=ascii_only)
        redacted = redact(NUMBER_PATTERN, answer)
        assert not contains_number(NUMBER_PATTERN, redacted)
        assert same_but_for_marks([document], json.loads(redacted))


def same_but_for_marks(document: object, redacted: object) -> bool:
    """Return whether two documents differ only in strings and numbers that were redacted."""
    if isinstance(document, dict) and isinstance(redacted, dict):
        return document.keys() == redacted.keys() and all(
            same_but_for_marks(member, redacted[name]) for name, member in document.items()
        )
    if isinstance(document, list) and isinstance(redacted, list):
        return len(document) == len(redacted) and all(map(same_but_for_marks, document, redacted))
    return document == redacted or (isinstance(redacted, str) and MARK in redacted)
