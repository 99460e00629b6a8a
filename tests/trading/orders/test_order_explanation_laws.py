"""Properties of explanations: at least one reason, and distances counted on the grid."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support.trading_harness import SAMSUNG, settings_for
from trading.db.ids import new_id
from trading.exchange.hours import AlwaysOpen
from trading.exchange.order_types import OrderType, Side, TimeInForce
from trading.exchange.price_grid import StockKind, is_on_grid
from trading.halts.records import HaltRecord
from trading.marketdata.ticks import Position, Tick
from trading.orders.explain import OrderFacts, WaitingReason, explain_waiting
from trading.orders.records import OrderRecord


def _facts(side: Side, limit: int | None, kind: StockKind = "STOCK", **changed: Any) -> OrderFacts:
    now = datetime(2026, 11, 20, 1, tzinfo=UTC)
    order = OrderRecord(
        id=new_id(),
        client_order_id=None,
        stock_code=SAMSUNG,
        stock_name="삼성전자",
        side=side,
        order_type=OrderType.MARKET if limit is None else OrderType.LIMIT,
        time_in_force=TimeInForce.DAY,
        quantity=1,
        price=limit,
        status="PENDING",
        reason=None,
        executed_quantity=0,
        reserved_cash=0,
        accepted_at=now,
        expires_at=None,
        finished_at=None,
    )
    known: dict[str, Any] = {
        "market": "KOSPI",
        "kind": kind,
        "stock_status": "TRADABLE",
        "stock_resumed_at": None,
        "accepted_position": 0,
        "book_price": limit,
        "next_attempt_at": None,
        "awaiting_first_print": False,
        "has_pending_fills": False,
        "account_halted": False,
        "halts": (),
        "matched_until": 0,
        "matched_at": None,
    }
    return OrderFacts(order=order, **(known | changed))


def _tick(
    price: int, age_s: int = 0, now: datetime = datetime(2026, 11, 20, 1, tzinfo=UTC)
) -> Tick:
    at = now - timedelta(seconds=age_s)
    return Tick(
        code=SAMSUNG, price=price, volume=1, traded_at=at, received_at=at, position=Position(1, 1)
    )


def _halt(halted_at: datetime, resumed_at: datetime | None) -> HaltRecord:
    return HaltRecord(id=new_id(), reason=None, halted_at=halted_at, resumed_at=resumed_at)


prices = st.integers(1, 3_000) | st.integers(1_900, 60_000) | st.integers(190_000, 700_000)


@given(
    side=st.sampled_from(Side),
    limit=prices,
    away=st.integers(0, 5_000),
    kind=st.sampled_from(["STOCK", "ETF"]),
)
def test_distance_in_steps_counts_the_legal_prices_in_between(
    side: Side, limit: int, away: int, kind: StockKind
) -> None:
    """From the last trade, which may be at half a step, to the limit, across bounds of the grid."""
    while not is_on_grid(limit, kind):
        limit += 1
    last = limit + away if side is Side.BUY else max(1, limit - away)
    between = range(limit, last) if side is Side.BUY else range(last + 1, limit + 1)

    waiting = explain_waiting(
        _facts(side, limit, kind),
        _tick(last),
        market_available=True,
        hours=AlwaysOpen(),
        settings=settings_for("sqlite:///unused.db", "redis://127.0.0.1:1/0"),
        now=datetime(2026, 11, 20, 1, tzinfo=UTC),
    )

    assert waiting.distance is not None
    assert waiting.distance.steps == sum(is_on_grid(price, kind) for price in between)
    assert waiting.distance.won == abs(last - limit)
    assert (waiting.distance.basis_points == 0) == (last == limit)


@given(data=st.data())
def test_open_order_always_has_a_waiting_reason(data: st.DataObject) -> None:
    limit = data.draw(st.none() | st.just(70_000))
    in_book = data.draw(st.booleans())
    now = datetime(2026, 11, 20, 1, tzinfo=UTC) + data.draw(
        st.sampled_from([timedelta(), timedelta(days=1)])
    )
    hours = st.sampled_from([now - timedelta(hours=hours) for hours in (0, 1, 2, 30)])
    due = st.sampled_from([now - timedelta(seconds=seconds) for seconds in (-5, 0, 20, 80)])
    facts = _facts(
        data.draw(st.sampled_from(Side)),
        limit,
        stock_status=data.draw(st.sampled_from(["TRADABLE", "HALTED", "DELISTED"])),
        stock_resumed_at=data.draw(st.none() | hours),
        halts=data.draw(st.lists(st.builds(_halt, hours, st.none() | hours), max_size=2)),
        awaiting_first_print=in_book and data.draw(st.booleans()),
        book_price=70_000 if in_book else None,
        next_attempt_at=data.draw(st.none() | due if in_book else due),
        has_pending_fills=data.draw(st.booleans()),
        account_halted=data.draw(st.booleans()),
        accepted_position=data.draw(st.sampled_from([0, 10**30])),
        matched_until=data.draw(st.sampled_from([0, 10**30])),
        matched_at=data.draw(st.none() | due),
    )

    waiting = explain_waiting(
        facts,
        data.draw(
            st.none()
            | st.builds(
                _tick, st.sampled_from([69_000, 70_000, 71_000]), st.sampled_from([0, 60]), hours
            )
        ),
        market_available=data.draw(st.booleans()),
        hours=AlwaysOpen(),
        settings=settings_for(
            "sqlite:///unused.db",
            "redis://127.0.0.1:1/0",
            fill_profile=data.draw(st.sampled_from(["simple", "volume"])),
        ),
        now=now,
    )

    assert waiting.reasons
    assert len(set(waiting.reasons)) == len(waiting.reasons)
    is_delayed = WaitingReason.PROCESSING_DELAYED in waiting.reasons
    assert is_delayed == (waiting.delayed_since is not None)
    about_to_fill = {WaitingReason.AWAITING_MATCH, WaitingReason.BEING_EXECUTED}
    assert not (is_delayed and about_to_fill & set(waiting.reasons))
