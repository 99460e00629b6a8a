"""Where the time of one order goes: orders placed one after another in this process, each of their parts timed by itself."""

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr
from pathlib import Path
from statistics import fmean
from typing import Any
from unittest.mock import patch

from marshmallow import Schema
from sqlalchemy import event

import webapp.authentication
import webapp.request_context
from benchmarks.stopwatch import Stopwatch
from trading import core as trading_core
from trading.core import Core
from trading.logs import configure
from trading.settings import Settings
from webapp import create_app
from webapp.queue import on_a_thread, producer_courier

_STATEMENT = re.compile(
    r"(SELECT(?=.*FROM)|INSERT INTO|UPDATE|DELETE FROM)(?:.*FROM)?\s+(\w+)", re.DOTALL
)
WARM_UP = 50


def parts_of_an_order_ms(
    settings: Settings, path: str, orders: Sequence[tuple[str, bytes]]
) -> tuple[dict[str, float], list[str]]:
    """The mean ms of each part of an order, the slowest first, and where the orders placed meanwhile live.

    ``orders`` are tokens and bodies. The mean is that of the faster half, which others on the machine disturbed least. The parts add up to the
    whole time inside the application; what gunicorn and the network add is not in it.
    """
    watch, locations = Stopwatch(), []
    core = trading_core.build(
        settings,
        deliver=watch.timed("wake-up (another thread sends it)", producer_courier(settings)),
        publishing=lambda publish: watch.timed(
            "event (another thread publishes it)", on_a_thread(publish)
        ),
    )
    app = create_app(core)
    whole = watch.timed("Flask and what is not named", app.wsgi_app)
    with (
        quietly(settings),
        _timed(watch, core),
        patch.object(app, "wsgi_app", whole),
        app.test_client() as client,
    ):
        for token, body in orders:
            headers = {"Authorization": f"Bearer {token}"}
            answer = client.post(path, data=body, headers=headers, content_type="application/json")
            if answer.status_code != 201:
                raise AssertionError(f"{answer.status}: {answer.get_data(as_text=True)}")
            locations.append(answer.headers["Location"])
    core.close()
    laps_s = sorted(watch.laps_s[WARM_UP:], key=lambda lap_s: sum(lap_s.values()))
    calm_s = laps_s[: (len(laps_s) + 1) // 2]
    means_ms = {
        part: 1_000 * fmean(lap_s.get(part, 0.0) for lap_s in calm_s)
        for part in set().union(*calm_s)
    }
    return dict(sorted(means_ms.items(), key=lambda mean: -mean[1])), locations


@contextmanager
def _timed(watch: Stopwatch, core: Core) -> Iterator[None]:
    """Every seam between the parts of a request is timed while the block runs."""
    engine = core.database.engine
    seams: list[tuple[Any, str, str]] = [
        (core.database, "read", "identity: SQLAlchemy around its statement"),
        (core.database, "transaction", "order: rules, and SQLAlchemy around its statements"),
        (engine.dialect, "do_commit", "COMMIT"),
        (engine.dialect, "do_rollback", "ROLLBACK"),
        (core.quotes, "last_tick_and_end", "market look (Redis)"),
        (webapp.authentication, "verify_jwt_in_request", "token"),
        (webapp.request_context.log, "info", "log line"),
        (Schema, "load", "body: validation"),
        (Schema, "dump", "answer: shape"),
    ]

    def begin(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        found = _STATEMENT.match(statement)
        watch.begin(f"{found[1]} {found[2]}" if found else statement)

    def end(*_anything: Any) -> None:
        watch.end()

    with ExitStack() as stack:
        for owner, name, part in seams:
            stack.enter_context(patch.object(owner, name, watch.timed(part, getattr(owner, name))))
        event.listen(engine, "before_cursor_execute", begin)
        event.listen(engine, "after_cursor_execute", end)
        yield


@contextmanager
def quietly(settings: Settings) -> Iterator[None]:
    """Logs as in production, but not on this terminal."""
    with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere):
        configure(settings)
        try:
            yield
        finally:
            logging.getLogger().handlers.clear()
