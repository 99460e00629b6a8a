"""Rate limits in the OpenAPI document: budget, response headers and the 429 response."""

import re
from collections.abc import Mapping
from typing import Any

from trading.problems import MIMETYPE, SHARED_PROBLEMS, problem_members
from webapp.context import PREFIX
from webapp.http.rate_limit_policies import budget_of
from webapp.http.rate_limits import LIMIT_HEADER, REMAINING_HEADER, RESET_HEADER

_PATH_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
_COUNT = {"type": "integer", "minimum": 0}

_HEADERS: Mapping[str, Any] = {
    LIMIT_HEADER: {"description": "허용되는 요청 수", "schema": _COUNT, "example": 200},
    REMAINING_HEADER: {"description": "남은 요청 수", "schema": _COUNT, "example": 199},
    RESET_HEADER: {
        "description": "한도가 초기화되는 시각 (Unix 초)",
        "schema": _COUNT,
        "example": 1_795_136_402,
    },
    "Retry-After": {
        "description": "다시 시도하기까지 기다릴 시간 (초)",
        "schema": _COUNT,
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
    """Document the rate limit of every operation. `rules` maps paths in the document to URL rules.

    The headers are optional: they are not sent while requests cannot be counted.
    """
    components = document["components"]
    components.setdefault("headers", {}).update(_HEADERS)
    references = {name: {"$ref": f"#/components/headers/{name}"} for name in _HEADERS}
    components["responses"]["TOO_MANY_REQUESTS"] = {
        "description": "rate-limited: 요청 한도 초과. Retry-After를 확인해 주세요.",
        "headers": references,
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
            for status, response in operation["responses"].items():
                if status.startswith("2") and "$ref" not in response:
                    response["headers"] = {
                        name: references[name] for name in references if name != "Retry-After"
                    }
            operation["responses"].setdefault(
                "429", {"$ref": "#/components/responses/TOO_MANY_REQUESTS"}
            )
            if "$ref" not in operation["responses"]["429"]:
                operation["responses"]["429"]["headers"] = references


def documented_path(rule: str) -> str:
    """Return a URL rule as an OpenAPI path."""
    return _PATH_PARAMETER.sub(r"{\1}", rule)
