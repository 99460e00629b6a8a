"""For operators and load balancers: is the process alive, can it do its work, and what is there to tell of it and of the whole."""

from typing import Any

from flask import Blueprint, Flask, Response, current_app
from redis import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from trading.db.transactions import DatabaseUnavailable
from trading.observability.metrics import exposition, instruments
from webapp.context import get_core
from webapp.http.problems import CODES
from webapp.system_metrics import SystemMetrics

blueprint = Blueprint("Operations", __name__)

_METRICS = "stocking.metrics"
_KEEP_S = 1.0


def install(app: Flask) -> None:
    instruments.initialise_series(codes=sorted(CODES))
    told = exposition.build_registry(
        SystemMetrics(app.extensions["stocking"], exposition.process_collector())
    )
    app.extensions[_METRICS] = exposition.CachedExposition(told, keep_s=_KEEP_S)
    app.register_blueprint(blueprint)


@blueprint.get("/healthz")
def healthz() -> dict[str, str]:
    """The process answers. Nothing else is asked, so that a database in trouble doesn't get every process restarted."""
    return {"status": "ok"}


@blueprint.get("/readyz")
def readyz() -> Response:
    """Whether orders can be taken: 200 with the database there, 503 without. Redis away is said, but orders are still safe."""
    found: dict[str, Any] = {"database": _database(), "redis": _redis()}
    ready = found["database"] == "ok"
    body = current_app.json.dumps({"status": "ready" if ready else "unavailable", **found})
    return Response(body, status=200 if ready else 503, mimetype="application/json")


@blueprint.get(exposition.PATH)
def metrics() -> Response:
    """What this API's processes have counted and the state of the whole, for Prometheus. It is for the operators: the proxy keeps it inside."""
    return Response(current_app.extensions[_METRICS](), content_type=exposition.CONTENT_TYPE)


def _database() -> str:
    try:
        get_core().database.read(
            lambda session: session.execute(text("SELECT 1 FROM virtual_balances LIMIT 1")).first()
        )
    except (DatabaseUnavailable, SQLAlchemyError):
        # Not there, or there without our tables.
        return "unavailable"
    return "ok"


def _redis() -> str:
    try:
        get_core().redis.ping()
    except RedisError:
        return "unavailable"
    return "ok"
