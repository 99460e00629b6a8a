"""Log lines with many ids: every id can be found, and no line is too long.

A pipe writes up to 4,096 bytes atomically (pipe(7), PIPE_BUF), even if several processes share it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import structlog

log = structlog.get_logger(__name__)

# A line with so many ids of every kind, plus the common fields, stays below PIPE_BUF.
IDS_PER_LINE = 10


def log_with_ids(
    log_method: Callable[..., object],
    event: str,
    ids: Mapping[str, Sequence[object]],
    **figures: object,
) -> None:
    """Log one line with the first ids and their totals, then further lines with the other ids.

    ``log_method`` is a method of a logger, which sets the level.
    """
    totals = {f"{name}_total": len(some) for name, some in ids.items() if len(some) > IDS_PER_LINE}
    first, *others = list(_parts(ids)) or [{}]
    log_method(event, **figures, **first, **totals)
    for part in others:
        log.info("ids_continued", of=event, **part)


def _parts(ids: Mapping[str, Sequence[object]]) -> Iterator[dict[str, list[str]]]:
    for start in range(0, max(map(len, ids.values()), default=0), IDS_PER_LINE):
        yield {
            name: list(map(str, some[start : start + IDS_PER_LINE]))
            for name, some in ids.items()
            if len(some) > start
        }
