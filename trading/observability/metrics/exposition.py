"""Telling: the text that Prometheus reads, and a server for it in processes that have none."""

import threading
import time

import structlog
from prometheus_client import (
    CollectorRegistry,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
    start_http_server,
)
from prometheus_client.registry import Collector

from trading.config.settings import Settings
from trading.observability.metrics.instruments import COUNTED
from trading.observability.metrics.multiprocess import is_enabled

log = structlog.get_logger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PATH = "/metrics"

# When each series began would be one more for each, and Prometheus knows it.
disable_created_metrics()  # type: ignore[no-untyped-call]


def process_collector() -> Collector:
    """What was counted: by all processes that this one shares its work with, or by itself alone."""
    return is_enabled() or COUNTED


def build_registry(*collectors: Collector, of_one_process: bool = False) -> CollectorRegistry:
    """What these collectors tell, together; where it is ``of_one_process``, with that process's memory, processor time and descriptors."""
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    if of_one_process:
        ProcessCollector(registry=registry)
    return registry


def render(registry: CollectorRegistry) -> bytes:
    return generate_latest(registry)


class CachedExposition:
    """The text for a server that anybody may ask: it is made by one at a time, and not again within ``keep_s``, as making it takes a tenth of a second."""

    def __init__(self, registry: CollectorRegistry, *, keep_s: float) -> None:
        self._registry = registry
        self._keep_s = keep_s
        self._making = threading.Lock()
        self._text = b""
        self._made_at = float("-inf")

    def __call__(self) -> bytes:
        with self._making:
            if time.monotonic() - self._made_at >= self._keep_s:
                self._text = render(self._registry)
                self._made_at = time.monotonic()
            return self._text


def serve(settings: Settings, registry: CollectorRegistry) -> None:
    """Tell it at METRICS_HOST and METRICS_PORT, if they are set, from threads of its own. Never fails: a process does its work without, too."""
    if settings.metrics_port is None:
        return
    # Also the start, as it may ask for the machine's name.
    threading.Thread(
        target=_serve,
        args=(settings.metrics_host, settings.metrics_port, registry),
        name="metrics",
        daemon=True,
    ).start()


def _serve(host: str, port: int, registry: CollectorRegistry) -> None:
    try:
        start_http_server(port, host, registry)
    except OSError as refused:
        log.warning("metrics_server_failed", host=host, port=port, reason=refused.strerror)
    else:
        log.info("metrics_server_started", host=host, port=port)
