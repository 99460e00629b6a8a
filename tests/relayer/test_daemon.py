"""The relayer with the sandbox and a real Redis: what arrives, and what it survives."""

import asyncio

import redis

from tests.relayer.harness import (
    HYNIX,
    SAMSUNG,
    add_subscriptions,
    confirmed_count,
    health,
    relayer,
    toss,
    until,
)
from tests.support.deadlines import DEADLINE_S
from tests.support.servers import Valkey
from trading.marketdata.quotes import QuoteStore
from trading.marketdata.ticks import MS_MAX, Position
from trading.marketdata.topics import trade_topic
from trading.redis import keys

STOCKS = [f"A{number:06}" for number in range(1, 46)]


def price_of(client: "redis.Redis", code: str = SAMSUNG) -> int | None:
    """Return the last price in Redis, as the product reads it."""
    tick = QuoteStore(client).last_tick(code)
    return None if tick is None else tick.price


async def test_a_trade_reaches_last_value_live_push_and_stream(
    valkey_url: str, client: "redis.Redis"
) -> None:

    add_subscriptions(client, SAMSUNG)
    with client.pubsub(ignore_subscribe_messages=True) as push:
        push.subscribe(keys.tick_channel(SAMSUNG))
        push.get_message(timeout=DEADLINE_S)
        async with toss() as stand_in, relayer(stand_in.settings(valkey_url)):
            await until(lambda: confirmed_count(client) == 1, what="the subscription is confirmed")
            stand_in.trade(1, price=70_100)
            await until(lambda: price_of(client) == 70_100, what="the trade is in Redis")
        pushed = push.get_message(timeout=DEADLINE_S)

    last = client.get(keys.last_tick(SAMSUNG))
    assert pushed is not None
    assert pushed["data"] == last
    assert [fields[keys.TICK_FIELD] for _, fields in client.xrange(keys.TICK_STREAM)] == [last]


async def test_health_record_shows_connection_and_shutdown(
    valkey_url: str, client: "redis.Redis"
) -> None:
    add_subscriptions(client, SAMSUNG)
    async with toss() as stand_in, relayer(stand_in.settings(valkey_url)):
        await until(lambda: confirmed_count(client) == 1, what="the subscription is confirmed")
        stand_in.trade(1)
        stand_in.trade(1)
        stand_in.server.publish_body(trade_topic(SAMSUNG), b"no trade at all")
        await until(
            lambda: (
                (record := health(client))
                and (record.malformed_total, record.repeated_total) == (1, 1)
            ),
            what="health reports everything",
        )
        record = health(client)
        assert record is not None
        assert (record.connected, record.ticks_total, record.reconnects) == (True, 1, 0)
        assert record.last_tick_at is not None
        assert record.lag_ms is not None

    final = health(client)
    assert final is not None
    assert (final.connected, final.subscriptions, final.ticks_total) == (False, 0, 1)


async def test_subscriptions_follow_the_set_in_redis(
    valkey_url: str, client: "redis.Redis"
) -> None:

    add_subscriptions(client, SAMSUNG)
    async with toss() as stand_in, relayer(stand_in.settings(valkey_url)):
        await until(
            lambda: confirmed_count(client) == 1, what="the first subscription is confirmed"
        )
        add_subscriptions(client, HYNIX)
        await until(
            lambda: stand_in.server.destinations() == {trade_topic(SAMSUNG), trade_topic(HYNIX)},
            what="both are subscribed",
        )
        client.srem(keys.RELAYER_SUBSCRIPTIONS, trade_topic(SAMSUNG))
        await until(
            lambda: stand_in.server.destinations() == {trade_topic(HYNIX)},
            what="one is withdrawn",
        )
        assert stand_in.server.connections_total == 1


async def test_all_subscriptions_return_after_a_lost_connection(
    valkey_url: str, client: "redis.Redis"
) -> None:
    """More destinations than one batch, dropped twice."""

    add_subscriptions(client, *STOCKS)
    async with toss() as stand_in, relayer(stand_in.settings(valkey_url)):
        for drops in (1, 2):
            await until(
                lambda: confirmed_count(client) == len(STOCKS),
                what="all subscriptions are confirmed",
            )
            stand_in.server.drop_connections()
            await until(
                lambda: stand_in.server.connections_total == drops + 1,  # noqa: B023
                what="a new connection",
            )
        await until(
            lambda: confirmed_count(client) == len(STOCKS),
            what="all subscriptions are confirmed again",
        )
        stand_in.trade(1, code=STOCKS[-1], price=70_200)
        await until(lambda: price_of(client, STOCKS[-1]) == 70_200, what="the trade is in Redis")
        record = health(client)
        assert record is not None
        assert record.reconnects == 2
        assert stand_in.server.tokens_total == 3


async def test_heart_beats_keep_a_quiet_connection_open(
    valkey_url: str, client: "redis.Redis"
) -> None:

    add_subscriptions(client, SAMSUNG)
    async with (
        toss(heart_beat_ms=1_000) as stand_in,
        relayer(stand_in.settings(valkey_url, RELAYER_HEARTBEAT_MS="1000")),
    ):
        await until(lambda: confirmed_count(client) == 1, what="the subscription is confirmed")
        quiet_until = asyncio.get_running_loop().time() + 4
        await until(
            lambda: asyncio.get_running_loop().time() > quiet_until, what="four quiet seconds"
        )
        assert stand_in.server.connections_total == 1


async def test_a_refused_destination_does_not_block_the_others(
    valkey_url: str, client: "redis.Redis"
) -> None:
    """ERROR ends the connection; the next one leaves out the refused destination."""

    add_subscriptions(client, SAMSUNG, HYNIX)
    async with toss() as stand_in:
        stand_in.server.faults.refused_destinations.add(trade_topic(HYNIX))
        async with relayer(stand_in.settings(valkey_url)):
            await until(
                lambda: confirmed_count(client) == 1, what="the other destination is served"
            )
            assert stand_in.server.destinations() == {trade_topic(SAMSUNG)}


async def test_subscriptions_stay_within_the_budget(valkey_url: str, client: "redis.Redis") -> None:
    add_subscriptions(client, *STOCKS)
    async with (
        toss() as stand_in,
        relayer(stand_in.settings(valkey_url, RELAYER_SUBSCRIPTION_BUDGET="3")),
    ):
        await until(lambda: confirmed_count(client) == 3, what="the budget is used")
        assert len(stand_in.server.destinations()) == 3


async def test_relayer_survives_an_empty_restart_of_redis(
    valkey_server: Valkey, valkey_url: str
) -> None:
    """The feed connection stays, subscriptions are written back, and no trade is lost."""

    with redis.Redis.from_url(valkey_url, decode_responses=True) as client:
        add_subscriptions(client, SAMSUNG)
        # Stopping and starting a server blocks the loop that both sides send heart-beats in.
        slow = {"RELAYER_HEARTBEAT_MS": "10000"}
        async with (
            toss(heart_beat_ms=10_000) as stand_in,
            relayer(stand_in.settings(valkey_url, **slow)),
        ):
            await until(lambda: confirmed_count(client) == 1, what="the subscription is confirmed")
            valkey_server.stop()
            stand_in.trade(1, price=70_100)
            stand_in.trade(2, price=70_200)
            valkey_server.start()
            await until(
                lambda: price_of(client) == 70_200, what="the trade of the outage is in Redis"
            )
            await until(lambda: confirmed_count(client) == 1, what="health is back")
            await until(
                lambda: client.scard(keys.RELAYER_SUBSCRIPTIONS) == 1, what="the set is back"
            )
            stand_in.trade(3, price=70_300)
            await until(lambda: price_of(client) == 70_300, what="the next trade is in Redis")
            assert stand_in.server.connections_total == 1


async def test_relayer_starts_before_toss_and_redis(valkey_server: Valkey, valkey_url: str) -> None:

    async with toss() as gone:
        settings, port = gone.settings(valkey_url), gone.port
    valkey_server.stop()
    async with relayer(settings):
        valkey_server.start()
        with redis.Redis.from_url(valkey_url, decode_responses=True) as client:
            await until(
                lambda: (record := health(client)) and not record.connected,
                what="health reports it",
            )
            add_subscriptions(client, SAMSUNG)
            async with toss(port=port) as stand_in:
                await until(
                    lambda: confirmed_count(client) == 1, what="the subscription is confirmed"
                )
                stand_in.trade(1)
                await until(lambda: price_of(client) == 70_000, what="the trade is in Redis")


async def test_stream_positions_rise_across_a_restart(
    valkey_url: str, client: "redis.Redis"
) -> None:
    """Even if the last position is ahead of the new relayer's clock."""

    async def relay(volume: int) -> None:
        async with toss() as stand_in, relayer(stand_in.settings(valkey_url)):
            await until(lambda: confirmed_count(client) == 1, what="the subscription is confirmed")
            before = client.xlen(keys.TICK_STREAM)
            stand_in.trade(volume)
            await until(
                lambda: client.xlen(keys.TICK_STREAM) > before, what="the trade is in the stream"
            )

    add_subscriptions(client, SAMSUNG)
    await relay(1)
    ahead = Position(MS_MAX, 7)
    client.xadd(keys.TICK_STREAM, {keys.TICK_FIELD: "{}"}, id=str(ahead))
    await relay(2)

    places = [Position.parse(place) for place, _ in client.xrange(keys.TICK_STREAM)]
    assert places == sorted(set(places))
    assert places[-1] > ahead
