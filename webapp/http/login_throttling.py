"""Trying to sign in: what becomes of it is counted, so that guessing is slow (trading.accounts.login_guard)."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from flask import Flask, current_app, request

from trading.accounts.errors import SignInLocked
from trading.client_addresses import client_of
from trading.errors import Unauthorized
from trading.redis.guarded_client import RedisUnavailable
from webapp.context import get_core
from webapp.http.log_throttling import RefusedAttempts

log = structlog.get_logger(__name__)

_REFUSED = "stocking.refused_sign_ins"


def install(app: Flask) -> None:
    # Their own share of lines: whoever floods the log with guesses hides nothing else that is refused.
    app.extensions[_REFUSED] = RefusedAttempts()


@contextmanager
def one_attempt(email: str) -> Iterator[None]:
    """The block tries to sign in to the account of a normalised address, known or not, and raises Unauthorized when it can't.

    Raises SignInLocked, RateLimited and CountsUnavailable before the block is begun.
    """
    core = get_core()
    if not core.settings.rate_limits:
        yield
        return
    guard, address = core.sign_in_guard, request.remote_addr or ""
    refused: RefusedAttempts = current_app.extensions[_REFUSED]
    visitor = guard.visitor(email=email, client=client_of(address))
    try:
        guard.begin(visitor)
    except SignInLocked:
        refused.tell("sign_in_while_locked", account=visitor.account, address=address)
        raise
    try:
        yield
    except Unauthorized:
        locked_s = guard.failed(visitor)
        refused.tell("sign_in_failed", account=visitor.account, address=address)
        if locked_s:
            refused.tell(
                "sign_in_locked", account=visitor.account, address=address, locked_s=locked_s
            )
        raise
    try:
        guard.succeeded(visitor)
    except RedisUnavailable:
        # The session has begun, and what its failures are held against is forgotten with time.
        log.warning("sign_in_counter_reset_failed", account=visitor.account)
