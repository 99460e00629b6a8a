"""Limits of how often requests are made: refused before their body is read, and counted in Redis for all processes together.

Flask-Limiter asks for one limit a request, the one of its budget (webapp.http.rate_limit_policies). Windows slide: a counter of the current window and one of the
last, weighted by how much of it still counts, take two small keys whatever the limit is, while a log of every request would take one entry each,
and a fixed window would let twice as many through around its end. Redis's own clock counts. A request takes one round trip for its count and for
what its answer tells of it.
"""

import hmac
import logging
import math
import time
from typing import Any

from flask import Flask, Response, current_app, g, request
from flask_limiter import ApplicationLimit, Limiter, RequestLimit
from limits.storage import RedisStorage
from redis import Redis
from redis.exceptions import NoScriptError

from trading.bootstrap import Core
from trading.client_addresses import client_of
from trading.redis import keys
from trading.redis.guarded_client import GuardedRedis, RedisUnavailable
from webapp.context import get_core
from webapp.http.authentication import proven_session, verified_user_id
from webapp.http.problems import log, problem
from webapp.http.rate_limit_policies import STRANGERS, Budget, budget_of

LIMIT_HEADER = "X-RateLimit-Limit"
REMAINING_HEADER = "X-RateLimit-Remaining"
RESET_HEADER = "X-RateLimit-Reset"
HEADERS = (LIMIT_HEADER, REMAINING_HEADER, RESET_HEADER)

_SCHEME = "stocking-counts"
_LIMITER = "stocking.limiter"


def install(app: Flask) -> None:
    """Check every request before anything else is done for it."""
    core: Core = app.extensions["stocking"]
    # It would repeat each refusal, which webapp.http.problems has told.
    logging.getLogger("flask-limiter").setLevel(logging.WARNING)
    limiter = Limiter(
        _who,
        application_limits=[ApplicationLimit(_limit, on_breach=_refused)],
        strategy="sliding-window-counter",
        storage_uri=f"{_SCHEME}://",
        storage_options={"counts": core.request_counts},  # type: ignore[dict-item]  # our own storage takes what it needs
        # All routes alike: the library would leave out those that it takes for static files.
        request_identifier=lambda: "request",
        enabled=core.settings.rate_limits,
    )
    limiter.init_app(app)
    app.extensions[_LIMITER] = limiter
    app.after_request(_tell)


def client_key() -> str:
    """Who this request comes from as far as addresses tell, by a keyed hash."""
    secret = get_core().settings.jwt_secret.encode()
    return hmac.digest(secret, client_of(request.remote_addr or "").encode(), "sha256").hex()[:32]


def _limit() -> str:
    """This request's limit, in the library's words; nothing where it has none."""
    budget = budget_of(request.method, request.url_rule.rule if request.url_rule else None)
    if budget is None:
        return ""
    g.budget, g.counted_for = _budget_and_whose(budget)
    return g.budget.limit(get_core().settings)  # type: ignore[no-any-return]


def _budget_and_whose(budget: Budget) -> tuple[Budget, str]:
    """Whose count it is. Only who is proven to be a user counts as one, or anybody could use up what is another's."""
    if budget.whose == "user" and (user := verified_user_id()) is not None:
        return budget, f"user:{user}"
    if budget.whose == "session" and (session := proven_session()) is not None:
        return budget, f"session:{session}"
    return budget if budget.whose == "address" else STRANGERS, f"address:{client_key()}"


def _who() -> str:
    return f"{g.budget.name}:{g.counted_for}"


def _refused(limit: RequestLimit) -> Response:
    window_s = limit.limit.get_expiry()
    retry_after_s = max(1, math.ceil(limit.window.reset_time - time.time()))
    log.info("request_refused", code="rate-limited", budget=g.budget.name)
    return problem(
        "rate-limited", limit=limit.limit.amount, window_s=window_s, retry_after_s=retry_after_s
    )


def _tell(response: Response) -> Response:
    """Say what is left of the limit, in refusals and successes alike; nothing where nothing was counted."""
    limiter: Limiter = current_app.extensions[_LIMITER]
    limit = limiter.current_limit if "window" in g else None
    if limit is not None:
        response.headers[LIMIT_HEADER] = str(limit.limit.amount)
        response.headers[REMAINING_HEADER] = str(limit.remaining)
        response.headers[RESET_HEADER] = str(limit.reset_at)
    return response


class _Counters(RedisStorage):
    """The library's counters and scripts, asked in one round trip, behind the circuit of ``counts``."""

    STORAGE_SCHEME = [_SCHEME]  # noqa: RUF012 - the library declares it so

    def __init__(self, _uri: str, *, counts: GuardedRedis) -> None:
        super().__init__("redis://", connection_pool=counts.connection_pool, key_prefix=keys.RATES)
        self._counts = counts

    def acquire_sliding_window_entry(
        self, key: str, limit: int, expiry: int, amount: int = 1
    ) -> bool:
        """Whether the request is within its limit. What its windows hold by then stays with the request, for its answer."""
        windows = [
            self.prefixed_key(self._previous_window_key(key)),
            self.prefixed_key(self._current_window_key(key)),
        ]
        try:
            taken, held = self._counts.run(
                lambda redis: self._take(redis, windows, limit, expiry, amount)
            )
        except RedisUnavailable:
            if g.budget.must_count:
                raise
            return True
        g.window = [
            int(held[0] or 0),
            max(0, held[1]) / 1_000,
            int(held[2] or 0),
            max(0, held[3]) / 1_000,
        ]
        return bool(taken)

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Counts and ms left of the last and of the current window, as they were when the request was counted."""
        return tuple(g.window) if "window" in g else super().get_sliding_window(key, expiry)

    def _take(self, redis: "Redis", windows: list[str], *numbers: int) -> list[Any]:
        """Run the two scripts by their digests; in full where Redis does not have them yet."""
        taking, looking = self.lua_acquire_sliding_window, self.lua_sliding_window
        try:
            with redis.pipeline(transaction=False) as pipeline:
                pipeline.evalsha(taking.sha, 2, *windows, *numbers)
                pipeline.evalsha(looking.sha, 2, *windows, numbers[1])
                return list(pipeline.execute())
        except NoScriptError:
            with redis.pipeline(transaction=False) as pipeline:
                pipeline.eval(self.SCRIPT_ACQUIRE_SLIDING_WINDOW.decode(), 2, *windows, *numbers)
                pipeline.eval(self.SCRIPT_SLIDING_WINDOW.decode(), 2, *windows, numbers[1])
                return list(pipeline.execute())
