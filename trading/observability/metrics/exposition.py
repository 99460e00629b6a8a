"""Exposition: the text that Prometheus scrapes, and an HTTP server for processes without one."""

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
from trading.observability.metrics.instruments import REGISTRY
from trading.observability.metrics.multiprocess import shared_collector

log = structlog.get_logger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PATH = "/metrics"

# Creation timestamps would add one sample per series; Prometheus does not need them.
disable_created_metrics()  # type: ignore[no-untyped-call]


def process_collector() -> Collector:
    """Return the metrics of all processes that share their files, or of this process alone."""
    return shared_collector() or REGISTRY


def build_registry(*collectors: Collector, include_process: bool = False) -> CollectorRegistry:
    """Return a registry of these collectors.

    ``include_process`` adds memory, processor time and file descriptors of this process.
    """
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    if include_process:
        ProcessCollector(registry=registry)
    return registry


def render(registry: CollectorRegistry) -> bytes:
    return generate_latest(registry)


class CachedExposition:
    """Exposition text for a public endpoint, rendered by one thread and cached for ``keep_s``.

    Rendering takes about 0.1 s.
    """

    def __init__(self, registry: CollectorRegistry, *, keep_s: float) -> None:
        self._registry = registry
        self._keep_s = keep_s
        self._lock = threading.Lock()
        self._text = b""
        self._rendered_at = float("-inf")

    def __call__(self) -> bytes:
        with self._lock:
            if time.monotonic() - self._rendered_at >= self._keep_s:
                self._text = render(self._registry)
                self._rendered_at = time.monotonic()
            return self._text


def serve(settings: Settings, registry: CollectorRegistry) -> None:
    """Serve ``registry`` at METRICS_HOST:METRICS_PORT, if set, in background threads.

    Never raises: a process works without its metrics endpoint.
    """
    if settings.metrics_port is None:
        return
    # The start runs in a thread too, since it may resolve the host name.
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
