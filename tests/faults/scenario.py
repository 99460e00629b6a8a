"""Fault scenario: clients trade, a fault happens, the system recovers, and all invariants must
hold.

    with testbed.scenario("kill -9 of a worker") as scenario:
        stack.kill("worker-1")
        scenario.wait_until_recovered()
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any, TypeVar

from redis import RedisError
from sqlalchemy import text

from tests.faults.assertions import check_invariants
from tests.faults.listener import Listener
from tests.faults.load import REFUSED, Accepted, Client, Load, Trader
from tests.faults.payer import Payer
from tests.faults.table import Row
from tests.support.deadlines import DEADLINE_S
from tests.support.servers import wait_until
from tests.support.trading_harness import TradingHarness
from tests.system.stack import Stack, running_stack
from trading.db.statements import execute_rowcount
from trading.db.transactions import DatabaseUnavailable
from trading.marketdata.ticks import Position
from trading.redis import keys

TRADERS = 18
PAYERS = 2
LISTENERS = 2
WARM_UP_ORDERS = 20
PROBE = {"stock_code": "A005930", "side": "BUY", "order_type": "MARKET", "quantity": 2}
ANSWERS = {"200", "201", "202", "404", "409", "422", "503"}

# Orders and fills of orders accepted before an instant that still wait for a task.
_DUE = """SELECT (SELECT COUNT(*) FROM orders WHERE accepted_at <= :at
        AND next_attempt_at IS NOT NULL)
    + (SELECT COUNT(*) FROM order_executions e JOIN orders o ON o.id = e.order_id
        WHERE o.accepted_at <= :at AND e.applied_at IS NULL)"""
# End the claims of requests whose process died or lost the database before it answered, as if their
# time had passed.
_CLAIMS_END = (
    "UPDATE idempotency_receipts SET claimed_until = :at WHERE status IS NULL AND created_at <= "
    ":at AND claimed_until > :at"
)
_MATCHED = "SELECT COALESCE(MIN(position), 0) FROM match_cursors"

C = TypeVar("C", Trader, Payer)

_numbers = count(1)


@dataclass
class FaultTestbed:
    """Running stack with clients that trade. `record` receives the result row of each scenario."""

    stack: Stack
    harness: TradingHarness
    prefix: str
    load: Load
    payers: list[Payer]
    probe: Client
    listeners: list[Listener]
    known: dict[str, Accepted] = field(default_factory=dict)
    record: Callable[[Row], None] = lambda _row: None

    @property
    def connections(self) -> int:
        """Number of connections to the push gateway so far."""
        return sum(listener.connections for listener in self.listeners)

    def probe_order(self) -> Callable[[], bool]:
        """Place an order of a separate user. Return a function that returns True once it is
        applied.
        """
        placed: list[str] = []

        def applied() -> bool:
            if not placed and (order_id := self.probe.place(PROBE)):
                placed.append(order_id)
            if not placed:
                return False
            order = self.probe.get(f"/trading/orders/{placed[0]}")
            return order["status"] == "FILLED" and all(
                one["applied_at"] for one in order["executions"]
            )

        return applied

    @contextmanager
    def scenario(self, name: str, *, api_ends: bool = False) -> Iterator["Scenario"]:
        """Trade until the block ends, wait for recovery and check all invariants.

        Only with `api_ends` may requests be refused or wait for longer than DEADLINE_S, because the
        API restarts.
        """
        self.load.begin()
        try:
            self.load.wait_for_orders(WARM_UP_ORDERS)
            scenario = Scenario(self, name)
            yield scenario
            scenario.wait_until_recovered()
            self.load.rest()
        except BaseException:
            self.load.abort()
            raise
        finally:
            self.known |= {one.order_id: one for one in self.load.accepted}
        check_invariants(self)
        self.record(scenario.row())
        assert set(self.load.answers) <= ANSWERS | ({REFUSED, "504"} if api_ends else set()), (
            self.load.answers
        )
        assert api_ends or self.load.longest_s < DEADLINE_S, self.load.longest_s


class Scenario:
    """One fault and its recovery."""

    def __init__(self, testbed: FaultTestbed, name: str) -> None:
        self.name = name
        self.notes: list[str] = []
        self.recovered_after_s: float | None = None
        self._testbed = testbed
        self._claims_ended = 0

    def wait_until_recovered(
        self,
        *,
        since: float | None = None,
        claims_end: bool = False,
        also: Callable[[], bool] = lambda: True,
    ) -> None:
        """Wait until accepted orders are done, a new order completes, and the matcher has read new
        ticks.

        Only the first call of a scenario waits. `since` (monotonic) is the end of the fault if it
        was earlier than now. `claims_end` ends the idempotency claims of unanswered requests
        instead of waiting for their expiry. `also` is a further condition.
        """
        if self.recovered_after_s is not None:
            return
        over, at, placed = since or monotonic(), datetime.now(UTC), self._testbed.probe_order()

        def recovered() -> bool:
            if claims_end:
                self._end_claims(at)
            return placed() and self.due(at) == 0 and self._matched_since(at) and also()

        wait_until(recovered, what=f"recovery from {self.name}", deadline_s=2 * DEADLINE_S)
        self.recovered_after_s = monotonic() - over
        if self._claims_ended:
            self.notes.append(f"{self._claims_ended} claims ended")

    def row(self) -> Row:
        """Return the result row of this scenario."""
        answers = self._testbed.load.answers
        return Row(
            name=self.name,
            recovered_after_s=self.recovered_after_s or 0.0,
            orders=len(self._testbed.load.accepted),
            answers={status: answers[status] for status in sorted(answers)},
            longest_s=self._testbed.load.longest_s,
            note="; ".join(self.notes),
        )

    def _end_claims(self, at: datetime) -> None:
        ends = text(_CLAIMS_END)
        with suppress(DatabaseUnavailable):
            self._claims_ended += self._testbed.harness.do(
                lambda session: execute_rowcount(session, ends, {"at": at.replace(tzinfo=None)})
            )

    def due(self, at: datetime) -> int | None:
        """Return how many orders accepted before `at`, and their fills, are due; None without a
        database.
        """
        return self._scalar(_DUE, at=at.replace(tzinfo=None))

    def _matched_since(self, at: datetime) -> bool:
        """Return True if a trade arrived after `at` and the matcher has read it."""
        with suppress(RedisError):
            last = self._testbed.harness.core.redis.xrevrange(keys.TICK_STREAM, count=1)
            position = Position(int(at.timestamp() * 1_000), 0)
            return (
                bool(last)
                and Position.parse(last[0][0]) > position
                and (self._scalar(_MATCHED) or 0) > position.packed
            )
        return False

    def _scalar(self, statement: str, **values: Any) -> int | None:
        database = self._testbed.harness.core.database
        with suppress(DatabaseUnavailable):
            return int(database.read(lambda session: session.scalar(text(statement), values)))
        return None


def hold_fault(seconds: float) -> None:
    """Keep the fault for so long."""
    until = monotonic() + seconds
    wait_until(lambda: monotonic() > until, what="the outage is over")


@contextmanager
def running_testbed(
    database_uri: str, folder: Path, *, timeout_s: float = 30.0, **more: Any
) -> Iterator[FaultTestbed]:
    """Run a stack with all processes and load clients. `more` are arguments of `running_stack`."""
    settings = {
        "SWEEP_PERIOD_S": "1",
        "WAKE_GRACE_MS": "500",
        # All scenarios of a module use one sign-in, and take longer than 15 minutes under load.
        "ACCESS_TOKEN_MINUTES": "1440",
        "LOG_FORMAT": "json",
        **more.pop("settings", {}),
    }
    with running_stack(database_uri, folder, gateway=True, settings=settings, **more) as (
        stack,
        harness,
    ):
        prefix = f"load-{next(_numbers)}-"

        def client(kind: type[C], number: int, **options: Any) -> C:
            name = f"{prefix}{kind.__name__.lower()}-{number}"
            return kind(stack.url, name, rng=Random(number), timeout_s=timeout_s, **options)

        traders = [client(Trader, number) for number in range(TRADERS)]
        payers = [client(Payer, number, portone_url=stack.portone_url) for number in range(PAYERS)]
        probe = Client(stack.url, f"probe-{prefix}", timeout_s=timeout_s)
        listeners = [Listener(stack.url, trader) for trader in traders[:LISTENERS]]
        for listener in listeners:
            listener.begin()
        testbed = FaultTestbed(
            stack, harness, prefix, Load([*traders, *payers]), payers, probe, listeners
        )
        try:
            wait_until(testbed.probe_order(), what="the first order", deadline_s=2 * DEADLINE_S)
            yield testbed
        finally:
            for listener in listeners:
                listener.end()
