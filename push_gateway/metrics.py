"""What a gateway tells Prometheus: what its parts know anyway, read when it is asked."""

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from push_gateway.hub import ClientHub
from trading.observability.metrics import families


class GatewayMetrics(Collector):
    def __init__(self, audience: ClientHub) -> None:
        self._audience = audience

    def collect(self) -> Iterator[Metric]:
        audience = self._audience
        yield families.GATEWAY_CLIENTS.value(audience.size)
        yield families.GATEWAY_CONNECTIONS.value(audience.places_taken)
        yield families.GATEWAY_REDIS_CONNECTED.value(audience.channels.live)
        yield families.GATEWAY_MESSAGES.value(audience.means.tally.messages)
        yield families.GATEWAY_SLOW_CLIENTS_DISCONNECTED.value(audience.means.tally.cuts)
