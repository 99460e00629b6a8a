"""`python -m sandbox`: run the Toss stand-in, and optionally the PortOne stand-in, on loopback.

It runs until SIGTERM or SIGINT.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from sandbox.control import FAULTS_PATH, LOOPBACK, control
from sandbox.exchange import Publish, Replay, play, run_market
from sandbox.market import Market
from sandbox.portone.merchant import LOOPBACK_HOSTS, WEBHOOK_SECRET
from sandbox.portone.rest import portone
from sandbox.portone.server_state import WebhookSettings
from sandbox.replay import MalformedBars, read_bars
from sandbox.toss_rest import toss_rest
from sandbox.toss_server import TossServer
from sandbox.trade import Trade
from sandbox.trade_log import TradeLog
from trading.config.settings import is_production
from trading.marketdata.stock_codes import product_code
from trading.marketdata.topics import trade_topic
from trading.stocks.listing import ListedStock, seed_listing

RATE_MAX = 5_000
SPEED_MAX = 6_000


class _CannotListen(Exception):
    """An address is in use or not of this machine. The message names it."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Print one sentence instead of argparse's usage."""
        self.exit(2, f"sandbox: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _arguments()
    options = parser.parse_args(arguments)
    _check(parser, options)
    replay = _replay(parser, options)
    try:
        asyncio.run(_run(options, replay))
    except _CannotListen as fault:
        sys.stderr.write(f"sandbox: can't listen on {fault}\n")
        return 1
    return 0


def _arguments() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m sandbox",
        description="A stand-in for Toss on loopback. Never in production.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8090, help="port to listen on (8090)")
    parser.add_argument(
        "--control-port", type=int, help="port on loopback where faults can be set (none)"
    )
    parser.add_argument(
        "--rest-port", type=int, help="port of a stand-in for Toss's REST API (none)"
    )
    parser.add_argument("--portone-port", type=int, help="port of a stand-in for PortOne (none)")
    parser.add_argument(
        "--portone-host", default=LOOPBACK, help="address for that one to listen on (127.0.0.1)"
    )
    parser.add_argument(
        "--portone-webhook-url", metavar="URL", help="where that one sends its webhooks (nowhere)"
    )
    parser.add_argument(
        "--portone-webhook-secret",
        action="append",
        metavar="SECRET",
        help="what signs them, newest first (development's)",
    )
    parser.add_argument(
        "--portone-webhook-host",
        action="append",
        metavar="HOST",
        help="a host that they may go to, besides loopback",
    )
    parser.add_argument(
        "--portone-webhook-scale",
        type=float,
        default=1 / 60,
        help="what PortOne's waits are multiplied by (1/60)",
    )
    parser.add_argument(
        "--rate", type=float, default=60.0, help="made-up trades a second over all stocks (60)"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the made-up market (1)")
    parser.add_argument(
        "--replay",
        type=Path,
        metavar="FILE",
        help="minute bars to play: datetime,open,high,low,close,volume",
    )
    parser.add_argument("--code", help="the stock that the bars are played for (A005930)")
    parser.add_argument(
        "--speed", type=float, help="how many times faster than life the bars play (60)"
    )
    parser.add_argument(
        "--base", type=int, help="base price in won (the first open, rounded up to the price grid)"
    )
    parser.add_argument("--loop", action="store_true", help="play the bars again and again")
    return parser


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if is_production():
        parser.error("ENVIRONMENT is production, and no stand-in is ever started there.")
    if not 0 < options.rate <= RATE_MAX:
        parser.error(f"--rate must be above 0 and at most {RATE_MAX}.")
    if not 0 <= options.portone_webhook_scale <= 1:
        parser.error("--portone-webhook-scale must be from 0 to 1.")
    for name in ("--port", "--control-port", "--rest-port", "--portone-port"):
        port = getattr(options, name[2:].replace("-", "_")) or 0
        if not 0 <= port <= 65_535:
            parser.error(f"{name} must be from 0 to 65535.")


def _replay(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Replay | None:
    if options.replay is None:
        if options.loop or options.code or options.base is not None or options.speed is not None:
            parser.error("--code, --speed, --base and --loop need --replay FILE.")
        return None
    speed = 60.0 if options.speed is None else options.speed
    if not 0 < speed <= SPEED_MAX:
        parser.error(f"--speed must be above 0 and at most {SPEED_MAX}.")
    if options.base is not None and options.base <= 0:
        parser.error("--base must be a price in won.")
    code = product_code(options.code or "A005930")
    if code is None:
        parser.error("--code must be a stock code such as A005930.")
    try:
        bars = read_bars(options.replay)
    except OSError as fault:
        parser.error(f"{options.replay} can't be read: {fault.strerror}.")
    except MalformedBars as fault:
        parser.error(f"{options.replay} can't be played: {fault}.")
    return Replay(
        bars=bars,
        stock=_stock(code),
        speed=speed,
        seed=options.seed,
        base=options.base,
        loop=options.loop,
    )


def _stock(code: str) -> ListedStock:
    """Return the listed stock, or an invented one if the seed list does not have the code."""
    for stock in seed_listing():
        if stock.code == code:
            return stock
    return ListedStock(code=code, name=code, market="KOSPI")


def _mail(options: argparse.Namespace) -> WebhookSettings:
    return WebhookSettings(
        url=options.portone_webhook_url,
        secrets=options.portone_webhook_secret or [WEBHOOK_SECRET],
        hosts=[*LOOPBACK_HOSTS, *(options.portone_webhook_host or [])],
        scale=options.portone_webhook_scale,
    )


async def _run(options: argparse.Namespace, replay: Replay | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = TossServer()
    replayed = None if replay is None else replay.stock.code
    stocks = [stock for stock in seed_listing() if stock.code != replayed]
    market = Market(stocks, seed=options.seed, at=datetime.now(UTC))
    log = TradeLog([*stocks, *([] if replay is None else [replay.stock])])

    def publish(trade: Trade) -> None:
        log.add(trade)
        server.publish(trade)

    async with AsyncExitStack() as stack:
        port = await _open(
            stack, server.listen(options.host, options.port), f"{options.host}:{options.port}"
        )
        _log(
            f"sandbox listens on http://{options.host}:{port}, {len(stocks)} made-up stocks, "
            f"{options.rate:g} trades/s"
        )
        if options.rest_port is not None:
            address = f"{options.host}:{options.rest_port}"
            port = await _open(
                stack, toss_rest(server, log, options.host, options.rest_port), address
            )
            _log(f"Toss's REST API listens on http://{options.host}:{port}")
        if options.control_port is not None:
            address = f"{LOOPBACK}:{options.control_port}"
            port = await _open(stack, control(server, options.control_port), address)
            _log(f"faults can be set at http://{LOOPBACK}:{port}{FAULTS_PATH}")
        if options.portone_port is not None:
            stand_in = portone(
                options.portone_port,
                host=options.portone_host,
                mail=_mail(options),
                seed=options.seed,
            )
            port = await _open(stack, stand_in, f"{options.portone_host}:{options.portone_port}")
            _log(f"PortOne's stand-in listens on http://{options.portone_host}:{port}")
        group = await stack.enter_async_context(asyncio.TaskGroup())
        tasks = [group.create_task(run_market(market, rate=options.rate, publish=publish))]
        if replay is not None:
            tasks.append(group.create_task(_play_when_heard(replay, server, publish)))
        await stop.wait()
        for task in tasks:
            task.cancel()


async def _open(
    stack: AsyncExitStack, server: AbstractAsyncContextManager[int], address: str
) -> int:
    """Enter a server's context and return its port. Raise _CannotListen if its address is
    unavailable.
    """
    try:
        return await stack.enter_async_context(server)
    except OSError as fault:
        raise _CannotListen(f"{address}: {fault.strerror}") from None


async def _play_when_heard(replay: Replay, server: TossServer, publish: Publish) -> None:
    """Start the replay at the first subscription, so that no client misses its beginning."""
    _log(f"replay {replay.stock.code} waits for its first subscriber")
    await server.wait_for_listener(trade_topic(replay.stock.code))
    await play(replay, publish=publish, log=_log)


def _log(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
