"""Positions in the tick stream: unique and always rising, whatever the clock does."""

from trading.marketdata.ticks import Position

# Position packs into 64 bits with space for a million ticks per millisecond.
_N_MAX = 999_999


class TickSequence:
    """Assigns stream positions: the clock in milliseconds if it has risen, else the next number."""

    def __init__(self) -> None:
        self._last = Position(0, 0)

    def next(self, now_ms: int) -> Position:
        """Return a position after all assigned and observed ones."""
        if now_ms > self._last.ms:
            self._last = Position(now_ms, 0)
        elif self._last.n < _N_MAX:
            self._last = Position(self._last.ms, self._last.n + 1)
        else:
            self._last = Position(self._last.ms + 1, 0)
        return self._last

    def advance_to(self, position: Position) -> None:
        """Assign only later positions, e.g. than the last in the stream before a restart."""
        self._last = max(self._last, position)
