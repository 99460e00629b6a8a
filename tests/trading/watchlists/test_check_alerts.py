"""Price alerts on real books and a real stream: nothing missed, nothing told twice, nothing from before."""

from datetime import UTC, datetime
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


def told(harness: TradingHarness, user: UUID) -> list[dict[str, Any]]:
    """The data of a user's alert events, in order."""
    return [dict(event.data) for event in events(harness, user) if event.kind is EventKind.ALERT]


def prices_told(harness: TradingHarness, user: UUID) -> list[tuple[str, int, int]]:
    """Kind, bound and price of each of them."""
    return [(one["kind"], one["bound"], one["tick_price"]) for one in told(harness, user)]


@pytest.fixture
def user(harness: TradingHarness) -> UUID:
    """Somebody in a market whose last trade was at 70,000 won."""
    harness.tick(70_000, base=69_000)
    return harness.user()


def test_an_alert_is_told_once_with_the_first_trade_that_met_it(
    harness: TradingHarness, user: UUID
) -> None:
    """Item, stock, bound, and of that trade price, time and place; neither the next trade nor the next look tells it again."""
    item = watch(harness, user, upper=71_000)
    assert check_alerts(harness) == AlertReport(ticks=1)
    harness.tick(70_900)
    met = harness.tick(71_200)
    harness.tick(72_000)

    assert check_alerts(harness).fired == 1

    (data,) = told(harness, user)
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
    assert len(told(harness, user)) == 1
    assert harness.breaches() == []


def test_a_touch_between_two_looks_is_not_missed(harness: TradingHarness, user: UUID) -> None:
    """The price went there and came back: upwards, downwards, and a target between two steps of the grid."""
    watch(harness, user, upper=70_500, lower=69_500, target=70_250)
    for price in (70_200, 70_600, 70_000, 69_400, 70_000):
        harness.tick(price)
    assert check_alerts(harness).fired == 3
    assert sorted(prices_told(harness, user)) == [
        ("lower_price", 69_500, 69_400),
        ("target_price", 70_250, 70_600),
        ("upper_price", 70_500, 70_600),
    ]


@pytest.mark.parametrize(
    ("path", "target"), [((71_000, 72_500), 72_000), ((69_000, 67_500), 68_000)]
)
def test_a_target_is_reached_from_either_side(
    harness: TradingHarness, user: UUID, path: tuple[int, int], target: int
) -> None:
    """From where the price was when it was set, and not before it gets there."""
    watch(harness, user, target=target)
    near, beyond = path
    harness.tick(near)
    assert check_alerts(harness).fired == 0
    harness.tick(beyond)
    assert check_alerts(harness).fired == 1
    assert prices_told(harness, user) == [("target_price", target, beyond)]


def test_older_trades_fire_nothing(harness: TradingHarness, user: UUID) -> None:
    """Neither those that were read before nor those that a look has yet to read: places in the stream decide, not clocks."""
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


def test_a_target_without_a_known_price_waits_for_the_first_trade(harness: TradingHarness) -> None:
    """By its base price that tells the side, and it is kept: opened beyond the target it is met, else when the price comes to it."""
    user = harness.user()
    gapped, waiting = (
        watch(harness, user, target=72_000),
        watch(harness, user, HYNIX, target=300_000),
    )
    assert {
        one["approach"] for item in (gapped, waiting) for one in alerts_of(harness, item).values()
    } == {"UNKNOWN"}
    harness.tick(73_000, base=69_000)
    harness.tick(310_000, HYNIX, base=320_000)

    assert check_alerts(harness).fired == 1

    assert prices_told(harness, user) == [("target_price", 72_000, 73_000)]
    assert alerts_of(harness, waiting)["target_price"]["approach"] == "FROM_ABOVE"
    harness.clock.advance(seconds=10)
    assert check_alerts(harness).fired == 0
    harness.tick(305_000, HYNIX, base=290_000)
    harness.tick(299_500, HYNIX, base=290_000)
    assert check_alerts(harness).fired == 1
    assert prices_told(harness, user)[1:] == [("target_price", 300_000, 299_500)]
    assert harness.breaches() == []


def test_what_has_fired_is_silent_until_it_is_armed_again(
    harness: TradingHarness, user: UUID
) -> None:
    """By rearm or by setting it, from where the price is then; each time it is told once."""
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

    assert prices_told(harness, user)[2:] == [
        ("upper_price", 71_000, 71_500),
        ("target_price", 71_000, 70_900),
        ("target_price", 71_000, 71_100),
    ]
    assert harness.breaches() == []


def test_an_alert_is_not_armed_before_the_trade_that_it_was_fired_by(
    harness: TradingHarness, user: UUID
) -> None:
    """Where it fires between a request's look at the market and its lock, the same trade does not fire it again."""
    item = watch(harness, user, upper=71_000)
    market = market_snapshot(harness.core.quotes, SAMSUNG)
    harness.tick(71_500)
    assert check_alerts(harness).fired == 1
    harness.clock.advance(seconds=1)
    arming = {"item_id": item, "stock_code": SAMSUNG, "market": market, "now": harness.clock()}

    do(harness, lambda session: set_alerts(session, bounds={AlertKind.UPPER: 71_200}, **arming))  # type: ignore[arg-type]

    assert check_alerts(harness).fired == 0
    harness.tick(71_200)
    assert check_alerts(harness).fired == 1


def test_setting_an_armed_bound_again_loses_no_touch(harness: TradingHarness, user: UUID) -> None:
    """A client that sends all of an item back does not arm it anew: what was traded since it was set still counts."""
    item = watch(harness, user, upper=71_000)
    harness.tick(71_500)
    harness.tick(70_000)

    change(harness, user, item, bounds={AlertKind.UPPER: 71_000}, memo="x", rearm=True)
    assert check_alerts(harness).fired == 1

    change(harness, user, item, bounds={AlertKind.UPPER: 71_500})
    assert alerts_of(harness, item)["upper_price"]["fired_at"] is None
    assert check_alerts(harness).fired == 0


def test_a_bound_that_was_moved_or_taken_away_before_the_look_is_not_told(
    harness: TradingHarness, user: UUID
) -> None:
    """What counts is what the user wants when it is looked at."""
    moved, gone, removed = (
        watch(harness, user, code, upper=71_000) for code in (SAMSUNG, HYNIX, "A035420")
    )
    for code in (SAMSUNG, HYNIX, "A035420"):
        harness.tick(71_500, code)
    change(harness, user, moved, bounds={AlertKind.UPPER: 72_000})
    change(harness, user, gone, bounds={AlertKind.UPPER: None})
    unwatch(harness, user, removed)

    assert check_alerts(harness).fired == 0
    assert told(harness, user) == []


def test_a_moved_item_is_still_told(harness: TradingHarness, user: UUID) -> None:
    """Alerts belong to the item, in whatever directory it is."""
    item = watch(harness, user, upper=71_000)
    change(harness, user, item, directory_id=open_second(harness, user))
    harness.tick(71_000)
    assert check_alerts(harness).fired == 1


def test_a_halt_of_trading_does_not_silence_alerts(harness: TradingHarness, user: UUID) -> None:
    """Nothing is filled then, but the market goes on and people want to know."""
    watch(harness, user, upper=71_000)
    halt(harness, user)
    harness.tick(71_000)
    assert check_alerts(harness).fired == 1


def test_after_downtime_everything_is_told_late(harness: TradingHarness, user: UUID) -> None:
    """An hour without a look: the trade that met it then is told, with its own time."""
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
def test_what_the_stream_no_longer_has_fires_nothing(
    harness: TradingHarness, user: UUID, lost: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """That trades were lost is said; a price that is still beyond a bound fires it with its next trade."""
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

    assert prices_told(harness, user) == [("upper_price", 71_000, 71_500)]
    assert "price_alert_gap" in capsys.readouterr().out
    assert not check_alerts(harness).gap


def test_an_alert_that_is_committed_behind_a_look_has_the_trades_of_that_look(
    harness: TradingHarness, user: UUID
) -> None:
    """Its place is of a moment before its COMMIT; a look in between reads on, and the next one reads that moment again."""
    harness.clock.advance(seconds=10)
    check_alerts(harness)
    looked = harness.core.quotes.last_tick_and_end(SAMSUNG)
    harness.tick(71_500)
    harness.tick(70_000)
    assert check_alerts(harness).ticks == 2
    item = watch(harness, user, upper=71_000)
    _, end = looked
    assert end is not None
    place = f"UPDATE price_alerts SET armed_position = {end.packed}"
    do(harness, lambda session: session.connection().exec_driver_sql(place))
    harness.clock.advance(seconds=1)

    assert check_alerts(harness) == AlertReport(ticks=2, fired=1)

    assert alerts_of(harness, item)["upper_price"]["tick_price"] == 71_500
    harness.clock.advance(seconds=2)
    assert [check_alerts(harness).ticks for _ in range(2)] == [2, 0]


def test_what_fired_and_the_cursor_stand_or_fall_together(
    harness: TradingHarness, user: UUID
) -> None:
    """A look that dies before its COMMIT has told nothing and read nothing; the next one does both."""
    watch(harness, user, upper=71_000)
    harness.tick(71_000)

    def look_and_die(uow: UnitOfWork) -> None:
        assert check_price_alerts(uow, harness.core.ticks).fired == 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        harness.core.run(look_and_die)

    assert (told(harness, user), rows(harness, "SELECT * FROM alert_cursors")) == ([], [])
    assert check_alerts(harness).fired == 1
    assert len(told(harness, user)) == 1


def test_two_looks_at_once_tell_once(server_harness: TradingHarness) -> None:
    """Whoever finds the cursor locked goes away, or reads what the other has left."""
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
    assert all(len(told(harness, user)) == 1 for user in users)
    assert harness.breaches() == []


def test_changes_and_looks_at_once_end_in_a_sound_state(server_harness: TradingHarness) -> None:
    """While trades meet the alerts their owners move, re-arm and remove them: each firing is told once, and nothing is told of what was not armed."""
    harness = server_harness
    harness.tick(70_000)
    users = [harness.user() for _ in range(4)]
    items = [
        watch(harness, user, code, upper=71_000, lower=69_000)
        for user in users
        for code in (SAMSUNG, HYNIX)
    ]

    def trade_and_look() -> None:
        for number in range(30):
            harness.tick((71_500, 68_500, 70_000)[number % 3], (SAMSUNG, HYNIX)[number % 2])
            harness.clock.advance(milliseconds=1)
            check_alerts(harness)

    def meddle(user: UUID, mine: list[UUID]) -> None:
        for number in range(15):
            for item in mine:
                change(harness, user, item, rearm=True, memo=f"{number}")
                change(
                    harness,
                    user,
                    item,
                    bounds={AlertKind.UPPER: 71_000 + number, AlertKind.TARGET: 70_500},
                )
        unwatch(harness, user, mine[0])

    meddlers = [
        lambda user=user, mine=items[2 * nth : 2 * nth + 2]: meddle(user, mine)
        for nth, user in enumerate(users)
    ]
    run_together(trade_and_look, *meddlers)
    check_alerts(harness)

    assert harness.breaches() == []
    assert sum(len(told(harness, user)) for user in users) > 4


def test_many_are_fired_in_parts(
    harness: TradingHarness, user: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look ends after some and leaves its cursor; the next ones find the rest, and only then go on."""
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
    assert all(len(told(harness, each)) == 1 for each in others)


def test_a_look_costs_the_same_number_of_statements_whatever_it_finds(
    harness: TradingHarness, user: UUID
) -> None:
    """A hundred alerts on twenty stocks as one on one of them: what is more is in the statements' rows."""
    codes = [row["code"] for row in rows(harness, "SELECT code FROM stocks ORDER BY code LIMIT 20")]

    def cost(people: int, stocks: int) -> int:
        for each in [harness.user() for _ in range(people)]:
            for code in codes[:stocks]:
                watch(harness, each, code, upper=1_000_000)
        for code in codes:
            harness.tick(1_000_000, code)
        with statements_counted(harness.core.database.engine) as sent:
            assert check_alerts(harness).fired == people * stocks
        harness.clock.advance(seconds=10)
        check_alerts(harness)
        return len(sent)

    check_alerts(harness)
    few = cost(1, 1)
    assert cost(5, 20) <= few + 1, "heads of several users take one statement more"
    assert few < 12


def test_no_text_from_the_stream_gets_into_a_statement(harness: TradingHarness, user: UUID) -> None:
    """Codes are written into the statement; an entry whose code is none is no tick, whatever wrote it to the stream."""
    tick = harness.tick(70_000)
    strange = msgspec.structs.replace(
        tick, code="A' OR '1' = '1", position=Position(tick.position.ms + 1, 0)
    )
    harness.core.redis.xadd(
        keys.TICK_STREAM, {keys.TICK_FIELD: strange.to_json()}, id=str(strange.position)
    )
    item = watch(harness, user, upper=69_000)

    assert check_alerts(harness) == AlertReport(ticks=2)

    assert alerts_of(harness, item)["upper_price"]["fired_at"] is None
