"""``python -m relayer.probe``: show the relayer's health and live ticks, read from Redis alone.

The screen is refreshed each second until Ctrl-C. ``--once`` prints it once and exits with 0 if the
relayer is healthy, else 1. Exit code 2: invalid settings or arguments.
"""

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime

import structlog
from redis import Redis, RedisError
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from trading.config.installation import command_environment
from trading.config.processes import Process
from trading.config.settings import SettingsError, load
from trading.exchange.hours import AlwaysOpen, KrxHours, MarketHours
from trading.exchange.time import kst_text
from trading.marketdata.health import FeedStatus, RelayerHealth, diagnose, trading_since
from trading.marketdata.quotes import MarketUnavailable, QuoteStore
from trading.marketdata.stock_codes import product_code
from trading.marketdata.stream import TickStream
from trading.marketdata.ticks import Tick
from trading.redis.client import connect, explain

REFRESH_S = 1.0
# More rows than a terminal shows.
ROWS_MAX = 40

_COLOURS = {
    FeedStatus.HEALTHY: "green",
    FeedStatus.STALE: "yellow",
    FeedStatus.DISCONNECTED: "yellow",
}


class Probe:
    """Renders the relayer's state from Redis."""

    def __init__(self, redis: Redis, url: str, hours: MarketHours, codes: Sequence[str]) -> None:
        """``codes`` are the stocks to show, in this order; without any, the last trades of all."""
        self._url = url
        self._quotes = QuoteStore(redis)
        self._stream = TickStream(redis)
        self._hours = hours
        self._codes = codes

    def picture(self, now: datetime) -> tuple[RenderableType, bool]:
        """Return what to show and whether the relayer is healthy; works without Redis too."""
        try:
            return self.current_picture(now)
        except MarketUnavailable as fault:
            return Text(self.explain(fault), style="bold red"), False

    def explain(self, fault: MarketUnavailable) -> str:
        """Return the sentence shown when Redis does not answer."""
        cause = fault.__cause__
        sentence = explain(cause, self._url) if isinstance(cause, RedisError) else None
        return sentence or "Redis does not answer: check REDIS_URL."

    def current_picture(self, now: datetime) -> tuple[RenderableType, bool]:
        """Do the same as ``picture``, but raise MarketUnavailable without Redis."""
        health = self._quotes.relayer_health()
        ticks = self._ticks()
        diagnosis = diagnose(health, now, trading_since=trading_since(self._hours, now))
        table = Table.grid(padding=(0, 2))
        table.add_row(
            "status", Text(diagnosis.status, style=f"bold {_COLOURS.get(diagnosis.status, 'red')}")
        )
        facts = _facts(health, now) if health is not None else {}
        for name, fact in {"reasons": ", ".join(diagnosis.reasons), **facts}.items():
            if fact:
                table.add_row(name, _plain(fact))
        return Group(table, Text(), _tick_table(ticks, now)), diagnosis.status is FeedStatus.HEALTHY

    def _ticks(self) -> list[Tick]:
        if not self._codes:
            return self._stream.latest(limit=ROWS_MAX)
        ticks = self._quotes.last_ticks(self._codes)
        return [ticks[code] for code in self._codes if code in ticks]


def _facts(health: RelayerHealth, now: datetime) -> dict[str, str]:
    return {
        "relayer": (
            f"pid {health.pid}, lease {health.lease_number}, since {_clock(health.started_at)}"
        ),
        "updated": f"{_age(now, health.updated_at)} ago",
        "disconnected": health.why_disconnected or "",
        "subscriptions": (
            f"{health.subscriptions} of {health.wanted} confirmed,"
            f" {health.refused_total} refused, {health.left_out_total} left out"
        ),
        "ticks": (
            f"{health.ticks_total:,}, {health.repeated_total:,} repeated,"
            f" {health.malformed_total:,} malformed, {health.conflated_total:,} conflated,"
            f" {health.waiting_ticks:,} waiting"
        ),
        "reconnects": f"{health.reconnects:,}",
    }


def _tick_table(ticks: Sequence[Tick], now: datetime) -> Table:
    table = Table("stock", "price", "change", "volume", "traded at", "age")
    for column in table.columns[1:4]:
        column.justify = "right"
    for tick in ticks:
        change = "" if tick.change is None else f"{tick.change:+,}"
        cells = (
            tick.code,
            f"{tick.price:,}",
            change,
            f"{tick.volume:,}",
            _clock(tick.traded_at),
            _age(now, tick.received_at),
        )
        table.add_row(*(_plain(cell) for cell in cells))
    return table


def _plain(text: str) -> Text:
    """Replace non-printable characters: texts from outside may contain escape sequences."""
    return Text("".join(each if each.isprintable() else "\ufffd" for each in text))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m relayer.probe", description=__doc__)
    parser.add_argument("--once", action="store_true", help="print one picture and exit")
    parser.add_argument(
        "--code", action="append", default=[], type=_code, help="show this stock; may be repeated"
    )
    options = parser.parse_args(arguments)
    try:
        settings = load(command_environment(), process=Process.RELAYER)
    except SettingsError as faults:
        sys.stderr.write(f"{faults}\n")
        return 2
    # A log line would corrupt the screen, and the screen shows more than the log.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    # Operators' calendar corrections are in the database, which the relayer must not read.
    hours: MarketHours = AlwaysOpen() if settings.hours_rule == "always" else KrxHours({})
    console = Console()
    url = settings.redis_url.get_secret_value()
    with connect(url) as redis:
        probe = Probe(redis, url, hours, options.code)
        if options.once:
            try:
                picture, healthy = probe.current_picture(datetime.now(UTC))
            except MarketUnavailable as fault:
                sys.stderr.write(f"{probe.explain(fault)}\n")
                return 1
            console.print(picture)
            return 0 if healthy else 1
        _watch(probe, console)
    return 0


def _watch(probe: Probe, console: Console) -> None:
    """Refresh the screen until SIGINT or SIGTERM, then restore the terminal."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while not stop.is_set():
            live.update(probe.picture(datetime.now(UTC))[0], refresh=True)
            stop.wait(REFRESH_S)


def _code(text: str) -> str:
    code = product_code(text)
    if code is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no stock code such as A005930")
    return code


def _clock(at: datetime) -> str:
    return kst_text(at)


def _age(now: datetime, at: datetime) -> str:
    return f"{max(0, round((now - at).total_seconds()))} s"


if __name__ == "__main__":
    sys.exit(main())
