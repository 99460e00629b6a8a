"""How long a trade takes to become a committed fill, in the whole system: a feed, Redis, beat, a worker with two pool children, the database.

The latency of a fill runs from the moment at which the relayer's part received the trade to the first look of a poller, every 20 ms, that finds the
execution committed: at most so much too long. The age of its tick that an execution keeps is shorter, as it is taken when the execution's
transaction begins.
"""

import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from uuid import UUID

from sqlalchemy import delete, exists, or_, select
from sqlalchemy.orm import Session

from benchmarks.celery_processes import beat, worker
from benchmarks.tick_feed import Fed, Feed, run
from trading.core import Core
from trading.database.ids import new_id
from trading.database.rows import AnyRow
from trading.database.tables import MatchCursor, Order, OrderExecution, table_of
from trading.database.transactions import nothing_to_find
from trading.market.tick import Position
from trading.queue import Task

POLL_S = 0.02
DEADLINE_S = 30.0
_EXECUTIONS = table_of(OrderExecution)
# An execution is committed a moment after its id was made, so each look begins this much before the latest.
_LOOK_BACK_MS = 3_000


@dataclass(frozen=True, slots=True)
class Latencies:
    """In milliseconds, each in ascending order: from the tick to the first look that saw the fill, the age that the execution keeps of its tick,
    and what those looks of the matcher took that found something."""

    seen: list[float]
    kept: list[float]
    looks: list[float]
    fed: Fed


def percentile(ascending: list[float], share: float) -> float:
    """The smallest of these that so large a share of them does not exceed."""
    return ascending[max(0, -int(-share * len(ascending) // 1) - 1)]


def measure(core: Core, feed: Feed, folder: Path) -> Latencies:
    """Let the system run for the time of the feed, and until everything is worked off."""
    core.redis.flushdb()
    core.database.transaction(
        lambda session: session.execute(delete(MatchCursor)), landed=nothing_to_find
    )
    first, log = new_id(), folder / "worker.log"
    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as feeding,
        worker(core.settings, log),
        beat(core.settings, folder / "beat.log"),
    ):
        running = feeding.submit(run, feed)
        seen_at = _watch(core, running, first)
        _await_the_end(core)
    fed, rows = running.result(), core.database.read(partial(_executions, floor=first))
    if len(rows) != fed.touches:
        sys.exit(
            f"{fed.touches} trades met an order and {len(rows)} fills were made:\n{log.read_text()[-2_000:]}"
        )
    return Latencies(
        seen=sorted(
            (seen_at[one.id] - Position.unpack(one.tick_position).ms / 1_000) * 1_000
            for one in rows
        ),
        kept=sorted(float(one.tick_age_ms) for one in rows),
        looks=sorted(_looks(log)),
        fed=fed,
    )


def _watch(core: Core, running: "Future[Fed]", first: UUID) -> dict[UUID, float]:
    """When each execution was first seen to be committed (s since the epoch), until the feed has ended and all of its fills are there."""
    seen_at: dict[UUID, float] = {}
    began = ended = time.monotonic()
    floor = first
    while not running.done() or len(seen_at) < running.result().touches:
        found = core.database.read(partial(_executions, floor=floor))
        now = time.time()
        for execution in found:
            seen_at.setdefault(execution.id, now)
        floor = max(first, UUID(int=int(now * 1_000 - _LOOK_BACK_MS) << 80))
        ended = ended if running.done() else time.monotonic()
        if time.monotonic() - ended > DEADLINE_S:
            sys.exit(
                f"{len(seen_at)} fills of {running.result()} were made {time.monotonic() - began:.0f} s after the start."
            )
        time.sleep(POLL_S)
    return seen_at


def _executions(session: Session, floor: UUID) -> Sequence[AnyRow]:
    columns = (_EXECUTIONS.c.id, _EXECUTIONS.c.tick_position, _EXECUTIONS.c.tick_age_ms)
    return session.execute(select(*columns).where(_EXECUTIONS.c.id > floor)).all()


def _await_the_end(core: Core) -> None:
    """Wait until nothing is due in any stage."""
    due = select(
        or_(
            exists().where(Order.wake_at.is_not(None)),
            exists().where(OrderExecution.applied_at.is_(None)),
        )
    )
    deadline = time.monotonic() + DEADLINE_S
    while core.database.read(lambda session: session.scalar(due)):
        if time.monotonic() > deadline:
            sys.exit(f"After {DEADLINE_S:g} s something is still due.")
        time.sleep(0.1)


def _looks(log: Path) -> list[float]:
    """What the looks took (ms) that the worker's log tells of: those that found something."""
    took = []
    for line in log.read_text().splitlines():
        if Task.MATCH_LIMIT_ORDERS in line and line.startswith("{"):
            told = json.loads(line)
            if told.get("event") == "task_done" and told.get("task") == Task.MATCH_LIMIT_ORDERS:
                took.append(float(told["duration_ms"]))
    return took
