"""Secrets are only compared in constant time, as bytes."""

from __future__ import annotations

import ast
import hmac
import json
from typing import Any

import pytest

from tests.console import Console, api_event, basic, cookie_in
from tests.sip_clients import ClientContainer, attempt
from tests.support import ROOT
from tests.webhook_functions import FUNCTIONS, recordings

PACKAGE = ROOT / "layers" / "callhooks" / "callhooks"
VERIFYING = (
    "call_log/session.py",
    "providers/jambonz/plan/call_signature.py",
    "webhooks/credentials.py",
    "providers/url_token.py",
    "providers/bird.py",
    "providers/jambonz/authentication.py",
    "providers/jambonz/client_auth.py",
)
"""Every module that compares credentials."""
SECRET = (
    "password", "secret", "token", "signature", "digest", "mac", "given", "received", "basic", "expected", "ha1",
    "response", "key",
)  # fmt: skip
COOKIE = cookie_in(Console().sign_in())


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, object]]:
    """The compared values; every comparison fails."""
    pairs: list[tuple[object, object]] = []

    def compare(one: object, other: object) -> bool:
        pairs.append((one, other))
        return False

    monkeypatch.setattr(hmac, "compare_digest", compare)
    return pairs


def names_in(node: ast.AST) -> set[str]:
    return {str(getattr(one, "id", getattr(one, "attr", ""))) for one in ast.walk(node)}


@pytest.mark.parametrize("module", VERIFYING)
def test_no_secret_is_compared_by_an_operator(module: str) -> None:
    careless = [
        f"{module}:{node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(ast.parse((PACKAGE / module).read_text("utf-8")))
        if isinstance(node, ast.Compare)
        # These operators stop at the first difference.
        and any(isinstance(operator, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for operator in node.ops)
        and any(word in name.lower() for name in names_in(node) for word in SECRET)
    ]
    assert careless == []


def test_every_module_that_compares_secrets_is_checked() -> None:
    asking = {
        str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if "compare_digest" in path.read_text("utf-8")
    }
    assert asking <= set(VERIFYING)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_only_the_constant_time_comparison_authenticates_a_sender(
    name: str, compared: list[tuple[object, object]]
) -> None:
    function = FUNCTIONS[name]()
    event = function.sign(next(one for one in recordings(name) if one["requestContext"]["http"]["method"] == "POST"))
    assert function.deliver(event).statusCode == 401
    assert function.items == []
    assert compared
    assert all(isinstance(side, bytes) for pair in compared for side in pair)


@pytest.mark.parametrize(
    "request_",
    [
        {"path": "/calls", "headers": {"authorization": basic()}},
        {"path": "/calls", "cookies": (COOKIE,)},
        {
            "path": "/session",
            "method": "POST",
            "body": json.dumps({"username": "console", "password": "correct-horse"}),
            "headers": {"content-type": "application/json"},
        },
    ],
)
def test_only_the_constant_time_comparison_authenticates_a_call_log_user(
    request_: dict[str, Any], compared: list[tuple[object, object]]
) -> None:
    assert Console().answer(api_event(**request_)).statusCode == 401
    assert compared
    assert all(isinstance(side, bytes) for pair in compared for side in pair)


def test_only_the_constant_time_comparison_authenticates_a_sip_client(monkeypatch: pytest.MonkeyPatch) -> None:
    container = ClientContainer()
    genuine = hmac.compare_digest
    pairs: list[tuple[Any, Any]] = []

    def compare(one: Any, other: Any) -> bool:
        pairs.append((one, other))
        # jambonz itself is authenticated.
        return genuine(one, other) and len(pairs) <= 2

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert container.result(attempt()) == {"status": "fail"}
    assert len(pairs) == 3
    assert all(isinstance(side, bytes) for pair in pairs for side in pair)
