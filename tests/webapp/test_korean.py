"""Validation errors are Korean."""

import re
from typing import Any

import pytest

from tests.webapp.client import Api

HANGUL = re.compile(r"[가-힣]")

FAULTS: list[dict[str, Any]] = [
    {},
    {"stock_code": None},
    {"stock_code": 5},
    {"stock_code": "?"},
    {"side": "HOLD"},
    {"order_type": "LIMIT"},
    {"time_in_force": "GTD"},
    {"quantity": "1"},
    {"quantity": 0},
    {"quantity": 10**400},
    {"price": 1},
    {"client_order_id": "x" * 65},
    {"no_such_member": 1},
]


def _sentences(errors: Any) -> list[str]:
    if isinstance(errors, dict):
        return [sentence for value in errors.values() for sentence in _sentences(value)]
    return [
        sentence
        for value in errors
        for sentence in ([value] if isinstance(value, str) else _sentences(value))
    ]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_order_errors_are_korean(api: Api, fault: dict[str, Any]) -> None:
    """Every kind of error that a body can have."""
    body = {"stock_code": "A005930", "side": "BUY", "quantity": 1, **fault} if fault else {}

    answer = api.post("/trading/orders", api.person(), json=body)

    sentences = _sentences(answer.get_json()["errors"])
    assert sentences
    assert all(HANGUL.search(sentence) for sentence in sentences), sentences


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=x",
        "cursor=x",
        "from=yesterday",
        "status=OPEN",
        "open=perhaps",
        "stock_code=1",
    ],
)
def test_query_errors_are_korean(api: Api, query: str) -> None:
    answer = api.get(f"/trading/orders?{query}", api.person())

    assert all(HANGUL.search(sentence) for sentence in _sentences(answer.get_json()["errors"]))
