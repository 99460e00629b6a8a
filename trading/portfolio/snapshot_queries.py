"""An account's history: its value at the end of each trading day, and so far today."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from trading.ledger.model import DIRECTION, FLOWS
from trading.ledger.tables import TRANSACTIONS
from trading.money import change_rate_bp
from trading.portfolio.holdings import SummaryRecord
from trading.portfolio.returns import net_flows
from trading.portfolio.tables import DAILY_SNAPSHOTS

_OUTWARD = [flow for flow in FLOWS if DIRECTION[flow] < 0]


class SnapshotRow(NamedTuple):
    """A row of ``daily_snapshots`` (won)."""

    day: date
    last_sequence: int
    cash_balance: int
    holdings_value: int
    net_flow: int
    paid_out: int
    carried_holdings: int
    unpriced_holdings: int

    @property
    def total_assets(self) -> int | None:
        """Return cash plus holdings, or None if a holding had no price."""
        return None if self.unpriced_holdings else self.cash_balance + self.holdings_value


SNAPSHOT_COLUMNS = tuple(DAILY_SNAPSHOTS.c[name] for name in SnapshotRow._fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class DayRecord:
    """An account at the end of a trading day (won, basis points).

    ``provisional`` is True while the day is not over. ``assets_before`` is the total of the
    previous recorded day: 0 before the first day, None if it was unknown.
    """

    day: date
    provisional: bool
    cash_balance: int
    holdings_value: int
    net_flow: int
    withdrawals: int
    carried_holdings: int
    unpriced_holdings: int
    assets_before: int | None

    @property
    def total_assets(self) -> int | None:
        """Return cash plus holdings, or None if a holding had no price."""
        return None if self.unpriced_holdings else self.cash_balance + self.holdings_value

    @property
    def deposits(self) -> int:
        return self.net_flow + self.withdrawals

    @property
    def profit(self) -> int | None:
        """Return the change of the total less deposits plus withdrawals."""
        if self.total_assets is None or self.assets_before is None:
            return None
        return self.total_assets - self.assets_before - self.net_flow

    @property
    def profit_rate_bp(self) -> int | None:
        """Return the profit relative to the assets before plus the day's net deposits.

        See ``trading.portfolio.returns``.
        """
        if self.profit is None or self.assets_before is None:
            return None
        paid_in, _ = net_flows(
            self.assets_before, self.deposits, self.withdrawals, worth=self.total_assets or 0
        )
        capital = self.assets_before + paid_in
        return change_rate_bp(capital + self.profit, capital) if capital > 0 else None


@dataclass(frozen=True, slots=True)
class LatestDay:
    """The newest recorded day with its total and the flows since.

    The total is None if it is unknown, and 0 before the first day. ``net_flow`` is deposits less
    ``withdrawals``.
    """

    day: date | None
    total_assets: int | None
    net_flow: int
    withdrawals: int

    def provisional_record(self, day: date, summary: SummaryRecord) -> DayRecord:
        """Return the provisional record of the current day at the last prices."""
        return DayRecord(
            day=day,
            provisional=True,
            cash_balance=summary.cash_balance,
            holdings_value=summary.holdings_value,
            net_flow=self.net_flow,
            withdrawals=self.withdrawals,
            carried_holdings=sum(
                holding.price_day is not None and holding.price_day < day
                for holding in summary.holdings
            ),
            unpriced_holdings=summary.unpriced_holdings,
            assets_before=self.total_assets,
        )


def recorded_days(
    session: Session, user_id: UUID, *, first: date, last: date
) -> tuple[DayRecord, ...]:
    """Return a user's recorded days from ``first`` to ``last``, oldest first, in one statement."""
    before = (
        select(func.max(DAILY_SNAPSHOTS.c.day))
        .where(DAILY_SNAPSHOTS.c.user_id == user_id, DAILY_SNAPSHOTS.c.day < first)
        .scalar_subquery()
    )
    rows = session.execute(
        select(*SNAPSHOT_COLUMNS)
        .where(
            DAILY_SNAPSHOTS.c.user_id == user_id,
            DAILY_SNAPSHOTS.c.day >= func.coalesce(before, first),
            DAILY_SNAPSHOTS.c.day <= last,
        )
        .order_by(DAILY_SNAPSHOTS.c.day)
    ).mappings()
    records = _records(SnapshotRow(**row) for row in rows)
    return tuple(record for record in records if record.day >= first)


def latest_day(session: Session, user_id: UUID) -> LatestDay:
    """Return a user's newest recorded day and the flows since, in two statements."""
    newest = (
        session.execute(
            select(*SNAPSHOT_COLUMNS)
            .where(DAILY_SNAPSHOTS.c.user_id == user_id)
            .order_by(DAILY_SNAPSHOTS.c.day.desc())
            .limit(1)
        )
        .mappings()
        .one_or_none()
    )
    row = None if newest is None else SnapshotRow(**newest)
    kind, amount = TRANSACTIONS.c.transaction_type, TRANSACTIONS.c.amount
    net_flow, withdrawals = session.execute(
        select(
            func.coalesce(func.sum(case((kind.in_(_OUTWARD), -amount), else_=amount)), 0),
            func.coalesce(func.sum(case((kind.in_(_OUTWARD), amount), else_=0)), 0),
        ).where(
            TRANSACTIONS.c.user_id == user_id,
            TRANSACTIONS.c.sequence > (0 if row is None else row.last_sequence),
            kind.in_(FLOWS),
        )
    ).one()
    if row is None:
        return LatestDay(None, 0, int(net_flow), int(withdrawals))
    return LatestDay(row.day, row.total_assets, int(net_flow), int(withdrawals))


def _records(rows: Iterable[SnapshotRow]) -> Iterator[DayRecord]:
    before: int | None = 0
    for row in rows:
        yield DayRecord(
            day=row.day,
            provisional=False,
            cash_balance=row.cash_balance,
            holdings_value=row.holdings_value,
            net_flow=row.net_flow,
            withdrawals=row.paid_out,
            carried_holdings=row.carried_holdings,
            unpriced_holdings=row.unpriced_holdings,
            assets_before=before,
        )
        before = row.total_assets
