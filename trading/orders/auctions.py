"""Call auctions: the first print of a stock in each phase of trading is one price for all orders.

The feed does not mark the result of an auction, so it is recognised by its place: the first print
of the stock since the session began or since a halt ended. Matchers store it, because a later run
must know that the auction is over.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from trading.db.upsert import upsert
from trading.exchange.hours import MarketHours, is_nextrade
from trading.marketdata.ticks import Tick
from trading.orders.tables import AUCTION_PRINTS

_CODES_PER_STATEMENT = 500
_COLUMNS = ("phase_started_at", "tick_position", "price")


class AuctionPrint(NamedTuple):
    """The result of a stock's latest call auction; ``price`` in won."""

    phase_started_at: datetime
    tick_position: int
    price: int


class AuctionRole(NamedTuple):
    """What a print is in its phase of trading.

    ``entry_ends_at`` is the end of the order entry of the auction that the print is the result of,
    None in continuous trading. ``fills_orders`` is False for a print that contradicts the result of
    an auction without continuous trading after it. ``begins_phase`` is True for the first print.
    ``auction_is_open_since`` is set for a print of Nextrade before the auction's result: the start
    of the phase, before which orders were accepted that wait for the result.
    """

    entry_ends_at: datetime | None
    only_auction: bool = False
    fills_orders: bool = True
    begins_phase: bool = False
    auction_is_open_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Resumptions:
    """When trading was resumed after halts: of all stocks, and of single stocks by code."""

    of_market: Sequence[datetime] = ()
    of_stocks: Mapping[str, datetime] = field(default_factory=dict)

    def latest(self, code: str, *, since: datetime, until: datetime) -> datetime:
        """Return the latest resumption in a time range that concerns a stock, else ``since``."""
        candidates = [*self.of_market]
        if code in self.of_stocks:
            candidates.append(self.of_stocks[code])
        return max((at for at in candidates if since < at <= until), default=since)


def classify_prints(
    code: str,
    ticks: Sequence[Tick],
    last: AuctionPrint | None,
    *,
    hours: MarketHours,
    resumptions: Resumptions,
) -> tuple[dict[int, AuctionRole], AuctionPrint | None]:
    """Return the role of each tick by position, and the stock's latest auction print after them.

    ``ticks`` are of one stock, in stream order; ``last`` is the latest auction print before them.
    """
    roles: dict[int, AuctionRole] = {}
    for tick in ticks:
        phase = hours.phase_of(tick.traded_at)
        if phase is None:
            continue
        position = tick.position.packed
        started_at = resumptions.latest(code, since=phase.started_at, until=tick.traded_at)
        entry_ends_at = phase.entry_ends_at
        if started_at > phase.started_at and not phase.only_auction:
            # Entry for the auction after a halt ends with its print.
            entry_ends_at = tick.traded_before
        has_begun = last is not None and last.phase_started_at >= started_at
        # Only KRX holds auctions: a print of Nextrade is never a result.
        begins = not has_begun and not is_nextrade(tick.exchange)
        if begins:
            last = AuctionPrint(started_at, position, tick.price)
        is_current = last is not None and last.phase_started_at == started_at
        is_result = (
            last is not None
            and is_current
            and (
                position == last.tick_position or (phase.only_auction and tick.price == last.price)
            )
        )
        roles[position] = AuctionRole(
            entry_ends_at=entry_ends_at if is_result else None,
            only_auction=phase.only_auction,
            fills_orders=is_result or not phase.only_auction,
            begins_phase=begins,
            auction_is_open_since=None if has_begun or begins else started_at,
        )
    return roles, last


def record_auction_prints(
    session: Session,
    ticks_by_stock: Mapping[str, Sequence[Tick]],
    *,
    hours: MarketHours,
    resumptions: Resumptions,
) -> dict[int, AuctionRole]:
    """Return the role of each tick by position, and store the auction prints among them."""
    stored = _stored(session, sorted(ticks_by_stock))
    roles: dict[int, AuctionRole] = {}
    changed: list[dict[str, object]] = []
    for code, ticks in sorted(ticks_by_stock.items()):
        before = stored.get(code)
        of_stock, last = classify_prints(code, ticks, before, hours=hours, resumptions=resumptions)
        roles |= of_stock
        if last is not None and last != before:
            changed.append({"stock_code": code, **last._asdict()})
    upsert(
        session,
        AUCTION_PRINTS,
        changed,
        update=("phase_started_at", "tick_position", "price"),
    )
    return roles


def _stored(session: Session, codes: Sequence[str]) -> dict[str, AuctionPrint]:
    stored: dict[str, AuctionPrint] = {}
    columns = [AUCTION_PRINTS.c[name] for name in _COLUMNS]
    for start in range(0, len(codes), _CODES_PER_STATEMENT):
        rows = session.execute(
            select(AUCTION_PRINTS.c.stock_code, *columns).where(
                AUCTION_PRINTS.c.stock_code.in_(codes[start : start + _CODES_PER_STATEMENT])
            )
        )
        stored |= {row.stock_code: AuctionPrint(*row[1:]) for row in rows}
    return stored
