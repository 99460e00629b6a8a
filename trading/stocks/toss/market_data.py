"""What the market is, asked of Toss by REST as seldom as may be, and answered within a bounded time whatever becomes of Toss and of Redis.

- An answer is kept in Redis and is everybody's until it is no longer fresh. When no newer one can be had, it is still told for as long as it is kept,
  and said to be stale.
- Equal questions are asked once: in a process by one flight whose outcome all share, among processes by whose turn it is in Redis. Flights are a few
  threads' work, so a slow Toss holds up these and never all threads of the API; whoever waits for one waits for WAIT_S at most.
- A host that failed several times in a row is not asked for a while, and then tried by single
  requests (each process has a circuit breaker). After 403 or 429 no process asks it for as long as
  it says. Requests per second are bounded.
- Without Redis nothing is kept: each process asks for itself, still once for equal questions at the same time.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

import msgspec
import structlog

from trading.circuit_breaker import CircuitBreaker, CircuitOpen
from trading.stocks.candles.model import CandleInterval
from trading.stocks.toss.answers import (
    CandlePage,
    ExchangeRate,
    IndexPrice,
    MarketTrade,
    OrderBook,
    PriceDetails,
    Ranking,
)
from trading.stocks.toss.client import Index, RankedBy, TossClient, TossRefuses
from trading.stocks.toss.errors import (
    TossError,
    TossFailed,
    TossHasNone,
    TossPaused,
    TossTooSlow,
    TossUnreachable,
)
from trading.stocks.toss.response_cache import AnswerCache, CacheUnavailable

log = structlog.get_logger(__name__)

T = TypeVar("T")

WAIT_S = 3.0
# Longer than one question takes at most, so that a turn ends by itself only where a process died.
TURN_MS = 4_000
TURN_POLL_S = 0.05
FLIGHT_THREADS = 6
FLIGHTS_MAX = 60
# How many of a stock's trades and candles are asked for at a time: users who want fewer share the answer.
TRADES_ASKED = 50
CANDLES_ASKED = 200
FAILURES_MAX = 5
BREAK_S = 10.0
# A user who asks for every page of every chart must not have Toss refuse us all, nor fill Redis.
ASKS_PER_S = 10


@dataclass(frozen=True, slots=True)
class CachedResponse(Generic[T]):
    """An answer; ``age_ms`` counts from when Toss gave it. ``stale`` says that a fresh one was wanted and could not be had."""

    value: T
    age_ms: int
    stale: bool


class _Kept(msgspec.Struct, Generic[T], frozen=True):
    """An answer as it stands in Redis."""

    at: datetime
    value: T


@dataclass(frozen=True, slots=True)
class _Kind(Generic[T]):
    """A kind of question: for how long its answers are fresh, and for how long they are kept for the time when there are no newer ones."""

    name: str
    fresh: timedelta
    kept_s: int
    decoder: "msgspec.json.Decoder[_Kept[T]]"


def _kind(name: str, answer: type[T], *, fresh_s: int, kept_s: int) -> _Kind[T]:
    decoder = msgspec.json.Decoder(_Kept[answer])  # type: ignore[valid-type]
    return _Kind(name, timedelta(seconds=fresh_s), kept_s, decoder)


_HOUR_S = 3_600
_DAY_S = 24 * _HOUR_S
PRICE = _kind("price", PriceDetails, fresh_s=2, kept_s=_HOUR_S)
ORDER_BOOK = _kind("order-book", OrderBook, fresh_s=1, kept_s=60)
TRADES: _Kind[tuple[MarketTrade, ...]] = _kind(
    "trades", tuple[MarketTrade, ...], fresh_s=1, kept_s=300
)
CANDLES = _kind("candles", CandlePage, fresh_s=10, kept_s=_HOUR_S)
# Of these there are as many as anybody likes to ask for, so they are not kept for long.
OLD_CANDLES = _kind("candles", CandlePage, fresh_s=60, kept_s=60)
INDEX = _kind("index", IndexPrice, fresh_s=10, kept_s=_DAY_S)
EXCHANGE_RATE = _kind("exchange-rate", ExchangeRate, fresh_s=60, kept_s=_DAY_S)
RANKING = _kind("ranking", Ranking, fresh_s=30, kept_s=_HOUR_S)


class MarketData:
    """Toss's market data for all threads of a process. Every method raises TossError, of the kinds that have a ``code``, within WAIT_S and what a
    Redis that hangs adds to it."""

    def __init__(
        self,
        *,
        info_url: str,
        cert_url: str,
        cache: AnswerCache,
        clock: Callable[[], datetime],
        break_s: float = BREAK_S,
        asks_per_s: int = ASKS_PER_S,
    ) -> None:
        self._client = TossClient(info_url=info_url, cert_url=cert_url)
        self._cache = cache
        self._clock = clock
        self._info = _Host(urlsplit(info_url).netloc, cache, break_s, asks_per_s)
        self._cert = _Host(urlsplit(cert_url).netloc, cache, break_s, asks_per_s)
        self._flights: dict[str, Future[_Kept[Any]]] = {}
        self._flying = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None

    def close(self) -> None:
        """End the threads; wait for exchanges under way, as long as their timeouts allow."""
        with self._flying:
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(cancel_futures=True)

    def price(self, code: str) -> CachedResponse[PriceDetails]:
        return self._look(PRICE, code, self._info, lambda: self._client.price_details(code))

    def order_book(self, code: str) -> CachedResponse[OrderBook]:
        return self._look(ORDER_BOOK, code, self._info, lambda: self._client.order_book(code))

    def trades(self, code: str) -> CachedResponse[tuple[MarketTrade, ...]]:
        """The last TRADES_ASKED trades, newest first as Toss tells them."""
        return self._look(
            TRADES, code, self._info, lambda: self._client.trades(code, count=TRADES_ASKED)
        )

    def candles(
        self, code: str, interval: CandleInterval, *, before: datetime | None = None
    ) -> CachedResponse[CandlePage]:
        """The last CANDLES_ASKED candles, or those before the candle of an instant, newest first."""
        start = None if before is None else interval.start(before)
        return self._look(
            CANDLES if start is None else OLD_CANDLES,
            f"{code}:{interval}:{start.isoformat() if start else 'now'}",
            self._info,
            lambda: self._client.candles(code, interval, count=CANDLES_ASKED, before=start),
        )

    def indices(self) -> dict[Index, CachedResponse[IndexPrice]]:
        """All indices that can be told, asked for at once. TossError when none can."""
        flights = {
            index: self._begin(INDEX, index, self._info, self._asking_for(index)) for index in Index
        }
        found: dict[Index, CachedResponse[IndexPrice]] = {}
        fault: TossError | None = None
        for index, begun in flights.items():
            try:
                found[index] = begun.end()
            except TossError as error:
                fault = error
        if fault is not None and not found:
            raise fault
        return found

    def index(self, index: Index) -> CachedResponse[IndexPrice]:
        return self._look(INDEX, index, self._info, self._asking_for(index))

    def exchange_rate(self) -> CachedResponse[ExchangeRate]:
        return self._look(EXCHANGE_RATE, "USDKRW", self._info, self._client.exchange_rate)

    def ranking(self, by: RankedBy) -> CachedResponse[Ranking]:
        return self._look(RANKING, by, self._cert, lambda: self._client.ranking(by))

    def _asking_for(self, index: Index) -> Callable[[], IndexPrice]:
        return lambda: self._client.index_price(index)

    def _look(
        self, kind: _Kind[T], subject: str, host: "_Host", ask: Callable[[], T]
    ) -> CachedResponse[T]:
        return self._begin(kind, subject, host, ask).end()

    def _begin(
        self, kind: _Kind[T], subject: str, host: "_Host", ask: Callable[[], T]
    ) -> "_Begun[T]":
        subject = f"{kind.name}:{subject}"
        try:
            kept, shared = self._kept(kind, subject), True
        except CacheUnavailable:
            kept, shared = None, False
        if kept is not None and self._is_fresh(kept, kind):
            return _Begun(self._clock, None, _landed(kept))

        def fly() -> _Kept[T]:
            return (
                self._fly(kind, subject, host, ask)
                if shared
                else self._ask(kind, subject, host, ask)
            )

        return _Begun(self._clock, kept, self._flight(subject, fly))

    def _flight(self, subject: str, fly: Callable[[], _Kept[T]]) -> Future[_Kept[T]]:
        """The flight that is under way for this subject, or a new one."""
        with self._flying:
            flight: Future[_Kept[T]] | None = self._flights.get(subject)
            if flight is not None:
                return flight
            if len(self._flights) >= FLIGHTS_MAX:
                return _failed(TossTooSlow("too many questions are waiting"))
            if self._threads is None:
                # With the first question, as threads do not live on in a process that is forked.
                self._threads = ThreadPoolExecutor(FLIGHT_THREADS, thread_name_prefix="toss-rest")
            flight = self._flights[subject] = self._threads.submit(fly)
        flight.add_done_callback(lambda _: self._land(subject))
        return flight

    def _land(self, subject: str) -> None:
        with self._flying:
            self._flights.pop(subject, None)

    def _fly(self, kind: _Kind[T], subject: str, host: "_Host", ask: Callable[[], T]) -> _Kept[T]:
        who = uuid4().hex
        try:
            return self._told_meanwhile(kind, subject, who) or self._ask(kind, subject, host, ask)
        except CacheUnavailable:
            return self._ask(kind, subject, host, ask)
        finally:
            with suppress(CacheUnavailable):
                self._cache.end_turn(subject, who)

    def _told_meanwhile(self, kind: _Kind[T], subject: str, who: str) -> _Kept[T] | None:
        """The fresh answer that another process was given; None when it is this one's turn to ask."""
        give_up_at = time.monotonic() + WAIT_S
        while True:
            is_ours = self._cache.take_turn(subject, who, for_ms=TURN_MS)
            kept = self._kept(kind, subject)
            if kept is not None and self._is_fresh(kept, kind):
                return kept
            if is_ours:
                return None
            if time.monotonic() > give_up_at:
                raise TossTooSlow("another process waits for the answer")
            time.sleep(TURN_POLL_S)

    def _ask(self, kind: _Kind[T], subject: str, host: "_Host", ask: Callable[[], T]) -> _Kept[T]:
        value = host.ask(ask)
        kept = _Kept(self._clock(), value)
        try:
            self._cache.keep(subject, msgspec.json.encode(kept).decode(), for_s=kind.kept_s)
        except CacheUnavailable:
            log.warning("market_data_not_cached", subject=subject)
        return kept

    def _kept(self, kind: _Kind[T], subject: str) -> _Kept[T] | None:
        text = self._cache.look(subject)
        if text is None:
            return None
        try:
            return kind.decoder.decode(text)
        except ValueError:
            # Of another version of this program, perhaps.
            return None

    def _is_fresh(self, kept: _Kept[Any], kind: _Kind[Any]) -> bool:
        # Another machine's clock may be ahead; nothing is fresh for longer than its span all the same.
        return abs(self._clock() - kept.at) < kind.fresh


class _Begun(Generic[T]):
    """A question on its way: the flight for a fresh answer, and the old one, for the time when there is no newer."""

    def __init__(
        self, clock: Callable[[], datetime], kept: _Kept[T] | None, flight: Future[_Kept[T]]
    ) -> None:
        self._clock = clock
        self._kept = kept
        self._flight = flight
        self._give_up_at = time.monotonic() + WAIT_S

    def end(self) -> CachedResponse[T]:
        """The answer; a stale one rather than none, but for what Toss says it does not have."""
        fault: TossError
        try:
            return self._looked(
                self._flight.result(max(0.0, self._give_up_at - time.monotonic())), stale=False
            )
        except TimeoutError:
            fault = TossTooSlow("no answer in time")
        except CancelledError:
            fault = TossTooSlow("this process ends")
        except TossError as error:
            fault = error
        if self._kept is None or isinstance(fault, TossHasNone):
            raise fault
        log.info("market_data_stale", reason=str(fault), code=fault.code)
        return self._looked(self._kept, stale=True)

    def _looked(self, kept: _Kept[T], *, stale: bool) -> CachedResponse[T]:
        return CachedResponse(
            kept.value, max(0, (self._clock() - kept.at) // timedelta(milliseconds=1)), stale
        )


class _Host:
    """One of Toss's hosts: whether it may be asked now, and asking it."""

    def __init__(self, name: str, cache: AnswerCache, break_s: float, asks_per_s: int) -> None:
        self._name = name
        self._cache = cache
        self._paused_until = 0.0
        self._asked_at: deque[float] = deque(maxlen=asks_per_s)
        self._counting = threading.Lock()
        self._breaker = CircuitBreaker(failures_max=FAILURES_MAX, open_s=break_s)

    def ask(self, ask: Callable[[], T]) -> T:
        """Ask once, or raise TossPaused. Raises what ``ask`` raises."""
        self._stop_in_a_pause()
        self._stop_when_asked_too_often()
        try:
            self._breaker.admit()
            answer = ask()
        except CircuitOpen as refusal:
            wait_s = math.ceil(refusal.retry_after_s)
            raise TossPaused("it failed several times in a row", wait_s) from None
        except (TossFailed, TossTooSlow, TossUnreachable):
            self._breaker.record_failure()
            raise
        except TossHasNone:
            self._breaker.record_success()
            raise
        except TossRefuses as refusal:
            self._breaker.record_success()
            reason = f"it answered {refusal.status}"
            self._pause(reason, refusal.retry_after_s)
            raise TossPaused(reason, refusal.retry_after_s) from None
        self._breaker.record_success()
        return answer

    def _stop_in_a_pause(self) -> None:
        left_s = math.ceil(self._paused_until - time.monotonic())
        if left_s > 0:
            raise TossPaused("it refused us", left_s)
        with suppress(CacheUnavailable):
            pause = self._cache.pause_of(self._name)
            if pause is not None:
                raise TossPaused(pause.reason, pause.left_s)

    def _stop_when_asked_too_often(self) -> None:
        now = time.monotonic()
        with self._counting:
            if len(self._asked_at) == self._asked_at.maxlen and now - self._asked_at[0] < 1:
                raise TossPaused("it would be asked too often", 1)
            self._asked_at.append(now)

    def _pause(self, reason: str, for_s: int) -> None:
        log.warning("market_data_circuit_open", host=self._name, reason=reason, for_s=for_s)
        # Here too, for Redis may be away.
        self._paused_until = time.monotonic() + for_s
        with suppress(CacheUnavailable):
            self._cache.pause(self._name, reason, for_s=for_s)


def _landed(kept: _Kept[T]) -> Future[_Kept[T]]:
    flight: Future[_Kept[T]] = Future()
    flight.set_result(kept)
    return flight


def _failed(fault: TossError) -> Future[Any]:
    flight: Future[Any] = Future()
    flight.set_exception(fault)
    return flight
