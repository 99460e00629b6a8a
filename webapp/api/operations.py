"""For operators and load balancers: is the process alive, and can it do its work."""

from typing import Any

from flask import Blueprint, Response, current_app
from redis import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from trading.database.transactions import DatabaseUnavailable
from webapp.core import the_core

blueprint = Blueprint("Operations", __name__)


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


def _database() -> str:
    try:
        the_core().database.read(
            lambda session: session.execute(text("SELECT 1 FROM virtual_balances LIMIT 1")).first()
        )
    except (DatabaseUnavailable, SQLAlchemyError):
        # Not there, or there without our tables.
        return "unavailable"
    return "ok"


def _redis() -> str:
    try:
        the_core().redis.ping()
    except RedisError:
        return "unavailable"
    return "ok"
