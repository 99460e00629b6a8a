"""Count login attempts to slow down password guessing (trading.accounts.login_guard)."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from flask import Flask, current_app, request

from trading.accounts.errors import SignInLocked
from trading.client_addresses import client_of
from trading.errors import Unauthorized
from trading.redis.guarded_client import RedisUnavailable
from webapp.context import get_core
from webapp.http.log_throttling import RefusedAttemptLog

log = structlog.get_logger(__name__)

_REFUSED = "stocking.refused_sign_ins"


def install(app: Flask) -> None:
    # Separate from other refused attempts, so that a flood of guesses hides no other lines.
    app.extensions[_REFUSED] = RefusedAttemptLog()


@contextmanager
def login_attempt(email: str) -> Iterator[None]:
    """Count the login attempt made in the block, for a normalized e-mail address.

    The block raises Unauthorized if the login fails; the account need not exist. Raises
    SignInLocked, RateLimited or CountsUnavailable before the block runs.
    """
    core = get_core()
    if not core.settings.rate_limits:
        yield
        return
    guard, address = core.sign_in_guard, request.remote_addr or ""
    refused: RefusedAttemptLog = current_app.extensions[_REFUSED]
    attempt = guard.attempt(email=email, client=client_of(address))
    try:
        guard.begin(attempt)
    except SignInLocked:
        refused.warn("sign_in_while_locked", account=attempt.account, address=address)
        raise
    try:
        yield
    except Unauthorized:
        locked_s = guard.failed(attempt)
        refused.warn("sign_in_failed", account=attempt.account, address=address)
        if locked_s:
            refused.warn(
                "sign_in_locked", account=attempt.account, address=address, locked_s=locked_s
            )
        raise
    try:
        guard.succeeded(attempt)
    except RedisUnavailable:
        # The session has started; the failure count expires by itself.
        log.warning("sign_in_counter_reset_failed", account=attempt.account)
