"""Tests of SQL built as text: only reviewed files build it, from safe values."""

import ast
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.architecture.source import python_files, tree
from tests.support.properties import examples
from tests.support.statements import statements_counted
from tests.support.trading_harness import SAMSUNG, TradingHarness
from tests.trading.orders.steps import do, events, rows
from trading.account_events import rows as account_events
from trading.account_events.stream import AccountEvent, EventKind
from trading.audit.checks import CHECKS
from trading.db.declarative import Base
from trading.db.upsert import upsert
from trading.orders.order_book import TradedRange, orders_crossed
from trading.stocks.tables import STOCKS

# Each file was reviewed: its SQL contains only constants, tables' names, integers and validated
# codes or ids.
REVIEWED = {
    "trading/account_events/rows.py",
    "trading/operations/backups/mysql.py",
    "trading/db/transactions.py",
    "trading/db/upsert.py",
    "trading/audit/checks.py",
    "trading/operations/row_counts.py",
    "trading/orders/order_book.py",
    "trading/watchlists/check_alerts.py",
    "trading/orders/close.py",
    "webapp/api/operations.py",
    "webapp/cli/database.py",
    "webapp/cli/migrations.py",
    "webapp/cli/status_data.py",
}
HOSTILE = [
    "'",
    "\\",
    "\\' OR 1=1 -- ",
    "'; DROP TABLE users; --",
    "\x00",
    "\u2028",
    "\ud83e\udd8a".encode("utf-16", "surrogatepass").decode("utf-16"),
    "%s",
    ":x",
    "X'00'",
]


def test_only_reviewed_files_build_sql_as_text() -> None:
    text_functions = {"text", "exec_driver_sql", "literal_column"}
    found = set()
    for path in python_files("trading", "webapp", "workers", "launcher"):
        imported = {
            alias.name
            for node in ast.walk(tree(path))
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sqlalchemy")
            for alias in node.names
        }
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call):
                called = (
                    node.func.attr
                    if isinstance(node.func, ast.Attribute)
                    else getattr(node.func, "id", "")
                )
                if called in text_functions and (called in imported or called == "exec_driver_sql"):
                    found.add(str(path))
    assert found == REVIEWED


def test_upsert_columns_are_literals_and_exist() -> None:
    """Includes merged columns; the names become part of the statement's text."""
    columns = {column.name for table in Base.metadata.sorted_tables for column in table.columns}
    calls = 0
    for path in python_files("trading"):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "upsert":
                for keyword in node.keywords:
                    if keyword.arg == "update" and isinstance(keyword.value, ast.Tuple):
                        literals = {
                            ast.literal_eval(each)
                            for each in keyword.value.elts
                            if not isinstance(each, ast.Starred)
                        }
                        assert literals <= columns, path
                        calls += 1
    assert calls > 5


@pytest.mark.parametrize("hostile", HOSTILE)
def test_upsert_values_are_bound_parameters(harness: TradingHarness, hostile: str) -> None:
    stock = rows(harness, "SELECT * FROM stocks WHERE code = :code", code=SAMSUNG)[0]
    row = {**stock, "name": hostile, "updated_at": harness.clock()}
    with statements_counted(harness.core.database.engine) as sent:
        do(harness, lambda session: upsert(session, STOCKS, [row], update=("name",)))
    assert not any(
        hostile in statement for statement in sent if len(hostile) > 1 and hostile != "%s"
    )
    assert (
        rows(harness, "SELECT name FROM stocks WHERE code = :code", code=SAMSUNG)[0]["name"]
        == hostile
    )


json_values = st.recursive(
    st.integers(-(2**53), 2**53)
    | st.booleans()
    | st.none()
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.sampled_from(HOSTILE),
    lambda inner: st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner, max_size=3
    ),
    max_leaves=5,
)


@given(
    data=st.dictionaries(
        st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
        json_values,
        max_size=4,
    )
)
@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_event_data_is_stored_unchanged(harness: TradingHarness, data: dict[str, Any]) -> None:
    """The statement contains the data as hexadecimal digits, so quotation marks and backslashes
    have no effect.
    """
    user = harness.user()
    last = harness.core.read(account_events.last_event_id, user)
    event = AccountEvent(
        user_id=user, id=last + 1, kind=EventKind.CASH, occurred_at=harness.clock(), data=data
    )
    with statements_counted(harness.core.database.engine) as sent:
        do(harness, lambda session: account_events.insert_events(session, [event]))
    (inserted,) = [statement for statement in sent if "account_events (" in statement]
    assert set(inserted.partition("CAST(X'")[2].partition("'")[0]) <= set("0123456789abcdef")
    (found,) = events(harness, user, after=last)
    assert found.data == data


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": "cash', NOW(), '{}'); --"},
        {"user_id": "X'' OR 1=1"},
        {"id": "1 OR 1=1"},
        {"id": 1.5},
        {"occurred_at": "2026-01-01' --"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_event_of_wrong_types_raises_before_a_statement_is_sent(
    harness: TradingHarness, changed: dict[str, Any]
) -> None:
    event = AccountEvent(
        user_id=uuid4(),
        id=1,
        kind=EventKind.CASH,
        occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
        data={},
    )
    for name, value in changed.items():
        object.__setattr__(event, name, value)
    with statements_counted(harness.core.database.engine) as sent:
        with pytest.raises((ValueError, TypeError, AttributeError)):
            do(harness, lambda session: account_events.insert_events(session, [event]))
        assert [statement for statement in sent if "INSERT" in statement] == []
    with pytest.raises((ValueError, TypeError, AttributeError)):
        do(
            harness,
            lambda session: account_events.advance_heads(
                session, {"x": "1; --"}, at=harness.clock()
            ),
        )  # type: ignore[dict-item]
    with pytest.raises((ValueError, TypeError, AttributeError)):
        do(
            harness,
            lambda session: account_events.events_in_ranges(session, {UUID(int=1): ("0", 1)}),
        )  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "code",
    [
        "A005930' OR '1'='1",
        "",
        "a005930",
        "005930",
        "A005930\\",
        "A00593\u0660",
        " A005930",
        *HOSTILE,
    ],
)
def test_order_book_query_refuses_invalid_codes_and_prices(
    harness: TradingHarness, code: str
) -> None:
    with pytest.raises(ValueError, match="product code"):
        harness.core.read(orders_crossed, [TradedRange(code, 1, 2)])
    with pytest.raises(ValueError, match="format"):
        harness.core.read(orders_crossed, [TradedRange(SAMSUNG, "1 OR 1=1", 2)])  # type: ignore[arg-type]


def test_audit_statements_are_constant_and_only_read() -> None:
    """They are built at import, so no data of requests or rows can be part of them."""
    assert len(CHECKS) > 30
    for check in CHECKS:
        for statement in (check.population, check.figure, check.faults):
            assert statement.lstrip().upper().startswith(("SELECT", "WITH")), check.name
            assert ";" not in statement
    source = Path("trading/audit/checks.py")
    (function,) = [
        node
        for node in tree(source).body
        if isinstance(node, ast.FunctionDef) and node.name == "audit"
    ]
    assert [argument.arg for argument in function.args.args] == ["session"]
