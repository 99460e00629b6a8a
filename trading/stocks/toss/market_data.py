"""Market data of Toss's REST API: cached, coalesced, and answered within a bounded time.

- Answers are cached in Redis and shared by all processes while they are fresh. If no newer one is
  available, an expired one is returned as stale until its TTL ends.
- Equal requests are sent once: within a process they share one future, and among processes a lock
  in Redis elects the sender. A small thread pool sends the requests, so a slow Toss does not block
  the threads of the API. Callers wait for WAIT_S at most.
- After several consecutive failures a host is not called for a while, and then tried with single
  requests (each process has a circuit breaker). After status 403 or 429 no process calls it for the
  time that it states. Requests per second are limited.
- Without Redis nothing is cached: each process sends its own requests, still coalesced.
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
from trading.stocks.toss.client import Index, RankedBy, TossClient, TossRefused
from trading.stocks.toss.errors import (
    TossError,
    TossFailed,
    TossNoData,
    TossPaused,
    TossTimeout,
    TossUnreachable,
)
from trading.stocks.toss.response_cache import CacheUnavailable, ResponseCache

log = structlog.get_logger(__name__)

T = TypeVar("T")

WAIT_S = 3.0
# Longer than a request can take, so that the lock expires only after its owner died.
LOCK_MS = 4_000
LOCK_POLL_S = 0.05
REQUEST_THREADS = 6
REQUESTS_MAX = 60
# Trades and candles per request; callers that need fewer share the cached answer.
TRADES_PER_REQUEST = 50
CANDLES_PER_REQUEST = 200
FAILURES_MAX = 5
OPEN_S = 10.0
# A user owner requests every page of every chart must neither exhaust Toss's limits nor fill Redis.
REQUESTS_PER_S = 10


@dataclass(frozen=True, slots=True)
class CachedResponse(Generic[T]):
    """An answer; ``age_ms`` counts from Toss's answer. ``stale``: no fresh one was available."""

    value: T
    age_ms: int
    stale: bool


class _CachedAnswer(msgspec.Struct, Generic[T], frozen=True):
    """A cached answer as stored in Redis."""

    at: datetime
    value: T


@dataclass(frozen=True, slots=True)
class _QueryKind(Generic[T]):
    """Kind of query: how long its answers are fresh, and their TTL as stale answers."""

    name: str
    fresh: timedelta
    ttl_s: int
    decoder: "msgspec.json.Decoder[_CachedAnswer[T]]"


def _query_kind(name: str, answer: type[T], *, fresh_s: int, ttl_s: int) -> _QueryKind[T]:
    decoder = msgspec.json.Decoder(_CachedAnswer[answer])  # type: ignore[valid-type]
    return _QueryKind(name, timedelta(seconds=fresh_s), ttl_s, decoder)


_HOUR_S = 3_600
_DAY_S = 24 * _HOUR_S
PRICE = _query_kind("price", PriceDetails, fresh_s=2, ttl_s=_HOUR_S)
ORDER_BOOK = _query_kind("order-book", OrderBook, fresh_s=1, ttl_s=60)
TRADES: _QueryKind[tuple[MarketTrade, ...]] = _query_kind(
    "trades", tuple[MarketTrade, ...], fresh_s=1, ttl_s=300
)
CANDLES = _query_kind("candles", CandlePage, fresh_s=10, ttl_s=_HOUR_S)
# There are arbitrarily many of these, so their TTL is short.
OLD_CANDLES = _query_kind("candles", CandlePage, fresh_s=60, ttl_s=60)
INDEX = _query_kind("index", IndexPrice, fresh_s=10, ttl_s=_DAY_S)
EXCHANGE_RATE = _query_kind("exchange-rate", ExchangeRate, fresh_s=60, ttl_s=_DAY_S)
RANKING = _query_kind("ranking", Ranking, fresh_s=30, ttl_s=_HOUR_S)


class MarketData:
    """Market data of Toss for all threads of a process.

    Every method raises a TossError with a ``code``, after WAIT_S at most plus the timeouts of a
    hanging Redis.
    """

    def __init__(
        self,
        *,
        info_url: str,
        cert_url: str,
        cache: ResponseCache,
        clock: Callable[[], datetime],
        open_s: float = OPEN_S,
        requests_per_s: int = REQUESTS_PER_S,
    ) -> None:
        self._client = TossClient(info_url=info_url, cert_url=cert_url)
        self._cache = cache
        self._clock = clock
        self._info = _HostGuard(urlsplit(info_url).netloc, cache, open_s, requests_per_s)
        self._cert = _HostGuard(urlsplit(cert_url).netloc, cache, open_s, requests_per_s)
        self._in_flight: dict[str, Future[_CachedAnswer[Any]]] = {}
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None

    def close(self) -> None:
        """Stop the threads after the requests in progress, which their timeouts bound."""
        with self._lock:
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(cancel_futures=True)

    def price(self, code: str) -> CachedResponse[PriceDetails]:
        return self._fetch(PRICE, code, self._info, lambda: self._client.price_details(code))

    def order_book(self, code: str) -> CachedResponse[OrderBook]:
        return self._fetch(ORDER_BOOK, code, self._info, lambda: self._client.order_book(code))

    def trades(self, code: str) -> CachedResponse[tuple[MarketTrade, ...]]:
        """Return the last TRADES_PER_REQUEST trades, newest first."""
        return self._fetch(
            TRADES, code, self._info, lambda: self._client.trades(code, count=TRADES_PER_REQUEST)
        )

    def candles(
        self, code: str, interval: CandleInterval, *, before: datetime | None = None
    ) -> CachedResponse[CandlePage]:
        """Return the last CANDLES_PER_REQUEST candles, newest first.

        With ``before``, those before the candle that contains this time.
        """
        start = None if before is None else interval.start(before)
        return self._fetch(
            CANDLES if start is None else OLD_CANDLES,
            f"{code}:{interval}:{start.isoformat() if start else 'now'}",
            self._info,
            lambda: self._client.candles(code, interval, count=CANDLES_PER_REQUEST, before=start),
        )

    def indices(self) -> dict[Index, CachedResponse[IndexPrice]]:
        """Request all indices concurrently. Raises TossError if none is available."""
        pending = {
            index: self._start(INDEX, index, self._info, self._index_request(index))
            for index in Index
        }
        found: dict[Index, CachedResponse[IndexPrice]] = {}
        fault: TossError | None = None
        for index, response in pending.items():
            try:
                found[index] = response.result()
            except TossError as error:
                fault = error
        if fault is not None and not found:
            raise fault
        return found

    def index(self, index: Index) -> CachedResponse[IndexPrice]:
        return self._fetch(INDEX, index, self._info, self._index_request(index))

    def exchange_rate(self) -> CachedResponse[ExchangeRate]:
        return self._fetch(EXCHANGE_RATE, "USDKRW", self._info, self._client.exchange_rate)

    def ranking(self, by: RankedBy) -> CachedResponse[Ranking]:
        return self._fetch(RANKING, by, self._cert, lambda: self._client.ranking(by))

    def _index_request(self, index: Index) -> Callable[[], IndexPrice]:
        return lambda: self._client.index_price(index)

    def _fetch(
        self, kind: _QueryKind[T], subject: str, host: "_HostGuard", query: Callable[[], T]
    ) -> CachedResponse[T]:
        return self._start(kind, subject, host, query).result()

    def _start(
        self, kind: _QueryKind[T], subject: str, host: "_HostGuard", query: Callable[[], T]
    ) -> "_PendingResponse[T]":
        subject = f"{kind.name}:{subject}"
        try:
            cached, shared = self._load_cached(kind, subject), True
        except CacheUnavailable:
            cached, shared = None, False
        if cached is not None and self._is_fresh(cached, kind):
            return _PendingResponse(self._clock, None, _completed(cached))

        def fetch() -> _CachedAnswer[T]:
            return (
                self._fetch_shared(kind, subject, host, query)
                if shared
                else self._fetch_and_cache(kind, subject, host, query)
            )

        return _PendingResponse(self._clock, cached, self._request(subject, fetch))

    def _request(
        self, subject: str, fetch: Callable[[], _CachedAnswer[T]]
    ) -> Future[_CachedAnswer[T]]:
        """Return the request in progress for this subject, or start one."""
        with self._lock:
            request: Future[_CachedAnswer[T]] | None = self._in_flight.get(subject)
            if request is not None:
                return request
            if len(self._in_flight) >= REQUESTS_MAX:
                return _failed(TossTimeout("too many requests in progress"))
            if self._threads is None:
                # Created by the first request, because threads do not survive a fork.
                self._threads = ThreadPoolExecutor(REQUEST_THREADS, thread_name_prefix="toss-rest")
            request = self._in_flight[subject] = self._threads.submit(fetch)
        request.add_done_callback(lambda _: self._forget(subject))
        return request

    def _forget(self, subject: str) -> None:
        with self._lock:
            self._in_flight.pop(subject, None)

    def _fetch_shared(
        self, kind: _QueryKind[T], subject: str, host: "_HostGuard", query: Callable[[], T]
    ) -> _CachedAnswer[T]:
        owner = uuid4().hex
        try:
            return self._await_shared_answer(kind, subject, owner) or self._fetch_and_cache(
                kind, subject, host, query
            )
        except CacheUnavailable:
            return self._fetch_and_cache(kind, subject, host, query)
        finally:
            with suppress(CacheUnavailable):
                self._cache.release_lock(subject, owner)

    def _await_shared_answer(
        self, kind: _QueryKind[T], subject: str, owner: str
    ) -> _CachedAnswer[T] | None:
        """Wait for another process's fresh answer; None once this process holds the lock."""
        deadline = time.monotonic() + WAIT_S
        while True:
            is_owner = self._cache.acquire_lock(subject, owner, for_ms=LOCK_MS)
            cached = self._load_cached(kind, subject)
            if cached is not None and self._is_fresh(cached, kind):
                return cached
            if is_owner:
                return None
            if time.monotonic() > deadline:
                raise TossTimeout("another process is fetching the answer")
            time.sleep(LOCK_POLL_S)

    def _fetch_and_cache(
        self, kind: _QueryKind[T], subject: str, host: "_HostGuard", query: Callable[[], T]
    ) -> _CachedAnswer[T]:
        value = host.call(query)
        cached = _CachedAnswer(self._clock(), value)
        try:
            self._cache.put(subject, msgspec.json.encode(cached).decode(), for_s=kind.ttl_s)
        except CacheUnavailable:
            log.warning("market_data_not_cached", subject=subject)
        return cached

    def _load_cached(self, kind: _QueryKind[T], subject: str) -> _CachedAnswer[T] | None:
        text = self._cache.get(subject)
        if text is None:
            return None
        try:
            return kind.decoder.decode(text)
        except ValueError:
            # Possibly written by another version.
            return None

    def _is_fresh(self, cached: _CachedAnswer[T], kind: _QueryKind[T]) -> bool:
        # The absolute value limits the effect of another machine's clock running ahead.
        return abs(self._clock() - cached.at) < kind.fresh


class _PendingResponse(Generic[T]):
    """A request in progress, with the cached answer as a fallback."""

    def __init__(
        self,
        clock: Callable[[], datetime],
        cached: _CachedAnswer[T] | None,
        request: Future[_CachedAnswer[T]],
    ) -> None:
        self._clock = clock
        self._cached = cached
        self._request = request
        self._deadline = time.monotonic() + WAIT_S

    def result(self) -> CachedResponse[T]:
        """Wait for the answer; return the stale one on failure, except if Toss has no data."""
        fault: TossError
        try:
            return self._response(
                self._request.result(max(0.0, self._deadline - time.monotonic())), stale=False
            )
        except TimeoutError:
            fault = TossTimeout("no answer in time")
        except CancelledError:
            fault = TossTimeout("process is stopping")
        except TossError as error:
            fault = error
        if self._cached is None or isinstance(fault, TossNoData):
            raise fault
        log.info("market_data_stale", reason=str(fault), code=fault.code)
        return self._response(self._cached, stale=True)

    def _response(self, cached: _CachedAnswer[T], *, stale: bool) -> CachedResponse[T]:
        return CachedResponse(
            cached.value, max(0, (self._clock() - cached.at) // timedelta(milliseconds=1)), stale
        )


class _HostGuard:
    """A host of Toss with its pause, rate limit and circuit breaker."""

    def __init__(self, name: str, cache: ResponseCache, open_s: float, requests_per_s: int) -> None:
        self._name = name
        self._cache = cache
        self._paused_until = 0.0
        self._called_at: deque[float] = deque(maxlen=requests_per_s)
        self._rate_lock = threading.Lock()
        self._breaker = CircuitBreaker(failures_max=FAILURES_MAX, open_s=open_s)

    def call(self, query: Callable[[], T]) -> T:
        """Call ``query`` once, or raise TossPaused. Raises what ``query`` raises."""
        self._check_pause()
        self._check_rate()
        try:
            self._breaker.admit()
            answer = query()
        except CircuitOpen as refusal:
            wait_s = math.ceil(refusal.retry_after_s)
            raise TossPaused("several consecutive failures", wait_s) from None
        except (TossFailed, TossTimeout, TossUnreachable):
            self._breaker.record_failure()
            raise
        except TossNoData:
            self._breaker.record_success()
            raise
        except TossRefused as refusal:
            self._breaker.record_success()
            reason = f"status {refusal.status}"
            self._pause(reason, refusal.retry_after_s)
            raise TossPaused(reason, refusal.retry_after_s) from None
        self._breaker.record_success()
        return answer

    def _check_pause(self) -> None:
        left_s = math.ceil(self._paused_until - time.monotonic())
        if left_s > 0:
            raise TossPaused("refused", left_s)
        with suppress(CacheUnavailable):
            pause = self._cache.current_pause(self._name)
            if pause is not None:
                raise TossPaused(pause.reason, pause.left_s)

    def _check_rate(self) -> None:
        now = time.monotonic()
        with self._rate_lock:
            if len(self._called_at) == self._called_at.maxlen and now - self._called_at[0] < 1:
                raise TossPaused("rate limit", 1)
            self._called_at.append(now)

    def _pause(self, reason: str, for_s: int) -> None:
        log.warning("market_data_circuit_open", host=self._name, reason=reason, for_s=for_s)
        # Kept locally too, because Redis may be unavailable.
        self._paused_until = time.monotonic() + for_s
        with suppress(CacheUnavailable):
            self._cache.pause(self._name, reason, for_s=for_s)


def _completed(cached: _CachedAnswer[T]) -> Future[_CachedAnswer[T]]:
    request: Future[_CachedAnswer[T]] = Future()
    request.set_result(cached)
    return request


def _failed(fault: TossError) -> Future[_CachedAnswer[T]]:
    request: Future[_CachedAnswer[T]] = Future()
    request.set_exception(fault)
    return request
