"""What a relayer tells Prometheus: counters that its parts keep anyway, read when it is asked."""

from collections.abc import Iterator

from prometheus_client import Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from relayer.feed.subscriptions import SubscriptionWatch
from relayer.feed.supervisor import FeedSupervisor
from relayer.lease.holder import LeaseHolder
from relayer.ticks.filter import TickFilter
from relayer.ticks.writer import TickWriter
from trading.observability.metrics import families


def write_lag() -> Histogram:
    """How long batches of ticks took; the writer observes each."""
    family = families.TICK_WRITE_LAG
    return Histogram(family.name, family.help, buckets=family.buckets, registry=None)


class RelayerMetrics(Collector):
    """Asked by another thread than the one that does the work: it only looks at single values, which that one sets."""

    def __init__(
        self,
        *,
        holder: LeaseHolder,
        link: FeedSupervisor,
        watch: SubscriptionWatch,
        intake: TickFilter,
        writer: TickWriter,
        lag: Histogram,
    ) -> None:
        self._holder = holder
        self._link = link
        self._watch = watch
        self._intake = intake
        self._writer = writer
        self._lag = lag

    def collect(self) -> Iterator[Metric]:
        intake, writer, link = self._intake, self._writer, self._link
        yield families.RELAYER_LEASE_HELD.value(self._holder.lease is not None)
        yield families.RELAYER_CONNECTED.value(link.connected)
        yield families.RELAYER_CONNECTIONS.value(link.connections_total)
        yield families.RELAYER_SUBSCRIPTIONS.read(
            [
                (("wanted",), len(self._watch.wanted)),
                (("confirmed",), link.subscriptions),
                (("left-out",), len(self._watch.left_out)),
            ]
        )
        yield families.TICKS_RECEIVED.read(
            [
                (("new",), intake.ticks_total),
                (("duplicate",), intake.repeated_total),
                (("malformed",), intake.malformed_total),
            ]
        )
        yield families.TICKS_WRITTEN.value(writer.written_total)
        yield families.TICKS_CONFLATED.value(writer.conflated_total)
        yield families.TICKS_WAITING.value(writer.waiting_ticks)
        yield families.TICK_WRITE_FAILURES.value(writer.failures_total)
        yield from self._lag.collect()
        last = intake.last_tick_at
        yield families.LAST_TICK_TIMESTAMP.value(0 if last is None else last.timestamp())
