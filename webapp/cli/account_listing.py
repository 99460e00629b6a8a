"""`flask users list` and `flask users show`."""

from uuid import UUID

import click

from trading.accounts.errors import UserNotFound
from trading.accounts.records import Role
from trading.exchange.time import kst_text
from trading.observability.logs.lines import visible
from trading.operations.account_overview import (
    AccountOverview,
    AccountSummary,
    account_overview,
    list_accounts,
)
from webapp.cli.account_lookup import find_user_id, unknown_account
from webapp.context import get_core

_SHOWN = 20
_SHOWN_MAX = 1_000
_CLOSED = "(closed)"


@click.command("list")
@click.argument("search", required=False)
@click.option(
    "--limit",
    type=click.IntRange(1, _SHOWN_MAX),
    default=_SHOWN,
    show_default=True,
    help="Number of accounts.",
)
@click.option("--admins", is_flag=True, help="Only administrators.")
@click.option("--halted", is_flag=True, help="Only accounts whose trading is halted.")
@click.option("--closed", is_flag=True, help="Closed accounts instead of open ones.")
@click.option("--before", type=click.UUID, help="Only accounts before this id.")
def users_list(
    search: str | None, *, limit: int, admins: bool, halted: bool, closed: bool, before: UUID | None
) -> None:
    """List accounts, newest first; SEARCH is a part of the address or name."""
    found = get_core().read(
        list_accounts,
        limit=limit + 1,
        search=search,
        role=Role.ADMIN if admins else None,
        halted=halted,
        closed=closed,
        before=before,
    )
    for account in found[:limit]:
        click.echo(_line(account))
    if len(found) > limit:
        click.echo(f"There are more: --before {found[limit - 1].id}")
    elif not found:
        click.echo("Nothing.")


@click.command("show")
@click.argument("user")
def users_show(user: str) -> None:
    """Show the account USER with its state and figures."""
    try:
        overview = get_core().snapshot(account_overview, find_user_id(user))
    except UserNotFound:
        raise unknown_account(user) from None
    for name, value in _facts(overview).items():
        click.echo(f"{name:<13}{value}")


def _line(account: AccountSummary) -> str:
    state = f"  halted since {kst_text(account.halted_at)}" if account.halted_at else ""
    return (
        f"{_email(account)}  {account.id}  {visible(account.name)}  {account.role}  since"
        f" {kst_text(account.created_at)}{state}"
    )


def _email(account: AccountSummary) -> str:
    return account.email if account.closed_at is None else _CLOSED


def _facts(overview: AccountOverview) -> dict[str, str]:
    account = overview.account
    facts = {
        "e-mail": _email(account),
        "id": str(account.id),
        "name": visible(account.name),
        "role": account.role,
        "opened": kst_text(account.created_at),
    }
    if account.closed_at is not None:
        facts["closed"] = kst_text(account.closed_at)
    if account.halted_at is not None:
        reason = visible(" ".join((account.halt_reason or "-").split()))
        facts["halted"] = f"{kst_text(account.halted_at)}: {account.halt_cause} ({reason})"
    last = overview.last_sign_in_at
    return facts | {
        "last sign-in": "never" if last is None else kst_text(last),
        "cash": f"{overview.cash:,} won, {overview.reserved_cash:,} reserved",
        "debt": f"{overview.debt:,} won",
        "holdings": f"{overview.holdings:,} stocks",
        "open orders": f"{overview.open_orders:,}",
    }
