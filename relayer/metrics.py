"""Prometheus metrics of the relayer: existing counters, read at each scrape."""

from collections.abc import Iterator

from prometheus_client import Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from relayer.feed.subscription_budget import SubscriptionWatch
from relayer.feed.supervisor import FeedSupervisor
from relayer.lease.holder import LeaseHolder
from relayer.ticks.filter import TickFilter
from relayer.ticks.writer import TickWriter
from trading.observability.metrics import families


def write_lag() -> Histogram:
    """Return the histogram of tick write latency; the writer observes each batch."""
    family = families.TICK_WRITE_LAG
    return Histogram(family.name, family.help, buckets=family.buckets, registry=None)


class RelayerMetrics(Collector):
    """Collects from a thread other than the event loop's: it only reads single values."""

    def __init__(
        self,
        *,
        holder: LeaseHolder,
        supervisor: FeedSupervisor,
        watch: SubscriptionWatch,
        tick_filter: TickFilter,
        writer: TickWriter,
        lag: Histogram,
    ) -> None:
        self._holder = holder
        self._supervisor = supervisor
        self._watch = watch
        self._tick_filter = tick_filter
        self._writer = writer
        self._lag = lag

    def collect(self) -> Iterator[Metric]:
        tick_filter, writer, supervisor = self._tick_filter, self._writer, self._supervisor
        yield families.RELAYER_LEASE_HELD.value(self._holder.lease is not None)
        yield families.RELAYER_CONNECTED.value(supervisor.connected)
        yield families.RELAYER_CONNECTIONS.value(supervisor.connections_total)
        yield families.RELAYER_SUBSCRIPTIONS.read(
            [
                (("wanted",), len(self._watch.wanted)),
                (("confirmed",), supervisor.subscriptions),
                (("left-out",), len(self._watch.left_out)),
            ]
        )
        yield families.TICKS_RECEIVED.read(
            [
                (("new",), tick_filter.ticks_total - writer.repeated_total - writer.waiting_ticks),
                (("duplicate",), writer.repeated_total),
                (("malformed",), tick_filter.malformed_total),
            ]
        )
        yield families.TICKS_WRITTEN.value(writer.written_total)
        yield families.TICKS_CONFLATED.value(writer.conflated_total)
        yield families.TICKS_WAITING.value(writer.waiting_ticks)
        yield families.TICK_WRITE_FAILURES.value(writer.failures_total)
        yield from self._lag.collect()
        last = tick_filter.last_tick_at
        yield families.LAST_TICK_TIMESTAMP.value(0 if last is None else last.timestamp())
