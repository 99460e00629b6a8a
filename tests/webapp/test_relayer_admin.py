"""Administration of a real relayer that is fed by the sandbox."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.relayer.harness import Toss, health, relayer, toss
from tests.support.servers import Valkey, wait_until
from tests.support.trading_harness import HYNIX, SAMSUNG
from tests.trading.orders.steps import forget_reference_prices
from tests.webapp.client import HANGUL, Api, Person, data_of, problem_of
from trading.marketdata.health import RelayerHealth
from trading.marketdata.subscriptions import SubscriptionSource, publish_subscriptions
from trading.marketdata.topics import trade_topic
from trading.redis import keys

SUBSCRIPTIONS = "/admin/websocket/subscriptions"
RECONNECT = "/admin/websocket/reconnect"
# Long, so that a busy machine misses no heartbeat.
BEAT_MS = 30_000


@dataclass(frozen=True)
class RelayerSetup:
    """An administrator at the API, and the feed of the relayer."""

    api: Api
    administrator: Person
    toss: Toss
    loop: asyncio.AbstractEventLoop

    def publish_trade(self) -> None:
        """Publish a trade of Samsung at 10:00 in Korea, the time of the API's clock."""
        self.loop.call_soon_threadsafe(self.toss.trade, 1)

    def subscribe(self, topic: str) -> Any:
        return self.api.post(
            f"{SUBSCRIPTIONS}/subscribe", self.administrator, query_string={"topic": topic}
        )

    def unsubscribe(self, topic: str) -> Any:
        query = {"topic": topic}
        return self.api.ask(
            "DELETE", f"{SUBSCRIPTIONS}/unsubscribe", self.administrator, query_string=query
        )


@pytest.fixture
def setup(sqlite_api: Api, valkey_url: str) -> Iterator[RelayerSetup]:
    """With a connected relayer that has room for two subscriptions."""
    redis = sqlite_api.harness.core.redis
    leave = threading.Event()
    stand_ins: list[tuple[Toss, asyncio.AbstractEventLoop]] = []

    async def relay() -> None:
        more = {"RELAYER_SUBSCRIPTION_BUDGET": "2", "RELAYER_HEARTBEAT_MS": str(BEAT_MS)}
        async with (
            toss(heart_beat_ms=BEAT_MS) as stand_in,
            relayer(stand_in.settings(valkey_url, **more)),
        ):
            stand_ins.append((stand_in, asyncio.get_running_loop()))
            await asyncio.to_thread(leave.wait)

    thread = threading.Thread(target=asyncio.run, args=(relay(),))
    thread.start()
    try:
        wait_until(
            lambda: (
                (record := health(redis))
                and record.connected
                and redis.pubsub_numsub(keys.RELAYER_COMMANDS)[0][1]
            ),
            what="the relayer is connected and listens",
        )
        yield RelayerSetup(sqlite_api, sqlite_api.administrator(), *stand_ins[0])
    finally:
        leave.set()
        thread.join()


def test_subscription_is_added_listed_and_removed(setup: RelayerSetup) -> None:
    """By code or in full; repeating a command is no failure."""
    added = setup.subscribe("000660")
    assert data_of(added) | {"command_id": ""} == {
        "command_id": "",
        "outcome": "subscribed",
        "topic": trade_topic(HYNIX),
        "stock_code": HYNIX,
        "source": "commands",
    }
    assert added.get_json()["message"] == "구독 추가 성공"
    assert data_of(setup.subscribe(trade_topic(HYNIX)))["outcome"] == "already-subscribed"

    listed = data_of(setup.api.get(SUBSCRIPTIONS, setup.administrator))
    assert (listed["total_count"], listed["connected"], listed["budget"]) == (1, True, 2)
    assert listed["subscriptions"] == [
        {
            "topic": trade_topic(HYNIX),
            "stock_code": HYNIX,
            "source": "commands",
            "state": "confirmed",
            "reason": None,
        }
    ]

    assert data_of(setup.unsubscribe("A000660"))["outcome"] == "unsubscribed"
    assert setup.toss.server.destinations() == set()
    assert data_of(setup.unsubscribe("A000660"))["outcome"] == "not-subscribed"


def test_required_subscription_stays_with_its_source(setup: RelayerSetup) -> None:
    publish_subscriptions(setup.api.harness.core.redis, {SAMSUNG: SubscriptionSource.HOLDINGS})
    data_of(setup.subscribe(SAMSUNG))

    kept = setup.unsubscribe(SAMSUNG)

    assert (data_of(kept)["outcome"], data_of(kept)["source"]) == ("still-subscribed", "holdings")
    assert setup.toss.server.destinations() == {trade_topic(SAMSUNG)}


def test_market_buy_of_a_stock_without_a_price_is_accepted_once_the_relayer_subscribed(
    setup: RelayerSetup,
) -> None:
    """The first refusal requests the subscription; the test repeats the order once it is traded."""
    api = setup.api
    forget_reference_prices(api.harness)
    publish_subscriptions(
        api.harness.core.redis,
        {HYNIX: SubscriptionSource.MARKET_VALUE, "A035720": SubscriptionSource.MARKET_VALUE},
    )
    person = api.person()

    first = api.order(person)
    assert problem_of(first, "no-live-price")["retry_after_s"] == 3
    assert first.headers["Retry-After"] == "3"
    wait_until(
        lambda: trade_topic(SAMSUNG) in setup.toss.server.destinations(),
        what="the relayer subscribes to the stock",
    )
    setup.publish_trade()
    wait_until(lambda: api.harness.core.quotes.last_tick(SAMSUNG), what="the trade is stored")

    assert data_of(api.order(person), 201)["status"] == "PENDING"


def test_failures_are_problems_with_facts(setup: RelayerSetup) -> None:
    """A refusal of the feed, an exceeded budget, and a failed reconnect."""
    setup.toss.server.faults.refused_destinations = {trade_topic(HYNIX)}
    refused = problem_of(setup.subscribe(HYNIX), "subscription-refused")
    assert (refused["status"], refused["reason"]) == (502, "the destination is unknown")
    wait_until(
        lambda: setup.toss.server.connections_total == 2,
        what="the relayer is connected again",
    )
    for code in ("A000001", "A000002"):
        assert setup.subscribe(code).status_code == 200
    assert problem_of(setup.subscribe("A000003"), "subscription-budget-exceeded")["budget"] == 2

    setup.toss.server.faults.token_status = 503
    failed = problem_of(setup.api.post(RECONNECT, setup.administrator), "reconnect-failed")
    assert failed["reason"] == "the token endpoint answered 503"


def test_reconnect_is_answered_when_connected(setup: RelayerSetup) -> None:
    made = data_of(setup.api.post(RECONNECT, setup.administrator))

    assert (made["outcome"], made["connections_total"]) == ("reconnected", 2)
    assert setup.toss.server.connections_total == 2


@pytest.mark.parametrize(
    "topic",
    [
        None,
        "",
        "samsung",
        "A0059301",
        "/topic/v1/kr/stock/index/KGG01P",
        "/topic/v1/us/stock/trade/US20220225003",
        "/topic/v1/kr/stock/trade/A005930\nid:1\n\n\0",
        "/topic/v1/kr/stock/trade/A005930\r\n",
        "/topic/v1/kr/stock/trade/*",
        "\ud800",
        "x" * 4_000,
    ],
    ids=lambda topic: repr(topic)[:30],
)
def test_unknown_destinations_are_refused(sqlite_api: Api, topic: str | None) -> None:
    """In Korean, before anything is published."""
    administrator = sqlite_api.administrator()
    query = {} if topic is None else {"topic": topic.encode("utf-8", "surrogatepass")}
    for method, path in (
        ("POST", f"{SUBSCRIPTIONS}/subscribe"),
        ("DELETE", f"{SUBSCRIPTIONS}/unsubscribe"),
    ):
        refused = problem_of(
            sqlite_api.ask(method, path, administrator, query_string=query), "validation-failed"
        )
        assert HANGUL.search(refused["errors"]["query"]["topic"][0])


def test_without_a_relayer_the_response_is_504_at_once(sqlite_api: Api) -> None:
    """Without a record, with an old one, and without a listener."""
    administrator, redis, now = (
        sqlite_api.administrator(),
        sqlite_api.harness.core.redis,
        sqlite_api.harness.clock(),
    )
    record = RelayerHealth(pid=7, started_at=now, updated_at=now, connected=True)

    def reasons() -> set[str]:
        answers = (
            sqlite_api.post(f"{SUBSCRIPTIONS}/subscribe?topic=A005930", administrator),
            sqlite_api.ask("DELETE", f"{SUBSCRIPTIONS}/unsubscribe?topic=A005930", administrator),
            sqlite_api.get(SUBSCRIPTIONS, administrator),
            sqlite_api.post(RECONNECT, administrator),
        )
        return {
            problem_of(answer, "relayer-unavailable", status=504)["reason"] for answer in answers
        }

    assert reasons() == {"no-record"}
    redis.set(keys.RELAYER_HEALTH, record.to_json())
    assert reasons() == {"no-listener"}
    sqlite_api.harness.clock.advance(seconds=61)
    assert reasons() == {"no-heartbeat"}


def test_without_redis_the_response_is_503(sqlite_api: Api, valkey_server: Valkey) -> None:
    administrator = sqlite_api.administrator()
    valkey_server.stop()
    try:
        problem_of(sqlite_api.post(RECONNECT, administrator), "upstream-unavailable")
    finally:
        valkey_server.start()


def test_waiting_administrators_do_not_take_all_threads(setup: RelayerSetup) -> None:
    """Beyond the allowed number, the response is 503."""
    setup.toss.server.faults.receipts = False
    answers: list[Any] = []

    def wait_for(code: str) -> None:
        another = replace(setup, api=setup.api.another_client())
        answers.append(another.subscribe(code))

    waiting = [threading.Thread(target=wait_for, args=(code,)) for code in (SAMSUNG, HYNIX)]
    for thread in waiting:
        thread.start()
    wait_until(
        lambda: len(setup.toss.server.destinations()) == 2,
        what="both are asked for",
    )

    problem_of(setup.api.get(SUBSCRIPTIONS, setup.administrator), "relayer-busy")

    for thread in waiting:
        thread.join()
    for answer in answers:
        problem_of(answer, "subscription-unconfirmed")
    assert data_of(setup.api.get(SUBSCRIPTIONS, setup.administrator))["total_count"] == 0


def test_commands_are_logged_with_their_user(sqlite_api: Api) -> None:
    """Failures too."""
    administrator = sqlite_api.administrator()
    with capture_logs() as logged:
        sqlite_api.post(f"{SUBSCRIPTIONS}/subscribe?topic=A005930", administrator)

    (line,) = [entry for entry in logged if entry["event"] == "relayer_command"]
    assert (line["user_id"], line["type"], line["topic"], line["outcome"]) == (
        administrator.id.replace("-", ""),
        "subscribe",
        trade_topic(SAMSUNG),
        "no-record",
    )
