"""Places in the tick stream: given once, always rising, whatever the clock does."""

from trading.marketdata.ticks import Position

# Position packs into 64 bits with room for a million ticks in a millisecond.
_N_MAX = 999_999


class TickSequence:
    """Gives each tick its place: the relayer's clock in milliseconds where that rises, the next number where it does not."""

    def __init__(self) -> None:
        self._last = Position(0, 0)

    def next(self, now_ms: int) -> Position:
        """A place behind all given and all seen."""
        if now_ms > self._last.ms:
            self._last = Position(now_ms, 0)
        elif self._last.n < _N_MAX:
            self._last = Position(self._last.ms, self._last.n + 1)
        else:
            self._last = Position(self._last.ms + 1, 0)
        return self._last

    def continue_after(self, seen: Position) -> None:
        """Never go behind a place that the stream holds already, e.g. from before a restart."""
        self._last = max(self._last, seen)
