"""`flask users`: administrator rights and account halts; the list is in account_listing."""

from collections.abc import Callable
from functools import partial

import click

from trading.accounts.accounts import demote, promote
from trading.accounts.errors import UserNotFound
from trading.accounts.records import UserRecord
from trading.audit.account_halts import (
    AccountHaltRequest,
    AccountResumption,
    halt_account,
    resume_account,
)
from trading.audit.queries import audit_state
from trading.db.ids import new_id
from trading.exchange.time import kst_text
from trading.halts.model import HaltCause
from trading.operations.admin_action_model import UNCHANGED, ActionKind, Outcome
from trading.text import RefusedCharacter, clean_text
from webapp.cli.account_listing import users_list, users_show
from webapp.cli.account_lookup import find_user_id, label_of, labels_of, unknown_account
from webapp.context import get_core
from webapp.http.admin_log import run_commanded

_REASON_LENGTH_MAX = 200
_NOTE_LENGTH_MAX = 500


@click.group()
def users() -> None:
    """Show and manage accounts. USER is an e-mail address or an id."""


users.add_command(users_list)
users.add_command(users_show)


@users.command("promote")
@click.argument("email")
def users_promote(email: str) -> None:
    """Make the account with this EMAIL an administrator."""
    _set_role(ActionKind.PROMOTE_USER, promote, email)


@users.command("demote")
@click.argument("email")
def users_demote(email: str) -> None:
    """Remove administrator rights from EMAIL; takes effect on the next request."""
    _set_role(ActionKind.DEMOTE_USER, demote, email)


def _set_role(kind: ActionKind, change: Callable[..., UserRecord], email: str) -> None:
    try:
        # Log the id: closing an account erases its address.
        user = run_commanded(
            kind,
            partial(change, email=email),
            outcome_of=lambda changed: Outcome(target=str(changed.id)),
        )
    except UserNotFound:
        raise click.ClickException(f"No account has the e-mail address {email}.") from None
    click.echo(f"{user.email} is now {user.role}.")


@users.command("halted")
def users_halted() -> None:
    """Show halted accounts and the audit's open breaches."""
    core = get_core()
    state = core.snapshot(audit_state, now=core.clock())
    halted = {halt.user_id for halt in state.halted}
    labels = labels_of(halted | {breach.user_id for breach in state.breaches})
    for halt in state.halted:
        click.echo(
            f"{labels[halt.user_id]} since {kst_text(halt.halted_at)}: {halt.cause} "
            f"({' '.join((halt.reason or '-').split())})"
        )
    for breach in state.breaches:
        click.echo(
            f"{labels[breach.user_id]} breaks {breach.check}; {breach.times} times since "
            f"{kst_text(breach.found_at)}"
        )
        for line in breach.sample:
            click.echo(f"       {line}")
    click.echo(f"{state.halted_total} halted accounts, {state.breaches_total} open breaches.")


@users.command("halt")
@click.argument("user")
@click.option("--reason", required=True, help="Why, for later readers.")
def users_halt(user: str, reason: str) -> None:
    """Halt the trading of USER: no new orders, amendments, fills, withdrawals and refunds."""
    user_id, text = find_user_id(user), _text(reason, _REASON_LENGTH_MAX)
    command = AccountHaltRequest(
        halt_id=new_id(), user_id=user_id, cause=HaltCause.ADMINISTRATOR, reason=text
    )
    try:
        halt = run_commanded(
            ActionKind.HALT_ACCOUNT,
            partial(halt_account, command=command),
            outcome_of=lambda halt: Outcome(
                "halted" if halt.id == command.halt_id else UNCHANGED, target=str(user_id)
            ),
            reason=text,
        )
    except UserNotFound:
        raise unknown_account(user) from None
    click.echo(f"{label_of(user_id)} is halted since {kst_text(halt.halted_at)}.")


@users.command("resume")
@click.argument("user")
@click.option("--note", required=True, help="What was found and done, for later readers.")
def users_resume(user: str, note: str) -> None:
    """Resume trading of USER. The next audit halts the account again if it still finds a breach."""
    user_id, text = find_user_id(user), _text(note, _NOTE_LENGTH_MAX)
    lifted = run_commanded(
        ActionKind.RESUME_ACCOUNT,
        partial(resume_account, command=AccountResumption(user_id=user_id, note=text)),
        outcome_of=lambda lifted: Outcome(
            UNCHANGED if lifted is None else "resumed", target=str(user_id)
        ),
        note=text,
    )
    if lifted is None:
        raise click.ClickException(f"{label_of(user_id)} is not halted.")
    click.echo(f"{label_of(user_id)} may trade again.")


def _text(value: str, length_max: int) -> str:
    """Return a text as it is stored; raise a ClickException unless it has 1 to length_max."""
    try:
        text = clean_text(value, multiline=True)
    except RefusedCharacter as refused:
        raise click.ClickException(str(refused)) from None
    if not 1 <= len(text) <= length_max:
        raise click.ClickException(f"A text of 1 to {length_max} characters is needed.")
    return text
