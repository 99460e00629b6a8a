"""Console output of the demo."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from launcher.demo.checks import DemoCheck, cash_change


class Output:
    """Prints numbered steps with their facts and tables."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._step_number = 0

    def line(self, text: str) -> None:
        self._console.print(text)

    def step(self, title: str) -> None:
        self._step_number += 1
        self._console.print(f"\n[bold cyan]{self._step_number}. {title}[/]", highlight=False)

    def facts(self, **facts: object) -> None:
        table = Table(show_header=False, box=None, padding=(0, 1))
        for name, value in facts.items():
            table.add_row(f"  {name}", str(value))
        self._console.print(table)

    def transactions(self, transactions: list[dict[str, Any]]) -> None:
        columns = (
            "quantity",
            "price",
            "amount",
            "commission",
            "tax",
            "moved",
            "cash before",
            "cash after",
        )
        table = Table(
            "  type", *(Column(name, justify="right") for name in columns), box=None, padding=(0, 1)
        )
        for t in transactions:
            figures = (
                t["quantity"],
                t["price"],
                t["amount"],
                t["commission"],
                t["tax"],
                cash_change(t),
            )
            cells = [f"{figure:,}" if figure is not None else "–" for figure in figures]
            table.add_row(
                f"  {t['transaction_type']}",
                *cells,
                won(t["cash_balance_before"]),
                won(t["cash_balance_after"]),
            )
        self._console.print(table)

    def checks(self, checks: Sequence[DemoCheck]) -> None:
        """Print a table of checks with their result."""
        table = Table(
            "check",
            Column("computed", justify="right"),
            Column("answered", justify="right"),
            "",
            box=None,
            pad_edge=False,
        )
        for check in checks:
            result = "[green]agrees[/]" if check.agrees else "[red]DIFFERS[/]"
            table.add_row(check.what, f"{check.expected:,}", f"{check.answered:,}", result)
        self._console.print(table)


def won(amount: int) -> str:
    """Format an amount of money."""
    return f"₩{amount:,}"


def figure(value: object) -> str:
    """Format a value of an answer: thousands separators for integers, a dash for None."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)
