"""Toss is asked as seldom as may be: counted at a server in its place, over several processes' views of one real Redis."""

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
class Stage:
    """A server in Toss's place, and processes that ask it, all by one clock."""

    server: Server
    redis_url: str
    clock: TestClock
    stack: ExitStack

    def process(
        self, *, open_s: float = 3_600.0, requests_per_s: int = 10_000, redis_url: str | None = None
    ) -> MarketData:
        """The market data as one more process has it."""
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
    def asked(self) -> int:
        return len(self.server.requests)

    def answers(self, given: Answer) -> None:
        self.server.reply = lambda _: given


@pytest.fixture
def stage(valkey_url: str) -> Iterator[Stage]:
    with serving(as_toss) as server, ExitStack() as stack:
        yield Stage(server, valkey_url, TestClock(), stack)


@contextmanager
def held(stage: Stage) -> Iterator[threading.Event]:
    """Answers are held back until the event is set."""
    go = threading.Event()

    def reply(request: Request) -> Answer:
        assert go.wait(DEADLINE_S)
        return as_toss(request)

    stage.server.reply = reply
    try:
        yield go
    finally:
        go.set()


def test_an_answer_is_everybodys_until_it_is_no_longer_fresh(stage: Stage) -> None:
    """And it says how old it is."""
    one, other = stage.process(), stage.process()
    first = one.price(CODE)
    stage.clock.advance(milliseconds=1_999)
    second = other.price(CODE)
    assert (first.value.price, first.age_ms, second.age_ms, stage.asked) == (70_000, 0, 1_999, 1)

    stage.clock.advance(milliseconds=1)

    assert (other.price(CODE).age_ms, stage.asked) == (0, 2)
    assert not first.stale
    assert not second.stale


def test_every_kind_of_answer_survives_the_cache(stage: Stage) -> None:
    """What comes out of Redis is what was put in, to the last type."""
    one, other = stage.process(), stage.process()
    calls: list[Callable[[MarketData], object]] = [
        lambda data: data.price(CODE).value,
        lambda data: data.order_book(CODE).value,
        lambda data: data.trades(CODE).value,
        lambda data: data.candles(CODE, CandleInterval.DAY).value,
        lambda data: data.candles(CODE, CandleInterval.DAY, before=stage.clock()).value,
        lambda data: {index: looked.value for index, looked in data.indices().items()},
        lambda data: data.index(Index.KOSPI).value,
        lambda data: data.exchange_rate().value,
        lambda data: data.ranking(RankedBy.AMOUNT).value,
    ]
    asked = [call(one) for call in calls]
    so_far = stage.asked

    assert [call(other) for call in calls] == asked
    assert stage.asked == so_far


def test_fifty_equal_questions_are_one_question(stage: Stage) -> None:
    """From fifty threads of five processes at once."""
    processes = [stage.process() for _ in range(5)]
    with held(stage) as go, ThreadPoolExecutor(50) as threads:
        waiting = [threads.submit(processes[number % 5].price, CODE) for number in range(50)]
        wait_until(lambda: stage.asked == 1, what="the question arrives")
        go.set()
        prices = {future.result(DEADLINE_S).value.price for future in waiting}

    assert prices == {70_000}
    assert stage.asked == 1


def test_different_questions_do_not_wait_for_one_another(stage: Stage) -> None:
    data = stage.process()
    with held(stage) as go, ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(data.price, CODE), threads.submit(data.exchange_rate)]
        wait_until(lambda: stage.asked == 2, what="both questions arrive")
        go.set()
        assert all(future.result(DEADLINE_S) for future in waiting)


@pytest.mark.parametrize(
    "fault", [DOWN, answer(429), Answer(b"", Ending.RESET), answer(200, octets=b"<html>")]
)
def test_an_old_answer_is_better_than_none_and_says_so(stage: Stage, fault: Answer) -> None:
    data = stage.process()
    data.price(CODE)
    stage.answers(fault)
    stage.clock.advance(minutes=10)

    old = data.price(CODE)

    assert (old.value.price, old.age_ms, old.stale) == (70_000, 600_000, True)


def test_what_toss_no_longer_has_is_not_told_from_memory(stage: Stage) -> None:
    data = stage.process()
    data.price(CODE)
    stage.answers(answer(200, {"result": []}))
    stage.clock.advance(minutes=10)

    with pytest.raises(TossNoData):
        data.price(CODE)


def test_an_answer_is_not_kept_for_ever(stage: Stage) -> None:
    """Redis forgets it by itself, and no turn or pause outlives its time either."""
    data = stage.process()
    for ask in (
        lambda: data.price(CODE),
        lambda: data.candles(CODE, CandleInterval.DAY, before=stage.clock()),
        data.exchange_rate,
    ):
        ask()
    stage.answers(answer(403))
    with pytest.raises(TossPaused):
        data.order_book(CODE)
    with Redis.from_url(stage.redis_url, decode_responses=True) as redis:
        names = redis.keys("*")
        assert len(names) == 4
        assert all(0 < redis.ttl(name) <= 86_400 for name in names)


def test_what_another_version_kept_is_asked_anew(stage: Stage) -> None:
    with Redis.from_url(stage.redis_url) as redis:
        redis.set(
            keys.upstream_answer(f"price:{CODE}"),
            '{"at":"2026-11-20T01:00:00Z","value":{"cost":1}}',
        )

    assert stage.process().price(CODE).value.price == 70_000


def test_a_turn_whose_holder_died_ends_by_itself(stage: Stage) -> None:
    data = stage.process()
    with Redis.from_url(stage.redis_url) as redis:
        redis.set(keys.upstream_lock(f"price:{CODE}"), "somebody who died", px=300)

    assert data.price(CODE).value.price == 70_000


def test_a_turn_that_does_not_end_is_not_waited_for_too_long(stage: Stage) -> None:
    data = stage.process()
    with Redis.from_url(stage.redis_url) as redis:
        redis.set(keys.upstream_lock(f"price:{CODE}"), "somebody who hangs")

    with pytest.raises(TossTimeout):
        data.price(CODE)

    assert stage.asked == 0


def test_after_failures_in_a_row_nobody_is_asked(stage: Stage) -> None:
    """The breaker opens at the fifth; other questions to the same host stay away too, those to another host do not."""
    data = stage.process()
    stage.answers(DOWN)
    for _ in range(FAILURES_MAX):
        with pytest.raises(TossFailed):
            data.price(CODE)
    assert stage.asked == FAILURES_MAX
    for ask in (lambda: data.price(CODE), data.exchange_rate):
        with pytest.raises(TossPaused) as pause:
            ask()
        assert pause.value.retry_after_s == 3_600
    assert stage.asked == FAILURES_MAX

    with pytest.raises(TossFailed):
        data.ranking(RankedBy.AMOUNT)


def test_successes_between_failures_keep_asking(stage: Stage) -> None:
    """So do answers that say there is nothing: Toss works, and does not know the stock."""
    data, numbers = stage.process(), count(1)
    stage.server.reply = lambda _: answer(404) if next(numbers) % FAILURES_MAX == 0 else DOWN
    for number in range(1, 4 * FAILURES_MAX + 1):
        with pytest.raises(TossNoData if number % FAILURES_MAX == 0 else TossFailed):
            data.price(CODE)

    assert stage.asked == 4 * FAILURES_MAX


def test_an_open_breaker_tries_again_and_closes(stage: Stage) -> None:
    """After its time a single failure opens it again, and a single success ends the matter."""
    data = stage.process(open_s=0.5)
    stage.answers(DOWN)
    for _ in range(FAILURES_MAX):
        with pytest.raises(TossFailed):
            data.price(CODE)

    def tried() -> bool:
        with pytest.raises((TossFailed, TossPaused)) as fault:
            data.price(CODE)
        return fault.type is TossFailed

    wait_until(tried, what="a single question is let through")
    assert stage.asked == FAILURES_MAX + 1
    stage.server.reply = as_toss

    def answered() -> bool:
        try:
            return data.price(CODE).value.price == 70_000
        except TossPaused:
            return False

    wait_until(answered, what="the next question is answered")
    stage.answers(DOWN)
    stage.clock.advance(hours=2)
    assert data.price(CODE).stale
    with pytest.raises(TossFailed):
        data.exchange_rate()


@pytest.mark.parametrize(("status", "least_s"), [(403, 300), (429, 30)])
def test_a_refusal_stops_all_processes(stage: Stage, status: int, least_s: int) -> None:
    one, other = stage.process(), stage.process()
    stage.answers(answer(status))
    with pytest.raises(TossPaused) as pause:
        one.price(CODE)
    assert pause.value.retry_after_s == least_s
    stage.server.reply = as_toss

    for data in (one, other):
        with pytest.raises(TossPaused) as pause:
            data.exchange_rate()
        assert 0 < pause.value.retry_after_s <= least_s
    assert stage.asked == 1


def test_a_pause_is_as_long_as_toss_says(stage: Stage) -> None:
    one, other = stage.process(), stage.process()
    stage.answers(answer(429, Retry_After="1"))
    with pytest.raises(TossPaused):
        one.price(CODE)
    stage.server.reply = as_toss

    def answered(data: MarketData) -> bool:
        try:
            return data.price(CODE).value.price == 70_000
        except TossPaused:
            return False

    for data in (one, other):
        wait_until(lambda data=data: answered(data), what="the pause is over")


def test_without_redis_each_process_asks_for_itself(stage: Stage) -> None:
    """Nothing is kept, equal questions at one time are still one, and a refusal is still heeded."""
    data = stage.process(redis_url=f"redis://127.0.0.1:{free_port()}/0")
    with held(stage) as go, ThreadPoolExecutor(20) as threads:
        waiting = [threads.submit(data.price, CODE) for _ in range(20)]
        wait_until(lambda: stage.asked == 1, what="the question arrives")
        go.set()
        assert {future.result(DEADLINE_S).value.price for future in waiting} == {70_000}
    asked = stage.asked
    assert data.price(CODE).value.price == 70_000
    assert stage.asked == asked + 1
    stage.answers(answer(429))
    for _ in range(2):
        with pytest.raises(TossPaused):
            data.price(CODE)
    assert stage.asked == asked + 2


def test_a_redis_that_hangs_does_not_hang_the_answer(stage: Stage, valkey_server: Valkey) -> None:
    data = stage.process()
    data.price(CODE)
    valkey_server.pause()
    try:
        stage.clock.advance(minutes=1)
        assert data.price(CODE).value.price == 70_000
    finally:
        valkey_server.resume()


def test_a_toss_that_hangs_costs_a_bounded_time(stage: Stage) -> None:
    """Each question gives up in time, and when it is over the next is answered."""
    data = stage.process()
    stage.answers(Answer(b"HTTP/1.1 200 OK\r\n\r\n", Ending.DRIBBLE))
    with ThreadPoolExecutor(12) as threads:
        waiting = [threads.submit(data.price, f"A{number:06}") for number in range(12)]
        faults = [type(future.exception(60)) for future in waiting]

    assert set(faults) <= {TossTimeout, TossPaused}


def test_toss_is_not_asked_more_often_than_may_be(stage: Stage) -> None:
    """However many different questions there are; the next are put off, and a host of its own has a count of its own."""
    data = stage.process(requests_per_s=3)
    began = time.monotonic()
    put_off_s: list[int | None] = []
    for days in range(30):
        try:
            data.candles(CODE, CandleInterval.DAY, before=stage.clock() - timedelta(days=days))
            put_off_s.append(None)
        except TossPaused as pause:
            put_off_s.append(pause.retry_after_s)
    seconds_begun = int(time.monotonic() - began) + 1

    assert put_off_s[:3] == [None, None, None]
    assert set(put_off_s) <= {None, 1}
    assert stage.asked == put_off_s.count(None) <= 3 * seconds_begun
    assert data.ranking(RankedBy.AMOUNT).value.codes

    def answered() -> bool:
        try:
            return data.price(CODE).value.price == 70_000
        except TossPaused:
            return False

    wait_until(answered, what="the next second has questions of its own")


def test_too_many_questions_at_once_are_not_queued(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(market_data, "REQUESTS_MAX", 2)
    data = stage.process()
    with held(stage) as go, ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(data.price, CODE), threads.submit(data.exchange_rate)]
        wait_until(lambda: stage.asked == 2, what="both questions arrive")
        with pytest.raises(TossTimeout):
            data.order_book(CODE)
        go.set()
        assert all(future.result(DEADLINE_S) for future in waiting)


def test_one_index_that_fails_does_not_hide_the_other(stage: Stage) -> None:
    data = stage.process()
    stage.server.reply = lambda request: DOWN if "QGG01P" in request.target else as_toss(request)
    assert set(data.indices()) == {Index.KOSPI}
    stage.answers(Answer(b"", Ending.RESET))
    stage.clock.advance(days=2)
    with Redis.from_url(stage.redis_url) as redis:
        redis.flushall()

    with pytest.raises(TossUnreachable):
        data.indices()


def test_a_clock_that_is_set_back_keeps_nothing_fresh(stage: Stage) -> None:
    """And an answer is never of a negative age."""
    data = stage.process()
    data.price(CODE)
    stage.clock.advance(seconds=-1)
    assert (data.price(CODE).age_ms, stage.asked) == (0, 1)
    stage.clock.now -= timedelta(hours=1)

    assert (data.price(CODE).age_ms, stage.asked) == (0, 2)


def test_a_price_changes_with_the_market(stage: Stage) -> None:
    """The cache is no constant: what Toss says next is what is told next."""
    data = stage.process()
    assert data.price(CODE).value.price == 70_000
    stage.answers(answer(200, {"result": [{**DETAILS, "close": 71_000}]}))
    stage.clock.advance(seconds=3)

    assert data.price(CODE).value.price == 71_000
