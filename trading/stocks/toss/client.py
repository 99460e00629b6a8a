"""Market-data calls of Toss's REST API. No call signs in or can place an order.

Each call is one attempt. It raises TossUnreachable, TossTimeout, TossFailed, TossNoData or
TossRefused.
"""

from datetime import datetime
from enum import StrEnum

import requests

from trading.http_client import HttpResponse, HttpService, NoResponse, OversizedResponse, Timeouts
from trading.stocks.candles.model import CandleInterval
from trading.stocks.toss.answers import (
    CandlePage,
    ExchangeRate,
    IndexPrice,
    MarketTrade,
    OrderBook,
    PriceDetails,
    Ranking,
    read_candles,
    read_exchange_rate,
    read_index_price,
    read_order_book,
    read_price_details,
    read_ranking,
    read_trades,
)
from trading.stocks.toss.errors import (
    TossError,
    TossFailed,
    TossNoData,
    TossTimeout,
    TossUnreachable,
)

BODY_OCTETS_MAX = 1024 * 1024
TIMEOUTS = Timeouts(connect_s=2.0, read_s=1.5, total_s=2.0)
# Pause after a refusal without Retry-After.
FORBIDDEN_S = 300
TOO_MANY_S = 30

_KRX = {"investMode": "krx"}


class Index(StrEnum):
    """Index with Toss's code for it."""

    KOSPI = "KOSPI"
    KOSDAQ = "KOSDAQ"

    @property
    def toss_code(self) -> str:
        return {Index.KOSPI: "KGG01P", Index.KOSDAQ: "QGG01P"}[self]


class RankedBy(StrEnum):
    """Ranking criterion with Toss's id for it."""

    AMOUNT = "amount"

    @property
    def toss_id(self) -> str:
        return {RankedBy.AMOUNT: "biggest_total_amount"}[self]


class TossRefused(TossError):
    """Status 403 or 429: no process may send requests for ``retry_after_s``."""

    def __init__(self, status: int, retry_after_s: int) -> None:
        super().__init__(status, retry_after_s)
        self.status = status
        self.retry_after_s = retry_after_s


class TossClient:
    """Client of Toss's REST API on its two hosts. Thread-safe."""

    def __init__(self, *, info_url: str, cert_url: str, timeouts: Timeouts = TIMEOUTS) -> None:
        self._info = HttpService(info_url, timeouts=timeouts, body_octets_max=BODY_OCTETS_MAX)
        self._cert = HttpService(cert_url, timeouts=timeouts, body_octets_max=BODY_OCTETS_MAX)

    def price_details(self, code: str) -> PriceDetails:
        result = self._get("/api/v3/stock-prices/details", {"productCodes": code})
        return read_price_details(result, code)

    def order_book(self, code: str) -> OrderBook:
        return read_order_book(self._get(f"/api/v3/stock-prices/{code}/quotes", _KRX))

    def trades(self, code: str, *, count: int) -> tuple[MarketTrade, ...]:
        query = {"viewType": "krx", "count": str(count), **_KRX}
        return read_trades(self._get(f"/api/v2/stock-prices/{code}/ticks", query))

    def candles(
        self, code: str, interval: CandleInterval, *, count: int, before: datetime | None
    ) -> CandlePage:
        """Return up to ``count`` candles before a time, or the newest, split-adjusted."""
        query = {"count": str(count), "session": "all", "useAdjustedRate": "true", **_KRX}
        if before is not None:
            query["from"] = before.isoformat()
        return read_candles(self._get(f"/api/v1/c-chart/kr-s/{code}/{interval}", query))

    def index_price(self, index: Index) -> IndexPrice:
        return read_index_price(self._get(f"/api/v1/index-prices/{index.toss_code}", {}))

    def exchange_rate(self) -> ExchangeRate:
        query = {"buyCurrency": "USD", "sellCurrency": "KRW"}
        return read_exchange_rate(self._get("/api/v1/product/exchange-rate", query))

    def ranking(self, by: RankedBy) -> Ranking:
        members = {"id": by.toss_id, "tag": "kr", "duration": "realtime", "filters": []}
        path = "/api/v2/dashboard/wts/overview/ranking"
        return read_ranking(self._result(self._cert, "POST", path, json=members))

    def _get(self, path: str, query: dict[str, str]) -> object:
        return self._result(self._info, "GET", path, params=query)

    def _result(self, service: HttpService, method: str, path: str, **request: object) -> object:
        try:
            answer = service.exchange(method, path, **request)
        except NoResponse as fault:
            raise (TossTimeout if "Timeout" in str(fault) else TossUnreachable)(
                str(fault)
            ) from None
        except OversizedResponse:
            raise TossFailed(f"an answer of more than {BODY_OCTETS_MAX} octets") from None
        return _result_of(answer)


def _result_of(answer: HttpResponse) -> object:
    match answer.status:
        case requests.codes.ok:
            pass
        case requests.codes.forbidden:
            raise TossRefused(answer.status, answer.retry_after_s or FORBIDDEN_S)
        case requests.codes.too_many_requests:
            raise TossRefused(answer.status, answer.retry_after_s or TOO_MANY_S)
        case requests.codes.bad_request | requests.codes.not_found:
            raise TossNoData(f"Toss answered {answer.status}")
        case _:
            raise TossFailed(f"Toss answered {answer.status}")
    try:
        document = answer.json()
    except ValueError:
        raise TossFailed("Toss answered no JSON") from None
    if not isinstance(document, dict) or document.get("result") is None:
        raise TossFailed("Toss answered no result")
    return document["result"]
