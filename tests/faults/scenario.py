"""One ordeal: a crowd trades, something breaks, the system recovers, and then nothing may be missing, doubled or wrong.

with place.ordeal("kill -9 of a worker") as ordeal:
    house.kill("worker-1")
    ordeal.recovered()
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

from tests.faults.assertions import verdict
from tests.faults.listener import Listener
from tests.faults.load import REFUSED, Accepted, Client, Crowd, Trader
from tests.faults.payer import Payer
from tests.faults.table import Row
from tests.support.deadlines import DEADLINE_S
from tests.support.servers import wait_until
from tests.support.trading_harness import TradingHarness
from tests.system.stack import Stack, lived_in
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

# What was accepted before an instant and is neither done nor waiting rightly.
_DUE = """SELECT (SELECT COUNT(*) FROM orders WHERE accepted_at <= :at AND next_attempt_at IS NOT NULL)
    + (SELECT COUNT(*) FROM order_executions e JOIN orders o ON o.id = e.order_id WHERE o.accepted_at <= :at AND e.applied_at IS NULL)"""
# As if the time had passed for which a request's key is kept by a process that died, or lost the database, before it could answer or give it back.
_CLAIMS_END = "UPDATE idempotency_receipts SET claimed_until = :at WHERE status IS NULL AND created_at <= :at AND claimed_until > :at"
_MATCHED = "SELECT COALESCE(MIN(position), 0) FROM match_cursors"

C = TypeVar("C", bound=Client)

_numbers = count(1)


@dataclass
class Place:
    """A running house with a crowd of its own. ``tell`` is given the row of each ordeal for the table."""

    house: Stack
    harness: TradingHarness
    prefix: str
    crowd: Crowd
    payers: list[Payer]
    probe: Client
    listeners: list[Listener]
    known: dict[str, Accepted] = field(default_factory=dict)
    tell: Callable[[Row], None] = lambda _row: None

    @property
    def connections(self) -> int:
        """How often somebody has connected to the gateway so far."""
        return sum(listener.connections for listener in self.listeners)

    def probe_order(self) -> Callable[[], bool]:
        """Have an order placed that nobody else's are in the way of; whether it is in its owner's portfolio by now."""
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
    def ordeal(self, name: str, *, api_ends: bool = False) -> Iterator["Ordeal"]:
        """Trade until the block ends and everything is as it should be. Only where the API itself ends may a request be left without an answer, or wait
        for longer than DEADLINE_S for one, as it does while that starts."""
        self.crowd.begin()
        try:
            self.crowd.wait_for_orders(WARM_UP_ORDERS)
            ordeal = Ordeal(self, name)
            yield ordeal
            ordeal.recovered()
            self.crowd.rest()
        except BaseException:
            self.crowd.flee()
            raise
        finally:
            self.known |= {one.order_id: one for one in self.crowd.accepted}
        verdict(self)
        self.tell(ordeal.row())
        assert set(self.crowd.answers) <= ANSWERS | ({REFUSED} if api_ends else set()), (
            self.crowd.answers
        )
        assert api_ends or self.crowd.longest_s < DEADLINE_S, self.crowd.longest_s


class Ordeal:
    """``recovered`` says that the fault is over, and waits until everything flows again."""

    def __init__(self, place: Place, name: str) -> None:
        self.name = name
        self.notes: list[str] = []
        self.recovered_after_s: float | None = None
        self._place = place
        self._claims_ended = 0

    def recovered(
        self,
        *,
        since: float | None = None,
        claims_end: bool = False,
        also: Callable[[], bool] = lambda: True,
    ) -> None:
        """Wait until whatever was accepted by now is done, new orders go through, ticks come and the matcher has read them. Once a fault.

        ``since`` (monotonic) is when the fault was over, where that was before. With ``claims_end`` nobody waits for the claim of a request that got no
        answer to run out. ``also`` is what else must be so.
        """
        if self.recovered_after_s is not None:
            return
        over, at, placed = since or monotonic(), datetime.now(UTC), self._place.probe_order()

        def flows() -> bool:
            if claims_end:
                self._end_claims(at)
            return placed() and self.due(at) == 0 and self._matched_since(at) and also()

        wait_until(flows, what=f"recovery from {self.name}", deadline_s=2 * DEADLINE_S)
        self.recovered_after_s = monotonic() - over
        if self._claims_ended:
            self.notes.append(f"{self._claims_ended} keys waited for")

    def row(self) -> Row:
        """What is told of it in the table."""
        answers = self._place.crowd.answers
        return Row(
            name=self.name,
            recovered_after_s=self.recovered_after_s or 0.0,
            orders=len(self._place.crowd.accepted),
            answers={status: answers[status] for status in sorted(answers)},
            longest_s=self._place.crowd.longest_s,
            note="; ".join(self.notes),
        )

    def _end_claims(self, at: datetime) -> None:
        ends = text(_CLAIMS_END)
        with suppress(DatabaseUnavailable):
            self._claims_ended += self._place.harness.do(
                lambda session: execute_rowcount(session, ends, {"at": at.replace(tzinfo=None)})
            )

    def due(self, at: datetime) -> int | None:
        """How many orders that were accepted by then, and fills of such, are waiting to be done; None while nobody can tell."""
        return self._scalar(_DUE, at=at.replace(tzinfo=None))

    def _matched_since(self, at: datetime) -> bool:
        """Whether a trade came after an instant, and the matcher has read it."""
        with suppress(RedisError):
            last = self._place.harness.core.redis.xrevrange(keys.TICK_STREAM, count=1)
            place = Position(int(at.timestamp() * 1_000), 0)
            return (
                bool(last)
                and Position.parse(last[0][0]) > place
                and (self._scalar(_MATCHED) or 0) > place.packed
            )
        return False

    def _scalar(self, statement: str, **values: Any) -> int | None:
        database = self._place.harness.core.database
        with suppress(DatabaseUnavailable):
            return int(database.read(lambda session: session.scalar(text(statement), values)))
        return None


def passes(seconds: float) -> None:
    """An outage goes on for so long."""
    until = monotonic() + seconds
    wait_until(lambda: monotonic() > until, what="the outage is over")


@contextmanager
def standing(
    database_uri: str, folder: Path, *, silence_s: float = 30.0, **more: Any
) -> Iterator[Place]:
    """A house with all processes and a crowd, as ``lived_in`` makes it with ``more``."""
    settings = {
        "SWEEP_PERIOD_S": "1",
        "WAKE_GRACE_MS": "500",
        "LOG_FORMAT": "json",
        **more.pop("settings", {}),
    }
    with lived_in(database_uri, folder, gateway=True, settings=settings, **more) as (
        house,
        harness,
    ):
        prefix = f"crowd-{next(_numbers)}-"

        def member(kind: type[C], number: int, **own: Any) -> C:
            name = f"{prefix}{kind.__name__.lower()}-{number}"
            return kind(house.url, name, chance=Random(number), silence_s=silence_s, **own)

        traders = [member(Trader, number) for number in range(TRADERS)]
        payers = [member(Payer, number, portone_url=house.portone_url) for number in range(PAYERS)]
        probe = Client(house.url, f"probe-{prefix}", silence_s=silence_s)
        listeners = [Listener(house.url, trader) for trader in traders[:LISTENERS]]
        for listener in listeners:
            listener.begin()
        place = Place(house, harness, prefix, Crowd([*traders, *payers]), payers, probe, listeners)
        try:
            wait_until(place.probe_order(), what="the first order", deadline_s=2 * DEADLINE_S)
            yield place
        finally:
            for listener in listeners:
                listener.end()
