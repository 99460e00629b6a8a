"""Where the time of one piece of work goes: named parts that may lie inside one another, each counted without the parts inside it."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any


class Stopwatch:
    """Times one thread. What each part took by itself adds up to what the outermost part took as a whole, which is a lap."""

    def __init__(self) -> None:
        self.laps_s: list[dict[str, float]] = []
        self._own_s: dict[str, float] = defaultdict(float)
        self._inside_s: list[float] = []
        self._began: list[tuple[str, float]] = []

    def begin(self, part: str) -> None:
        self._inside_s.append(0.0)
        self._began.append((part, time.perf_counter()))

    def end(self) -> None:
        """End the part that was begun last."""
        ended = time.perf_counter()
        part, began = self._began.pop()
        took_s = ended - began
        self._own_s[part] += took_s - self._inside_s.pop()
        if self._inside_s:
            self._inside_s[-1] += took_s
        else:
            self.laps_s.append(dict(self._own_s))
            self._own_s.clear()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        self.begin(name)
        try:
            yield
        finally:
            self.end()

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, as a part of this name."""

        @wraps(function)
        def measured(*arguments: Any, **keywords: Any) -> Any:
            with self.part(name):
                return function(*arguments, **keywords)

        return measured
