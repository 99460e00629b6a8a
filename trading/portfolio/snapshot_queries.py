"""An account's history: what it was worth at the end of each trading day, and so far in the one that is not over."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from trading.db.statements import AnyRow
from trading.ledger.model import DIRECTION, FLOWS
from trading.ledger.tables import TRANSACTIONS
from trading.money import change_rate_bp
from trading.portfolio.holdings import SummaryRecord
from trading.portfolio.tables import DAILY_SNAPSHOTS

_OUTWARD = [flow for flow in FLOWS if DIRECTION[flow] < 0]


@dataclass(frozen=True, slots=True, kw_only=True)
class DayRecord:
    """An account at the end of a trading day (won, basis points); ``provisional`` while the day is not over.

    ``assets_before`` is the total of the recorded day before it: 0 before the first, None where that was not known.
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
        """Cash and holdings; None where a holding had no price."""
        return None if self.unpriced_holdings else self.cash_balance + self.holdings_value

    @property
    def deposits(self) -> int:
        return self.net_flow + self.withdrawals

    @property
    def profit(self) -> int | None:
        """What the total changed by, less what was paid in or out."""
        if self.total_assets is None or self.assets_before is None:
            return None
        return self.total_assets - self.assets_before - self.net_flow

    @property
    def profit_rate_bp(self) -> int | None:
        """The profit of what there was to trade with: the assets before and what was paid in."""
        if self.profit is None or self.assets_before is None:
            return None
        capital = self.assets_before + self.deposits
        return change_rate_bp(capital + self.profit, capital) if capital > 0 else None


@dataclass(frozen=True, slots=True)
class LatestDay:
    """The newest recorded day with its total (None where not known, 0 before the first), and the flows since: net, and outward alone."""

    day: date | None
    total_assets: int | None
    net_flow: int
    withdrawals: int

    def so_far(self, day: date, wealth: SummaryRecord) -> DayRecord:
        """The day after it, which is not over, at the prices of now."""
        return DayRecord(
            day=day,
            provisional=True,
            cash_balance=wealth.cash_balance,
            holdings_value=wealth.holdings_value,
            net_flow=self.net_flow,
            withdrawals=self.withdrawals,
            carried_holdings=0,
            unpriced_holdings=wealth.unpriced_holdings,
            assets_before=self.total_assets,
        )


def recorded_days(
    session: Session, user_id: UUID, *, first: date, last: date
) -> tuple[DayRecord, ...]:
    """A user's recorded days from ``first`` to ``last``, oldest first. One statement."""
    before = (
        select(func.max(DAILY_SNAPSHOTS.c.day))
        .where(DAILY_SNAPSHOTS.c.user_id == user_id, DAILY_SNAPSHOTS.c.day < first)
        .scalar_subquery()
    )
    rows = session.execute(
        select(DAILY_SNAPSHOTS)
        .where(
            DAILY_SNAPSHOTS.c.user_id == user_id,
            DAILY_SNAPSHOTS.c.day >= func.coalesce(before, first),
            DAILY_SNAPSHOTS.c.day <= last,
        )
        .order_by(DAILY_SNAPSHOTS.c.day)
    ).all()
    return tuple(record for record in _records(rows) if record.day >= first)


def latest_day(session: Session, user_id: UUID) -> LatestDay:
    """A user's newest recorded day, and what was paid in and out since. Two statements."""
    row = session.execute(
        select(DAILY_SNAPSHOTS)
        .where(DAILY_SNAPSHOTS.c.user_id == user_id)
        .order_by(DAILY_SNAPSHOTS.c.day.desc())
        .limit(1)
    ).one_or_none()
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
    return LatestDay(row.day, _total(row), int(net_flow), int(withdrawals))


def _records(rows: Sequence[AnyRow]) -> Iterator[DayRecord]:
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
        before = _total(row)


def _total(row: AnyRow) -> int | None:
    return None if row.unpriced_holdings else row.cash_balance + row.holdings_value
