"""Ids in lines of the log: whoever looks for one finds it, however many there are, and no line is long.

A line of four kilobytes is written to a pipe in one piece (pipe(7), PIPE_BUF), also where several processes share it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import structlog

log = structlog.get_logger(__name__)

# With every kind of them in a line, and what all lines have, that is below this.
NAMED_MAX = 10


def log_with_ids(
    note: Callable[..., object], event: str, ids: Mapping[str, Sequence[object]], **figures: object
) -> None:
    """One line by ``note`` with the first ids and, of more, how many there are; and behind it a line for each few of the others."""
    totals = {f"{name}_total": len(some) for name, some in ids.items() if len(some) > NAMED_MAX}
    first, *others = list(_parts(ids)) or [{}]
    note(event, **figures, **first, **totals)
    for part in others:
        log.info("ids_continued", of=event, **part)


def _parts(ids: Mapping[str, Sequence[object]]) -> Iterator[dict[str, list[str]]]:
    for start in range(0, max(map(len, ids.values()), default=0), NAMED_MAX):
        yield {
            name: list(map(str, some[start : start + NAMED_MAX]))
            for name, some in ids.items()
            if len(some) > start
        }
