"""What the relayer follows of what it is asked for."""

import asyncio

import redis
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from relayer.subscriptions import SubscriptionWatch, choose
from tests.relayer.harness import HYNIX, SAMSUNG, ask_for
from trading.market import keys
from trading.market.topics import trade_topic

topics = st.sets(st.integers(0, 30).map(lambda number: trade_topic(f"A{number:06}")))


@given(asked=topics, current=topics, budget=st.integers(1, 20))
def test_the_budget_holds_and_what_is_served_goes_first(asked: set[str], current: set[str], budget: int) -> None:
    choice = choose(asked, current=frozenset(current), budget=budget)

    assert choice.wanted <= asked
    assert len(choice.wanted) == min(budget, len(asked))
    assert choice.over_budget == len(asked) - len(choice.wanted)
    kept = asked & current
    assert kept <= choice.wanted or choice.wanted <= kept


def test_unknown_destinations_never_get_near_a_frame() -> None:
    choice = choose(
        {trade_topic(SAMSUNG), "/topic/v1/kr/stock/trade/A005930\nid:1", "/queue/x", ""}, current=frozenset(), budget=10
    )

    assert (choice.wanted, choice.invalid) == ({trade_topic(SAMSUNG)}, 3)


def test_the_watch_follows_the_set(valkey_url: str, client: "redis.Redis") -> None:
    async def follow() -> list[set[str]]:
        async with Redis.from_url(valkey_url, decode_responses=True) as connection:
            watch = SubscriptionWatch(connection, budget=10)
            seen = []
            for change in (lambda: None, lambda: ask_for(client, SAMSUNG, HYNIX), forget_samsung):
                change()
                await watch.look()
                seen.append(set(watch.wanted))
            return seen

    def forget_samsung() -> None:
        client.srem(keys.RELAYER_SUBSCRIPTIONS, trade_topic(SAMSUNG))

    assert asyncio.run(follow()) == [set(), {trade_topic(SAMSUNG), trade_topic(HYNIX)}, {trade_topic(HYNIX)}]


def test_a_lost_set_is_written_back(valkey_url: str, client: "redis.Redis") -> None:
    """Redis came back empty: what is subscribed stays so, and the set says it again."""

    async def lose() -> set[str]:
        async with Redis.from_url(valkey_url, decode_responses=True) as connection:
            watch = SubscriptionWatch(connection, budget=10)
            await watch.look()
            client.flushall()
            await watch.look()
            return set(watch.wanted)

    ask_for(client, SAMSUNG, HYNIX)

    assert (
        asyncio.run(lose()) == client.smembers(keys.RELAYER_SUBSCRIPTIONS) == {trade_topic(SAMSUNG), trade_topic(HYNIX)}
    )
