"""The tick stream on a real server: read on from a place, trimmed, lost, and with rubbish in it."""

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


def write(client: Redis, *places: Position) -> None:
    for place in places:
        tick = Tick(
            code="A005930", price=70_000, volume=1, traded_at=NOW, received_at=NOW, position=place
        )
        client.xadd(keys.TICK_STREAM, {keys.TICK_FIELD: tick.to_json()}, id=str(place))


def places(*ms: int) -> list[Position]:
    return [Position(one, 0) for one in ms]


def test_each_part_begins_where_the_last_one_ended(client: Redis) -> None:
    """In parts of two: every tick once, in order, and no word of a gap."""
    write(client, *places(1, 2, 3, 4, 5))
    stream = TickStream(client)
    place, seen, more = None, [], True
    while more:
        part = stream.after(place, limit=2)
        assert not part.gap
        assert len(part.ticks) <= 2
        seen += [tick.position for tick in part.ticks]
        place, more = part.end, part.more
    assert (seen, place) == (places(1, 2, 3, 4, 5), Position(5, 0))
    assert stream.after(place, limit=2).ticks == ()
    write(client, Position(5, 1))
    part = stream.after(place, limit=2)
    assert ([tick.position for tick in part.ticks], part.gap) == ([Position(5, 1)], False)


def test_a_trimmed_stream_says_so_and_goes_on_with_what_is_there(client: Redis) -> None:
    """Entries 2 and 3 were dropped unread: the gap is told once, and reading goes on behind it."""
    write(client, *places(1, 2, 3, 4, 5))
    client.xtrim(keys.TICK_STREAM, maxlen=2, approximate=False)
    stream = TickStream(client)
    part = stream.after(Position(1, 0), limit=10)
    assert (part.gap, [tick.position for tick in part.ticks]) == (True, places(4, 5))
    assert not stream.after(part.end, limit=10).gap


@pytest.mark.parametrize("new_places", [(1, 2), (8, 9)], ids=["clock went back", "clock went on"])
def test_a_lost_stream_begins_anew(client: Redis, new_places: tuple[int, ...]) -> None:
    """While it is gone there is nothing; what comes then is all new, also where its places are lower than before."""
    stream = TickStream(client)
    part = stream.after(Position(5, 0), limit=10)
    assert (part.ticks, part.end, part.gap) == ((), Position(5, 0), False)
    write(client, *places(*new_places))
    part = stream.after(Position(5, 0), limit=10)
    assert (part.gap, [tick.position for tick in part.ticks]) == (True, places(*new_places))
    assert part.end == Position(new_places[-1], 0)
    assert not stream.after(part.end, limit=10).gap


def test_rubbish_in_the_stream_is_passed_over(client: Redis) -> None:
    """An entry without a tick, with something else, or with a tick of another place stops nothing."""
    client.xadd(keys.TICK_STREAM, {"other": "1"}, id="1-0")
    client.xadd(keys.TICK_STREAM, {keys.TICK_FIELD: "{}"}, id="2-0")
    write(client, Position(3, 0))
    tick = Tick(
        code="A005930", price=1, volume=1, traded_at=NOW, received_at=NOW, position=Position(9, 9)
    )
    client.xadd(keys.TICK_STREAM, {keys.TICK_FIELD: tick.to_json()}, id="4-0")
    part = TickStream(client).after(None, limit=10)
    assert ([tick.position for tick in part.ticks], part.end) == (places(3), Position(4, 0))


def test_the_latest_come_first(client: Redis) -> None:
    """As many as asked for; an entry that is none counts and is passed over."""
    write(client, *places(1, 2, 3))
    client.xadd(keys.TICK_STREAM, {"other": "1"}, id="4-0")
    write(client, Position(5, 0))

    assert [tick.position for tick in TickStream(client).latest(limit=3)] == places(5, 3)


def test_without_redis_there_is_no_market(valkey_server: Valkey, client: Redis) -> None:
    """Said within the client's time, as the market's own error."""
    client.ping()
    valkey_server.stop()
    try:
        with pytest.raises(MarketUnavailable):
            TickStream(client).after(None, limit=10)
        with pytest.raises(MarketUnavailable):
            TickStream(client).latest(limit=10)
    finally:
        valkey_server.start()
