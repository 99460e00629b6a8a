"""What the relayer follows of what it is asked for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from relayer.daemon import connect
from relayer.feed.subscriptions import AddResult, SubscriptionWatch, choose, merge
from tests.relayer.harness import HYNIX, SAMSUNG, ask_for
from trading.marketdata.subscriptions import Source, publish_subscriptions
from trading.marketdata.topics import trade_topic
from trading.redis import keys

KAKAO = "A035720"
SAMSUNG_TRADES, HYNIX_TRADES, KAKAO_TRADES = (trade_topic(code) for code in (SAMSUNG, HYNIX, KAKAO))

topics = st.integers(0, 30).map(lambda number: trade_topic(f"A{number:06}"))


@given(
    requested=st.dictionaries(topics, st.sampled_from(Source)),
    current=st.frozensets(topics),
    budget=st.integers(1, 20),
)
def test_the_budget_holds_and_urgency_decides(
    requested: dict[str, Source], current: frozenset[str], budget: int
) -> None:
    """Nothing followed is less urgent than what is left out, nor is it a newcomer where an equal that was followed is left out."""
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
        each for each in out if requested[each] is not Source.MARKET_VALUE
    }


@given(requested=st.dictionaries(topics, st.sampled_from(Source)), budget=st.integers(1, 20))
def test_a_full_budget_does_not_flap(requested: dict[str, Source], budget: int) -> None:
    """Looking again at the same wishes changes nothing."""
    once = choose(requested, current=frozenset(), budget=budget)

    assert choose(requested, current=once.wanted, budget=budget) == once


def test_a_destination_is_as_urgent_as_its_most_urgent_source() -> None:
    """A command lifts what would only fill up, and lowers nothing that money depends on."""
    automatic = {SAMSUNG_TRADES: Source.OPEN_ORDERS, HYNIX_TRADES: Source.MARKET_VALUE}

    assert merge([SAMSUNG_TRADES, HYNIX_TRADES, KAKAO_TRADES], automatic) == {
        SAMSUNG_TRADES: Source.OPEN_ORDERS,
        HYNIX_TRADES: Source.COMMANDS,
        KAKAO_TRADES: Source.COMMANDS,
    }


@asynccontextmanager
async def watching(valkey_url: str, *, budget: int = 10) -> AsyncIterator[SubscriptionWatch]:
    """A watch on its own connection, which nobody but the test makes look."""
    async with connect(valkey_url) as connection:
        yield SubscriptionWatch(connection, budget=budget)


def watched(
    valkey_url: str, scenario: Callable[[SubscriptionWatch], Awaitable[None]], *, budget: int = 10
) -> SubscriptionWatch:
    """The watch as the scenario left it."""

    async def play() -> SubscriptionWatch:
        async with watching(valkey_url, budget=budget) as watch:
            await scenario(watch)
            return watch

    return asyncio.run(play())


def test_unknown_destinations_never_get_near_a_frame(
    valkey_url: str, client: "redis.Redis"
) -> None:
    """Whatever lies in either key, only the trades of a Korean stock are followed."""
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

    watch = watched(valkey_url, SubscriptionWatch.refresh)

    assert watch.requested == {SAMSUNG_TRADES: Source.COMMANDS, HYNIX_TRADES: Source.MARKET_VALUE}


def test_the_watch_follows_both_keys(valkey_url: str, client: "redis.Redis") -> None:
    """What others add to the set or take from it is followed, and so is what the workers want now."""
    seen: list[set[str]] = []

    async def follow(watch: SubscriptionWatch) -> None:
        for change in (
            lambda: None,
            lambda: ask_for(client, SAMSUNG, HYNIX),
            lambda: client.srem(keys.RELAYER_SUBSCRIPTIONS, SAMSUNG_TRADES),
            lambda: publish_subscriptions(client, {KAKAO: Source.HOLDINGS}),
            lambda: publish_subscriptions(client, {SAMSUNG: Source.MARKET_VALUE}),
        ):
            change()
            await watch.refresh()
            seen.append(set(watch.wanted))

    watched(valkey_url, follow)

    assert seen == [
        set(),
        {SAMSUNG_TRADES, HYNIX_TRADES},
        {HYNIX_TRADES},
        {HYNIX_TRADES, KAKAO_TRADES},
        {HYNIX_TRADES, SAMSUNG_TRADES},
    ]


def test_what_does_not_fit_is_told_unless_it_only_fills_up(
    valkey_url: str, client: "redis.Redis"
) -> None:
    """An open order displaces a command, and a command what only fills up."""
    ask_for(client, HYNIX)
    publish_subscriptions(client, {KAKAO: Source.MARKET_VALUE})
    steps: list[tuple[set[str], tuple[str, ...]]] = []

    async def follow(watch: SubscriptionWatch) -> None:
        await watch.refresh()
        steps.append((set(watch.wanted), watch.left_out))
        publish_subscriptions(client, {KAKAO: Source.MARKET_VALUE, SAMSUNG: Source.OPEN_ORDERS})
        await watch.refresh()
        steps.append((set(watch.wanted), watch.left_out))

    watched(valkey_url, follow, budget=1)

    assert steps == [({HYNIX_TRADES}, ()), ({SAMSUNG_TRADES}, (HYNIX_TRADES,))]


def test_lost_keys_change_nothing_and_the_set_is_written_back(
    valkey_url: str, client: "redis.Redis"
) -> None:
    """Redis came back empty: what is followed stays so, and the set says again what was commanded and nothing else."""
    ask_for(client, SAMSUNG, HYNIX)
    publish_subscriptions(client, {KAKAO: Source.HOLDINGS})

    async def lose(watch: SubscriptionWatch) -> None:
        await watch.refresh()
        client.flushall()
        await watch.refresh()

    watch = watched(valkey_url, lose)

    assert watch.wanted == {SAMSUNG_TRADES, HYNIX_TRADES, KAKAO_TRADES}
    assert client.smembers(keys.RELAYER_SUBSCRIPTIONS) == {SAMSUNG_TRADES, HYNIX_TRADES}


def test_a_command_withdraws_the_last_one_for_good(valkey_url: str, client: "redis.Redis") -> None:
    """A set that a command emptied is no lost one, though a look was under way meanwhile."""
    ask_for(client, SAMSUNG)

    async def withdraw(watch: SubscriptionWatch) -> None:
        await watch.refresh()
        removed, *_ = await asyncio.gather(
            watch.remove(SAMSUNG_TRADES), watch.refresh(), watch.refresh()
        )
        assert removed
        assert not await watch.remove(SAMSUNG_TRADES)
        await watch.refresh()

    watch = watched(valkey_url, withdraw)

    assert watch.wanted == frozenset()
    assert client.smembers(keys.RELAYER_SUBSCRIPTIONS) == set()


def test_a_command_adds_what_fits(valkey_url: str, client: "redis.Redis") -> None:
    """The first takes the place of what fills up, a second time it is known, and the next one has no room and leaves no trace."""
    publish_subscriptions(client, {KAKAO: Source.MARKET_VALUE})
    found: list[AddResult] = []

    async def add(watch: SubscriptionWatch) -> None:
        found.extend(
            [await watch.add(each) for each in (SAMSUNG_TRADES, SAMSUNG_TRADES, HYNIX_TRADES)]
        )

    watch = watched(valkey_url, add, budget=1)

    assert found == [AddResult.ADDED, AddResult.ALREADY_REQUESTED, AddResult.OVER_BUDGET]
    assert watch.wanted == client.smembers(keys.RELAYER_SUBSCRIPTIONS) == {SAMSUNG_TRADES}


def test_a_command_may_be_undone_by_hand_before_the_next_look(
    valkey_url: str, client: "redis.Redis"
) -> None:
    """Redis then says what it said before the command, and that is followed."""
    ask_for(client, HYNIX)

    async def undo(watch: SubscriptionWatch) -> None:
        await watch.refresh()
        await watch.add(SAMSUNG_TRADES)
        client.srem(keys.RELAYER_SUBSCRIPTIONS, SAMSUNG_TRADES)
        await watch.refresh()
        assert watch.wanted == {HYNIX_TRADES}
        await watch.remove(HYNIX_TRADES)
        ask_for(client, HYNIX)
        await watch.refresh()

    assert watched(valkey_url, undo).wanted == {HYNIX_TRADES}


def test_a_change_that_can_not_be_stored_is_none(valkey_url: str, client: "redis.Redis") -> None:
    """A key of another kind refuses it: whoever asked is told, and what is followed stays."""

    async def fail(watch: SubscriptionWatch) -> None:
        await watch.add(SAMSUNG_TRADES)
        client.set(keys.RELAYER_SUBSCRIPTIONS, "a text")
        for change in (watch.add, watch.remove):
            with pytest.raises(redis.ResponseError):
                await change(HYNIX_TRADES)
        await watch.refresh()

    assert watched(valkey_url, fail).wanted == {SAMSUNG_TRADES}
