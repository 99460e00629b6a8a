"""Replay of minute bars as trades. Pure: a bar in, prints within its range out.

A print has the time of its bar; `sandbox.exchange` dates it when it publishes it.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from random import Random

from sandbox.market import seconds_of_day, up_to_grid
from sandbox.trade import DayTotals, Side, Trade
from trading.exchange.price_grid import floor_to_grid
from trading.exchange.time import KST, trade_date
from trading.stocks.listing import ListedStock

BAR_S = 60
_COLUMNS = ("datetime", "open", "high", "low", "close", "volume")
_BETWEEN_CORNERS = 5


class MalformedBars(Exception):
    """A file of bars that cannot be replayed. The message names the line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One minute bar: prices in won, volume in shares, and its time."""

    stamp: datetime
    open: int
    high: int
    low: int
    close: int
    volume: int

    def __post_init__(self) -> None:
        if (
            not 0
            < self.low
            <= min(self.open, self.close)
            <= max(self.open, self.close)
            <= self.high
        ):
            raise MalformedBars("open and close do not lie between low and high")
        if self.volume < 0:
            raise MalformedBars("the volume is negative")


def read_bars(path: Path) -> list[Bar]:
    """Read a CSV file `datetime,open,high,low,close,volume` with times in Korea.

    Raise MalformedBars, or OSError if the file cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if not set(_COLUMNS) <= set(rows.fieldnames or ()):
                raise MalformedBars(f"line 1: the columns must be {','.join(_COLUMNS)}")
            bars = [_bar(row, line=rows.line_num) for row in rows]
    except UnicodeDecodeError:
        raise MalformedBars("the file is not UTF-8 text") from None
    if not bars:
        raise MalformedBars("the file has no bars")
    return bars


def _bar(row: Mapping[str, str | None], *, line: int) -> Bar:
    try:
        stamp = datetime.fromisoformat(row["datetime"] or "")
        numbers = {name: int(row[name] or "") for name in _COLUMNS[1:]}
        return Bar(stamp=stamp if stamp.tzinfo else stamp.replace(tzinfo=KST), **numbers)
    except ValueError:
        raise MalformedBars(f"line {line}: a stamp and five whole numbers are needed") from None
    except MalformedBars as fault:
        raise MalformedBars(f"line {line}: {fault}") from None


def price_path(bar: Bar, stock: ListedStock) -> list[int]:
    """Return prices from open over both extremes to close: a rising bar falls first, a falling one
    rises.

    The number is limited by the volume, with at least one share each: 19, or the four corners, or
    the last of them. None without volume.
    """
    extremes = (bar.low, bar.high) if bar.close >= bar.open else (bar.high, bar.low)
    corners = [bar.open, *extremes, bar.close]
    prices = [bar.open]
    for start, end in pairwise(corners):
        parts = _BETWEEN_CORNERS + 1
        between = [start + (end - start) * part // parts for part in range(1, parts)]
        # An extreme may be a half-tick print, and the grid price below it outside of the bar.
        prices += [max(bar.low, floor_to_grid(price, stock.kind)) for price in between]
        prices.append(end)
    if bar.volume >= len(prices):
        return prices
    return corners[max(0, len(corners) - bar.volume) :]


def split_volume(volume: int, parts: int, rng: Random) -> list[int]:
    """Split `volume` into `parts` positive numbers with the same sum. `parts` may not exceed it."""
    cuts = [0, *sorted(rng.sample(range(1, volume), parts - 1)), volume]
    return [end - start for start, end in pairwise(cuts)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tape:
    """Position of a replay: the day's base price and totals, and the last price."""

    stock: ListedStock
    base: int
    price: int
    stamp: datetime
    totals: DayTotals

    def print(self, price: int, volume: int, side: Side) -> tuple["Tape", Trade]:
        """Return the tape and the trade after one more trade at the bar's time."""
        totals = self.totals.plus(price, volume, side)
        trade = Trade(
            code=self.stock.code,
            traded_at=self.stamp,
            price=price,
            base=self.base,
            volume=volume,
            side=side,
            totals=totals,
        )
        return replace(self, price=price, totals=totals), trade


def opening_tape(
    bars: Sequence[Bar], stock: ListedStock, *, base: int | None, speed: float, at: datetime
) -> Tape:
    """Return the tape before the first bar. Without `base` (won), it is the first open rounded to
    the grid.

    The totals start with a past that grows twice as fast as the replay: a second replay of the file
    on the same day never reports smaller totals than the first.
    """
    first = bars[0]
    pace = 2 * (1 + sum(bar.volume for bar in bars) * max(1, round(speed)) // (BAR_S * len(bars)))
    volume = pace * seconds_of_day(at)
    base = up_to_grid(first.open, stock) if base is None else base
    totals = DayTotals(
        volume=volume, amount=volume * base, bought=volume // 2, sold=volume - volume // 2
    )
    return Tape(stock=stock, base=base, price=first.open, stamp=first.stamp, totals=totals)


def turn_to(tape: Tape, bar: Bar) -> Tape:
    """Return the tape at a bar. A later day starts with its own base price.

    The totals go on, because all trades are published as trades of one day.
    """
    if trade_date(bar.stamp) > trade_date(tape.stamp):
        tape = replace(tape, base=up_to_grid(tape.price, tape.stock))
    return replace(tape, stamp=bar.stamp)


def play_bar(tape: Tape, bar: Bar, rng: Random) -> Iterator[tuple[Tape, Trade]]:
    """Yield the bar's trades in order, each with the tape after it. None without volume."""
    tape = turn_to(tape, bar)
    prices = price_path(bar, tape.stock)
    volumes = split_volume(bar.volume, len(prices), rng) if prices else []
    for price, volume in zip(prices, volumes, strict=True):
        side: Side = (
            "BUY"
            if price > tape.price
            else "SELL"
            if price < tape.price
            else rng.choice(("BUY", "SELL"))
        )
        tape, trade = tape.print(price, volume, side)
        yield tape, trade
