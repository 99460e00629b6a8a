"""MarketData: requests are counted at a server in place of Toss, with one Redis for all."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import count

import pytest
from redis import Redis

from launcher.ports import free_port
from tests.fixtures.toss import CODE, DETAILS, result_of
from tests.support.deadlines import DEADLINE_S
from tests.support.http_server import Answer, Ending, Request, Server, answer, serving
from tests.support.servers import Valkey, wait_until
from tests.support.trading_harness import TestClock
from trading.redis import keys
from trading.redis.client import connect
from trading.stocks.candles.model import CandleInterval
from trading.stocks.toss import market_data
from trading.stocks.toss.client import Index, RankedBy
from trading.stocks.toss.errors import (
    TossFailed,
    TossNoData,
    TossPaused,
    TossTimeout,
    TossUnreachable,
)
from trading.stocks.toss.market_data import FAILURES_MAX, MarketData
from trading.stocks.toss.response_cache import ResponseCache

DOWN = answer(500)


def as_toss(request: Request) -> Answer:
    return answer(200, {"result": result_of(request.target)})


@dataclass
class TossSetup:
    """A server in place of Toss, and processes that call it, with one clock."""

    server: Server
    redis_url: str
    clock: TestClock
    stack: ExitStack

    def process(
        self, *, open_s: float = 3_600.0, requests_per_s: int = 10_000, redis_url: str | None = None
    ) -> MarketData:
        """Return the market data of one more process."""
        redis = connect(redis_url or self.redis_url)
        self.stack.callback(redis.close)
        data = MarketData(
            info_url=self.server.url,
            cert_url=self.server.url,
            cache=ResponseCache(redis),
            clock=self.clock,
            open_s=open_s,
            requests_per_s=requests_per_s,
        )
        self.stack.callback(data.close)
        return data

    @property
    def request_count(self) -> int:
        return len(self.server.requests)

    def respond(self, response: Answer) -> None:
        self.server.reply = lambda _: response


@pytest.fixture
def setup(valkey_url: str) -> Iterator[TossSetup]:
    with serving(as_toss) as server, ExitStack() as stack:
        yield TossSetup(server, valkey_url, TestClock(), stack)


@contextmanager
def held_answers(setup: TossSetup) -> Iterator[threading.Event]:
    """Hold answers back until the event is set."""
    release = threading.Event()

    def reply(request: Request) -> Answer:
        assert release.wait(DEADLINE_S)
        return as_toss(request)

    setup.server.reply = reply
    try:
        yield release
    finally:
        release.set()


def test_fresh_answer_is_shared_by_all_processes(setup: TossSetup) -> None:
    """It reports its age."""
    one, other = setup.process(), setup.process()
    first = one.price(CODE)
    setup.clock.advance(milliseconds=1_999)
    second = other.price(CODE)
    assert (first.value.price, first.age_ms, second.age_ms, setup.request_count) == (
        70_000,
        0,
        1_999,
        1,
    )

    setup.clock.advance(milliseconds=1)

    assert (other.price(CODE).age_ms, setup.request_count) == (0, 2)
    assert not first.stale
    assert not second.stale


def test_all_answers_survive_the_cache(setup: TossSetup) -> None:
    one, other = setup.process(), setup.process()
    calls: list[Callable[[MarketData], object]] = [
        lambda data: data.price(CODE).value,
        lambda data: data.order_book(CODE).value,
        lambda data: data.trades(CODE).value,
        lambda data: data.candles(CODE, CandleInterval.DAY).value,
        lambda data: data.candles(CODE, CandleInterval.DAY, before=setup.clock()).value,
        lambda data: {index: response.value for index, response in data.indices().items()},
        lambda data: data.index(Index.KOSPI).value,
        lambda data: data.exchange_rate().value,
        lambda data: data.ranking(RankedBy.AMOUNT).value,
    ]
    request_count = [call(one) for call in calls]
    count_before = setup.request_count

    assert [call(other) for call in calls] == request_count
    assert setup.request_count == count_before


def test_equal_concurrent_requests_are_sent_once(setup: TossSetup) -> None:
    """From fifty threads of five processes."""
    processes = [setup.process() for _ in range(5)]
    with held_answers(setup) as release, ThreadPoolExecutor(50) as threads:
        waiting = [threads.submit(processes[number % 5].price, CODE) for number in range(50)]
        wait_until(lambda: setup.request_count == 1, what="the question arrives")
        release.set()
        prices = {future.result(DEADLINE_S).value.price for future in waiting}

    assert prices == {70_000}
    assert setup.request_count == 1


def test_different_requests_run_concurrently(setup: TossSetup) -> None:
    data = setup.process()
    with held_answers(setup) as release, ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(data.price, CODE), threads.submit(data.exchange_rate)]
        wait_until(lambda: setup.request_count == 2, what="both questions arrive")
        release.set()
        assert all(future.result(DEADLINE_S) for future in waiting)


@pytest.mark.parametrize(
    "fault", [DOWN, answer(429), Answer(b"", Ending.RESET), answer(200, octets=b"<html>")]
)
def test_stale_answer_is_returned_on_failure(setup: TossSetup, fault: Answer) -> None:
    data = setup.process()
    data.price(CODE)
    setup.respond(fault)
    setup.clock.advance(minutes=10)

    old = data.price(CODE)

    assert (old.value.price, old.age_ms, old.stale) == (70_000, 600_000, True)


def test_no_data_is_not_replaced_by_a_stale_answer(setup: TossSetup) -> None:
    data = setup.process()
    data.price(CODE)
    setup.respond(answer(200, {"result": []}))
    setup.clock.advance(minutes=10)

    with pytest.raises(TossNoData):
        data.price(CODE)


def test_cached_answers_expire(setup: TossSetup) -> None:
    """Locks and pauses too."""
    data = setup.process()
    for query in (
        lambda: data.price(CODE),
        lambda: data.candles(CODE, CandleInterval.DAY, before=setup.clock()),
        data.exchange_rate,
    ):
        query()
    setup.respond(answer(403))
    with pytest.raises(TossPaused):
        data.order_book(CODE)
    with Redis.from_url(setup.redis_url, decode_responses=True) as redis:
        names = redis.keys("*")
        assert len(names) == 4
        assert all(0 < redis.ttl(name) <= 86_400 for name in names)


def test_answer_of_another_version_is_fetched_again(setup: TossSetup) -> None:
    with Redis.from_url(setup.redis_url) as redis:
        redis.set(
            keys.upstream_answer(f"price:{CODE}"),
            '{"at":"2026-11-20T01:00:00Z","value":{"cost":1}}',
        )

    assert setup.process().price(CODE).value.price == 70_000


def test_lock_of_a_dead_process_expires(setup: TossSetup) -> None:
    data = setup.process()
    with Redis.from_url(setup.redis_url) as redis:
        redis.set(keys.upstream_lock(f"price:{CODE}"), "a dead process", px=300)

    assert data.price(CODE).value.price == 70_000


def test_wait_for_a_lock_is_bounded(setup: TossSetup) -> None:
    data = setup.process()
    with Redis.from_url(setup.redis_url) as redis:
        redis.set(keys.upstream_lock(f"price:{CODE}"), "a hanging process")

    with pytest.raises(TossTimeout):
        data.price(CODE)

    assert setup.request_count == 0


def test_circuit_opens_after_consecutive_failures(setup: TossSetup) -> None:
    """For all requests to the same host, not to another host."""
    data = setup.process()
    setup.respond(DOWN)
    for _ in range(FAILURES_MAX):
        with pytest.raises(TossFailed):
            data.price(CODE)
    assert setup.request_count == FAILURES_MAX
    for query in (lambda: data.price(CODE), data.exchange_rate):
        with pytest.raises(TossPaused) as pause:
            query()
        assert pause.value.retry_after_s == 3_600
    assert setup.request_count == FAILURES_MAX

    with pytest.raises(TossFailed):
        data.ranking(RankedBy.AMOUNT)


def test_success_resets_the_failure_count(setup: TossSetup) -> None:
    """An answer without data is a success."""
    data, numbers = setup.process(), count(1)
    setup.server.reply = lambda _: answer(404) if next(numbers) % FAILURES_MAX == 0 else DOWN
    for number in range(1, 4 * FAILURES_MAX + 1):
        with pytest.raises(TossNoData if number % FAILURES_MAX == 0 else TossFailed):
            data.price(CODE)

    assert setup.request_count == 4 * FAILURES_MAX


def test_circuit_closes_after_a_successful_attempt(setup: TossSetup) -> None:
    """A failed attempt opens it again."""
    data = setup.process(open_s=0.5)
    setup.respond(DOWN)
    for _ in range(FAILURES_MAX):
        with pytest.raises(TossFailed):
            data.price(CODE)

    def is_tried() -> bool:
        with pytest.raises((TossFailed, TossPaused)) as fault:
            data.price(CODE)
        return fault.type is TossFailed

    wait_until(is_tried, what="a single question is let through")
    assert setup.request_count == FAILURES_MAX + 1
    setup.server.reply = as_toss

    def is_answered() -> bool:
        try:
            return data.price(CODE).value.price == 70_000
        except TossPaused:
            return False

    wait_until(is_answered, what="the next question is is_answered")
    setup.respond(DOWN)
    setup.clock.advance(hours=2)
    assert data.price(CODE).stale
    with pytest.raises(TossFailed):
        data.exchange_rate()


@pytest.mark.parametrize(("status", "least_s"), [(403, 300), (429, 30)])
def test_refusal_pauses_all_processes(setup: TossSetup, status: int, least_s: int) -> None:
    one, other = setup.process(), setup.process()
    setup.respond(answer(status))
    with pytest.raises(TossPaused) as pause:
        one.price(CODE)
    assert pause.value.retry_after_s == least_s
    setup.server.reply = as_toss

    for data in (one, other):
        with pytest.raises(TossPaused) as pause:
            data.exchange_rate()
        assert 0 < pause.value.retry_after_s <= least_s
    assert setup.request_count == 1


def test_pause_lasts_as_long_as_toss_requests(setup: TossSetup) -> None:
    one, other = setup.process(), setup.process()
    setup.respond(answer(429, Retry_After="1"))
    with pytest.raises(TossPaused):
        one.price(CODE)
    setup.server.reply = as_toss

    def is_answered(data: MarketData) -> bool:
        try:
            return data.price(CODE).value.price == 70_000
        except TossPaused:
            return False

    for data in (one, other):
        wait_until(lambda data=data: is_answered(data), what="the pause is over")


def test_without_redis_each_process_sends_its_own_requests(setup: TossSetup) -> None:
    """Nothing is cached; equal requests are still coalesced, and refusals are respected."""
    data = setup.process(redis_url=f"redis://127.0.0.1:{free_port()}/0")
    with held_answers(setup) as release, ThreadPoolExecutor(20) as threads:
        waiting = [threads.submit(data.price, CODE) for _ in range(20)]
        wait_until(lambda: setup.request_count == 1, what="the question arrives")
        release.set()
        assert {future.result(DEADLINE_S).value.price for future in waiting} == {70_000}
    request_count = setup.request_count
    assert data.price(CODE).value.price == 70_000
    assert setup.request_count == request_count + 1
    setup.respond(answer(429))
    for _ in range(2):
        with pytest.raises(TossPaused):
            data.price(CODE)
    assert setup.request_count == request_count + 2


def test_frozen_redis_does_not_block_the_answer(setup: TossSetup, valkey_server: Valkey) -> None:
    data = setup.process()
    data.price(CODE)
    valkey_server.pause()
    try:
        setup.clock.advance(minutes=1)
        assert data.price(CODE).value.price == 70_000
    finally:
        valkey_server.resume()


def test_hanging_toss_costs_a_bounded_time(setup: TossSetup) -> None:
    data = setup.process()
    setup.respond(Answer(b"HTTP/1.1 200 OK\r\n\r\n", Ending.DRIBBLE))
    with ThreadPoolExecutor(12) as threads:
        waiting = [threads.submit(data.price, f"A{number:06}") for number in range(12)]
        faults = [type(future.exception(60)) for future in waiting]

    assert set(faults) <= {TossTimeout, TossPaused}


def test_request_rate_is_limited_per_host(setup: TossSetup) -> None:
    data = setup.process(requests_per_s=3)
    started = time.monotonic()
    pauses_s: list[int | None] = []
    for days in range(30):
        try:
            data.candles(CODE, CandleInterval.DAY, before=setup.clock() - timedelta(days=days))
            pauses_s.append(None)
        except TossPaused as pause:
            pauses_s.append(pause.retry_after_s)
    seconds_started = int(time.monotonic() - started) + 1

    assert pauses_s[:3] == [None, None, None]
    assert set(pauses_s) <= {None, 1}
    assert setup.request_count == pauses_s.count(None) <= 3 * seconds_started
    assert data.ranking(RankedBy.AMOUNT).value.codes

    def is_answered() -> bool:
        try:
            return data.price(CODE).value.price == 70_000
        except TossPaused:
            return False

    wait_until(is_answered, what="the next second has questions of its own")


def test_excess_concurrent_requests_are_rejected(
    setup: TossSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(market_data, "REQUESTS_MAX", 2)
    data = setup.process()
    with held_answers(setup) as release, ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(data.price, CODE), threads.submit(data.exchange_rate)]
        wait_until(lambda: setup.request_count == 2, what="both questions arrive")
        with pytest.raises(TossTimeout):
            data.order_book(CODE)
        release.set()
        assert all(future.result(DEADLINE_S) for future in waiting)


def test_failure_of_one_index_does_not_hide_the_other(setup: TossSetup) -> None:
    data = setup.process()
    setup.server.reply = lambda request: DOWN if "QGG01P" in request.target else as_toss(request)
    assert set(data.indices()) == {Index.KOSPI}
    setup.respond(Answer(b"", Ending.RESET))
    setup.clock.advance(days=2)
    with Redis.from_url(setup.redis_url) as redis:
        redis.flushall()

    with pytest.raises(TossUnreachable):
        data.indices()


def test_clock_set_back_expires_answers(setup: TossSetup) -> None:
    """The age of an answer is never negative."""
    data = setup.process()
    data.price(CODE)
    setup.clock.advance(seconds=-1)
    assert (data.price(CODE).age_ms, setup.request_count) == (0, 1)
    setup.clock.now -= timedelta(hours=1)

    assert (data.price(CODE).age_ms, setup.request_count) == (0, 2)


def test_price_is_updated_after_expiry(setup: TossSetup) -> None:
    data = setup.process()
    assert data.price(CODE).value.price == 70_000
    setup.respond(answer(200, {"result": [{**DETAILS, "close": 71_000}]}))
    setup.clock.advance(seconds=3)

    assert data.price(CODE).value.price == 71_000
