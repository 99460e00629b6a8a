"""Only the ledger package writes to the tables of balances and holdings."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGES = ("trading", "webapp", "workers")
LEDGER = ROOT / "trading" / "ledger"

TABLES = {"VIRTUAL_BALANCES", "PORTFOLIOS", "VirtualBalanceRow", "HoldingRow"}
WRITES = {"insert", "update", "delete", "upsert"}
WRITING_SQL = re.compile(
    r"\b(INSERT\s+(IGNORE\s+)?INTO|REPLACE\s+INTO|UPDATE|DELETE\s+FROM)\s+[`\"]?"
    r"(virtual_balances|portfolios)\b",
    re.IGNORECASE,
)


def writes_in(source: str) -> Iterator[int]:
    """Return the lines of a module that write to balances or holdings."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func
            called = name.id if isinstance(name, ast.Name) else name
            values = [*node.args, *(keyword.value for keyword in node.keywords)]
            if isinstance(node.func, ast.Attribute):
                values.append(node.func.value)
            used = {value.id for value in values if isinstance(value, ast.Name)}
            if called in WRITES and used & TABLES:
                yield node.lineno
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and WRITING_SQL.search(node.value)
        ):
            yield node.lineno


def test_only_the_ledger_writes_balances_and_holdings() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if not path.is_relative_to(LEDGER)
        for line in writes_in(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_the_ledger_itself_is_recognised_as_a_writer() -> None:
    for name in ("cash.py", "holdings.py"):
        assert list(writes_in((LEDGER / name).read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "source",
    [
        "session.execute(update(VIRTUAL_BALANCES).values(reserved_cash=0))",
        "session.execute(PORTFOLIOS.delete())",
        "upsert(session, PORTFOLIOS, rows, update=())",
        "session.execute(sqlalchemy.insert(VirtualBalanceRow), rows)",
        "text('UPDATE virtual_balances SET cash_balance = 0')",
        "text('insert into portfolios values (1)')",
        "text('DELETE  FROM portfolios')",
    ],
)
def test_a_planted_write_is_found(source: str) -> None:
    assert list(writes_in(source)) == [1]


@pytest.mark.parametrize(
    "source", ["select(PORTFOLIOS.c.quantity)", "text('SELECT * FROM virtual_balances')"]
)
def test_reads_are_allowed(source: str) -> None:
    assert list(writes_in(source)) == []
