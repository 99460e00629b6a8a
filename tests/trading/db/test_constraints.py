"""Tests of the constraints: every database refuses a violation and names the constraint."""

import re
from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.support.servers import Valkey
from tests.support.trading_harness import SAMSUNG, TradingHarness, opened, settings_for
from tests.trading.db.constraint_violations import VIOLATIONS
from tests.trading.payments.payment_rows import partly_refunded_payment
from tests.trading.watchlists.watchlist_factory import check_alerts, watch
from trading.exchange.order_types import Side

UNKNOWN_ID = "X'00112233445566778899AABBCCDDEEFF'"


@pytest.fixture(scope="module", params=["sqlite", "mariadb", "mysql"])
def traded(request: pytest.FixtureRequest, valkey_server: Valkey) -> Iterator[TradingHarness]:
    """Data of a user who bought, sold, paid, got a part refunded and has a fired price alert.

    A second user only registered. No test in this file changes the data.
    """
    uri = request.getfixturevalue(f"migrated_{request.param}")
    with opened(settings_for(uri, valkey_server.url)) as harness:
        user = harness.user()
        harness.user()
        harness.tick(70_000)
        harness.place(user, Side.BUY, 10)
        harness.run_all()
        harness.place(user, Side.SELL, 4, SAMSUNG)
        harness.run_all()
        partly_refunded_payment(harness, user)
        watch(harness, user, target=71_000, upper=80_000, lower=60_000)
        harness.tick(71_500)
        check_alerts(harness)
        yield harness


@pytest.mark.parametrize(
    ("constraint", "change"), VIOLATIONS, ids=[f"{i}" for i in range(len(VIOLATIONS))]
)
def test_change_that_violates_a_constraint_is_refused(
    traded: TradingHarness, constraint: str, change: str
) -> None:
    pattern = constraint if " " in constraint else rf"ck_{constraint}\b"
    with traded.core.database.engine.connect() as connection, pytest.raises(DBAPIError) as raised:
        connection.execute(text(change.replace("UNKNOWN_ID", UNKNOWN_ID)))
    assert re.search(pattern, str(raised.value.orig)), raised.value.orig


def test_every_check_constraint_has_a_violation() -> None:
    from trading.db.declarative import Base

    covered = "|".join(
        f"ck_({constraint})" for constraint, _ in VIOLATIONS if " " not in constraint
    )
    names = {
        str(constraint.name)
        for table in Base.metadata.sorted_tables
        for constraint in table.constraints
        if str(constraint.name).startswith("ck_")
    }
    assert {name for name in names if not re.fullmatch(covered, name)} == set()


def test_initial_data_has_no_breaches(traded: TradingHarness) -> None:
    """Shows that the refusals come from the changes."""
    assert traded.breaches() == []
