"""Pages of a list by cursor: newest first, stable while rows are added at the head."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

LIMIT_MAX = 100


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Items of one page and the cursor of the next page; None on the last page.

    `total` is the number of items on all pages, None if it was not counted.
    """

    items: tuple[T, ...]
    next_cursor: str | None
    total: int | None = None


def page_of(
    rows: Sequence[R],
    *,
    limit: int,
    record: Callable[[R], T],
    cursor: Callable[[R], str],
    total: int | None = None,
) -> Page[T]:
    """Return a page from at most `limit + 1` rows; the additional row shows that there is another
    page.
    """
    shown = rows[:limit]
    more = len(rows) > limit
    return Page(tuple(record(row) for row in shown), cursor(shown[-1]) if more else None, total)
