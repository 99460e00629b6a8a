"""The alerts of a watchlist's item: set, armed anew and taken away. ``trading.watchlists.check_alerts`` fires them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from trading.db.statements import AnyRow, force_primary_key
from trading.db.upsert import upsert
from trading.errors import ValidationFailed
from trading.orders.validate import MarketSnapshot, stream_position
from trading.watchlists.alert_rules import AlertKind, approach_when_armed
from trading.watchlists.tables import PRICE_ALERTS

WRITTEN_WHEN_FIRED = ("approach", "fired_at", "tick_price", "tick_traded_at", "tick_position")
_WRITTEN_WHEN_ARMED = ("bound", "armed_at", "armed_position", *WRITTEN_WHEN_FIRED)

_UNFIRED = {"fired_at": None, "tick_price": None, "tick_traded_at": None, "tick_position": None}


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
    """Set these bounds (won; None takes one away) of an item whose watchlist is locked; those that are not named stay. ``rearm`` arms what has fired.

    A bound that is set is armed, and no trade up to the ``market`` look fires it. One that is armed at the same price already is left as it is, so
    that nothing is missed that was traded since. Raises ValidationFailed for a lower price that is not below the upper one.
    """
    there = _lock(session, item_id)
    wanted = {kind: row.bound for kind, row in there.items()} | dict(bounds)
    upper, lower = wanted.get(AlertKind.UPPER), wanted.get(AlertKind.LOWER)
    if upper is not None and lower is not None and lower >= upper:
        raise ValidationFailed(field=AlertKind.LOWER, limit=upper - 1)
    gone = [kind for kind, bound in bounds.items() if bound is None and kind in there]
    if gone:
        session.execute(
            delete(PRICE_ALERTS).where(
                PRICE_ALERTS.c.item_id == item_id, PRICE_ALERTS.c.kind.in_(gone)
            )
        )
    last_price = None if market.tick is None else market.tick.price
    armed = [
        {
            "item_id": item_id,
            "kind": kind,
            "stock_code": stock_code,
            "bound": bound,
            "approach": approach_when_armed(kind, bound, last_price),
            "armed_at": now,
            "armed_position": _place(there.get(kind), market, now),
            **_UNFIRED,
        }
        for kind, bound in sorted(wanted.items())
        if bound is not None
        and (kind in bounds or rearm)
        and not _stands(there.get(kind), bound, now)
    ]
    upsert(session, PRICE_ALERTS, armed, update=_WRITTEN_WHEN_ARMED)


def _lock(session: Session, item_id: UUID) -> dict[AlertKind, AnyRow]:
    """An item's alerts, locked in the order of their keys."""
    wanted = (
        select(PRICE_ALERTS).where(PRICE_ALERTS.c.item_id == item_id).order_by(PRICE_ALERTS.c.kind)
    )
    return {
        AlertKind(row.kind): row
        for row in session.execute(force_primary_key(wanted, PRICE_ALERTS).with_for_update())
    }


def _place(alert: AnyRow | None, market: MarketSnapshot, now: datetime) -> int:
    """The place in the stream at which an alert is armed: never before a trade that it was fired by since the market was looked at."""
    fired_by = 0 if alert is None else alert.tick_position or 0
    return max(stream_position(market, now), fired_by)


def _stands(alert: AnyRow | None, bound: int, now: datetime) -> bool:
    """Whether an alert is as it is wanted: armed, or armed by this very request, whose transaction runs a second time."""
    return (
        alert is not None
        and alert.bound == bound
        and (alert.fired_at is None or alert.armed_at == now)
    )


def save_checked(session: Session, alerts: list[dict[str, Any]]) -> None:
    """Write what a look at the market has found of alerts, whole rows by ascending key."""
    upsert(session, PRICE_ALERTS, alerts, update=WRITTEN_WHEN_FIRED)
