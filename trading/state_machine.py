"""State machines as tables."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Generic, TypeVar

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


class ImpossibleTransition(Exception):
    """An event that the state does not allow: a bug, never a refusal."""


class Transitions(Generic[S, E]):
    """Which event leads from which state to which. What ``table`` lacks cannot happen."""

    def __init__(self, table: Mapping[tuple[S, E], S], *, initial: S, created_by: str) -> None:
        self.table = table
        self._initial = initial
        self._created_by = created_by

    def after(self, state: S, event: E) -> S:
        """Return the state to which ``event`` leads; raise ImpossibleTransition if it cannot."""
        try:
            return self.table[state, event]
        except KeyError:
            raise ImpossibleTransition(f"{event} in state {state}") from None

    def is_final(self, state: S) -> bool:
        """Return whether no event leads from ``state``."""
        return all(before is not state for before, _event in self.table)

    def diagram(self) -> str:
        """Return the table as a Mermaid state diagram, for the documentation."""
        arrows = [f"{before} --> {after}: {event}" for (before, event), after in self.table.items()]
        ends = [f"{state} --> [*]" for state in type(self._initial) if self.is_final(state)]
        lines = [f"[*] --> {self._initial}: {self._created_by}", *arrows, *ends]
        return "\n    ".join(["stateDiagram-v2", *lines])
