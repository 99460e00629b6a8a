"""The limits of requests in the OpenAPI document: which budget an operation is counted in, what its answers tell of it, and the refusal."""

import re
from collections.abc import Mapping
from typing import Any

from trading.problems import MIMETYPE, SHARED_PROBLEMS, problem_members
from webapp.context import PREFIX
from webapp.http.rate_limit_policies import budget_of
from webapp.http.rate_limits import LIMIT_HEADER, REMAINING_HEADER, RESET_HEADER

_PATH_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
_WHOLE = {"type": "integer", "minimum": 0}

_HEADERS: Mapping[str, Any] = {
    LIMIT_HEADER: {"description": "허용되는 요청 수", "schema": _WHOLE, "example": 200},
    REMAINING_HEADER: {"description": "남은 요청 수", "schema": _WHOLE, "example": 199},
    RESET_HEADER: {
        "description": "한도가 초기화되는 시각 (Unix 초)",
        "schema": _WHOLE,
        "example": 1_795_136_402,
    },
    "Retry-After": {
        "description": "다시 시도하기까지 기다릴 시간 (초)",
        "schema": _WHOLE,
        "example": 1,
    },
}

_EXAMPLE = problem_members(
    "rate-limited",
    SHARED_PROBLEMS["rate-limited"],
    instance=f"{PREFIX}/trading/orders",
    request_id="01a20503427f77fabab6c93973e5cbb0",
    limit=10,
    window_s=1,
    retry_after_s=1,
)


def add_limits(document: dict[str, Any], rules: Mapping[str, str]) -> None:
    """Say of every operation how it is limited. ``rules`` are the rules of the routes by their paths in the document.

    The headers are not sent while requests can't be counted, so none of them is promised.
    """
    components = document["components"]
    components.setdefault("headers", {}).update(_HEADERS)
    told = {name: {"$ref": f"#/components/headers/{name}"} for name in _HEADERS}
    components["responses"]["TOO_MANY_REQUESTS"] = {
        "description": "rate-limited: 요청 한도 초과. Retry-After를 확인해 주세요.",
        "headers": told,
        "content": {
            MIMETYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": _EXAMPLE}
        },
    }
    for path, item in document["paths"].items():
        for method, operation in item.items():
            budget = None if method == "parameters" else budget_of(method.upper(), rules[path])
            if budget is None:
                continue
            operation["x-rate-limit"] = {
                "budget": budget.name,
                "setting": budget.setting.upper(),
                "per": budget.whose,
            }
            for status, answer in operation["responses"].items():
                if status.startswith("2") and "$ref" not in answer:
                    answer["headers"] = {name: told[name] for name in told if name != "Retry-After"}
            operation["responses"].setdefault(
                "429", {"$ref": "#/components/responses/TOO_MANY_REQUESTS"}
            )
            if "$ref" not in operation["responses"]["429"]:
                operation["responses"]["429"]["headers"] = told


def documented_path(rule: str) -> str:
    """A route's rule as the document writes its path."""
    return _PATH_PARAMETER.sub(r"{\1}", rule)
