"""Pages of a list by cursor: newest first, stable while rows are added at its head."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

LIMIT_MAX = 100


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Items of one page, and the cursor of the next one; None when this is the last."""

    items: tuple[T, ...]
    next_cursor: str | None


def page_of(
    rows: Sequence[R], *, limit: int, record: Callable[[R], T], cursor: Callable[[R], str]
) -> Page[T]:
    """A page from at most ``limit + 1`` rows: the one too many only tells that there is more."""
    shown = rows[:limit]
    more = len(rows) > limit
    return Page(tuple(record(row) for row in shown), cursor(shown[-1]) if more else None)
