"""Faults of the database that an operator can mend, each as one sentence.

A sentence names the server or the file, never the password, and says what to do. A fault that is
not in these tables is a bug: it has no sentence, and keeps its traceback.
"""

import sqlite3
from pathlib import Path

import pymysql
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolExhausted

from trading.db.transactions import CommitUncertain, DatabaseUnavailable

_CHECK_URI = "check DATABASE_URI"
_CHECK_RIGHTS = "use the tables' owner, or have the owner run flask database grant"
_TRY_AGAIN = "try again"

# Numbers of MySQL's and MariaDB's errors: what is wrong with the server, and what to do about it.
_MYSQL = {
    1040: ("has too many connections", _TRY_AGAIN),
    1044: ("does not let user '{user}' use database '{database}'", _CHECK_URI),
    1045: ("refuses user '{user}' with this password", _CHECK_URI),
    1046: ("needs the name of a database", _CHECK_URI),
    1049: ("has no database '{database}'", "create it, or correct DATABASE_URI"),
    1053: ("is shutting down", "start it and try again"),
    1114: ("has no space left for the rows", "free some"),
    1129: ("blocks this host", "run FLUSH HOSTS on it"),
    1130: ("does not accept this host", "grant the user access from it"),
    1133: ("has no such user", "create the user first"),
    1142: ("does not give user '{user}' the rights for this", _CHECK_RIGHTS),
    1143: ("does not give user '{user}' the rights for this", _CHECK_RIGHTS),
    1205: ("waited too long for rows or tables that others use", _TRY_AGAIN),
    1213: ("met a deadlock", _TRY_AGAIN),
    1227: ("does not give user '{user}' the rights for this", _CHECK_RIGHTS),
    1290: ("is read-only", "use the server that can be written to"),
    1410: ("has no such user, or user '{user}' may not create it", "create the user first"),
    1698: ("refuses user '{user}' with this password", _CHECK_URI),
    1836: ("is read-only", "use the server that can be written to"),
    1927: ("closed the connection", _TRY_AGAIN),
    2006: ("closed the connection", _TRY_AGAIN),
    2013: ("stopped answering", "check the server, and try again"),
    2026: ("could not be reached over TLS", _CHECK_URI),
    2059: ("asks for a kind of sign-in that is not supported", "change the user's plugin"),
    3159: ("accepts only TLS", "add ssl_ca to DATABASE_URI"),
}
_CANNOT_CONNECT = 2003

_SQLITE = {
    sqlite3.SQLITE_BUSY: ("is locked by another process", _TRY_AGAIN),
    sqlite3.SQLITE_CANTOPEN: ("can't be opened", "check that its folder exists and is writable"),
    sqlite3.SQLITE_CORRUPT: ("is damaged", "restore a backup"),
    sqlite3.SQLITE_FULL: ("can't grow because the disk is full", "free some space"),
    sqlite3.SQLITE_IOERR: ("can't be read or written", "check the disk"),
    sqlite3.SQLITE_NOTADB: ("is not a database of SQLite", _CHECK_URI),
    sqlite3.SQLITE_PERM: ("may not be opened", "check its permissions"),
    sqlite3.SQLITE_READONLY: ("is read-only", "check the permissions of it and of its folder"),
}


def explain(fault: BaseException, uri: str) -> str | None:
    """Return the sentence for a fault of the database at ``uri``; None where it has none."""
    url = make_url(uri)
    if isinstance(fault, CommitUncertain):
        return (
            f"{place(url)} stopped answering during the commit: check whether the change was made,"
            " and repeat the command if not."
        )
    if isinstance(fault, DatabaseUnavailable):
        cause = fault.__cause__
        return explain(cause, uri) if cause else f"{place(url)} does not answer: {_TRY_AGAIN}."
    if isinstance(fault, PoolExhausted):
        return f"{place(url)} has no free connection: {_TRY_AGAIN}."
    cause = fault.orig if isinstance(fault, DBAPIError) else fault
    words = None
    if isinstance(cause, pymysql.Error):
        words = _of_server(cause)
    elif isinstance(cause, sqlite3.Error) and hasattr(cause, "sqlite_errorcode"):
        words = _SQLITE.get(cause.sqlite_errorcode & 0xFF)  # The rest is SQLite's detail.
    if words is None:
        return None
    wrong, remedy = words
    return f"{place(url)} {wrong.format(user=url.username, database=url.database)}: {remedy}."


def message_of(fault: DBAPIError) -> str:
    """Return the server's or SQLite's own message, in one line without the statement."""
    arguments = getattr(fault.orig, "args", ())
    return " ".join(str(arguments[-1] if arguments else fault.orig).split()).rstrip(".")


def place(url: URL) -> str:
    """Return the words for where a database is: its server, or its file."""
    if url.get_backend_name() == "sqlite":
        return f"The database file {url.database or '(none)'}"
    return f"The database server {url.host}:{url.port or 3306}"


def sqlite_file(uri: str) -> Path | None:
    """Return the file of a database of SQLite; None for a server and for one in memory."""
    url = make_url(uri)
    embedded = url.get_backend_name() == "sqlite" and url.database not in {None, "", ":memory:"}
    return Path(str(url.database)) if embedded else None


def _of_server(fault: pymysql.Error) -> tuple[str, str] | None:
    number = fault.args[0] if fault.args else None
    if number == _CANNOT_CONNECT:
        reason = getattr(fault, "original_exception", None)
        said = getattr(reason, "strerror", None) or "timed out"
        return f"can't be reached ({said})", "start it, or correct DATABASE_URI"
    return _MYSQL.get(number) if isinstance(number, int) else None
