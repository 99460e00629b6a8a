"""Every list needs the same number of SQL statements for three rows as for sixty."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from tests.support.statements import statements_counted
from tests.support.trading_harness import opened, settings_for
from tests.trading.payments.payment_rows import partly_refunded_payment
from tests.trading.portfolio.recorded_days import record_days
from tests.webapp.client import Api, Person, api_on, data_of
from trading.exchange.time import trade_date
from trading.stocks.import_listing import import_stocks
from trading.stocks.listing import ListedStock

FEW, MANY = 3, 60
CODES = [f"A{number}" for number in range(100_000, 100_000 + 2 * MANY)]


def list_routes(document: dict[str, Any]) -> list[tuple[str, bool]]:
    """Return the path of every GET that returns items, and whether it has a limit."""
    schemas = document["components"]["schemas"]

    def resolved(node: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in node:
            node = schemas[node["$ref"].rpartition("/")[2]]
        return node

    found = []
    for path, item in document["paths"].items():
        content = (
            item.get("get", {})
            .get("responses", {})
            .get("200", {})
            .get("content", {})
            .get("application/json")
        )
        data = content and resolved(resolved(content["schema"])["properties"].get("data", {}))
        if data and "items" in data.get("properties", {}):
            limited = any(
                parameter.get("name") == "limit" for parameter in item["get"].get("parameters", ())
            )
            found.append((path.removeprefix("/api/v1"), limited))
    return found


def create_rows(api: Api, rows: int) -> Person:
    """Return an administrator with `rows` rows in every list, on as many days."""
    person, harness = api.administrator(), api.harness
    began = trade_date(harness.clock())
    for number in range(rows):
        harness.clock.advance(days=1)
        held, sold = CODES[number], CODES[MANY + number]
        for code, sides in ((held, ("BUY",)), (sold, ("BUY", "SELL"))):
            harness.tick(1_000, code)
            for side in sides:
                data_of(api.order(person, side, 1, code), 201)
                harness.run_all()
        data_of(api.post("/watchlist", person, {"stock_code": held}), 201)
        data_of(api.post("/watchlist/directories", person, {"name": f"묶음 {number}"}), 201)
        partly_refunded_payment(harness, UUID(person.id))
        data_of(api.post("/admin/trading/resume", person))
    record_days(harness, UUID(person.id), began, [(10_000_000, 0)] * rows)
    return api.signed_in(person.email)


# Queries of lists by day or stock, and of those that start long ago.
ASKED = {
    "/trading/statistics": "group_by=day",
    "/trading/realized-profit-loss": "group_by=stock",
}


def test_statement_count_does_not_depend_on_the_number_of_rows(
    migrated_sqlite: str, valkey_url: str
) -> None:
    """For the largest page of every list; the rows are counted too."""
    limits = {"watchlist_items_max": 100, "watchlist_directories_max": 100}
    with opened(settings_for(migrated_sqlite, valkey_url, **limits)) as harness:
        listing = [ListedStock(code=code, name=code, market="KOSPI") for code in CODES]
        harness.core.run(import_stocks, listing)
        api = api_on(harness)
        found = list_routes(api.client.get("/openapi.json").get_json())
        assert len(found) >= 10
        counted: dict[str, list[int]] = {}
        for rows in (FEW, MANY):
            person = create_rows(api, rows)
            since = trade_date(harness.clock() - timedelta(days=rows))
            for path, limited in found:
                asked = ASKED.get(path, f"from={since}" if path == "/portfolio/history" else "")
                with statements_counted(harness.core.database.engine) as sent:
                    data = data_of(
                        api.get(f"{path}?{asked}{'&limit=100' if limited else ''}", person)
                    )
                assert rows <= len(data["items"]), path
                counted.setdefault(path, []).append(len(sent))
    assert {path: counts for path, counts in counted.items() if len(set(counts)) > 1} == {}
