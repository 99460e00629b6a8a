"""Tests of firing price alerts, with a real database and tick stream."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import msgspec
import pytest

from tests.support.statements import statements_counted
from tests.support.trading_harness import HYNIX, SAMSUNG, TradingHarness
from tests.trading.orders.steps import do, events, halt, rows
from tests.trading.threads import run_together
from tests.trading.watchlists.watchlist_factory import (
    alerts_of,
    change,
    check_alerts,
    open_second,
    unwatch,
    watch,
)
from trading.account_events.stream import EventKind
from trading.marketdata.ticks import Position
from trading.orders.validate import market_snapshot
from trading.redis import keys
from trading.unit_of_work import UnitOfWork
from trading.watchlists import check_alerts as checking
from trading.watchlists.alert_rules import AlertKind
from trading.watchlists.alerts import set_alerts
from trading.watchlists.check_alerts import AlertReport, check_price_alerts


def alert_events(harness: TradingHarness, user: UUID) -> list[dict[str, Any]]:
    """Return the data of a user's alert events, in order."""
    return [dict(event.data) for event in events(harness, user) if event.kind is EventKind.ALERT]


def fired_prices(harness: TradingHarness, user: UUID) -> list[tuple[str, int, int]]:
    """Return the kind, bound and price (won) of each alert event of a user."""
    return [(one["kind"], one["bound"], one["tick_price"]) for one in alert_events(harness, user)]


@pytest.fixture
def user(harness: TradingHarness) -> UUID:
    """Return a new user; the last trade of Samsung was at 70,000 won."""
    harness.tick(70_000, base=69_000)
    return harness.user()


def test_alert_fires_once_and_records_the_first_trade_that_met_it(
    harness: TradingHarness, user: UUID
) -> None:
    item = watch(harness, user, upper=71_000)
    assert check_alerts(harness) == AlertReport(ticks=1)
    harness.tick(70_900)
    met = harness.tick(71_200)
    harness.tick(72_000)

    assert check_alerts(harness).fired == 1

    (data,) = alert_events(harness, user)
    assert data == {
        "item_id": str(item),
        "stock_code": SAMSUNG,
        "kind": "upper_price",
        "bound": 71_000,
        "tick_price": 71_200,
        "tick_traded_at": met.traded_at.isoformat(),
        "tick_position": str(met.position),
    }
    alert = alerts_of(harness, item)["upper_price"]
    assert (alert["tick_price"], alert["tick_position"]) == (71_200, met.position.packed)
    harness.tick(73_000)
    assert check_alerts(harness).fired == 0
    assert len(alert_events(harness, user)) == 1
    assert harness.breaches() == []


def test_price_that_returns_between_two_checks_fires_alerts(
    harness: TradingHarness, user: UUID
) -> None:
    """The target of 70,250 won lies between two prices of the grid and is met by crossing it."""
    watch(harness, user, upper=70_500, lower=69_500, target=70_250)
    for price in (70_200, 70_600, 70_000, 69_400, 70_000):
        harness.tick(price)
    assert check_alerts(harness).fired == 3
    assert sorted(fired_prices(harness, user)) == [
        ("lower_price", 69_500, 69_400),
        ("target_price", 70_250, 70_600),
        ("upper_price", 70_500, 70_600),
    ]


@pytest.mark.parametrize(
    ("path", "target"), [((71_000, 72_500), 72_000), ((69_000, 67_500), 68_000)]
)
def test_target_fires_when_reached_from_either_side(
    harness: TradingHarness, user: UUID, path: tuple[int, int], target: int
) -> None:
    watch(harness, user, target=target)
    near, beyond = path
    harness.tick(near)
    assert check_alerts(harness).fired == 0
    harness.tick(beyond)
    assert check_alerts(harness).fired == 1
    assert fired_prices(harness, user) == [("target_price", target, beyond)]


def test_trades_before_arming_fire_nothing(harness: TradingHarness, user: UUID) -> None:
    """Stream positions decide, not clocks, so trades that are still unread are excluded too."""
    harness.tick(72_000)
    harness.tick(68_000)
    harness.tick(70_000)
    item = watch(harness, user, upper=71_000, lower=69_000, target=71_500)
    assert check_alerts(harness) == AlertReport(ticks=4)
    assert check_alerts(harness).fired == 0
    harness.tick(71_000)
    assert check_alerts(harness).fired == 1
    assert [kind for kind, alert in alerts_of(harness, item).items() if alert["fired_at"]] == [
        "upper_price"
    ]


def test_target_armed_without_a_known_price_gets_its_approach_from_the_first_trade(
    harness: TradingHarness,
) -> None:
    """The first trade's base price decides, and the approach is saved.

    A stock that opens beyond its target fires at once; the other one fires when its price reaches
    the target, although later trades have another base price.
    """
    user = harness.user()
    opened_beyond, waiting = (
        watch(harness, user, target=72_000),
        watch(harness, user, HYNIX, target=300_000),
    )
    assert {
        one["approach"]
        for item in (opened_beyond, waiting)
        for one in alerts_of(harness, item).values()
    } == {"UNKNOWN"}
    harness.tick(73_000, base=69_000)
    harness.tick(310_000, HYNIX, base=320_000)

    assert check_alerts(harness).fired == 1

    assert fired_prices(harness, user) == [("target_price", 72_000, 73_000)]
    assert alerts_of(harness, waiting)["target_price"]["approach"] == "FROM_ABOVE"
    harness.clock.advance(seconds=10)
    assert check_alerts(harness).fired == 0
    harness.tick(305_000, HYNIX, base=290_000)
    harness.tick(299_500, HYNIX, base=290_000)
    assert check_alerts(harness).fired == 1
    assert fired_prices(harness, user)[1:] == [("target_price", 300_000, 299_500)]
    assert harness.breaches() == []


def test_fired_alert_fires_again_only_after_rearming(harness: TradingHarness, user: UUID) -> None:
    """Both `rearm` and setting the bound arm it, with the approach by the price at that time."""
    item = watch(harness, user, upper=71_000, target=71_000)
    harness.tick(71_000)
    assert check_alerts(harness).fired == 2
    harness.tick(72_000)
    assert check_alerts(harness).fired == 0

    harness.clock.advance(seconds=1)
    change(harness, user, item, rearm=True)
    assert alerts_of(harness, item)["target_price"]["approach"] == "FROM_ABOVE"
    harness.tick(71_500)
    assert check_alerts(harness).fired == 1
    harness.tick(70_900)
    assert check_alerts(harness).fired == 1
    harness.clock.advance(seconds=1)
    change(harness, user, item, bounds={AlertKind.TARGET: 71_000})
    harness.tick(71_100)
    assert check_alerts(harness).fired == 1

    assert fired_prices(harness, user)[2:] == [
        ("upper_price", 71_000, 71_500),
        ("target_price", 71_000, 70_900),
        ("target_price", 71_000, 71_100),
    ]
    assert harness.breaches() == []


def test_alert_is_never_armed_before_the_trade_that_fired_it(
    harness: TradingHarness, user: UUID
) -> None:
    """The alert fires between a request's market snapshot and its row lock."""
    item = watch(harness, user, upper=71_000)
    market = market_snapshot(harness.core.quotes, SAMSUNG)
    harness.tick(71_500)
    assert check_alerts(harness).fired == 1
    harness.clock.advance(seconds=1)
    arm = partial(
        set_alerts,
        item_id=item,
        stock_code=SAMSUNG,
        bounds={AlertKind.UPPER: 71_200},
        market=market,
        now=harness.clock(),
    )

    do(harness, arm)

    assert check_alerts(harness).fired == 0
    harness.tick(71_200)
    assert check_alerts(harness).fired == 1


def test_setting_an_armed_bound_to_the_same_price_misses_no_trade(
    harness: TradingHarness, user: UUID
) -> None:
    """Sending back the whole item does not re-arm it: trades since arming still count."""
    item = watch(harness, user, upper=71_000)
    harness.tick(71_500)
    harness.tick(70_000)

    change(harness, user, item, bounds={AlertKind.UPPER: 71_000}, memo="x", rearm=True)
    assert check_alerts(harness).fired == 1

    change(harness, user, item, bounds={AlertKind.UPPER: 71_500})
    assert alerts_of(harness, item)["upper_price"]["fired_at"] is None
    assert check_alerts(harness).fired == 0


def test_alert_changed_or_removed_before_the_check_does_not_fire(
    harness: TradingHarness, user: UUID
) -> None:
    moved, cleared, removed = (
        watch(harness, user, code, upper=71_000) for code in (SAMSUNG, HYNIX, "A035420")
    )
    for code in (SAMSUNG, HYNIX, "A035420"):
        harness.tick(71_500, code)
    change(harness, user, moved, bounds={AlertKind.UPPER: 72_000})
    change(harness, user, cleared, bounds={AlertKind.UPPER: None})
    unwatch(harness, user, removed)

    assert check_alerts(harness).fired == 0
    assert alert_events(harness, user) == []


def test_alert_fires_after_its_item_moves_to_another_directory(
    harness: TradingHarness, user: UUID
) -> None:
    item = watch(harness, user, upper=71_000)
    change(harness, user, item, directory_id=open_second(harness, user))
    harness.tick(71_000)
    assert check_alerts(harness).fired == 1


def test_alerts_fire_during_a_trading_halt(harness: TradingHarness, user: UUID) -> None:
    watch(harness, user, upper=71_000)
    halt(harness, user)
    harness.tick(71_000)
    assert check_alerts(harness).fired == 1


def test_alerts_met_during_downtime_fire_late_with_the_time_of_their_trade(
    harness: TradingHarness, user: UUID
) -> None:
    watch(harness, user, upper=71_000)
    check_alerts(harness)
    met = harness.tick(71_000)
    harness.clock.advance(hours=1)
    harness.tick(70_000)
    check_alerts(harness)
    (event,) = (event for event in events(harness, user) if event.kind is EventKind.ALERT)
    assert (
        event.data["tick_traded_at"]
        == met.traded_at.isoformat()
        == datetime(2026, 11, 20, 1, tzinfo=UTC).isoformat()
    )
    assert event.occurred_at == harness.clock()


@pytest.mark.parametrize("lost", ["trimmed", "deleted"])
def test_trades_lost_from_the_stream_fire_nothing(
    harness: TradingHarness, user: UUID, lost: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The gap is logged. A price that is still beyond a bound fires the alert by its next trade."""
    watch(harness, user, upper=71_000, lower=69_000)
    harness.clock.advance(seconds=10)
    check_alerts(harness)
    harness.tick(68_000)
    harness.clock.advance(seconds=10)
    if lost == "deleted":
        harness.core.redis.delete(keys.TICK_STREAM)
        assert check_alerts(harness) == AlertReport()
    harness.tick(71_500)
    harness.core.redis.xtrim(keys.TICK_STREAM, maxlen=1, approximate=False)

    assert check_alerts(harness) == AlertReport(ticks=1, fired=1, gap=True)

    assert fired_prices(harness, user) == [("upper_price", 71_000, 71_500)]
    assert "price_alert_gap" in capsys.readouterr().out
    assert not check_alerts(harness).gap


def test_alert_committed_after_a_check_is_compared_with_the_trades_of_that_check(
    harness: TradingHarness, user: UUID
) -> None:
    """The armed position is older than the COMMIT, and a check in between reads past it.

    The next check therefore reads the trades of the last two seconds again.
    """
    harness.clock.advance(seconds=10)
    check_alerts(harness)
    end = harness.core.quotes.market_now(SAMSUNG).end
    assert end is not None
    harness.tick(71_500)
    harness.tick(70_000)
    assert check_alerts(harness).ticks == 2
    item = watch(harness, user, upper=71_000)
    statement = f"UPDATE price_alerts SET armed_position = {end.packed}"
    do(harness, lambda session: session.connection().exec_driver_sql(statement))
    harness.clock.advance(seconds=1)

    assert check_alerts(harness) == AlertReport(ticks=2, fired=1)

    assert alerts_of(harness, item)["upper_price"]["tick_price"] == 71_500
    harness.clock.advance(seconds=2)
    assert [check_alerts(harness).ticks for _ in range(2)] == [2, 0]


def test_fired_alerts_and_cursor_are_committed_together(
    harness: TradingHarness, user: UUID
) -> None:
    """A check that is killed before its COMMIT changes nothing; the next one fires the alert."""
    watch(harness, user, upper=71_000)
    harness.tick(71_000)

    def check_and_crash(uow: UnitOfWork) -> None:
        assert check_price_alerts(uow, harness.core.ticks, freshness_ms=10_000).fired == 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        harness.core.run(check_and_crash)

    assert (alert_events(harness, user), rows(harness, "SELECT * FROM alert_cursors")) == ([], [])
    assert check_alerts(harness).fired == 1
    assert len(alert_events(harness, user)) == 1


def test_concurrent_checks_fire_each_alert_once(server_harness: TradingHarness) -> None:
    """A check that finds the cursor locked ends at once or reads what the other one left."""
    harness = server_harness
    harness.tick(70_000)
    users = [harness.user() for _ in range(20)]
    for user in users:
        watch(harness, user, upper=71_000, lower=60_000)
    check_alerts(harness)
    for price in (71_000, 72_000):
        harness.tick(price)
        fired = [report.fired for report in run_together(*[lambda: check_alerts(harness)] * 3)]
        assert sum(fired) == (20 if price == 71_000 else 0)
    assert all(len(alert_events(harness, user)) == 1 for user in users)
    assert harness.breaches() == []


def test_concurrent_changes_and_checks_keep_the_invariants(server_harness: TradingHarness) -> None:
    """Users move, re-arm and remove alerts while trades meet them.

    The audit verifies that each firing has one event and that no disarmed alert has fired.
    """
    harness = server_harness
    harness.tick(70_000)
    users = [harness.user() for _ in range(4)]
    items = [
        watch(harness, user, code, upper=71_000, lower=69_000)
        for user in users
        for code in (SAMSUNG, HYNIX)
    ]

    def trade_and_check() -> None:
        for number in range(30):
            harness.tick((71_500, 68_500, 70_000)[number % 3], (SAMSUNG, HYNIX)[number % 2])
            harness.clock.advance(milliseconds=1)
            check_alerts(harness)

    def change_alerts(user: UUID, own_items: list[UUID]) -> None:
        for number in range(15):
            for item in own_items:
                change(harness, user, item, rearm=True, memo=f"{number}")
                change(
                    harness,
                    user,
                    item,
                    bounds={AlertKind.UPPER: 71_000 + number, AlertKind.TARGET: 70_500},
                )
        unwatch(harness, user, own_items[0])

    owners = [
        lambda user=user, own_items=items[2 * nth : 2 * nth + 2]: change_alerts(user, own_items)
        for nth, user in enumerate(users)
    ]
    run_together(trade_and_check, *owners)
    check_alerts(harness)

    assert harness.breaches() == []
    assert sum(len(alert_events(harness, user)) for user in users) > 4


def test_checks_fire_many_alerts_in_several_transactions(
    harness: TradingHarness, user: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check at its limit leaves the cursor; the next ones fire the rest before it moves."""
    monkeypatch.setattr(checking, "FIRED_MAX", 3)
    monkeypatch.setattr(checking, "_IDS_PER_STATEMENT", 2)
    others = [harness.user() for _ in range(9)]
    for each in others:
        watch(harness, each, upper=71_000)
    harness.clock.advance(seconds=10)
    harness.tick(71_000)

    reports = [check_alerts(harness) for _ in range(4)]

    assert [(report.fired, report.more) for report in reports] == [
        (4, True),
        (4, True),
        (1, False),
        (0, False),
    ]
    assert all(len(alert_events(harness, each)) == 1 for each in others)


def test_number_of_statements_does_not_grow_with_alerts_and_stocks(
    harness: TradingHarness, user: UUID
) -> None:
    codes = [row["code"] for row in rows(harness, "SELECT code FROM stocks ORDER BY code LIMIT 20")]

    def cost(users: int, stocks: int) -> int:
        for each in [harness.user() for _ in range(users)]:
            for code in codes[:stocks]:
                watch(harness, each, code, upper=1_000_000)
        for code in codes:
            harness.tick(1_000_000, code)
        with statements_counted(harness.core.database.engine) as statements:
            assert check_alerts(harness).fired == users * stocks
        harness.clock.advance(seconds=10)
        check_alerts(harness)
        return len(statements)

    check_alerts(harness)
    few = cost(1, 1)
    assert cost(5, 20) <= few + 1, "the event heads of several users take one more statement"
    assert few < 12


def test_text_from_the_stream_never_becomes_part_of_a_statement(
    harness: TradingHarness, user: UUID
) -> None:
    """Codes are written into the SQL text, so an entry without a valid product code is ignored."""
    tick = harness.tick(70_000)
    malformed = msgspec.structs.replace(
        tick, code="A' OR '1' = '1", position=Position(tick.position.ms + 1, 0)
    )
    harness.core.redis.xadd(
        keys.TICK_STREAM, {keys.TICK_FIELD: malformed.to_json()}, id=str(malformed.position)
    )
    item = watch(harness, user, upper=69_000)

    assert check_alerts(harness) == AlertReport(ticks=2)

    assert alerts_of(harness, item)["upper_price"]["fired_at"] is None


@pytest.mark.parametrize(
    ("traded_before", "received_before", "fires"),
    [
        (timedelta(minutes=5), timedelta(0), False),  # Traded 11:00, armed 11:02, received 11:05.
        (timedelta(days=2), timedelta(0), False),
        (timedelta(minutes=3, seconds=1), timedelta(minutes=3), False),
        (timedelta(minutes=2), timedelta(minutes=2), True),
        (timedelta(seconds=15), timedelta(0), True),
        (timedelta(seconds=16), timedelta(0), False),
        (timedelta(0), timedelta(0), True),
    ],
)
def test_alert_fires_only_by_a_timely_trade_after_the_arming(
    harness: TradingHarness,
    user: UUID,
    traded_before: timedelta,
    received_before: timedelta,
    fires: bool,
) -> None:
    item = watch(harness, user, lower=69_000)
    harness.clock.advance(seconds=180)
    tick, now = harness.tick(68_000), harness.clock()
    late = msgspec.structs.replace(
        tick, traded_at=now - traded_before, received_at=now - received_before
    )
    harness.core.redis.delete(keys.TICK_STREAM)
    harness.core.redis.xadd(
        keys.TICK_STREAM, {keys.TICK_FIELD: late.to_json()}, id=str(late.position)
    )

    assert check_alerts(harness).fired == fires
    assert (alerts_of(harness, item)["lower_price"]["fired_at"] is not None) is fires
