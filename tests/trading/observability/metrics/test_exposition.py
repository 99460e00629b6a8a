"""Metrics endpoint of a process; the process also works without it."""

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


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_metrics_are_served_at_the_port(registry: CollectorRegistry) -> None:
    """Under /metrics, in the text format, without creation timestamps."""
    port = free_port()

    exposition.serve(
        Settings(metrics_port=port), exposition.build_registry(registry, include_process=True)
    )

    wait_until(lambda: is_listening(port), what="the server")
    response = requests.get(f"http://127.0.0.1:{port}{exposition.PATH}", timeout=DEADLINE_S)
    names = {
        sample.name
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }
    assert response.status_code == 200
    assert {"stocking_things_total", "process_resident_memory_bytes"} <= names
    assert not {name for name in names if name.endswith("_created")}


def test_no_server_without_a_port(registry: CollectorRegistry) -> None:
    before = threading.active_count()

    exposition.serve(Settings(), registry)

    assert threading.active_count() == before


def test_port_in_use_is_logged(registry: CollectorRegistry) -> None:
    """Two relayers with the same settings on one machine both work; one has no metrics endpoint."""
    with socket.socket() as other, capture_logs() as logs:
        other.bind(("127.0.0.1", 0))
        other.listen()

        exposition.serve(Settings(metrics_port=other.getsockname()[1]), registry)

        wait_until(lambda: logs, what="a line in the log")
    assert logs[0]["event"] == "metrics_server_failed"


class _CountingCollector(Collector):
    """Collector that counts its scrapes."""

    def __init__(self) -> None:
        self.scrapes = 0

    def collect(self) -> Iterator[Metric]:
        self.scrapes += 1
        yield families.TRADING_HALTED.value(self.scrapes)


@pytest.mark.parametrize(("keep_s", "scrapes"), [(3_600.0, 1), (0.0, 8)])
def test_concurrent_scrapes_share_one_rendering(keep_s: float, scrapes: int) -> None:
    """Unless the cache time is 0."""
    collector = _CountingCollector()
    exposed = exposition.CachedExposition(exposition.build_registry(collector), keep_s=keep_s)

    threads = [threading.Thread(target=exposed) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert collector.scrapes == scrapes
    assert exposed().endswith(b"stocking_trading_halted %d.0\n" % collector.scrapes)
