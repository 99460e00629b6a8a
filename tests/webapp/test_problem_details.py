"""Korean details of problems, with their facts in the sentence."""

import re

import pytest

from trading.problems import SHARED_PROBLEMS, fill_template, problem_members
from webapp.http.problems import _TABLE

MEMBER_NAME = re.compile(r"[a-z]+_[a-z_]+")


def _detail(code: str, **facts: object) -> str:
    members = problem_members(code, _TABLE[code], instance="/", request_id=None, **facts)
    return str(members["detail"])


@pytest.mark.parametrize(
    ("code", "facts", "detail"),
    [
        (
            "invalid-tick-size",
            {"tick_size": 500, "nearest_prices": [200_000, 200_500]},
            "호가 단위(500원)에 맞지 않는 가격입니다. 200,000원 또는 200,500원으로 주문해 주세요.",
        ),
        (
            "market-closed",
            {"next_open": "2026-11-30T09:00:00+09:00"},
            "지금은 주문할 수 없는 시간입니다. 11월 30일 오전 9시부터 주문할 수 있습니다.",
        ),
        (
            "market-closed",
            {"next_open": "2026-11-30T15:30:00+09:00"},
            "지금은 주문할 수 없는 시간입니다. 11월 30일 오후 3시 30분부터 주문할 수 있습니다.",
        ),
        (
            "rate-limited",
            {"retry_after_s": 12},
            "요청이 너무 많습니다. 12초 후에 다시 시도해 주세요.",
        ),
        (
            "sign-in-locked",
            {"retry_after_s": 841},
            "로그인에 여러 번 실패했습니다. 15분 후에 다시 시도해 주세요.",
        ),
        (
            "validation-failed",
            {"field": "quantity", "limit": 1_000_000},
            "한 번에 1,000,000주까지 주문할 수 있습니다.",
        ),
        ("validation-failed", {"field": "message"}, "입력한 내용을 다시 확인해 주세요."),
        ("rate-limited", {}, "요청이 너무 많습니다. 잠시 후 다시 시도해 주세요."),
    ],
)
def test_detail_contains_the_facts(code: str, facts: dict[str, object], detail: str) -> None:
    assert _detail(code, **facts) == detail


def test_template_without_all_facts_is_not_used() -> None:
    assert fill_template("{limit:won}", {"limit": None}) is None
    assert fill_template("{limit:won}", {}) is None


@pytest.mark.parametrize("code", sorted(_TABLE))
def test_detail_names_no_json_member(code: str) -> None:
    text = _TABLE[code]
    assert not MEMBER_NAME.search(text.detail)
    without_facts = re.sub(r"\{[^}]*\}", "", text.detail_with_facts or "")
    assert not MEMBER_NAME.search(without_facts)
    assert set(SHARED_PROBLEMS) <= set(_TABLE)
