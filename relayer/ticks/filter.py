"""Convert trade messages to ticks; drop and count malformed ones.

Repeated trades are recognized when ticks are written (`relayer.ticks.writer`), because other
relayers may have received them before.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

from relayer.ticks.sequence import TickSequence
from trading.exchange.time import trade_date
from trading.marketdata.ticks import MalformedTick, Position, Tick, parse_toss_trade
from trading.marketdata.topics import code_of_trade_topic

log = structlog.get_logger(__name__)

LOG_PERIOD = timedelta(minutes=1)


class TickFilter:
    """Parses messages and drops malformed trades. Counters never reset."""

    def __init__(self, sequence: TickSequence, *, clock: Callable[[], datetime]) -> None:
        self.ticks_total = 0
        self.malformed_total = 0
        self.last_tick_at: datetime | None = None
        self._sequence = sequence
        self._clock = clock
        self._logged_at: datetime | None = None

    def accept(self, destination: str, body: bytes) -> Tick | None:
        """Return a message's tick with its stream position, or None if malformed."""
        received_at = self._clock().astimezone(UTC)
        code = code_of_trade_topic(destination) or ""
        try:
            tick = parse_toss_trade(
                body, code=code, received_at=received_at, position=self._next_position(received_at)
            )
            _check_day(tick)
        except MalformedTick as malformed:
            self.malformed_total += 1
            self._log_malformed(code, str(malformed), received_at)
            return None
        self.ticks_total += 1
        self.last_tick_at = received_at
        return tick

    def _next_position(self, received_at: datetime) -> Position:
        return self._sequence.next(int(received_at.timestamp() * 1000))

    def _log_malformed(self, code: str, reason: str, now: datetime) -> None:
        """Log at most one line a minute, so that a changed format does not fill the disk."""
        if self._logged_at is None or now - self._logged_at >= LOG_PERIOD:
            self._logged_at = now
            log.warning(
                "tick_malformed", code=code, reason=reason, malformed_total=self.malformed_total
            )


def _check_day(tick: Tick) -> None:
    """Raise MalformedTick at the end of the calendar, where Korea is a day ahead of it."""
    try:
        trade_date(tick.traded_at)
    except OverflowError:
        raise MalformedTick("dt is beyond the calendar") from None
