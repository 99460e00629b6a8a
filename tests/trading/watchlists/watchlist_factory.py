"""Steps and looks that tests of watchlists and price alerts share."""

from typing import Any
from uuid import UUID

from tests.support.trading_harness import SAMSUNG, TradingHarness
from tests.trading.orders.steps import do, rows
from trading.db.ids import new_id
from trading.watchlists.alert_rules import AlertKind
from trading.watchlists.check_alerts import AlertReport, check_price_alerts
from trading.watchlists.directories import open_directory
from trading.watchlists.items import ItemChanges, add_item, change_item, remove_item


def bounds_of(
    target: int | None = None, upper: int | None = None, lower: int | None = None
) -> dict[AlertKind, int | None]:
    """The bounds that are given, in won."""
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
    """Watch a stock; the item's id."""
    item_id = new_id()
    do(
        harness,
        lambda session: add_item(
            session,
            item_id=item_id,
            user_id=user,
            stock_code=code,
            directory_id=directory,
            bounds=bounds_of(target, upper, lower),
            quotes=harness.core.quotes,
            settings=harness.settings,
            now=harness.clock(),
        ),
    )
    return item_id


def open_second(harness: TradingHarness, user: UUID) -> UUID:
    """Open a directory beside the default one; its id."""
    directory_id = new_id()
    do(
        harness,
        lambda session: open_directory(
            session,
            directory_id=directory_id,
            user_id=user,
            name="둘째",
            settings=harness.settings,
            now=harness.clock(),
        ),
    )
    return directory_id


def change(harness: TradingHarness, user: UUID, item_id: UUID, **changes: Any) -> None:
    """Change an item by the members of ``ItemChanges``."""
    wanted: ItemChanges = {**changes}  # type: ignore[typeddict-item]
    do(
        harness,
        lambda session: change_item(
            session,
            item_id=item_id,
            user_id=user,
            changes=wanted,
            quotes=harness.core.quotes,
            settings=harness.settings,
            now=harness.clock(),
        ),
    )


def unwatch(harness: TradingHarness, user: UUID, item_id: UUID) -> None:
    """Remove an item."""
    do(
        harness,
        lambda session: remove_item(session, item_id=item_id, user_id=user, now=harness.clock()),
    )


def check_alerts(harness: TradingHarness) -> AlertReport:
    """One look at the tick stream for the price alerts."""
    return do(
        harness,
        lambda session: check_price_alerts(session, stream=harness.core.ticks, now=harness.clock()),
    )


def alerts_of(harness: TradingHarness, item_id: UUID) -> dict[str, dict[str, Any]]:
    """An item's alerts by kind, as they are stored."""
    found = rows(
        harness, "SELECT * FROM price_alerts WHERE item_id = :id ORDER BY kind", id=item_id.bytes
    )
    return {row["kind"]: dict(row) for row in found}
