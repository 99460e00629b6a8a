"""Which destination an ERROR is for that names none: found out by asking for the suspects last, and one at a time."""

from collections.abc import Sequence


class Suspects:
    """What is known over all connections of a feed about destinations that may have cost it one.

    A server that refuses whatever it is asked first, as one under maintenance does, refuses no destination: a suspect is convicted only
    where another destination was served on the same connection. So suspects take turns in being the last.
    """

    def __init__(self) -> None:
        self._in_turn: list[str] = []

    def batches(self, destinations: Sequence[str], *, size: int) -> list[list[str]]:
        """The destinations in the order to ask for them: ``size`` at once, then each suspect alone."""
        trusted = [destination for destination in destinations if destination not in self._in_turn]
        together = [trusted[start : start + size] for start in range(0, len(trusted), size)]
        return together + [[suspect] for suspect in self._in_turn if suspect in destinations]

    def clear(self, destination: str) -> None:
        """The destination is served, so it is above suspicion."""
        if destination in self._in_turn:
            self._in_turn.remove(destination)

    def convict(self, unanswered: frozenset[str], *, served: frozenset[str]) -> str | None:
        """Judge an ERROR without a name: the destination that it is for, or None while that is open.

        ``unanswered`` and ``served`` are the destinations that this connection's server has left open and has served.
        """
        known = unanswered & set(self._in_turn)
        self._in_turn = [suspect for suspect in self._in_turn if suspect not in unanswered] + sorted(unanswered)
        return next(iter(known)) if known == unanswered and len(known) == 1 and served else None
