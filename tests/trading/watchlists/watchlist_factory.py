"""Helpers for tests of watchlists and price alerts."""

from typing import Any
from uuid import UUID

from tests.support.trading_harness import SAMSUNG, TradingHarness
from tests.trading.orders.steps import rows
from trading.db.ids import new_id
from trading.watchlists.alert_rules import AlertKind
from trading.watchlists.check_alerts import AlertReport, check_price_alerts
from trading.watchlists.directories import OpenDirectory, open_directory
from trading.watchlists.items import (
    AddItem,
    ChangeItem,
    add_item,
    change_item,
    remove_item,
)


def bounds_of(
    target: int | None = None, upper: int | None = None, lower: int | None = None
) -> dict[AlertKind, int | None]:
    """Return the given bounds (won) by kind."""
    given = {AlertKind.TARGET: target, AlertKind.UPPER: upper, AlertKind.LOWER: lower}
    return {kind: bound for kind, bound in given.items() if bound is not None}


def watch(
    harness: TradingHarness,
    user: UUID,
    code: str = SAMSUNG,
    *,
    target: int | None = None,
    upper: int | None = None,
    lower: int | None = None,
    directory: UUID | None = None,
) -> UUID:
    """Add a stock to a user's watchlist, with alerts at the given bounds (won); return the item's
    id.
    """
    command = AddItem(
        item_id=new_id(),
        user_id=user,
        stock_code=code,
        directory_id=directory,
        bounds=bounds_of(target, upper, lower),
    )
    harness.core.run(add_item, command)
    return command.item_id


def open_second(harness: TradingHarness, user: UUID) -> UUID:
    """Open a second directory; return its id."""
    command = OpenDirectory(directory_id=new_id(), user_id=user, name="둘째")
    return harness.core.run(open_directory, command).id


def change(harness: TradingHarness, user: UUID, item_id: UUID, **changes: Any) -> None:
    """Change an item by the fields of `ChangeItem`."""
    command = ChangeItem(item_id=item_id, user_id=user, changes_memo="memo" in changes, **changes)
    harness.core.run(change_item, command)


def unwatch(harness: TradingHarness, user: UUID, item_id: UUID) -> None:
    """Remove an item."""
    harness.core.run(remove_item, user_id=user, item_id=item_id)


def check_alerts(harness: TradingHarness) -> AlertReport:
    """Run one pass of the price alerts."""
    return harness.core.run(check_price_alerts, harness.core.ticks, freshness_ms=10_000)


def alerts_of(harness: TradingHarness, item_id: UUID) -> dict[str, dict[str, Any]]:
    """Return an item's alerts by kind, as stored."""
    found = rows(
        harness, "SELECT * FROM price_alerts WHERE item_id = :id ORDER BY kind", id=item_id.bytes
    )
    return {row["kind"]: dict(row) for row in found}
