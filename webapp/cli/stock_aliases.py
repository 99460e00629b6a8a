"""`flask stocks aliases`: other names by which people search stocks."""

from functools import partial

import click

from trading.marketdata.stock_codes import product_code
from trading.operations.admin_action_model import DONE, UNCHANGED, ActionKind, Outcome
from trading.stocks.aliases import add_alias, list_aliases, remove_alias
from trading.stocks.errors import StockNotFound
from trading.stocks.tables import ALIAS_LENGTH_MAX
from trading.text import RefusedCharacter, clean_text
from webapp.context import get_core
from webapp.http.admin_log import run_commanded


@click.group("aliases")
def aliases() -> None:
    """Manage other names of stocks, which the search finds. Applied within seconds."""


@aliases.command("list")
def aliases_list() -> None:
    """List all aliases."""
    for known in get_core().read(list_aliases):
        click.echo(f"{known.stock_code}  {known.alias}  ({known.stock_name or 'not listed'})")


@aliases.command("add")
@click.argument("code")
@click.argument("alias")
def aliases_add(code: str, alias: str) -> None:
    """Let the search find the stock CODE by ALIAS."""
    stock_code, name = _code(code), _alias(alias)
    try:
        added = run_commanded(
            ActionKind.ADD_ALIAS,
            partial(add_alias, stock_code=stock_code, alias=name),
            outcome_of=lambda added: Outcome(DONE if added else UNCHANGED, target=stock_code),
            alias=name,
        )
    except StockNotFound:
        raise click.ClickException(f"There is no stock {stock_code}.") from None
    click.echo(f"{stock_code} {'is now' if added else 'was already'} found as {name}.")


@aliases.command("remove")
@click.argument("code")
@click.argument("alias")
def aliases_remove(code: str, alias: str) -> None:
    """Remove ALIAS from the stock CODE."""
    stock_code, name = _code(code), _alias(alias)
    removed = run_commanded(
        ActionKind.REMOVE_ALIAS,
        partial(remove_alias, stock_code=stock_code, alias=name),
        outcome_of=lambda removed: Outcome(DONE if removed else UNCHANGED, target=stock_code),
        alias=name,
    )
    if not removed:
        raise click.ClickException(f"{stock_code} has no alias {name}.")
    click.echo(f"{stock_code} is no longer found as {name}.")


def _code(text: str) -> str:
    code = product_code(text)
    if code is None:
        raise click.ClickException(f"{text} is not a stock code such as 005930.")
    return code


def _alias(text: str) -> str:
    try:
        alias = clean_text(text, multiline=False)
    except RefusedCharacter as refused:
        raise click.ClickException(str(refused)) from None
    if not 1 <= len(alias) <= ALIAS_LENGTH_MAX:
        raise click.ClickException(f"An alias has 1 to {ALIAS_LENGTH_MAX} characters.")
    return alias
