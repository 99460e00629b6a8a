"""Health checks and metrics for operators and load balancers."""

from typing import Any

from flask import Blueprint, Flask, Response, current_app
from redis import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

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
    registry = exposition.build_registry(
        SystemMetrics(app.extensions["stocking"], exposition.process_collector())
    )
    app.extensions[_METRICS] = exposition.CachedExposition(registry, keep_s=_KEEP_S)
    app.register_blueprint(blueprint)


@blueprint.get("/healthz")
def healthz() -> dict[str, str]:
    """Return 200 while the process answers.

    Checks nothing else, so that a database in trouble does not restart every process.
    """
    return {"status": "ok"}


@blueprint.get("/readyz")
def readyz() -> Response:
    """Return 200 if orders can be accepted (the database answers), else 503.

    An unavailable Redis is reported, but orders are still accepted.
    """
    checks: dict[str, Any] = {"database": _database(), "redis": _redis()}
    ready = checks["database"] == "ok"
    body = current_app.json.dumps({"status": "ready" if ready else "unavailable", **checks})
    return Response(body, status=200 if ready else 503, mimetype="application/json")


@blueprint.get(exposition.PATH)
def metrics() -> Response:
    """Return the metrics of the API's processes and of the system for Prometheus.

    The front door does not forward this path.
    """
    return Response(current_app.extensions[_METRICS](), content_type=exposition.CONTENT_TYPE)


def _database() -> str:
    try:
        get_core().read(_read_one_balance)
    except (DatabaseUnavailable, SQLAlchemyError):
        # The database does not answer, or has no tables.
        return "unavailable"
    return "ok"


def _read_one_balance(session: Session) -> None:
    session.execute(text("SELECT 1 FROM virtual_balances LIMIT 1")).first()


def _redis() -> str:
    try:
        get_core().redis.ping()
    except RedisError:
        return "unavailable"
    return "ok"
