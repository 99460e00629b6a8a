"""Prometheus metrics of the gateway: existing counters, read at each scrape."""

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from push_gateway.hub import ClientHub
from trading.observability.metrics import families


class GatewayMetrics(Collector):
    def __init__(self, hub: ClientHub) -> None:
        self._hub = hub

    def collect(self) -> Iterator[Metric]:
        hub = self._hub
        yield families.GATEWAY_CLIENTS.value(hub.size)
        yield families.GATEWAY_CONNECTIONS.value(hub.slots_taken)
        yield families.GATEWAY_REDIS_CONNECTED.value(hub.channels.live)
        yield families.GATEWAY_MESSAGES.value(hub.dependencies.counters.messages)
        yield families.GATEWAY_SLOW_CLIENTS_DISCONNECTED.value(
            hub.dependencies.counters.disconnected
        )
