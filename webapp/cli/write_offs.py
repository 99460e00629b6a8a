"""`flask stocks write-off`: remove the holdings of a delisted stock."""

from functools import partial

import click

from trading.ledger.errors import StockNotDelisted
from trading.ledger.write_off import write_off_holdings
from trading.marketdata.stock_codes import product_code
from trading.operations.admin_action_model import ActionKind
from trading.stocks.errors import StockNotFound
from trading.text import RefusedCharacter, clean_text
from webapp.api.write_offs import REASON_LENGTH_MAX, outcome_of
from webapp.http.admin_log import run_commanded


@click.command("write-off")
@click.argument("code")
@click.option("--reason", help="Why, for the log and the account's records.")
def write_off(code: str, reason: str | None) -> None:
    """Write off all holdings of the delisted stock CODE; their cost is a realized loss."""
    stock_code = product_code(code)
    if stock_code is None:
        raise click.ClickException(f"{code} is not a stock code such as 005930.")
    text = _reason(reason)
    try:
        report = run_commanded(
            ActionKind.WRITE_OFF_HOLDINGS,
            partial(write_off_holdings, stock_code=stock_code, reason=text),
            outcome_of=outcome_of,
            reason=text,
        )
    except StockNotFound:
        raise click.ClickException(f"There is no stock {stock_code}.") from None
    except StockNotDelisted:
        raise click.ClickException(
            f"{stock_code} is not delisted; only delisted stocks are written off."
        ) from None
    click.echo(
        f"Wrote off {report.holdings} holdings of {stock_code} {report.stock_name}:"
        f" {report.quantity:,} shares, a loss of {report.loss:,} won."
    )
    if report.reserved_holdings:
        click.echo(
            f"{report.reserved_holdings} holdings are reserved by orders that have not ended;"
            " run this again afterwards."
        )


def _reason(text: str | None) -> str | None:
    try:
        reason = clean_text(text or "", multiline=False)
    except RefusedCharacter as refused:
        raise click.ClickException(str(refused)) from None
    if len(reason) > REASON_LENGTH_MAX:
        raise click.ClickException(f"A reason has at most {REASON_LENGTH_MAX} characters.")
    return reason or None
