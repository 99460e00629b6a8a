"""Benchmark of reads on a busy account: `python -m benchmarks.reads`.

One account on MariaDB has 10,000 fills and thus ledger entries, on 300 stocks that it holds and 20
that it sold out, with an order, an execution, account events and a candle for each, a snapshot for
each trading day, and a watchlist. All of it was created by the product's own use cases, and the
audit must be clean.

Every GET of the OpenAPI document that a user may call is called repeatedly through the real Flask
application by Werkzeug's test client in this process: with authentication, queries, Redis and JSON,
but without HTTP and gunicorn. Lists use the largest page. Omitted are the stream, which never ends,
and data from Toss. The reference is a ledger entry by its id, a read by primary key through the
same layers.

Prints every endpoint and, as its last line, one JSON object.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from flask.testing import FlaskClient
from flask_migrate import upgrade

from benchmarks.busy_account import History
from benchmarks.command_line import percentile, plan_from_command_line
from benchmarks.mariadb import MariaDB
from benchmarks.market_setup import require_clean_audit
from benchmarks.processes import UNLIMITED
from launcher.valkey import Valkey
from trading.config.settings import Settings
from webapp import create_app

PREFIX = "/api/v1"
YARDSTICK = "/trading/transactions/{transaction_id}"
# A stream has no end, and Toss's response time is not the product's.
OMITTED = {
    "/trading/realtime/stream",
    "/stocks/indices",
    "/stocks/exchange-rate",
    "/stocks/rankings",
    "/stocks/{stock_code}/candles",
    "/stocks/{stock_code}/orderbook",
    "/stocks/{stock_code}/trades",
    "/payments/{payment_id}",
}
# Query parameters other than the largest page.
QUERIES: Mapping[str, str] = {
    "/trading/realtime/stocks/multiple": "stock_codes=A100000&stock_codes=A100001",
    "/stocks/search": "q=100",
}
PAGE = 100
PASSWORD = "correct horse"
WARM_UP = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Size of the account, and the number of calls of each endpoint."""

    fills: int = 10_000
    holdings: int = 300
    closed: int = 20
    rounds: int = 60


def main() -> None:
    plan = plan_from_command_line(Plan, __doc__)
    with (
        tempfile.TemporaryDirectory() as folder,
        MariaDB(innodb_flush_log_at_trx_commit=1) as mariadb,
        Valkey(Path(folder) / "valkey") as valkey,
    ):
        settings = Settings.model_validate(
            {
                "database_uri": mariadb.create_database("reads"),
                "redis_url": valkey.url,
                "starting_cash": 10**9,
                "watchlist_items_max": 1_000,
                "market_hours": "always",
                "access_token_minutes": 24 * 60,
                **UNLIMITED,
            }
        )
        history = History(settings)
        try:
            _run(history, plan)
        finally:
            history.core.close()


def _run(history: History, plan: Plan) -> None:
    app = create_app(history.core)
    with app.app_context():
        upgrade()
    client = app.test_client()
    person = {"email": "reads@example.com", "password": PASSWORD}
    user = _data(client.post(f"{PREFIX}/users", json={**person, "name": "부자"}))
    began = time.perf_counter()
    history.live(UUID(user["id"]), fills=plan.fills, holdings=plan.holdings, closed=plan.closed)
    print(f"{plan.fills:,} fills, made in {time.perf_counter() - began:.0f} s", flush=True)
    tokens = _data(client.post(f"{PREFIX}/users/login", json=person))
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    for number in range(plan.holdings):
        _data(
            client.post(
                f"{PREFIX}/watchlist", json={"stock_code": f"A{100_000 + number}"}, headers=headers
            )
        )
    require_clean_audit(history.core)

    took: dict[str, list[float]] = {}
    for path, url in _reads(client, headers):
        began_s = time.process_time()
        took[path] = times = _times(client, url, headers, plan.rounds)
        own_ms = (time.process_time() - began_s) * 1_000 / (plan.rounds + WARM_UP)
        spread = f"p50 {statistics.median(times):7.1f}  p95 {percentile(times, 0.95):7.1f}"
        print(
            f"{path:50} {spread} ms, of which {own_ms:6.1f} ms of this process's processor",
            flush=True,
        )
    slowest = max(took, key=lambda path: percentile(took[path], 0.95))
    yardstick = statistics.median(took[YARDSTICK])
    print(
        json.dumps(
            {
                "endpoints": len(took),
                "slowest": slowest,
                "p50_ms": round(statistics.median(took[slowest]), 1),
                "p95_ms": round(percentile(took[slowest], 0.95), 1),
                "primary_key_ms": round(yardstick, 1),
                "ratio": round(statistics.median(took[slowest]) / yardstick, 2),
            }
        )
    )


def _reads(client: FlaskClient, headers: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield every measured endpoint: its path in the document and its URL."""
    document = client.get("/openapi.json").get_json()
    things = _object_ids(client, headers)
    for path, item in document["paths"].items():
        short = path.removeprefix(PREFIX)
        if "get" not in item or short in OMITTED or short.startswith("/admin/"):
            continue
        parameters = {parameter["name"] for parameter in item["get"].get("parameters", ())}
        asked = QUERIES.get(short, f"limit={PAGE}" if "limit" in parameters else "")
        yield short, f"{path.format(**things)}?{asked}"


def _object_ids(client: FlaskClient, headers: dict[str, str]) -> dict[str, str]:
    """Return ids of the account's objects by the names of the path parameters."""

    def first(path: str, limit: str = "?limit=1") -> str:
        return str(_data(client.get(f"{PREFIX}{path}{limit}", headers=headers))["items"][0]["id"])

    return {
        "stock_code": "A100000",
        "order_id": first("/trading/orders"),
        "transaction_id": first("/trading/transactions"),
        "directory_id": first("/watchlist/directories", ""),
        "item_id": first("/watchlist"),
    }


def _times(client: FlaskClient, url: str, headers: dict[str, str], rounds: int) -> list[float]:
    """Return the duration (ms) of each call."""
    took = []
    for number in range(-WARM_UP, rounds):
        began = time.perf_counter()
        answer = client.get(url, headers=headers)
        content = answer.get_data()
        if number >= 0:
            took.append((time.perf_counter() - began) * 1_000)
        # The relayer does not run, so its health is bad.
        if answer.status_code != 200 and "daemon/health" not in url:
            sys.exit(f"{url} answered {answer.status_code}: {content!r}")
    return took


def _data(answer: Any) -> Any:
    if answer.status_code not in (200, 201):
        sys.exit(
            f"{answer.request.path} answered {answer.status_code}: {answer.get_data(as_text=True)}"
        )
    return answer.get_json()["data"]


if __name__ == "__main__":
    main()
