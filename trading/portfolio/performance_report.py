"""Performance report of an account: its recorded days compared with an index's closes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from trading.config.settings import Settings
from trading.portfolio.performance import TRADING_DAYS_A_YEAR, Performance, performance
from trading.portfolio.returns import DAYS_A_YEAR, Unavailable, Valuation, opening_valuation
from trading.portfolio.snapshot_queries import SNAPSHOT_COLUMNS, SnapshotRow
from trading.portfolio.tables import DAILY_SNAPSHOTS
from trading.stocks.indices.queries import index_closes

_ONE_DAY = timedelta(days=1)
# The exchange is never closed for longer.
_CLOSED_DAYS_MAX = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class PerformanceReport:
    """Performance figures of a period with the quality of the underlying data.

    On ``unpriced_days`` a holding had no price: the account's value is unknown and returns span
    these days. On ``carried_days`` at least one holding was valued at an earlier close.
    ``missing_closes`` are trading days without a close of the index.
    """

    risk_free_rate_bp: int
    days_a_year: int
    recorded_days: int
    unpriced_days: tuple[date, ...]
    carried_days: int
    missing_closes: tuple[date, ...]
    figures: Performance | Unavailable


def performance_report(
    session: Session,
    *,
    user_id: UUID,
    since: date | None,
    until: date | None,
    index_code: str,
    is_exchange_day: Callable[[date], bool],
    settings: Settings,
) -> PerformanceReport:
    """Return the performance from ``since`` to ``until``, both included, in two statements.

    It is measured from the close of the last recorded day before ``since``.
    """
    valuations, recorded, carried = _valuations(session, user_id, since, until)
    closes = _closes(session, index_code, valuations, is_exchange_day)
    days_a_year = DAYS_A_YEAR if settings.hours_rule == "always" else TRADING_DAYS_A_YEAR
    return PerformanceReport(
        risk_free_rate_bp=settings.risk_free_rate_bp,
        days_a_year=days_a_year,
        recorded_days=recorded,
        unpriced_days=tuple(valuation.day for valuation in valuations if valuation.worth is None),
        carried_days=carried,
        missing_closes=tuple(
            valuation.day
            for valuation in valuations
            if is_exchange_day(valuation.day) and valuation.day not in closes
        ),
        figures=performance(
            valuations,
            closes,
            risk_free_rate_bp=settings.risk_free_rate_bp,
            days_a_year=days_a_year,
        ),
    )


def _closes(
    session: Session,
    index_code: str,
    valuations: Sequence[Valuation],
    is_exchange_day: Callable[[date], bool],
) -> dict[date, int]:
    """Return the index's closes of these days.

    If the first day is not a trading day, it has the close of the last trading day before it.
    """
    if not valuations:
        return {}
    first = valuations[0].day
    closes = index_closes(
        session, index_code, since=first - _CLOSED_DAYS_MAX * _ONE_DAY, until=valuations[-1].day
    )
    trading_day = next(
        (day for n in range(_CLOSED_DAYS_MAX) if is_exchange_day(day := first - n * _ONE_DAY)),
        first,
    )
    return closes | ({first: closes[trading_day]} if trading_day in closes else {})


def _valuations(
    session: Session, user_id: UUID, since: date | None, until: date | None
) -> tuple[list[Valuation], int, int]:
    """Return the valuations, the number of recorded days, and how many of them have carried closes.

    The valuations start with the last recorded day before ``since``.
    """
    snapshots = select(*SNAPSHOT_COLUMNS).where(DAILY_SNAPSHOTS.c.user_id == user_id)
    if until is not None:
        snapshots = snapshots.where(DAILY_SNAPSHOTS.c.day <= until)
    if since is not None:
        before = select(func.max(DAILY_SNAPSHOTS.c.day)).where(
            DAILY_SNAPSHOTS.c.user_id == user_id, DAILY_SNAPSHOTS.c.day < since
        )
        snapshots = snapshots.where(
            DAILY_SNAPSHOTS.c.day >= func.coalesce(before.scalar_subquery(), since)
        )
    statement = snapshots.order_by(DAILY_SNAPSHOTS.c.day)
    rows = [SnapshotRow(**row) for row in session.execute(statement).mappings()]
    valuations = [
        Valuation(
            day=row.day,
            worth=row.total_assets,
            paid_in=row.net_flow + row.paid_out,
            paid_out=row.paid_out,
        )
        for row in rows
    ]
    in_period = [row for row in rows if since is None or row.day >= since]
    if len(in_period) == len(rows) and valuations:
        # Nothing is recorded before: the account was opened on its first day.
        valuations.insert(0, opening_valuation(valuations[0]))
    carried = sum(row.carried_holdings > 0 for row in in_period)
    return (valuations if in_period else []), len(in_period), carried
