"""Find accounts by e-mail address or id, and name them in the output."""

from collections.abc import Collection
from contextlib import suppress
from uuid import UUID

import click

from trading.accounts.accounts import normalized_email
from trading.accounts.queries import credentials_by_email
from trading.operations.account_overview import emails_of
from webapp.context import get_core


def find_user_id(user: str) -> UUID:
    """Return the id of an account by id (also of a closed account) or e-mail address."""
    with suppress(ValueError):
        return UUID(user)
    credentials = get_core().read(credentials_by_email, normalized_email(user))
    if credentials is None:
        raise unknown_account(user)
    return credentials.user_id


def unknown_account(user: str) -> click.ClickException:
    return click.ClickException(f"There is no account {user}.")


def labels_of(user_ids: Collection[UUID]) -> dict[UUID, str]:
    """Return ``address (id)`` of each account; the id alone of a closed or unknown one."""
    emails = get_core().read(emails_of, user_ids)
    return {each: f"{emails[each]} ({each})" if each in emails else str(each) for each in user_ids}


def label_of(user_id: UUID) -> str:
    return labels_of([user_id])[user_id]
