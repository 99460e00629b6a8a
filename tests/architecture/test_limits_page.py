"""docs/operations/limits.md compared with the code."""

import re

import pytest

from launcher.plan import ROOT
from push_gateway import connection_limits
from tests.front_door.test_headers import HEADERS
from trading.accounts import login_guard
from trading.config.settings import Settings
from trading.redis import guarded_client
from webapp import REQUEST_BYTES_MAX
from webapp.http import cross_origin, json_parsing, rate_limit_policies, rate_limits

PAGE = (ROOT / "docs" / "operations" / "limits.md").read_text(encoding="utf-8")
BUDGETS = [
    one for one in vars(rate_limit_policies).values() if isinstance(one, rate_limit_policies.Budget)
]


@pytest.mark.parametrize("budget", BUDGETS, ids=lambda budget: budget.name)
def test_every_budget_has_its_row(budget: rate_limit_policies.Budget) -> None:
    default = Settings.model_fields[budget.setting].default
    (row,) = re.findall(
        rf"^\| `{budget.name}` \| (\w+) \| ([^|]+) \| .* \| (\w+) \|$", PAGE, re.MULTILINE
    )

    assert row == (budget.whose, default, "refused" if budget.must_count else "allowed")


def test_page_lists_no_unknown_budget() -> None:
    """Exempt routes are listed, too."""
    table = PAGE.partition("## How often")[2].partition("A route that is new")[0]

    assert len(re.findall(r"^\| `", table, re.MULTILINE)) == len(BUDGETS)
    assert all(f"`{path}`" in PAGE for path in rate_limit_policies.EXEMPT)
    assert all(f"{header}:" in PAGE for header in rate_limits.HEADERS)


def test_figures_equal_the_constants() -> None:
    """Sizes, times and counts that are constants, not settings."""
    defaults = {name: field.default for name, field in Settings.model_fields.items()}

    assert REQUEST_BYTES_MAX == 64 * 1024
    assert f"| JSON nested in JSON | {json_parsing.DEPTH_MAX} levels |" in PAGE
    assert guarded_client.OPEN_S == 2
    assert "nobody does for two seconds" in PAGE
    assert (defaults["sign_in_failures_max"], login_guard.EVERYWHERE_FACTOR) == (5, 4)
    assert (defaults["sign_in_lock_s"], defaults["sign_in_lock_max_s"]) == (60, 900)
    assert (login_guard.FAILURES_REMEMBERED_S, login_guard.CLIENT_REMEMBERED_S) == (
        86_400,
        30 * 86_400,
    )
    assert (
        "that wait for a sign-in, and each of them"
        f" | {connection_limits.UNAUTHENTICATED_PER_CLIENT_MAX}, 5 s |" in PAGE
    )
    front_door = (ROOT / "deploy/Caddyfile").read_text()
    for line, row in (
        ("read_header 10s", "| a request's head | 10 s |"),
        ("read_body 10s", "| a request, head and body | 10 s | 408 `request-too-slow` |"),
        ("max_header_size 32KiB", "| the head | 32 KiB |"),
        ("max_size 64KiB", "| the body, with a length or in chunks | 64 KiB |"),
        ("idle 75s", "| an idle connection | 75 s |"),
        ("response_buffers 2MiB", "| an answer that its client takes slowly | 2 MiB |"),
        ("response_header_timeout 30s", "| the API's answer | 30 s | 504 `gateway-timeout` |"),
    ):
        assert line in front_door
        assert row in PAGE


def test_page_lists_every_header() -> None:
    """Headers for browsers, and those that pages of other origins may read."""
    for name in HEADERS.keys() - {"Server", "Via"}:
        assert f"`{name}`" in PAGE
    assert f"`{HEADERS['Content-Security-Policy']}`" in PAGE
    for name in cross_origin.ANSWER_HEADERS:
        assert f"`{name}`" in PAGE or name in rate_limits.HEADERS
