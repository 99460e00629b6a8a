"""Market clock, calendar and rules."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from tests.webapp.client import HANGUL, Api, data_of, problem_of
from trading.db.transactions import rerun_is_safe
from trading.exchange.corrections import set_day_change
from trading.exchange.hours import DayChange


def at(api: Api, moment: str) -> Api:
    """Set the time in Korea."""
    api.harness.clock.now = datetime.fromisoformat(f"{moment}+09:00").astimezone(UTC)
    return api


def correct(api: Api, change: DayChange) -> None:
    core = api.harness.core
    core.database.transaction(
        lambda session: set_day_change(session, change, now=core.clock()),
        find_committed=rerun_is_safe,
    )


def test_clock_of_an_open_market(krx_api: Api) -> None:
    assert data_of(at(krx_api, "2026-11-20T10:00:00").get("/market/clock")) == {
        "now": "2026-11-20T10:00:00+09:00",
        "hours": "krx",
        "trading_day": "2026-11-20",
        "session": {
            "session": "REGULAR",
            "opens_at": "2026-11-20T09:00:00+09:00",
            "closes_at": "2026-11-20T15:20:00+09:00",
        },
        "market_orders_accepted": True,
        "next_opening": "2026-11-20T10:00:00+09:00",
        "day_end": "2026-11-20T15:30:00+09:00",
        "halted": False,
        "halted_since": None,
    }


@pytest.mark.parametrize(
    ("moment", "session"),
    [("2026-11-20T08:40:00", "OPENING_AUCTION"), ("2026-11-20T15:25:00", "CLOSING_AUCTION")],
)
def test_clock_accepts_market_orders_in_call_auctions(
    krx_api: Api, moment: str, session: str
) -> None:
    clock = data_of(at(krx_api, moment).get("/market/clock"))
    assert (clock["session"]["session"], clock["market_orders_accepted"]) == (session, True)
    assert clock["next_opening"] == clock["now"]


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (
            "2026-11-20T17:00:00",
            ("AFTER_MARKET", "2026-11-20", "2026-11-23T08:30", "2026-11-20T20:00"),
        ),
        ("2026-11-20T21:00:00", (None, "2026-11-23", "2026-11-23T08:30", "2026-11-23T15:30")),
        ("2026-12-31T10:00:00", (None, "2027-01-04", "2027-01-04T09:30", "2027-01-04T15:30")),
    ],
)
def test_clock_while_market_orders_are_refused(
    krx_api: Api, moment: str, expected: tuple[str | None, str, str, str]
) -> None:
    """It names the day of the next trades and its end."""
    clock = data_of(at(krx_api, moment).get("/market/clock"))

    session, trading_day, next_opening, day_end = expected
    assert (clock["session"] or {"session": None})["session"] == session
    assert clock["market_orders_accepted"] is False
    assert clock["trading_day"] == trading_day
    assert clock["next_opening"] == f"{next_opening}:00+09:00"
    assert clock["day_end"] == f"{day_end}:00+09:00"


def test_clock_of_a_market_that_never_closes(sqlite_api: Api) -> None:
    clock = data_of(at(sqlite_api, "2026-11-22T03:00:00").get("/market/clock"))

    assert (clock["hours"], clock["trading_day"], clock["session"]["session"]) == (
        "always",
        "2026-11-22",
        "ALWAYS_OPEN",
    )
    assert clock["market_orders_accepted"] is True
    assert clock["day_end"] == "2026-11-23T00:00:00+09:00"


def test_correction_changes_the_clock(krx_api: Api) -> None:
    """Within half a minute."""
    friday = date(2026, 11, 20)
    assert data_of(krx_api.get("/market/clock"))["market_orders_accepted"]

    correct(krx_api, DayChange(friday, closed=True, delay_minutes=0, note="임시공휴일"))
    krx_api.harness.clock.advance(seconds=30)

    clock = data_of(krx_api.get("/market/clock"))
    assert (clock["market_orders_accepted"], clock["trading_day"]) == (False, "2026-11-23")


def test_calendar_of_this_month(krx_api: Api) -> None:
    """All days in order, with sessions or the reason of the closure."""
    days = data_of(krx_api.get("/market/calendar"))["days"]

    assert [day["date"] for day in days] == [f"2026-11-{n:02}" for n in range(1, 31)]
    assert [day["date"] for day in days if day["late_minutes"]] == ["2026-11-19"]
    assert days[18]["reason"] == "대학수학능력시험일"
    assert days[20] == {
        "date": "2026-11-21",
        "trading_day": False,
        "reason": "주말",
        "corrected": False,
        "late_minutes": 0,
        "sessions": [],
    }
    assert days[19]["trading_day"] is True
    assert days[19]["reason"] is None
    assert [session["session"] for session in days[19]["sessions"]] == [
        "PRE_MARKET",
        "OPENING_AUCTION",
        "REGULAR",
        "CLOSING_AUCTION",
        "AFTER_MARKET",
    ]
    assert days[19]["sessions"][4]["opens_at"] == "2026-11-20T16:00:00+09:00"


def test_this_month_is_that_of_korea(krx_api: Api) -> None:
    days = data_of(at(krx_api, "2026-12-01T01:00:00").get("/market/calendar"))["days"]
    assert days[0]["date"] == "2026-12-01"


@pytest.mark.parametrize(
    ("query", "first", "last", "count"),
    [
        ("from=2026-06-03", "2026-06-03", "2026-06-30", 28),
        ("to=2028-02-29", "2028-02-01", "2028-02-29", 29),
        ("from=2026-06-03&to=2026-06-03", "2026-06-03", "2026-06-03", 1),
        ("from=2026-01-01&to=2027-01-01", "2026-01-01", "2027-01-01", 366),
        ("from=2023-01-01", "2023-01-01", "2023-01-31", 31),
        ("to=2100-12-31", "2100-12-01", "2100-12-31", 31),
    ],
)
def test_calendar_of_any_period(
    krx_api: Api, query: str, first: str, last: str, count: int
) -> None:
    """Both days are included; a missing bound is that of the other's month."""
    days = data_of(krx_api.get(f"/market/calendar?{query}"))["days"]

    assert (days[0]["date"], days[-1]["date"], len(days)) == (first, last, count)
    assert all(
        date.fromisoformat(b["date"]) - date.fromisoformat(a["date"]) == timedelta(days=1)
        for a, b in pairwise(days)
    )


def test_correction_is_marked_in_the_calendar(krx_api: Api) -> None:
    correct(krx_api, DayChange(date(2026, 11, 25), closed=True, delay_minutes=0, note="임시공휴일"))
    correct(
        krx_api, DayChange(date(2026, 11, 28), closed=False, delay_minutes=30, note="토요 개장")
    )

    days = data_of(krx_api.get("/market/calendar"))["days"]

    found = [
        (day["trading_day"], day["reason"], day["late_minutes"]) for day in days if day["corrected"]
    ]
    assert found == [(False, "임시공휴일", 0), (True, "토요 개장", 30)]


def test_rules_of_today(krx_api: Api) -> None:
    """As the product itself applies them."""
    rules = data_of(krx_api.get("/market/rules"))

    assert (rules["date"], rules["trading_day"], rules["commission_ppm"]) == (
        "2026-11-20",
        True,
        150,
    )
    tables = {
        table["kind"]: [tuple(step.values()) for step in table["steps"]]
        for table in rules["tick_tables"]
    }
    assert tables == {
        "STOCK": [
            (1, 1),
            (2_000, 5),
            (5_000, 10),
            (20_000, 50),
            (50_000, 100),
            (200_000, 500),
            (500_000, 1_000),
        ],
        "ETF": [(1, 1), (2_000, 5)],
        "ETN": [(1, 1), (2_000, 5)],
    }
    assert [tuple(limit.values()) for limit in rules["price_limits"]] == [
        ("KOSPI", 30),
        ("KOSDAQ", 30),
        ("KONEX", 15),
    ]
    assert [tuple(limit.values()) for limit in rules["special_price_limits"]] == [
        ("LEVERAGED", 2, 40, 160),
        ("LEVERAGED", 3, 10, 190),
        ("LISTING_DAY", None, 60, 400),
        ("LIQUIDATION", None, None, None),
    ]
    assert [tuple(tax.values()) for tax in rules["sale_taxes"]] == [
        ("KOSPI", "STOCK", 500, 1_500),
        ("KOSPI", "ETF", 0, 0),
        ("KOSPI", "ETN", 0, 0),
        ("KOSDAQ", "STOCK", 2_000, 0),
        ("KONEX", "STOCK", 1_000, 0),
    ]
    assert [session["session"] for session in rules["sessions"]][2] == "REGULAR"


@pytest.mark.parametrize(
    ("day", "kospi_ppm", "kinds", "sessions"),
    [
        ("2023-01-01", 500, [], 0),
        ("2023-02-01", 500, ["STOCK"], 3),
        ("2024-06-03", 300, ["STOCK", "ETF", "ETN"], 3),
        ("2025-06-02", 0, ["STOCK", "ETF", "ETN"], 5),
        ("2026-11-19", 500, ["STOCK", "ETF", "ETN"], 4),
    ],
)
def test_rules_of_another_day(
    krx_api: Api, day: str, kospi_ppm: int, kinds: list[str], sessions: int
) -> None:
    """Tick tables that began later are not shown."""
    rules = data_of(krx_api.get(f"/market/rules?date={day}"))

    assert rules["sale_taxes"][0]["transaction_ppm"] == kospi_ppm
    assert [table["kind"] for table in rules["tick_tables"]] == kinds
    assert len(rules["sessions"]) == sessions


def _sentences(errors: Any) -> list[str]:
    if isinstance(errors, dict):
        return [sentence for value in errors.values() for sentence in _sentences(value)]
    return list(errors)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("calendar?from=yesterday", "from"),
        ("calendar?from=", "from"),
        ("calendar?from=2026-02-30", "from"),
        ("calendar?from=2026-01-01T00:00:00Z", "from"),
        ("calendar?from=2022-12-31", "from"),
        ("calendar?to=2101-01-01", "to"),
        ("calendar?to=0001-01-01", "to"),
        ("calendar?to=9999-12-31", "to"),
        ("calendar?from=2026-01-02&to=2026-01-01", "to"),
        ("calendar?from=2026-01-01&to=2027-01-02", "to"),
        ("calendar?from=2023-01-01&to=2100-12-31", "to"),
        ("calendar?from=%00", "from"),
        ("calendar?from=%ED%A0%80", "from"),
        ("calendar?from=" + "9" * 5_000, "from"),
        ("rules?date=2022-12-31", "date"),
        ("rules?date=2101-01-01", "date"),
        ("rules?date=today", "date"),
        ("rules?date=２０２６-01-01", "date"),
    ],
)
def test_invalid_day_is_refused(krx_api: Api, path: str, field: str) -> None:
    errors = problem_of(krx_api.get(f"/market/{path}"), "validation-failed")["errors"]["query"]

    assert set(errors) == {field}
    assert all(HANGUL.search(sentence) for sentence in _sentences(errors))


@pytest.mark.parametrize("path", ["clock", "calendar", "rules"])
def test_market_routes_are_read_only(krx_api: Api, path: str) -> None:
    problem_of(krx_api.post(f"/market/{path}", json={}), "method-not-allowed")
