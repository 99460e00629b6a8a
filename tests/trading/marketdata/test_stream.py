"""TickStream on a real server: continued reads, trimmed and lost streams, malformed entries."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from redis import Redis

from tests.support.servers import Valkey
from trading.marketdata.quotes import MarketUnavailable
from trading.marketdata.stream import TickStream
from trading.marketdata.ticks import Position, Tick
from trading.redis import keys
from trading.redis.client import connect

NOW = datetime(2026, 11, 20, 1, 0, tzinfo=UTC)


@pytest.fixture
def client(valkey_url: str) -> Iterator[Redis]:
    with connect(valkey_url) as client:
        yield client


def write(client: Redis, *positions: Position) -> None:
    for position in positions:
        tick = Tick(
            code="A005930",
            price=70_000,
            volume=1,
            traded_at=NOW,
            received_at=NOW,
            position=position,
        )
        client.xadd(keys.TICK_STREAM, {keys.TICK_FIELD: tick.to_json()}, id=str(position))


def positions(*ms: int) -> list[Position]:
    return [Position(one, 0) for one in ms]


def test_reads_continue_at_the_previous_end(client: Redis) -> None:
    """Two ticks per read: every tick once, in order, without a gap."""
    write(client, *positions(1, 2, 3, 4, 5))
    stream = TickStream(client)
    position, seen, more = None, [], True
    while more:
        part = stream.after(position, limit=2)
        assert not part.gap
        assert len(part.ticks) <= 2
        seen += [tick.position for tick in part.ticks]
        position, more = part.end, part.more
    assert (seen, position) == (positions(1, 2, 3, 4, 5), Position(5, 0))
    assert stream.after(position, limit=2).ticks == ()
    write(client, Position(5, 1))
    part = stream.after(position, limit=2)
    assert ([tick.position for tick in part.ticks], part.gap) == ([Position(5, 1)], False)


def test_trimmed_stream_reports_a_gap_once(client: Redis) -> None:
    """Entries 2 and 3 were trimmed unread; reading continues after them."""
    write(client, *positions(1, 2, 3, 4, 5))
    client.xtrim(keys.TICK_STREAM, maxlen=2, approximate=False)
    stream = TickStream(client)
    part = stream.after(Position(1, 0), limit=10)
    assert (part.gap, [tick.position for tick in part.ticks]) == (True, positions(4, 5))
    assert not stream.after(part.end, limit=10).gap


@pytest.mark.parametrize("new_ms", [(1, 2), (8, 9)], ids=["clock went back", "clock went on"])
def test_lost_stream_restarts_with_a_gap(client: Redis, new_ms: tuple[int, ...]) -> None:
    """All new entries are returned, even if their positions are lower than before."""
    stream = TickStream(client)
    part = stream.after(Position(5, 0), limit=10)
    assert (part.ticks, part.end, part.gap) == ((), Position(5, 0), False)
    write(client, *positions(*new_ms))
    part = stream.after(Position(5, 0), limit=10)
    assert (part.gap, [tick.position for tick in part.ticks]) == (True, positions(*new_ms))
    assert part.end == Position(new_ms[-1], 0)
    assert not stream.after(part.end, limit=10).gap


def test_malformed_entries_are_skipped(client: Redis) -> None:
    """Without a tick, with other content, or with a tick of another position."""
    client.xadd(keys.TICK_STREAM, {"other": "1"}, id="1-0")
    client.xadd(keys.TICK_STREAM, {keys.TICK_FIELD: "{}"}, id="2-0")
    write(client, Position(3, 0))
    tick = Tick(
        code="A005930", price=1, volume=1, traded_at=NOW, received_at=NOW, position=Position(9, 9)
    )
    client.xadd(keys.TICK_STREAM, {keys.TICK_FIELD: tick.to_json()}, id="4-0")
    part = TickStream(client).after(None, limit=10)
    assert ([tick.position for tick in part.ticks], part.end) == (positions(3), Position(4, 0))


def test_latest_returns_newest_first(client: Redis) -> None:
    """A malformed entry counts towards the limit."""
    write(client, *positions(1, 2, 3))
    client.xadd(keys.TICK_STREAM, {"other": "1"}, id="4-0")
    write(client, Position(5, 0))

    assert [tick.position for tick in TickStream(client).latest(limit=3)] == positions(5, 3)


def test_stopped_redis_raises_market_unavailable(valkey_server: Valkey, client: Redis) -> None:
    client.ping()
    valkey_server.stop()
    try:
        with pytest.raises(MarketUnavailable):
            TickStream(client).after(None, limit=10)
        with pytest.raises(MarketUnavailable):
            TickStream(client).latest(limit=10)
    finally:
        valkey_server.start()
