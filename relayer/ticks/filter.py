"""Convert trade messages to ticks; drop and count malformed and repeated ones."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import structlog

from relayer.ticks.sequence import TickSequence
from trading.exchange.time import trade_date
from trading.marketdata.ticks import MalformedTick, Position, Tick, parse_toss_trade
from trading.marketdata.topics import code_of_trade_topic

log = structlog.get_logger(__name__)

LOG_PERIOD = timedelta(minutes=1)

# A day total that stays lower, or an earlier day, for this many messages in a row is accepted as
# the feed's correction, or shows that one absurd trade came before. Otherwise the stock would
# receive no ticks for the rest of the day.
LOWER_TOTALS_MAX = 20


@dataclass(slots=True)
class _Total:
    """Day total of one stock on one exchange, in shares, and its trade time."""

    day: date
    volume: int
    traded_at: datetime
    lower_totals: int = 0


class TickFilter:
    """Parses messages and drops malformed and repeated trades. Counters never reset."""

    def __init__(self, sequence: TickSequence, *, clock: Callable[[], datetime]) -> None:
        self.ticks_total = 0
        self.malformed_total = 0
        self.repeated_total = 0
        self.last_tick_at: datetime | None = None
        self._sequence = sequence
        self._clock = clock
        self._totals: dict[tuple[str, str | None], _Total] = {}
        self._logged_at: datetime | None = None

    def accept(self, destination: str, body: bytes) -> Tick | None:
        """Return a message's tick with its stream position, or None if malformed or known."""
        received_at = self._clock().astimezone(UTC)
        code = code_of_trade_topic(destination) or ""
        try:
            tick = parse_toss_trade(
                body, code=code, received_at=received_at, position=self._next_position(received_at)
            )
            day = _day(tick)
        except MalformedTick as malformed:
            self.malformed_total += 1
            self._log_malformed(code, str(malformed), received_at)
            return None
        if not self._is_new(tick, day):
            self.repeated_total += 1
            return None
        self.ticks_total += 1
        self.last_tick_at = received_at
        return tick

    def forget(self, destination: str) -> None:
        """Forget the day totals of a destination that is no longer subscribed."""
        code = code_of_trade_topic(destination)
        for key in [key for key in self._totals if key[0] == code]:
            del self._totals[key]

    def _next_position(self, received_at: datetime) -> Position:
        return self._sequence.next(int(received_at.timestamp() * 1000))

    def _is_new(self, tick: Tick, day: date) -> bool:
        """Return True unless the trade is a repetition.

        Day totals only rise. Feeds repeat trades after a reconnect: the same total, or a lower
        total with an older trade time, is a repetition.
        """
        if tick.cumulative_volume is None:
            return True
        key = (tick.code, tick.exchange)
        volume = tick.cumulative_volume
        # A trade cannot be later than its arrival: one absurd time must not make all later trades
        # old.
        traded_at = min(tick.traded_at, tick.received_at)
        total = self._totals.get(key)
        if total is None:
            self._totals[key] = _Total(day, volume, traded_at)
            return True
        if day < total.day or (day == total.day and volume <= total.volume):
            if day == total.day and (volume == total.volume or traded_at <= total.traded_at):
                return False
            total.lower_totals += 1
            if total.lower_totals < LOWER_TOTALS_MAX:
                return False
            log.warning("tick_volume_reset", code=tick.code, exchange=tick.exchange)
        total.day, total.volume, total.traded_at, total.lower_totals = day, volume, traded_at, 0
        return True

    def _log_malformed(self, code: str, reason: str, now: datetime) -> None:
        """Log at most one line a minute, so that a changed format does not fill the disk."""
        if self._logged_at is None or now - self._logged_at >= LOG_PERIOD:
            self._logged_at = now
            log.warning(
                "tick_malformed", code=code, reason=reason, malformed_total=self.malformed_total
            )


def _day(tick: Tick) -> date:
    """Return the exchange's day of a tick.

    Raises MalformedTick at the end of the calendar, where Korea is a day ahead of it.
    """
    try:
        return trade_date(tick.traded_at)
    except OverflowError:
        raise MalformedTick("dt is beyond the calendar") from None
