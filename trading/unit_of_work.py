"""What a use case receives, and the runner that executes use cases in transactions."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy.orm import Session

from trading.account_events.new_events import NewEvent
from trading.account_events.record import record_event
from trading.config.settings import Settings
from trading.db.transactions import Database, after_commit, before_commit, rerun_is_safe
from trading.exchange.hours import AlwaysOpen, MarketHours
from trading.exchange.market_hours_provider import MarketHoursProvider
from trading.marketdata.quotes import QuoteStore

P = ParamSpec("P")
T = TypeVar("T")

_ALWAYS_OPEN = AlwaysOpen()


@dataclass(frozen=True, kw_only=True)
class UnitOfWork:
    """One attempt of a transaction: its session, and what a use case needs besides its command.

    A use case never commits. `now` is the database's time when the attempt began. Ask `quotes`
    before the first statement, so that no row stays locked while Redis is slow.
    """

    session: Session
    now: datetime
    settings: Settings
    quotes: QuoteStore
    market_hours: Callable[[], MarketHours]

    @cached_property
    def hours(self) -> MarketHours:
        """The market hours in force.

        Finding them may read the database on a second connection, so the first access must come
        before the transaction's first statement; later ones return the same hours.
        """
        if self.session.in_transaction():
            raise RuntimeError("ask for the market hours before the first statement")
        return self.market_hours()

    def emit(self, event: NewEvent) -> None:
        """Write `event` with the transaction, after its other statements.

        The events of a user are numbered in the order in which they are emitted, and published to
        the user's clients after the COMMIT.
        """
        record_event(self.session, event)

    def before_commit(self, work: Callable[[Session], None]) -> None:
        """Run `work` immediately before COMMIT; once, even if registered twice."""
        before_commit(self.session, work)

    def after_commit(self, message: object) -> None:
        """Deliver `message`, such as a TaskRequest, after the COMMIT; never after a rollback."""
        after_commit(self.session, message)


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCaseRunner:
    """Runs use cases and queries on one database. Safe to share between threads."""

    settings: Settings
    database: Database
    quotes: QuoteStore
    exchange_hours: MarketHoursProvider
    clock: Callable[[], datetime]

    def run(
        self,
        use_case: Callable[Concatenate[UnitOfWork, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run `use_case(uow, ...)` in one transaction and commit it; return its result.

        The use case must be idempotent: it runs again when the outcome of a COMMIT is unknown.
        Raises what `Database.transaction` raises.
        """
        return self.database.transaction(
            lambda session: use_case(self.unit_of_work(session), *args, **kwargs),
            find_committed=rerun_is_safe,
        )

    def run_once(
        self,
        use_case: Callable[[UnitOfWork], T],
        *,
        find_committed: Callable[[Session], T | None],
    ) -> T:
        """Run a use case that is not idempotent.

        When the outcome of a COMMIT is unknown, return what `find_committed` finds of it, and run
        the use case again only if that is None.
        """
        return self.database.transaction(
            lambda session: use_case(self.unit_of_work(session)), find_committed=find_committed
        )

    def dry_run(
        self,
        use_case: Callable[Concatenate[UnitOfWork, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run `use_case(uow, ...)`, which must not write, and return its result.

        It takes no write lock on SQLite. Raises what `Database.read` raises.
        """
        return self.database.read(
            lambda session: use_case(self.unit_of_work(session), *args, **kwargs)
        )

    def read(
        self, query: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `query(session, ...)`. Its statements may see different states of the database."""
        return self.database.read(lambda session: query(session, *args, **kwargs))

    def snapshot(
        self, query: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `query(session, ...)`. All its statements see one state of the database."""
        return self.database.snapshot(lambda session: query(session, *args, **kwargs))

    def unit_of_work(self, session: Session) -> UnitOfWork:
        """Return a unit of work for one attempt on `session`."""
        return UnitOfWork(
            session=session,
            now=self.clock(),
            settings=self.settings,
            quotes=self.quotes,
            market_hours=self.market_hours,
        )

    def market_hours(self) -> MarketHours:
        """Return the market hours in force, by the settings and the operators' corrections.

        May read the database: call it before a transaction, never inside one.
        """
        return _ALWAYS_OPEN if self.settings.hours_rule == "always" else self.exchange_hours.now()
