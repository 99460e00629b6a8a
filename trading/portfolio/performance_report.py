"""What the figures of performance are made of: an account's recorded days, and an index's closes of the same."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from trading.config.settings import Settings
from trading.portfolio.performance import TRADING_DAYS_A_YEAR, Performance, performance
from trading.portfolio.returns import DAYS_A_YEAR, Unavailable, Valuation, opening_valuation
from trading.portfolio.tables import DAILY_SNAPSHOTS
from trading.stocks.indices.queries import index_closes

_ONE_DAY = timedelta(days=1)
# The exchange is never closed for longer.
_CLOSED_DAYS_MAX = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class PerformanceReport:
    """The figures of a period, and how good the days are that they rest on.

    On ``unpriced_days`` a holding had no price, so the worth is not known and returns reach over them. On ``carried_days`` at least one holding was
    valued at an earlier close. ``missing_closes`` are the exchange's days without a close of the index.
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
    """The performance of the recorded days from ``since`` to ``until``, both included, measured from the close of the day before. Two statements."""
    valuations, recorded, carried = _valuations(session, user_id, since, until)
    closes = _closes(session, index_code, valuations, is_exchange_day)
    days_a_year = DAYS_A_YEAR if settings.hours_rule == "always" else TRADING_DAYS_A_YEAR
    return PerformanceReport(
        risk_free_rate_bp=settings.risk_free_rate_bp,
        days_a_year=days_a_year,
        recorded_days=recorded,
        unpriced_days=tuple(at.day for at in valuations if at.worth is None),
        carried_days=carried,
        missing_closes=tuple(
            at.day for at in valuations if is_exchange_day(at.day) and at.day not in closes
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
    """The index's closes of these days. It keeps the last one while the exchange is closed, and a period may begin on such a day."""
    if not valuations:
        return {}
    first = valuations[0].day
    closes = index_closes(
        session, index_code, since=first - _CLOSED_DAYS_MAX * _ONE_DAY, until=valuations[-1].day
    )
    traded = next(
        (day for n in range(_CLOSED_DAYS_MAX) if is_exchange_day(day := first - n * _ONE_DAY)),
        first,
    )
    return closes | ({first: closes[traded]} if traded in closes else {})


def _valuations(
    session: Session, user_id: UUID, since: date | None, until: date | None
) -> tuple[list[Valuation], int, int]:
    """The recorded days with what they begin with before them; how many there are, and how many of them have carried closes."""
    wanted = select(DAILY_SNAPSHOTS).where(DAILY_SNAPSHOTS.c.user_id == user_id)
    if until is not None:
        wanted = wanted.where(DAILY_SNAPSHOTS.c.day <= until)
    if since is not None:
        before = select(func.max(DAILY_SNAPSHOTS.c.day)).where(
            DAILY_SNAPSHOTS.c.user_id == user_id, DAILY_SNAPSHOTS.c.day < since
        )
        wanted = wanted.where(
            DAILY_SNAPSHOTS.c.day >= func.coalesce(before.scalar_subquery(), since)
        )
    rows = session.execute(wanted.order_by(DAILY_SNAPSHOTS.c.day)).all()
    valuations = [
        Valuation(
            day=row.day,
            worth=None if row.unpriced_holdings else row.cash_balance + row.holdings_value,
            paid_in=row.net_flow + row.paid_out,
            paid_out=row.paid_out,
        )
        for row in rows
    ]
    own = [row for row in rows if since is None or row.day >= since]
    if len(own) == len(rows) and valuations:
        # Nothing is recorded before: the account was opened on its first day.
        valuations.insert(0, opening_valuation(valuations[0]))
    return (valuations if own else []), len(own), sum(row.carried_holdings > 0 for row in own)
