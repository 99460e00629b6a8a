"""The script that writes ticks keeps each trade once, whichever relayer received it."""

from datetime import UTC, date, datetime, timedelta

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relayer.ticks.writer import TickScript
from tests.relayer.harness import SAMSUNG
from trading.marketdata.ticks import Position, Tick
from trading.redis import keys

NOON = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)


class Feed:
    """Writes trades as successive relayers do: each has its own script and no memory."""

    def __init__(self, client: "redis.Redis") -> None:
        self.client = client
        self.n = 0
        client.flushdb()

    def write(self, *trades: tuple[int | None, datetime, str | None]) -> int:
        """Write trades (total, time, exchange) in one batch; return the number of repeats."""
        ticks = []
        for total, traded_at, exchange in trades:
            self.n += 1
            ticks.append(
                Tick(
                    code=SAMSUNG,
                    price=70_000,
                    volume=100,
                    cumulative_volume=total,
                    exchange=exchange,
                    traded_at=traded_at,
                    received_at=NOON + timedelta(hours=1, seconds=self.n),
                    position=Position(1, self.n),
                )
            )
        return int(TickScript(self.client)(ticks))

    def stream(self) -> list[Tick]:
        entries = self.client.xrange(keys.TICK_STREAM)
        return [Tick.from_json(fields[keys.TICK_FIELD]) for _, fields in entries]

    def last(self) -> Tick:
        return Tick.from_json(self.client.get(keys.last_tick(SAMSUNG)))


@pytest.fixture
def feed(client: "redis.Redis") -> Feed:
    return Feed(client)


def test_trade_received_by_two_relayers_has_its_volume_once(feed: Feed) -> None:
    assert [feed.write((100, NOON, "KRX")) for _ in range(2)] == [0, 1]

    assert sum(tick.volume for tick in feed.stream()) == 100
    assert feed.last().position == Position(1, 1)


def test_late_new_trade_enters_the_stream_and_is_no_last_price(feed: Feed) -> None:
    later = NOON + timedelta(seconds=2)
    feed.write((300, later, "KRX"))

    assert feed.write((100, NOON, "KRX"), (200, later, "KRX"), (300, later, "KRX")) == 1

    assert [tick.cumulative_volume for tick in feed.stream()] == [300, 100, 200]
    assert feed.last().cumulative_volume == 300


def test_totals_are_separate_by_day_and_exchange(feed: Feed) -> None:
    day = timedelta(days=1)
    assert feed.write((7, NOON, "KRX"), (7, NOON, "NXT"), (7, NOON, None)) == 0
    assert feed.write((7, NOON - day, "KRX"), (7, NOON - day, "KRX")) == 1


def test_known_total_of_a_later_trade_is_no_repeat(feed: Feed) -> None:
    """The feed's totals may begin again within a day."""
    feed.write((100, NOON, "KRX"), (200, NOON, "KRX"))
    assert feed.write((100, NOON + timedelta(seconds=1), "KRX")) == 0
    assert feed.last().cumulative_volume == 100


def test_trades_without_a_total_are_all_kept(feed: Feed) -> None:
    assert feed.write((None, NOON, "KRX"), (None, NOON, "KRX")) == 0
    assert len(feed.stream()) == 2


def test_absurd_time_or_total_does_not_block_a_stock(feed: Feed) -> None:
    feed.write((10**14, NOON + timedelta(days=1_000), "KRX"), (10**14 + 1, NOON, "KRX"))

    after = NOON + timedelta(hours=1, seconds=2)
    assert feed.write((5, after, "KRX")) == 0
    assert feed.last().cumulative_volume == 5


def test_known_totals_are_bounded_and_older_ones_count_as_repeats(feed: Feed) -> None:
    totals = range(1, keys.KNOWN_TRADES_MAX + 51)
    feed.write(*((total, NOON, "KRX") for total in totals))
    name = keys.known_trades(SAMSUNG, date(2026, 11, 20), "KRX")

    assert feed.client.zcard(name) == keys.KNOWN_TRADES_MAX
    assert 0 < feed.client.ttl(name) <= keys.KNOWN_TRADES_TTL_S
    assert feed.write(*((total, NOON, "KRX") for total in totals)) == len(totals)
    # Totals that begin again are the feed's correction.
    assert feed.write((3, NOON + timedelta(seconds=1), "KRX")) == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    batches=st.lists(
        st.lists(
            st.tuples(st.integers(1, 30), st.sampled_from(("KRX", "NXT")), st.integers(0, 1)),
            min_size=1,
            max_size=12,
        ),
        max_size=8,
    )
)
def test_every_trade_is_in_the_stream_once(
    feed: Feed, batches: list[list[tuple[int, str, int]]]
) -> None:
    """Late, repeated and in any order; each batch is written by another relayer."""
    feed.client.flushdb()
    feed.n = 0
    for batch in batches:
        feed.write(
            *(
                (total, NOON + timedelta(seconds=total, days=-days), exchange)
                for total, exchange, days in batch
            )
        )

    keys_of = [(tick.cumulative_volume, tick.exchange, tick.traded_at) for tick in feed.stream()]
    true = {
        (total, exchange, NOON + timedelta(seconds=total, days=-days))
        for batch in batches
        for total, exchange, days in batch
    }
    assert len(keys_of) == len(true)
    assert set(keys_of) == true
    if true:
        assert feed.last().traded_at == max(traded_at for _, _, traded_at in true)
