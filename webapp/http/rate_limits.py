"""Rate limits: requests are counted in Redis for all processes and refused before their body is
read.

Flask-Limiter applies one limit per request, that of its budget (webapp.http.rate_limit_policies).
The sliding window counter needs two small keys per client whatever the limit: the counter of the
current window, and the previous one weighted by its overlap. A log of requests would need one entry
each, and a fixed window would admit twice the limit around its end. Redis's clock is used. Counting
a request and reading its response headers takes one round trip.
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
from webapp.http.authentication import refresh_session_id, verified_user_id
from webapp.http.problems import log, problem
from webapp.http.rate_limit_policies import UNAUTHENTICATED, Budget, budget_of

LIMIT_HEADER = "X-RateLimit-Limit"
REMAINING_HEADER = "X-RateLimit-Remaining"
RESET_HEADER = "X-RateLimit-Reset"
HEADERS = (LIMIT_HEADER, REMAINING_HEADER, RESET_HEADER)

_SCHEME = "stocking-counts"
_LIMITER = "stocking.limiter"


def install(app: Flask) -> None:
    """Check every request before anything else is done for it."""
    core: Core = app.extensions["stocking"]
    # Flask-Limiter would log every refusal, which webapp.http.problems already does.
    logging.getLogger("flask-limiter").setLevel(logging.WARNING)
    limiter = Limiter(
        _counter_key,
        application_limits=[ApplicationLimit(_limit, on_breach=_limit_exceeded)],
        strategy="sliding-window-counter",
        storage_uri=f"{_SCHEME}://",
        storage_options={"counts": core.request_counts},  # type: ignore[dict-item]  # our own storage takes what it needs
        # One identifier for all routes: the library would otherwise skip static files.
        request_identifier=lambda: "request",
        enabled=core.settings.rate_limits,
    )
    limiter.init_app(app)
    app.extensions[_LIMITER] = limiter
    app.after_request(_add_headers)


def client_key() -> str:
    """Return a keyed hash of the client's address."""
    secret = get_core().settings.jwt_secret.encode()
    return hmac.digest(secret, client_of(request.remote_addr or "").encode(), "sha256").hex()[:32]


def _limit() -> str:
    """Return this request's limit in Flask-Limiter's notation, or "" if it has none."""
    budget = budget_of(request.method, request.url_rule.rule if request.url_rule else None)
    if budget is None:
        return ""
    g.budget, g.counted_for = _budget_and_key(budget)
    return g.budget.limit(get_core().settings)  # type: ignore[no-any-return]


def _budget_and_key(budget: Budget) -> tuple[Budget, str]:
    """Return the budget and the counting key of this request.

    Only an authenticated user is counted as that user; otherwise anybody could exhaust the user's
    limit.
    """
    if budget.whose == "user" and (user := verified_user_id()) is not None:
        return budget, f"user:{user}"
    if budget.whose == "session" and (session := refresh_session_id()) is not None:
        return budget, f"session:{session}"
    return budget if budget.whose == "address" else UNAUTHENTICATED, f"address:{client_key()}"


def _counter_key() -> str:
    return f"{g.budget.name}:{g.counted_for}"


def _limit_exceeded(limit: RequestLimit) -> Response:
    window_s = limit.limit.get_expiry()
    retry_after_s = max(1, math.ceil(limit.window.reset_time - time.time()))
    log.info("request_refused", code="rate-limited", budget=g.budget.name)
    return problem(
        "rate-limited", limit=limit.limit.amount, window_s=window_s, retry_after_s=retry_after_s
    )


def _add_headers(response: Response) -> Response:
    """Add the rate limit headers to every counted response, refused or not."""
    limiter: Limiter = current_app.extensions[_LIMITER]
    limit = limiter.current_limit if "window" in g else None
    if limit is not None:
        response.headers[LIMIT_HEADER] = str(limit.limit.amount)
        response.headers[REMAINING_HEADER] = str(limit.remaining)
        response.headers[RESET_HEADER] = str(limit.reset_at)
    return response


class _WindowStorage(RedisStorage):
    """Runs the library's scripts in one round trip, behind the circuit breaker of `counts`."""

    STORAGE_SCHEME = [_SCHEME]  # noqa: RUF012 - the library declares it so

    def __init__(self, _uri: str, *, counts: GuardedRedis) -> None:
        super().__init__("redis://", connection_pool=counts.connection_pool, key_prefix=keys.RATES)
        self._counts = counts

    def acquire_sliding_window_entry(
        self, key: str, limit: int, expiry: int, amount: int = 1
    ) -> bool:
        """Return True if the request is within its limit; keep its windows for the headers."""
        windows = [
            self.prefixed_key(self._previous_window_key(key)),
            self.prefixed_key(self._current_window_key(key)),
        ]
        try:
            allowed, totals = self._counts.run(
                lambda redis: self._run_scripts(redis, windows, limit, expiry, amount)
            )
        except RedisUnavailable:
            if g.budget.must_count:
                raise
            return True
        g.window = [
            int(totals[0] or 0),
            max(0, totals[1]) / 1_000,
            int(totals[2] or 0),
            max(0, totals[3]) / 1_000,
        ]
        return bool(allowed)

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Return count and remaining ms of the previous and the current window."""
        return tuple(g.window) if "window" in g else super().get_sliding_window(key, expiry)

    def _run_scripts(self, redis: "Redis", windows: list[str], *numbers: int) -> list[Any]:
        """Run the two scripts by digest, or by source if Redis does not have them yet."""
        acquire, read = self.lua_acquire_sliding_window, self.lua_sliding_window
        try:
            with redis.pipeline(transaction=False) as pipeline:
                pipeline.evalsha(acquire.sha, 2, *windows, *numbers)
                pipeline.evalsha(read.sha, 2, *windows, numbers[1])
                return list(pipeline.execute())
        except NoScriptError:
            with redis.pipeline(transaction=False) as pipeline:
                pipeline.eval(self.SCRIPT_ACQUIRE_SLIDING_WINDOW.decode(), 2, *windows, *numbers)
                pipeline.eval(self.SCRIPT_SLIDING_WINDOW.decode(), 2, *windows, numbers[1])
                return list(pipeline.execute())
