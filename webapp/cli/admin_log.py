"""`flask admin-log`: actions of administrators and operators."""

from datetime import datetime

import click
import msgspec

from trading.exchange.time import kst_text
from trading.operations.admin_action_model import ActionKind
from trading.operations.admin_action_queries import AdminActionRecord, list_admin_actions
from trading.pagination import LIMIT_MAX
from webapp.context import get_core

_SHOWN = 20


@click.command("admin-log")
@click.option(
    "--limit",
    type=click.IntRange(1, LIMIT_MAX),
    default=_SHOWN,
    show_default=True,
    help="Number of entries.",
)
@click.option(
    "--action",
    type=click.Choice([str(kind) for kind in ActionKind]),
    help="Only this kind of action.",
)
@click.option("--user", "user_id", type=click.UUID, help="Only this administrator.")
@click.option("--operator", help="Only this operator.")
@click.option("--target", help="Only this target.")
@click.option("--before", type=click.UUID, help="Only entries before this id.")
def admin_log(**filters: object) -> None:
    """Show actions of administrators and operators, newest first."""
    found = get_core().read(list_admin_actions, **filters)  # type: ignore[arg-type]  # click's, as its options say
    for record in found.items:
        click.echo(_line(record))
    if found.next_cursor is not None:
        click.echo(f"There are more: --before {found.next_cursor}")
    elif not found.items:
        click.echo("Nothing.")


def _line(record: AdminActionRecord) -> str:
    who = f"administrator {record.user_id}" if record.user_id else f"operator {record.operator}"
    where = (
        f" (request {record.request_id} from {record.address or 'nowhere known'})"
        if record.user_id
        else ""
    )
    target = f" {record.target}" if record.target else ""
    what = f"{record.action}{target}{_facts(record.details)}"
    ended = f"{record.outcome}{_facts(record.outcome_details)} {_at(record.ended_at)}"
    return _plain(
        f"{_at(record.began_at)} {who}{where}: {what} -> {ended if record.outcome else 'not known'}"
    )


def _at(at: datetime | None) -> str:
    return "" if at is None else kst_text(at, timespec="milliseconds")


def _facts(details: dict[str, object]) -> str:
    return f" {msgspec.json.encode(details).decode()}" if details else ""


def _plain(text: str) -> str:
    """Return the text without control characters, which could manipulate the terminal."""
    return "".join(each if each.isprintable() else "\ufffd" for each in text)
