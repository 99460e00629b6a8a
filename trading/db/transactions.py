"""Begin and end transactions. No other module does.

Use cases receive a session and never commit. `before_commit` registers work that must follow all
other statements, `after_commit` registers messages for other processes. A rollback sends nothing,
so a worker never searches for a row that does not exist yet. A lost message costs only time: the
recovery sweep finds the rows by their state.

Deadlocks, lock timeouts and lost connections are retried a bounded number of times, each time in a
new session. A connection lost *during COMMIT* leaves the outcome unknown (measured: 12 of 33 such
commits had succeeded), so callers say how to find out.
"""

import random
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, ClassVar, TypeVar

import pymysql
import structlog
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.orm import Session

from trading.db.clock import DatabaseClock, utc_now

log = structlog.get_logger(__name__)

T = TypeVar("T")

ATTEMPTS = 5
BACKOFF_FIRST_MS = 5
SQLITE_BUSY_TIMEOUT_MS = 5_000
LOCK_WAIT_TIMEOUT_S = 5

# MariaDB converts an IN list of a thousand values or more to a subquery, and may then read and lock
# the whole table. MySQL does not and ignores this comment; so does MariaDB before 10.5, whose first
# releases lack the variable.
_LISTS_STAY_LISTS = "/*M!100500 , in_predicate_conversion_threshold = 0 */"
_ON_CONNECT = (
    "SET time_zone = '+00:00', sql_mode = 'TRADITIONAL', innodb_lock_wait_timeout = {lock_wait_s} "
    + _LISTS_STAY_LISTS
)

# MySQL: deadlock, lock wait timeout, too many connections, connection refused, server gone,
# connection lost, connection killed, server shutting down.
_TRANSIENT_MYSQL = frozenset({1213, 1205, 1040, 2003, 2006, 2013, 1927, 1053})
_WORDS = {1213: "deadlock", 1205: "lock-wait"}
_LAST = "last"
_OUTBOX = "outbox"
_SQLITE_BEGIN = "sqlite_begin"
_SQLITE_WRITE = "BEGIN IMMEDIATE"
_HOLDS_TURN = "holds_turn"


class DatabaseUnavailable(Exception):
    """The database did not answer in time, or kept failing. Nothing was changed."""


class CommitUncertain(DatabaseUnavailable):
    """The connection was lost during COMMIT and the outcome is unknown: the change may be
    committed.
    """


class _LostInCommit(Exception):
    """A transient fault of the COMMIT itself; its outcome is unknown."""

    def __init__(self, fault: DBAPIError) -> None:
        super().__init__(str(fault))
        self.fault = fault


def rerun_is_safe(_session: Session) -> None:
    """Use as `find_committed` for idempotent work: running it again changes nothing more."""


def before_commit(session: Session, work: Callable[[Session], None]) -> None:
    """Run `work` immediately before COMMIT. Registering the same callable twice runs it once."""
    session.info.setdefault(_LAST, {})[work] = None


def after_commit(session: Session, message: object) -> None:
    """Pass `message` to the database's `deliver` after this session's transaction is committed."""
    session.info.setdefault(_OUTBOX, []).append(message)


class Database:
    """An engine and its transactions. Safe to share between threads; create one per process."""

    def __init__(
        self,
        uri: str,
        *,
        pool_size: int = 10,
        timeout_s: int = 30,
        deliver: Callable[[Sequence[Any]], None] = lambda _messages: None,
        retried: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        """Create the engine.

        `deliver` receives the messages of a committed transaction, `retried` a short reason for
        each retry; neither may raise. `timeout_s` bounds one statement on MySQL. On every database,
        nothing is retried later than `timeout_s` after the first attempt began.
        """
        embedded = make_url(uri).get_backend_name() == "sqlite"
        self.engine = _sqlite(uri, pool_size) if embedded else _mysql(uri, pool_size, timeout_s)
        self.clock: Callable[[], datetime] = utc_now if embedded else DatabaseClock(self.engine)
        self._deliver = deliver
        self.patience_s = timeout_s
        self._retried = retried
        # Readers on SQLite must not take the only write lock.
        self._reading = self.engine.execution_options(**{_SQLITE_BEGIN: "BEGIN"})

    def transaction(
        self,
        work: Callable[[Session], T],
        *,
        find_committed: Callable[[Session], T | None] | None = None,
    ) -> T:
        """Run `work` in one transaction, commit it and return its result.

        After a COMMIT of unknown outcome, `find_committed` runs in a new transaction: it returns
        the result if the rows of the first run exist, else None, and then `work` runs again.
        Without it, or if it cannot run, CommitUncertain is raised. Raises DatabaseUnavailable when
        the attempts are used up. Any other exception of `work` rolls back and propagates.
        """
        uncertain = False
        fault: DBAPIError | DatabaseUnavailable
        patient_until = time.monotonic() + self.patience_s
        for attempt in range(1, ATTEMPTS + 1):
            try:
                found = self.read(find_committed) if uncertain and find_committed else None
                return self._attempt(work) if found is None else found
            except _LostInCommit as lost:
                if find_committed is None:
                    raise CommitUncertain from lost.fault
                uncertain, fault = True, lost.fault
            except DatabaseUnavailable as unreachable:
                # The outcome stays unknown until `find_committed` has run; before a COMMIT the
                # database is just unavailable.
                if not uncertain:
                    raise
                fault = unreachable
            except DBAPIError as failed:
                if not is_transient(failed):
                    raise
                # This attempt began after `find_committed` had found nothing, and failed before its
                # COMMIT: the outcome is known.
                uncertain, fault = False, failed
            log.info(
                "transaction_retried", attempt=attempt, uncertain=uncertain, reason=_reason(fault)
            )
            if time.monotonic() >= patient_until:
                break
            if attempt < ATTEMPTS:
                self._retried(_word(fault))
                time.sleep(random.uniform(0, BACKOFF_FIRST_MS * 4 ** (attempt - 1)) / 1_000)
        raise (CommitUncertain if uncertain else DatabaseUnavailable) from fault

    def _attempt(self, work: Callable[[Session], T]) -> T:
        with _session(self.engine) as session:
            result = work(session)
            for last_work in session.info.pop(_LAST, ()):
                last_work(session)
            try:
                session.commit()
            except DBAPIError as fault:
                if is_transient(fault):
                    raise _LostInCommit(fault) from fault
                raise
            outbox = session.info.get(_OUTBOX)
        if outbox:
            self._deliver(outbox)
        return result

    def read(self, work: Callable[[Session], T]) -> T:
        """Run `work` on one connection and roll back.

        A lost connection is retried once, then DatabaseUnavailable is raised.
        """
        patient_until = time.monotonic() + self.patience_s
        for last in (False, True):
            try:
                with _session(self._reading) as session:
                    return work(session)
            except DBAPIError as fault:
                if not is_transient(fault):
                    raise
                if last or time.monotonic() >= patient_until:
                    raise DatabaseUnavailable from fault
        raise AssertionError("unreachable: the last attempt returns or raises")

    def snapshot(self, work: Callable[[Session], T]) -> T:
        """Run `work` like `read`, with all statements on one database state. Nothing is locked or
        written.
        """

        def on_one_state(session: Session) -> T:
            # SQLite readers see one state anyway. On MySQL the level applies to the next
            # transaction only; set as an option of the connection, it would run outside
            # SQLAlchemy's error handling.
            if self.engine.dialect.name != "sqlite":
                session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            return work(session)

        return self.read(on_one_state)

    def close(self) -> None:
        self.engine.dispose()


@contextmanager
def _session(engine: Engine) -> Iterator[Session]:
    try:
        with Session(engine, autoflush=False, expire_on_commit=False) as session:
            yield session
    except PoolExhausted as fault:
        # All connections of the pool were in use for too long.
        raise DatabaseUnavailable from fault


def is_transient(fault: DBAPIError) -> bool:
    """Return True if running the same work again in a new transaction can succeed."""
    arguments = getattr(fault.orig, "args", ())
    if arguments and arguments[0] in _TRANSIENT_MYSQL:
        return True
    if fault.connection_invalidated:
        return True
    return "database is locked" in str(fault.orig)


def _reason(fault: DBAPIError | DatabaseUnavailable) -> str:
    cause = fault.orig if isinstance(fault, DBAPIError) else fault
    arguments = getattr(cause, "args", ())
    return str(arguments[0]) if arguments else type(cause).__name__


def _word(fault: DBAPIError | DatabaseUnavailable) -> str:
    """Return the reason for a retry as one of a few words, for metrics."""
    cause = fault.orig if isinstance(fault, DBAPIError) else fault
    arguments = getattr(cause, "args", ())
    busy = "locked" if "database is locked" in str(cause) else "connection"
    return _WORDS.get(arguments[0], busy) if arguments else busy


class _MySQLConnection(pymysql.connections.Connection):
    """Send ROLLBACK only if there may be something to undo: the pool asks for one after every
    COMMIT.

    Every statement counts, failed ones too, so nothing stays open after an error; only a COMMIT or
    ROLLBACK that the server has confirmed leaves nothing to undo. A connection closed during a
    statement needs none either: the driver closes it when an exception such as a task's time limit
    interrupts it, the server then undoes the transaction, and a failing ROLLBACK would replace that
    exception.
    """

    _may_be_open = True
    _contexts: ClassVar[dict[frozenset[tuple[str, Any]], ssl.SSLContext]] = {}

    def _create_ssl_ctx(self, sslp: dict[str, Any]) -> ssl.SSLContext:
        """Share one context between connections: the driver would read every CA certificate for
        each one.
        """
        parameters = frozenset(sslp.items())
        if parameters not in self._contexts:
            self._contexts[parameters] = super()._create_ssl_ctx(sslp)  # type: ignore[misc]  # not in its types
        return self._contexts[parameters]

    def query(self, sql: str | bytes, unbuffered: bool = False) -> int:  # noqa: FBT001, FBT002 - the driver's signature
        self._may_be_open = True
        return super().query(sql, unbuffered)

    def commit(self) -> None:
        self._may_be_open = True
        super().commit()
        self._may_be_open = False

    def rollback(self) -> None:
        if self._may_be_open and self.open:
            super().rollback()
            self._may_be_open = False


def _mysql(uri: str, pool_size: int, timeout_s: int) -> Engine:
    engine = create_engine(
        uri,
        isolation_level="READ COMMITTED",
        # Error messages and logs would contain them: password hashes, addresses.
        hide_parameters=True,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=2,
        pool_recycle=1_800,
        connect_args={
            "connect_timeout": 2,
            "read_timeout": timeout_s,
            "write_timeout": timeout_s,
            # A lock wait must time out before the connection counts as lost.
            "init_command": _ON_CONNECT.format(
                lock_wait_s=max(1, min(LOCK_WAIT_TIMEOUT_S, timeout_s - 1))
            ),
        },
    )

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, arguments: Any, keywords: Any) -> _MySQLConnection:
        return _MySQLConnection(*arguments, **keywords)

    return engine


def _sqlite(uri: str, pool_size: int) -> Engine:
    engine = create_engine(
        uri,
        hide_parameters=True,
        pool_size=pool_size,
        max_overflow=pool_size,
        connect_args={"timeout": SQLITE_BUSY_TIMEOUT_MS / 1_000},
    )

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: Any) -> None:
        # The driver's own BEGIN comes before the first write, which loses updates between a read
        # and a write.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    # SQLite has one writer and no queue; others poll, and with many threads some would wait for
    # seconds. So the threads of a process take turns. A turn that does not come in time is skipped:
    # SQLite itself still keeps writers apart.
    turn = threading.Lock()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        begin = connection.get_execution_options().get(_SQLITE_BEGIN, _SQLITE_WRITE)
        connection.info[_HOLDS_TURN] = begin == _SQLITE_WRITE and turn.acquire(
            timeout=SQLITE_BUSY_TIMEOUT_MS / 1_000
        )
        try:
            connection.exec_driver_sql(begin)
        except DBAPIError:
            _end(connection)
            raise

    @event.listens_for(engine, "commit")
    @event.listens_for(engine, "rollback")
    def _end(connection: Connection) -> None:
        if connection.info.pop(_HOLDS_TURN, False):
            turn.release()

    return engine
