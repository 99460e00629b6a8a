"""Stand-in for Toss's market-data REST API, based on the simulated market's trades.

Its faults are those of the feed's stand-in.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from datetime import UTC, datetime
from random import Random
from typing import Any

from aiohttp import web

from sandbox.faults import RestBody
from sandbox.market import limits_of
from sandbox.serving import running_server
from sandbox.toss_server import TossServer
from sandbox.trade import Trade
from sandbox.trade_log import IndexLog, StockLog, TradeLog
from trading.exchange.price_grid import ceil_to_grid, floor_to_grid, tick_size
from trading.exchange.time import KST, trade_date
from trading.stocks.candles.model import Candle, CandleInterval
from trading.stocks.listing import ListedStock

LEVELS = 10
COUNT_MAX = 500
RANKED_MAX = 100
DRIP_S = 0.05
INDEX_CODES = {"KGG01P": "KOSPI", "QGG01P": "KOSDAQ"}
# Won per dollar; the simulated rate moves around it every minute.
_RATE = 1_400.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def toss_rest(
    server: TossServer, log: TradeLog, host: str, port: int
) -> AbstractAsyncContextManager[int]:
    """Serve until the context ends. Yield the port, chosen by the system for 0. Raise OSError if in
    use.
    """
    handlers = _Handlers(server, log)
    application = web.Application(middlewares=[handlers.go_wrong])
    application.add_routes(
        [
            web.get("/healthz", handlers.health),
            web.get("/api/v3/stock-prices/details", handlers.details),
            web.get("/api/v3/stock-prices/{code}/quotes", handlers.quotes),
            web.get("/api/v2/stock-prices/{code}/ticks", handlers.ticks),
            web.get("/api/v1/c-chart/kr-s/{code}/{interval}", handlers.candles),
            web.get("/api/v1/index-prices/{code}", handlers.index),
            web.get("/api/v1/product/exchange-rate", handlers.exchange_rate),
            web.post("/api/v2/dashboard/wts/overview/ranking", handlers.ranking),
        ]
    )
    return running_server(application, host, port)


class _Handlers:
    def __init__(self, server: TossServer, log: TradeLog) -> None:
        self._server = server
        self._log = log

    @web.middleware
    async def go_wrong(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        faults = self._server.faults
        await asyncio.sleep(faults.rest_delay_ms / 1000)
        if faults.rest_status != web.HTTPOk.status_code:
            wait_s = faults.rest_retry_after_s
            headers = {} if wait_s is None else {"Retry-After": str(wait_s)}
            return _refusal(faults.rest_status, "fault", headers)
        try:
            response = await handler(request)
        except web.HTTPException as refusal:
            return _refusal(refusal.status, "not-found")
        return (
            response
            if faults.rest_body is RestBody.WHOLE
            else await _distorted(request, response, faults.rest_body)
        )

    async def health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def details(self, request: web.Request) -> web.Response:
        """Answer the details of stocks. Unknown codes are omitted, as by Toss."""
        codes = request.query.get("productCodes", "").split(",")
        error_answers = [
            (self._log.listed[code], log)
            for code in codes
            if (log := self._log.stock(code)) is not None
        ]
        return _result([_details(stock, log) for stock, log in error_answers])

    async def quotes(self, request: web.Request) -> web.Response:
        stock, log = self._stock(request)
        return _result(_quotes(stock, log.last))

    async def ticks(self, request: web.Request) -> web.Response:
        _, log = self._stock(request)
        return _result([_tick(trade) for trade in list(log.trades)[: _count(request)]])

    async def candles(self, request: web.Request) -> web.Response:
        _, log = self._stock(request)
        try:
            interval = CandleInterval(request.match_info["interval"])
            start = request.query.get("from")
            before = (
                None
                if start is None
                else datetime.fromisoformat(start.replace(" ", "+")).astimezone(UTC)
            )
        except (ValueError, OverflowError):
            return _refusal(400, "invalid-request")
        candles = list(log.candles(interval, before=before))
        error_answers = candles[: _count(request)]
        more = candles[len(error_answers) :]
        return _result(
            {
                "code": request.match_info["code"],
                "nextDateTime": _stamp(more[0].starts_at) if more else None,
                "exchangeRate": 1,
                "exchange": "KRX",
                "candles": [_candle(candle) for candle in error_answers],
            }
        )

    async def index(self, request: web.Request) -> web.Response:
        name = INDEX_CODES.get(request.match_info["code"])
        log = self._log.indices.get(name or "")
        if log is None or log.traded_at is None:
            raise web.HTTPNotFound
        return _result(_index(log, log.traded_at))

    async def exchange_rate(self, _: web.Request) -> web.Response:
        minute = int(datetime.now(UTC).timestamp()) // 60
        close = round(_RATE + Random(minute).uniform(-5, 5), 2)
        return _result({"code": "EXCHANGE_RATE", "base": _RATE, "close": close})

    async def ranking(self, request: web.Request) -> web.Response:
        try:
            wanted = json.loads(await request.read())
        except (ValueError, RecursionError):
            wanted = None
        if (
            not isinstance(wanted, dict)
            or wanted.get("id") != "biggest_total_amount"
            or wanted.get("tag") != "kr"
        ):
            return _refusal(400, "invalid-request")
        codes = self._log.most_traded(RANKED_MAX)
        products = [{"productCode": code, "name": self._log.listed[code].name} for code in codes]
        return _result(
            {"products": products, "basedAt": _stamp(datetime.now(UTC)), "duration": "realtime"}
        )

    def _stock(self, request: web.Request) -> tuple[ListedStock, StockLog]:
        code = request.match_info["code"]
        log = self._log.stock(code)
        if log is None:
            raise web.HTTPNotFound
        return self._log.listed[code], log


async def _distorted(
    request: web.Request, response: web.StreamResponse, body: RestBody
) -> web.StreamResponse:
    """Send a distorted body: no JSON, half of it, or a byte now and then."""
    whole = (
        response.body
        if isinstance(response, web.Response) and isinstance(response.body, bytes)
        else b""
    )
    if body is RestBody.GARBAGE:
        return web.Response(text="<html>점검 중</html>", content_type="application/json")
    partial = web.StreamResponse(
        headers={"Content-Type": "application/json", "Content-Length": str(len(whole))}
    )
    # The client may disconnect before the end of such an answer.
    with suppress(ConnectionResetError):
        await partial.prepare(request)
        async for octets in _octets(whole, body):
            await partial.write(octets)
    if request.transport is not None:
        request.transport.abort()
    return partial


async def _octets(whole: bytes, body: RestBody) -> AsyncIterator[bytes]:
    if body is RestBody.HALF:
        yield whole[: len(whole) // 2]
        return
    for place in range(len(whole) - 1):
        yield whole[place : place + 1]
        await asyncio.sleep(DRIP_S)


def _details(stock: ListedStock, log: StockLog) -> dict[str, Any]:
    trade, day = log.last, log.day
    limits = limits_of(stock, trade.base, trade_date(trade.traded_at))
    return {
        "code": stock.code,
        "exchange": "KRX",
        "currency": "KRW",
        "tradeDateTime": _stamp(trade.traded_at),
        "open": day.open,
        "high": day.high,
        "low": day.low,
        "close": trade.price,
        "volume": trade.totals.volume,
        "value": trade.totals.amount,
        "base": trade.base,
        "changeType": trade.record()["changeType"],
        "marketCap": None if stock.listed_shares is None else stock.listed_shares * trade.price,
        "tradingStrength": trade.totals.strength,
        "upperLimit": limits.upper,
        "lowerLimit": limits.lower,
    }


def _quotes(stock: ListedStock, trade: Trade) -> dict[str, Any]:
    """Return ten invented price levels of each side within the limits, constant until the price
    changes.
    """
    limits = limits_of(stock, trade.base, trade_date(trade.traded_at))
    rng = Random(f"{stock.code}:{trade.price}:{trade.totals.volume}")
    asks, bids = [], []
    ask, bid = ceil_to_grid(trade.price + 1, stock.kind), floor_to_grid(trade.price, stock.kind)
    for _ in range(LEVELS):
        if limits.contains(ask):
            asks.append(ask)
        if limits.contains(bid):
            bids.append(bid)
        ask += tick_size(ask, stock.kind)
        bid -= tick_size(bid - 1, stock.kind)
    offers, wants = [[rng.randint(1, 5_000) for _ in side] for side in (asks, bids)]
    return {
        "close": trade.price,
        "offerPrices": asks,
        "offerVolumes": offers,
        "bidPrices": bids,
        "bidVolumes": wants,
        "offerVolume": sum(offers),
        "bidVolume": sum(wants),
    }


def _tick(trade: Trade) -> dict[str, Any]:
    return {
        "time": _stamp(trade.traded_at),
        "code": trade.code,
        "price": trade.price,
        "base": trade.base,
        "volume": trade.volume,
        "tradeType": trade.side,
        "cumulativeVolume": trade.totals.volume,
    }


def _candle(candle: Candle) -> dict[str, Any]:
    return {
        "dt": _stamp(candle.starts_at),
        "open": candle.open,
        "high": candle.high,
        "low": candle.low,
        "close": candle.close,
        "volume": candle.volume,
        "amount": candle.amount,
    }


def _index(log: IndexLog, traded_at: datetime) -> dict[str, Any]:
    change = "FLAT" if log.close == log.base else "UP" if log.close > log.base else "DOWN"
    return {
        "open": log.open,
        "high": log.high,
        "low": log.low,
        "close": log.close,
        "base": log.base,
        "volume": log.volume,
        "value": log.amount,
        "tradeTime": _stamp(traded_at),
        "changeType": change,
    }


def _count(request: web.Request) -> int:
    text = request.query.get("count", "")
    return (
        min(int(text), COUNT_MAX)
        if text.isascii() and text.isdecimal() and len(text) < 10
        else COUNT_MAX
    )


def _stamp(at: datetime) -> str:
    return at.astimezone(KST).isoformat(timespec="seconds")


def _result(result: object) -> web.Response:
    return web.json_response({"result": result})


def _refusal(status: int, code: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": {"code": code}}, status=status, headers=headers)
