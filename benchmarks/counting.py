"""What counting costs: ``python -m benchmarks.counting``.

In files that processes share, as gunicorn's workers and a Celery pool's children do: the calls that one order makes when it is placed, and those of one task
that executes it; in a relayer's memory those of a batch of ticks; and the text for Prometheus of four processes, each of which has answered every address
in four ways. Of many rounds the quickest one counts, as the others only tell what else the machine did. The last line is one JSON object.
"""

import argparse
import json
import time
from collections.abc import Callable
from itertools import product

from prometheus_client import Histogram

from trading.metrics import counting, sharing, telling
from trading.metrics.families import TICK_WRITE_LAG

PROCESSES = 4
RULES = 100
STATUSES = (200, 400, 401, 409)
CALLS = 2_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument(
        "--rounds", type=int, default=50, help=f"of {CALLS} calls each (default 50)"
    )
    options = parser.parse_args()
    # A relayer is one process, whose figures lie in its own memory; so it is measured before anything is shared.
    lag = Histogram(
        TICK_WRITE_LAG.name, TICK_WRITE_LAG.help, buckets=TICK_WRITE_LAG.buckets, registry=None
    )
    measured = {"tick_batch_us": _quickest_us(lambda: lag.observe(0.002), options.rounds)}
    slots = [0]
    sharing.make_folder()
    sharing.share(lambda: slots[0])
    measured["order_us"] = _quickest_us(_order, options.rounds)
    measured["task_us"] = _quickest_us(_task, options.rounds)
    for slots[0] in range(PROCESSES):
        for rule, status in product(range(RULES), STATUSES):
            labels = "GET", f"/api/v1/a/rule/{rule}/<uuid:some_id>", status
            counting.record(counting.REQUEST_DURATION, *labels, value=0.02)
    measured["text_ms"], series = _text()
    print(
        f"an order {measured['order_us']:.1f} µs, a task {measured['task_us']:.1f} µs, a batch of ticks {measured['tick_batch_us']:.1f} µs"
    )
    print(f"a text of {series:,} series from {PROCESSES} processes {measured['text_ms']:.0f} ms")
    print(json.dumps({name: round(value, 1) for name, value in measured.items()}))


def _order() -> None:
    labels = "POST", "/api/v1/trading/orders", 201
    counting.record(counting.REQUESTS_IN_FLIGHT, "POST")
    counting.record(counting.ORDERS_ACCEPTED, "BUY", "MARKET")
    counting.record(counting.REQUEST_DURATION, *labels, value=0.012)
    counting.record(counting.REQUESTS_IN_FLIGHT, "POST", value=-1)


def _task() -> None:
    counting.record(counting.TASKS_RUNNING, "execute_orders")
    counting.record(counting.FILLS, "BUY", "market-at-last-trade")
    counting.record(counting.ORDERS_ENDED, "FILLED", "filled")
    counting.record(counting.TASKS_RUNNING, "execute_orders", value=-1)
    counting.record(counting.TASKS, "execute_orders", "done")
    counting.record(counting.TASK_DURATION, "execute_orders", "done", value=0.012)


def _quickest_us(call: Callable[[], None], rounds: int) -> float:
    """What one call takes in the quickest round."""
    quickest = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(CALLS):
            call()
        quickest = min(quickest, time.perf_counter() - began)
    return quickest / CALLS * 1_000_000


def _text() -> tuple[float, int]:
    """How long the text takes (ms), and how many series it has."""
    registry = telling.told(telling.counted())
    quickest, text = float("inf"), b""
    for _ in range(5):
        began = time.perf_counter()
        text = telling.text_of(registry)
        quickest = min(quickest, time.perf_counter() - began)
    return quickest * 1_000, sum(not line.startswith(b"#") for line in text.splitlines())


if __name__ == "__main__":
    main()
