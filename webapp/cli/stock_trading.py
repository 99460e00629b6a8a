"""`flask stocks halt`, `resume`, `delist`, `liquidate` and `set-leverage`."""

from collections.abc import Callable
from functools import partial

import click

from trading.exchange.price_grid import LEVERAGE_PERCENT_MAX
from trading.marketdata.stock_codes import product_code
from trading.operations.admin_action_model import ActionKind
from trading.orders.change_stock import (
    ChangedStock,
    delist_stock,
    halt_stock,
    resume_stock,
    set_leverage,
    set_liquidation,
)
from trading.stocks.errors import StockNotFound, StockNotTradable
from trading.stocks.listing import parse_leverage
from trading.text import RefusedCharacter, clean_text
from trading.unit_of_work import UnitOfWork
from webapp.api.stock_control import outcome_of
from webapp.http.admin_log import run_commanded

_REASON_LENGTH_MAX = 200
_REASON = click.option("--reason", help="Why, for the administrators' log.")


@click.command("halt")
@click.argument("code")
@_REASON
def halt(code: str, reason: str | None) -> None:
    """Halt the stock CODE: no new orders and no fills; open orders stay."""
    _run(ActionKind.HALT_STOCK, halt_stock, code, reason)


@click.command("resume")
@click.argument("code")
@_REASON
def resume(code: str, reason: str | None) -> None:
    """Resume the stock CODE after a halt; also take back a mistaken delisting."""
    _run(ActionKind.RESUME_STOCK, resume_stock, code, reason)


@click.command("delist")
@click.argument("code")
@_REASON
def delist(code: str, reason: str | None) -> None:
    """Delist the stock CODE and cancel its open orders."""
    _run(ActionKind.DELIST_STOCK, delist_stock, code, reason)


@click.command("liquidate")
@click.argument("code")
@click.option("--end", is_flag=True, help="End liquidation trading.")
@_REASON
def liquidate(code: str, *, end: bool, reason: str | None) -> None:
    """Start liquidation trading of the stock CODE, which has no price limits."""
    use_case = partial(set_liquidation, in_liquidation=not end)
    _run(ActionKind.LIQUIDATE_STOCK, use_case, code, reason, in_liquidation=not end)


# Click would take a negative multiple for an option.
@click.command("set-leverage", context_settings={"ignore_unknown_options": True})
@click.argument("code")
@click.argument("multiple")
@_REASON
def leverage(code: str, multiple: str, reason: str | None) -> None:
    """Set the MULTIPLE of its index that the fund CODE follows, such as 2, -2 or 1.5."""
    try:
        percent = parse_leverage(multiple)
    except ValueError:
        raise click.ClickException(
            f"{multiple} is not a multiple of at most {LEVERAGE_PERCENT_MAX // 100}, such as -2."
        ) from None
    use_case = partial(set_leverage, leverage_percent=percent)
    _run(ActionKind.SET_LEVERAGE, use_case, code, reason, leverage_percent=percent)


COMMANDS = (halt, resume, delist, liquidate, leverage)


def _run(
    kind: ActionKind,
    use_case: Callable[..., ChangedStock],
    text: str,
    reason: str | None,
    **details: object,
) -> None:
    code = product_code(text)
    if code is None:
        raise click.ClickException(f"{text} is not a stock code such as 005930.")
    work: Callable[[UnitOfWork], ChangedStock] = partial(use_case, stock_code=code)
    try:
        changed = run_commanded(
            kind, work, outcome_of=outcome_of, reason=_cleaned(reason), **details
        )
    except StockNotFound:
        raise click.ClickException(f"There is no stock {code}.") from None
    except StockNotTradable as refused:
        raise click.ClickException(f"{code} is {refused.facts['stock_status']}.") from None
    stock = changed.stock
    state = f"{stock.status}, leverage {stock.leverage}"
    if stock.in_liquidation:
        state += ", in liquidation trading"
    click.echo(
        f"{code} {stock.name} {'was already' if changed.change is None else 'is now'} {state}; "
        f"users informed: {changed.informed}."
    )


def _cleaned(reason: str | None) -> str | None:
    if reason is None:
        return None
    try:
        text = clean_text(reason, multiline=True)
    except RefusedCharacter as refused:
        raise click.ClickException(str(refused)) from None
    if len(text) > _REASON_LENGTH_MAX:
        raise click.ClickException(f"A reason has at most {_REASON_LENGTH_MAX} characters.")
    return text or None
