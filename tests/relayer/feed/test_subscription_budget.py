"""Selection of subscriptions within the budget, and its source in Redis."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from relayer.daemon import connect
from relayer.feed.subscription_budget import AddResult, SubscriptionWatch, choose, merge
from tests.relayer.harness import HYNIX, SAMSUNG, add_subscriptions
from trading.marketdata.quotes import QuoteStore
from trading.marketdata.subscriptions import SubscriptionSource, publish_subscriptions
from trading.marketdata.topics import trade_topic
from trading.redis import keys

KAKAO = "A035720"
SAMSUNG_TRADES, HYNIX_TRADES, KAKAO_TRADES = (trade_topic(code) for code in (SAMSUNG, HYNIX, KAKAO))

topics = st.integers(0, 30).map(lambda number: trade_topic(f"A{number:06}"))


@given(
    requested=st.dictionaries(topics, st.sampled_from(SubscriptionSource)),
    current=st.frozensets(topics),
    budget=st.integers(1, 20),
)
def test_the_most_urgent_destinations_fit_the_budget(
    requested: dict[str, SubscriptionSource], current: frozenset[str], budget: int
) -> None:
    """Among equals, current subscriptions come first."""
    choice = choose(requested, current=current, budget=budget)

    assert choice.wanted <= set(requested)
    assert len(choice.wanted) == min(budget, len(requested))
    out = set(requested) - choice.wanted
    for kept in choice.wanted:
        assert all(
            (requested[kept].rank, kept not in current)
            <= (requested[each].rank, each not in current)
            for each in out
        )
    assert set(choice.left_out) == {
        each for each in out if requested[each] is not SubscriptionSource.MARKET_VALUE
    }


@given(
    requested=st.dictionaries(topics, st.sampled_from(SubscriptionSource)),
    budget=st.integers(1, 20),
)
def test_a_full_budget_does_not_flap(requested: dict[str, SubscriptionSource], budget: int) -> None:
    """Choosing again from the same requests changes nothing."""
    once = choose(requested, current=frozenset(), budget=budget)

    assert choose(requested, current=once.wanted, budget=budget) == once


def test_a_destination_has_its_most_urgent_source() -> None:
    """A command raises a filler's urgency and lowers no other."""
    automatic = {
        SAMSUNG_TRADES: SubscriptionSource.OPEN_ORDERS,
        HYNIX_TRADES: SubscriptionSource.MARKET_VALUE,
    }

    assert merge([SAMSUNG_TRADES, HYNIX_TRADES, KAKAO_TRADES], automatic) == {
        SAMSUNG_TRADES: SubscriptionSource.OPEN_ORDERS,
        HYNIX_TRADES: SubscriptionSource.COMMANDS,
        KAKAO_TRADES: SubscriptionSource.COMMANDS,
    }
    assert merge([KAKAO_TRADES], automatic, [SAMSUNG_TRADES, HYNIX_TRADES, KAKAO_TRADES]) == {
        SAMSUNG_TRADES: SubscriptionSource.OPEN_ORDERS,
        HYNIX_TRADES: SubscriptionSource.REQUESTS,
        KAKAO_TRADES: SubscriptionSource.COMMANDS,
    }


@asynccontextmanager
async def watching(valkey_url: str, *, budget: int = 10) -> AsyncIterator[SubscriptionWatch]:
    """Yield a watch on its own connection, refreshed only by the test."""
    async with connect(valkey_url) as connection:
        yield SubscriptionWatch(connection, budget=budget)


async def test_invalid_destinations_are_ignored(valkey_url: str, client: "redis.Redis") -> None:
    """Only trade topics of Korean stocks are subscribed, whatever the keys contain."""
    client.sadd(
        keys.RELAYER_SUBSCRIPTIONS,
        SAMSUNG_TRADES,
        f"{SAMSUNG_TRADES}\nid:1",
        "/queue/x",
        "",
        b"\xff\xfe",
    )
    client.hset(
        keys.RELAYER_AUTOMATIC_SUBSCRIPTIONS,
        mapping={"/topic/x\n": "holdings", HYNIX_TRADES: "a source of tomorrow", "": ""},
    )

    async with watching(valkey_url) as watch:
        await watch.refresh()

    assert watch.requested == {
        SAMSUNG_TRADES: SubscriptionSource.COMMANDS,
        HYNIX_TRADES: SubscriptionSource.MARKET_VALUE,
    }


async def test_the_watch_follows_both_keys(valkey_url: str, client: "redis.Redis") -> None:
    """Changes of the commanded set and of the workers' hash take effect."""
    seen: list[set[str]] = []

    async with watching(valkey_url) as watch:
        for change in (
            lambda: None,
            lambda: add_subscriptions(client, SAMSUNG, HYNIX),
            lambda: client.srem(keys.RELAYER_SUBSCRIPTIONS, SAMSUNG_TRADES),
            lambda: publish_subscriptions(client, {KAKAO: SubscriptionSource.HOLDINGS}),
            lambda: publish_subscriptions(client, {SAMSUNG: SubscriptionSource.MARKET_VALUE}),
        ):
            change()
            await watch.refresh()
            seen.append(set(watch.wanted))

    assert seen == [
        set(),
        {SAMSUNG_TRADES, HYNIX_TRADES},
        {HYNIX_TRADES},
        {HYNIX_TRADES, KAKAO_TRADES},
        {HYNIX_TRADES, SAMSUNG_TRADES},
    ]


async def test_a_request_of_a_user_displaces_a_filler_until_it_expires(
    valkey_url: str, client: "redis.Redis"
) -> None:
    publish_subscriptions(client, {KAKAO: SubscriptionSource.MARKET_VALUE})
    seen: list[set[str]] = []

    async with watching(valkey_url, budget=1) as watch:
        await watch.refresh()
        QuoteStore(client).request_subscription(HYNIX, now=datetime.now(UTC))
        client.zadd(keys.RELAYER_REQUESTED_SUBSCRIPTIONS, {"/queue/x": 1})
        await watch.refresh()
        seen.append(set(watch.wanted))
        client.delete(keys.RELAYER_REQUESTED_SUBSCRIPTIONS)
        await watch.refresh()
        seen.append(set(watch.wanted))

    assert seen == [{HYNIX_TRADES}, {KAKAO_TRADES}]


async def test_destinations_over_budget_are_reported_unless_they_only_fill_up(
    valkey_url: str, client: "redis.Redis"
) -> None:
    """An open order displaces a command, and a command displaces a filler."""
    add_subscriptions(client, HYNIX)
    publish_subscriptions(client, {KAKAO: SubscriptionSource.MARKET_VALUE})
    steps: list[tuple[set[str], tuple[str, ...]]] = []

    async with watching(valkey_url, budget=1) as watch:
        await watch.refresh()
        steps.append((set(watch.wanted), watch.left_out))
        publish_subscriptions(
            client,
            {KAKAO: SubscriptionSource.MARKET_VALUE, SAMSUNG: SubscriptionSource.OPEN_ORDERS},
        )
        await watch.refresh()
        steps.append((set(watch.wanted), watch.left_out))

    assert steps == [({HYNIX_TRADES}, ()), ({SAMSUNG_TRADES}, (HYNIX_TRADES,))]


async def test_lost_keys_change_nothing_and_commands_are_written_back(
    valkey_url: str, client: "redis.Redis"
) -> None:
    """After an empty restart of Redis only the commanded destinations are written back."""
    add_subscriptions(client, SAMSUNG, HYNIX)
    publish_subscriptions(client, {KAKAO: SubscriptionSource.HOLDINGS})

    async with watching(valkey_url) as watch:
        await watch.refresh()
        client.flushall()
        await watch.refresh()

    assert watch.wanted == {SAMSUNG_TRADES, HYNIX_TRADES, KAKAO_TRADES}
    assert client.smembers(keys.RELAYER_SUBSCRIPTIONS) == {SAMSUNG_TRADES, HYNIX_TRADES}


async def test_removing_the_last_command_is_permanent(
    valkey_url: str, client: "redis.Redis"
) -> None:
    """An emptied set is not taken for a lost one, even if a refresh ran meanwhile."""
    add_subscriptions(client, SAMSUNG)

    async with watching(valkey_url) as watch:
        await watch.refresh()
        removed, *_ = await asyncio.gather(
            watch.remove(SAMSUNG_TRADES), watch.refresh(), watch.refresh()
        )
        assert removed
        assert not await watch.remove(SAMSUNG_TRADES)
        await watch.refresh()

    assert watch.wanted == frozenset()
    assert client.smembers(keys.RELAYER_SUBSCRIPTIONS) == set()


async def test_a_command_adds_what_fits_the_budget(valkey_url: str, client: "redis.Redis") -> None:
    """The first displaces a filler, a repeated one is known, and one over budget has no effect."""
    publish_subscriptions(client, {KAKAO: SubscriptionSource.MARKET_VALUE})
    found: list[AddResult] = []

    async with watching(valkey_url, budget=1) as watch:
        found.extend(
            [await watch.add(each) for each in (SAMSUNG_TRADES, SAMSUNG_TRADES, HYNIX_TRADES)]
        )

    assert found == [AddResult.ADDED, AddResult.ALREADY_REQUESTED, AddResult.OVER_BUDGET]
    assert watch.wanted == client.smembers(keys.RELAYER_SUBSCRIPTIONS) == {SAMSUNG_TRADES}


async def test_a_command_undone_by_hand_is_followed(valkey_url: str, client: "redis.Redis") -> None:
    add_subscriptions(client, HYNIX)

    async with watching(valkey_url) as watch:
        await watch.refresh()
        await watch.add(SAMSUNG_TRADES)
        client.srem(keys.RELAYER_SUBSCRIPTIONS, SAMSUNG_TRADES)
        await watch.refresh()
        assert watch.wanted == {HYNIX_TRADES}
        await watch.remove(HYNIX_TRADES)
        add_subscriptions(client, HYNIX)
        await watch.refresh()
    assert watch.wanted == {HYNIX_TRADES}


async def test_a_change_that_cannot_be_stored_has_no_effect(
    valkey_url: str, client: "redis.Redis"
) -> None:
    """A key of the wrong type raises the error, and the subscriptions stay."""

    async with watching(valkey_url) as watch:
        await watch.add(SAMSUNG_TRADES)
        client.set(keys.RELAYER_SUBSCRIPTIONS, "a text")
        for change in (watch.add, watch.remove):
            with pytest.raises(redis.ResponseError):
                await change(HYNIX_TRADES)
        await watch.refresh()
    assert watch.wanted == {SAMSUNG_TRADES}
