"""Set, rearm and delete the alerts of a watchlist item. `check_alerts` fires them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Self
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from trading.db.statements import force_primary_key
from trading.db.upsert import upsert
from trading.errors import ValidationFailed
from trading.orders.validate import MarketSnapshot, stream_position
from trading.watchlists.alert_rules import AlertKind, Approach, approach_when_armed
from trading.watchlists.tables import PRICE_ALERTS

_WRITTEN_WHEN_FIRED = ("approach", "fired_at", "tick_price", "tick_traded_at", "tick_position")
_WRITTEN_WHEN_ARMED = ("bound", "armed_at", "armed_position", *_WRITTEN_WHEN_FIRED)


class Alert(NamedTuple):
    """A row of `price_alerts`, its columns in the table's order."""

    item_id: UUID
    kind: AlertKind
    stock_code: str
    bound: int
    approach: Approach
    armed_at: datetime
    armed_position: int
    fired_at: datetime | None
    tick_price: int | None
    tick_traded_at: datetime | None
    tick_position: int | None

    @classmethod
    def of(cls, row: Iterable[object]) -> Self:
        """Return the alert of a row with all columns of the table."""
        alert = cls._make(row)
        return alert._replace(kind=AlertKind(alert.kind), approach=Approach(alert.approach))


def set_alerts(
    session: Session,
    *,
    item_id: UUID,
    stock_code: str,
    bounds: Mapping[AlertKind, int | None],
    rearm: bool = False,
    market: MarketSnapshot,
    now: datetime,
) -> None:
    """Set bounds (won; None deletes) of an item whose watchlist is locked; others stay as they are.

    `rearm` also arms the alerts that have fired. No trade up to the `market` snapshot fires an
    alert that is armed here. An alert that is armed at the same price already does not change, so
    no trade since then is missed. Raises ValidationFailed if the lower price is not below the upper
    one.
    """
    existing = _lock(session, item_id)
    wanted = {kind: alert.bound for kind, alert in existing.items()} | dict(bounds)
    upper, lower = wanted.get(AlertKind.UPPER), wanted.get(AlertKind.LOWER)
    if upper is not None and lower is not None and lower >= upper:
        raise ValidationFailed(field=AlertKind.LOWER, limit=upper - 1)
    removed = [kind for kind, bound in bounds.items() if bound is None and kind in existing]
    if removed:
        session.execute(
            delete(PRICE_ALERTS).where(
                PRICE_ALERTS.c.item_id == item_id, PRICE_ALERTS.c.kind.in_(removed)
            )
        )
    last_price = None if market.tick is None else market.tick.price
    armed = [
        Alert(
            item_id=item_id,
            kind=kind,
            stock_code=stock_code,
            bound=bound,
            approach=approach_when_armed(kind, bound, last_price),
            armed_at=now,
            armed_position=_armed_position(existing.get(kind), market, now),
            fired_at=None,
            tick_price=None,
            tick_traded_at=None,
            tick_position=None,
        )
        for kind, bound in sorted(wanted.items())
        if bound is not None
        and (kind in bounds or rearm)
        and not _is_armed_at(existing.get(kind), bound)
    ]
    rows = [alert._asdict() for alert in armed]
    upsert(session, PRICE_ALERTS, rows, update=_WRITTEN_WHEN_ARMED)


def _lock(session: Session, item_id: UUID) -> dict[AlertKind, Alert]:
    """Lock and return an item's alerts, in the order of their keys."""
    wanted = (
        select(PRICE_ALERTS).where(PRICE_ALERTS.c.item_id == item_id).order_by(PRICE_ALERTS.c.kind)
    )
    rows = session.execute(force_primary_key(wanted, PRICE_ALERTS).with_for_update())
    return {alert.kind: alert for alert in map(Alert.of, rows)}


def _armed_position(alert: Alert | None, market: MarketSnapshot, now: datetime) -> int:
    """Return the stream position to arm at: never before the trade that last fired the alert."""
    fired_at_position = 0 if alert is None else alert.tick_position or 0
    return max(stream_position(market, now), fired_at_position)


def _is_armed_at(alert: Alert | None, bound: int) -> bool:
    return alert is not None and alert.bound == bound and alert.fired_at is None


def save_checked(session: Session, alerts: Sequence[Alert]) -> None:
    """Save checked alerts, given by ascending key."""
    rows = [alert._asdict() for alert in alerts]
    upsert(session, PRICE_ALERTS, rows, update=_WRITTEN_WHEN_FIRED)
