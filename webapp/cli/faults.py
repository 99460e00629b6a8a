"""Wrap every command: check the database first, and explain faults in one sentence.

A fault of a server, a file, the settings or the encoding of an argument ends a command with one
sentence and exit code 1. Any other exception is a bug and keeps its traceback.
"""

import logging
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from copy import copy
from functools import wraps
from typing import Any

import click
from alembic.util import CommandError
from flask import current_app
from redis import RedisError
from sqlalchemy.exc import SQLAlchemyError

from trading.config.settings import Settings, SettingsError
from trading.db.faults import explain
from trading.db.transactions import DatabaseUnavailable
from trading.redis.client import explain as explain_redis
from webapp.cli.migrations import UnfitDatabase, require_newest, short_place
from webapp.context import get_core

# These check what they need of the database themselves, or need none.
_UNCHECKED = {"backup", "database", "db", "openapi", "restore", "status"}
# Their output is for a file, and they use no database.
_WITHOUT_DATABASE = {
    "database describe",
    "openapi list-config-prefixes",
    "openapi print",
    "openapi write",
}


def guard_commands(commands: MutableMapping[str, click.Command]) -> None:
    """Wrap every command and subcommand with the check and the explanation.

    With the application's setting COMMANDS_NAME_DATABASE a command that uses the database first
    names it on standard error.
    """
    # Flask-Migrate logs before it exits; the sentence replaces that.
    logging.getLogger("flask_migrate").disabled = True
    for name, command in list(commands.items()):
        commands[name] = _guarded(command, name, checks=name not in _UNCHECKED)


def _guarded(command: click.Command, name: str, *, checks: bool) -> click.Command:
    # A copy, because some commands are shared by all applications of a process.
    guarded = copy(command)
    if isinstance(guarded, click.Group):
        guarded.commands = {
            below: _guarded(each, f"{name} {below}", checks=checks)
            for below, each in guarded.commands.items()
        }
    elif command.callback is not None:
        guarded.callback = _guarded_callback(
            command.callback, checks=checks, names=name not in _WITHOUT_DATABASE
        )
    return guarded


def _guarded_callback(
    callback: Callable[..., Any], *, checks: bool, names: bool
) -> Callable[..., Any]:
    @wraps(callback)
    def checked(*arguments: Any, **options: Any) -> Any:
        with _explain_faults():
            _require_text(*arguments, *options.values())
            uri = get_core().settings.database_uri.get_secret_value()
            if checks:
                require_newest(uri)
            if names and current_app.config.get("COMMANDS_NAME_DATABASE"):
                click.echo(f"Database: {short_place(uri)}", err=True)
            return callback(*arguments, **options)

    return checked


def _require_text(*values: object) -> None:
    """Raise a ClickException for bytes that are not UTF-8, which no database stores as text."""
    for value in values:
        try:
            _ = value.encode() if isinstance(value, str) else None
        except UnicodeEncodeError:
            raise click.ClickException(f"The argument {value!r} is not UTF-8 text.") from None


@contextmanager
def _explain_faults() -> Iterator[None]:
    try:
        yield
    except (UnfitDatabase, SettingsError) as fault:
        raise click.ClickException(str(fault)) from None
    except (DatabaseUnavailable, SQLAlchemyError, RedisError) as fault:
        sentence = sentence_for(fault, get_core().settings)
        if sentence is None:
            raise
        raise click.ClickException(sentence) from None
    except OSError as fault:
        if fault.filename is None:
            raise
        raise click.ClickException(f"{fault.filename}: {fault.strerror}.") from None
    except SystemExit as ended:
        # Flask-Migrate catches these and exits.
        if isinstance(ended.__context__, CommandError):
            raise click.ClickException(_alembic_sentence(ended.__context__.args)) from None
        raise


def sentence_for(fault: BaseException, settings: Settings) -> str | None:
    """Return the sentence for a fault of the database or of Redis; None for any other exception."""
    if isinstance(fault, RedisError):
        return explain_redis(fault, settings.redis_url.get_secret_value())
    return explain(fault, settings.database_uri.get_secret_value())


def _alembic_sentence(arguments: Sequence[object]) -> str:
    sentence = " ".join(str(arguments[0] if arguments else "").split()).rstrip(".")
    is_behind = sentence.startswith("Target database is not up to date")
    return f"{sentence}: run flask db upgrade." if is_behind else f"{sentence}."
