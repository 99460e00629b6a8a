"""Distorted trades are either still valid trades or invalid, as intended."""

from datetime import datetime

import pytest

from relayer.ticks.filter import TickFilter
from relayer.ticks.sequence import TickSequence
from sandbox.distortions import Distorter, malformed, unfamiliar
from sandbox.faults import Faults
from sandbox.trade import DayTotals, Trade
from trading.exchange.time import KST
from trading.marketdata.topics import trade_topic

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=KST)


def trade(total: int) -> Trade:
    """Return a trade with this day's total number of shares."""
    totals = DayTotals(volume=total, amount=total * 70_050, bought=total)
    return Trade(
        code="A005930",
        traded_at=NOON,
        price=70_050,
        base=70_000,
        volume=1,
        side="BUY",
        totals=totals,
    )


@pytest.mark.parametrize("body", malformed(trade(1)), ids=range(len(malformed(trade(1)))))
def test_malformed_trade_is_invalid(body: bytes) -> None:
    intake = TickFilter(TickSequence(), clock=lambda: NOON)

    assert intake.accept(trade_topic("A005930"), body) is None
    assert intake.malformed_total == 1


def test_unfamiliar_trade_has_the_same_values() -> None:
    """It is not ASCII, so cut messages cut its characters."""
    plain, strange = (
        TickFilter(TickSequence(), clock=lambda: NOON).accept(trade_topic("A005930"), body)
        for body in (trade(1).body(), unfamiliar(trade(1)))
    )

    assert plain is not None
    assert strange is not None
    assert (strange.price, strange.cumulative_volume, strange.traded_at) == (
        plain.price,
        plain.cumulative_volume,
        plain.traded_at,
    )
    assert not unfamiliar(trade(1)).isascii()


def test_copies_are_consecutive() -> None:
    assert Distorter().bodies(trade(1), Faults(copies=3)) == [trade(1).body()] * 3


def test_groups_are_reversed_until_the_fault_ends() -> None:
    """A trade that waits when the fault ends is not lost."""
    distorter, reverse = Distorter(), Faults(reversed_in=2)

    assert distorter.bodies(trade(1), reverse) == []
    assert distorter.bodies(trade(2), reverse) == [trade(2).body(), trade(1).body()]
    assert distorter.bodies(trade(3), reverse) == []
    assert distorter.bodies(trade(4), Faults()) == [trade(4).body(), trade(3).body()]
    assert distorter.bodies(trade(5), Faults()) == [trade(5).body()]
