"""Telling: what a process serves at METRICS_PORT, and that it does its work without, too."""

import socket
import threading
from collections.abc import Iterator

import pytest
import requests
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from structlog.testing import capture_logs

from launcher.ports import free_port
from tests.support.deadlines import DEADLINE_S
from tests.support.servers import wait_until
from trading.config.settings import Settings
from trading.observability.metrics import exposition, families


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Counter("stocking_things", "Things.", ["kind"], registry=registry).labels("a").inc(3)
    return registry


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_process_tells_at_its_port(registry: CollectorRegistry) -> None:
    """Under /metrics, in the text format, without a line about when each series was made."""
    port = free_port()

    exposition.serve(
        Settings(metrics_port=port), exposition.build_registry(registry, of_one_process=True)
    )

    wait_until(lambda: answers(port), what="the server")
    answer = requests.get(f"http://127.0.0.1:{port}{exposition.PATH}", timeout=DEADLINE_S)
    told = {
        sample.name
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert answer.status_code == 200
    assert {"stocking_things_total", "process_resident_memory_bytes"} <= told
    assert not {name for name in told if name.endswith("_created")}


def test_without_a_port_nobody_listens(registry: CollectorRegistry) -> None:
    before = threading.active_count()

    exposition.serve(Settings(), registry)

    assert threading.active_count() == before


def test_a_port_that_is_taken_is_told_and_harms_nobody(registry: CollectorRegistry) -> None:
    """Two relayers on one machine with one set of variables: both do their work, one is not told of."""
    with socket.socket() as other, capture_logs() as logs:
        other.bind(("127.0.0.1", 0))
        other.listen()

        exposition.serve(Settings(metrics_port=other.getsockname()[1]), registry)

        wait_until(lambda: logs, what="a line in the log")
    assert logs[0]["event"] == "metrics_server_failed"


class _Counted(Collector):
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def collect(self) -> Iterator[Metric]:
        self.asked += 1
        yield families.TRADING_HALTED.value(self.asked)


@pytest.mark.parametrize(("keep_s", "asked"), [(3_600.0, 1), (0.0, 8)])
def test_a_text_is_kept_for_all_who_ask_at_once(keep_s: float, asked: int) -> None:
    """However many ask, it is made once while it is good; and each time where it is never good."""
    collector = _Counted()
    kept = exposition.CachedExposition(exposition.build_registry(collector), keep_s=keep_s)

    askers = [threading.Thread(target=kept) for _ in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()

    assert collector.asked == asked
    assert kept().endswith(b"stocking_trading_halted %d.0\n" % collector.asked)
