"""Stock search, master data and market data, with Toss in any state."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, update

from tests.fixtures.toss import DETAILS, result_of
from tests.support.http_server import Answer, Ending, Request, Server, answer, serving
from tests.support.properties import examples
from tests.support.servers import Valkey
from tests.support.statements import statements_counted
from tests.support.trading_harness import HYNIX, SAMSUNG, opened, settings_for
from tests.trading.portfolio.days import close
from tests.trading.stocks.toss.test_client import JSON, variants
from tests.webapp.client import Api, Person, api_on, data_of, problem_of
from trading.stocks.candles.tables import CANDLES
from trading.stocks.tables import STOCKS
from trading.stocks.toss.market_data import CANDLES_PER_REQUEST

ROUTES = (
    "/stocks/search?q=삼성",
    f"/stocks/{SAMSUNG}",
    f"/stocks/{SAMSUNG}/price",
    f"/stocks/{SAMSUNG}/candles",
    f"/stocks/{SAMSUNG}/orderbook",
    f"/stocks/{SAMSUNG}/trades",
    "/stocks/indices",
    "/stocks/exchange-rate",
    "/stocks/rankings",
)
BY_TOSS = [
    route
    for route in ROUTES
    if route.endswith(("price", "candles", "orderbook", "trades", "s", "rate"))
]


def as_toss(request: Request) -> Answer:
    return answer(200, {"result": result_of(request.target)})


@pytest.fixture
def toss() -> Iterator[Server]:
    with serving(as_toss) as server:
        yield server


@contextmanager
def opened_api(database_uri: str, valkey_url: str, toss: Server) -> Iterator[Api]:
    """Yield the API on an empty database, with a stand-in for Toss."""
    with opened(
        settings_for(
            database_uri,
            valkey_url,
            toss_info_url=toss.url,
            toss_cert_url=toss.url,
            toss_requests_per_s=10_000,
        )
    ) as harness:
        yield api_on(harness)


@pytest.fixture
def api(migrated_sqlite: str, valkey_url: str, toss: Server) -> Iterator[Api]:
    with opened_api(migrated_sqlite, valkey_url, toss) as api:
        yield api


@pytest.fixture
def any_api(database_uri: str, valkey_url: str, toss: Server) -> Iterator[Api]:
    """The same on each kind of database."""
    with opened_api(database_uri, valkey_url, toss) as api:
        yield api


@pytest.fixture
def me(api: Api) -> Person:
    return api.person()


def search(api: Api, me: Person, query: str, **more: str) -> list[str]:
    arguments = "".join(f"&{name}={value}" for name, value in more.items())
    stocks = data_of(api.get(f"/stocks/search?q={quote(query)}{arguments}", me))["stocks"]
    return [stock["name"] for stock in stocks]


def test_login_is_required(api: Api, toss: Server) -> None:
    for route in ROUTES:
        problem_of(api.get(route), "unauthorized")
    assert toss.requests == []


@pytest.mark.parametrize(
    "query", ["ㅅㅅㅈㅈ", "삼ㅅㅈ", "삼성전자", "SAMSUNG ELEC", "005930", "a005930"]
)
def test_search_finds_stocks(api: Api, me: Person, query: str) -> None:
    stocks = data_of(api.get(f"/stocks/search?q={quote(query)}", me))["stocks"]

    assert stocks[0] == {
        "stock_code": SAMSUNG,
        "name": "삼성전자",
        "english_name": "Samsung Electronics",
        "market": "KOSPI",
        "kind": "STOCK",
        "status": "TRADABLE",
    }


def test_invalid_query_is_refused(api: Api, me: Person) -> None:
    for query in ["", "   ", "삼" * 51, "a" * 1_000, "\0", "삼\0성", "\n", "\u202e"]:
        problem_of(api.get(f"/stocks/search?q={quote(query)}", me), "validation-failed")


def test_odd_queries_are_literal(api: Api, me: Person) -> None:
    """They find only what contains them, which is nothing."""
    for query in ["%", "_", "'; DROP TABLE stocks; --", ".*", "[ㄱ-ㅎ]", "💹", "\\"]:
        assert search(api, me, query) == []
    assert data_of(api.get("/stocks/search?q=%ed%a0%80%ff", me))["stocks"] == []


def test_limit_is_from_one_to_fifty(api: Api, me: Person) -> None:
    for limit in ["0", "51", "-1", "x", "1e9", "9" * 400]:
        problem_of(api.get(f"/stocks/search?q=삼성&limit={limit}", me), "validation-failed")
        assert len(search(api, me, "ㅅ", limit="2")) == 2


def test_search_follows_the_master_data(any_api: Api) -> None:
    """A delisted stock is ranked last within two seconds."""
    api, me = any_api, any_api.person()
    assert search(api, me, "SK")[0] == "SK"
    api.harness.do(
        lambda session: session.execute(
            update(STOCKS).where(STOCKS.c.name == "SK하이닉스").values(status="DELISTED")
        )
    )
    api.harness.clock.advance(seconds=2)

    assert search(api, me, "SKㅎ") == ["SK하이닉스"]
    assert data_of(api.get("/stocks/search?q=SKㅎ", me))["stocks"][0]["status"] == "DELISTED"


def test_search_needs_no_statement_while_the_listing_is_cached(any_api: Api) -> None:
    api, me = any_api, any_api.person()
    search(api, me, "삼성")
    with statements_counted(api.harness.core.database.engine) as first:
        search(api, me, "삼성")
    with statements_counted(api.harness.core.database.engine) as second:
        search(api, me, "ㅅ", limit="50")
    assert len(first) == len(second)
    assert not any("stocks" in statement for statement in (*first, *second))


def test_fresh_tick_is_the_price(api: Api, me: Person, toss: Server) -> None:
    """Toss is not asked."""
    api.harness.tick(70_500, base=70_000)

    price = data_of(api.get("/stocks/005930/price", me))

    assert (price["stock_code"], price["price"], price["source"], price["stale"]) == (
        SAMSUNG,
        70_500,
        "TICK",
        False,
    )
    assert (price["change"], price["change_rate_bp"], price["upper_limit"]) == (500, 71, 91_000)
    assert toss.requests == []


def test_toss_price_is_used_without_a_fresh_tick(api: Api, me: Person) -> None:
    api.harness.tick(1_000, age_ms=60_000)

    price = data_of(api.get(f"/stocks/{SAMSUNG}/price", me))

    assert (price["price"], price["base_price"], price["source"]) == (
        DETAILS["close"],
        DETAILS["base"],
        "TOSS",
    )
    assert (price["volume"], price["high_52w"], price["stale"]) == (
        DETAILS["volume"],
        DETAILS["high52w"],
        False,
    )


def test_old_tick_is_used_without_toss(api: Api, me: Person, toss: Server) -> None:
    api.harness.tick(70_500, age_ms=60_000)
    toss.reply = lambda _: answer(500)

    price = data_of(api.get(f"/stocks/{SAMSUNG}/price", me))

    assert (price["price"], price["source"], price["stale"], price["age_ms"]) == (
        70_500,
        "TICK",
        True,
        60_000,
    )


def test_newer_of_two_old_prices_is_used(api: Api, me: Person, toss: Server) -> None:
    data_of(api.get(f"/stocks/{SAMSUNG}/price", me))
    toss.reply = lambda _: answer(500)
    api.harness.clock.advance(minutes=5)
    assert data_of(api.get(f"/stocks/{SAMSUNG}/price", me))["source"] == "TOSS"

    api.harness.tick(70_500, age_ms=60_000)

    assert data_of(api.get(f"/stocks/{SAMSUNG}/price", me))["source"] == "TICK"


def test_master_data_is_returned_without_a_price(any_api: Api, toss: Server) -> None:
    api, me = any_api, any_api.person()
    assert data_of(api.get(f"/stocks/{SAMSUNG}", me))["price"]["price"] == DETAILS["close"]
    toss.reply = lambda _: Answer(b"", Ending.RESET)

    hynix = data_of(api.get(f"/stocks/{HYNIX}", me))

    assert (hynix["name"], hynix["price"], hynix["price_unavailable"]) == (
        "SK하이닉스",
        None,
        "upstream-unavailable",
    )


def test_recorded_close_is_the_price_without_tick_and_toss(
    api: Api, me: Person, toss: Server
) -> None:
    toss.reply = lambda _: Answer(b"", Ending.RESET)
    close(api.harness, date(2026, 11, 19), 71_000)

    price = data_of(api.get(f"/stocks/{SAMSUNG}/price", me))
    stock = data_of(api.get(f"/stocks/{SAMSUNG}", me))

    assert (price["price"], price["source"], price["stale"]) == (71_000, "OWN", True)
    assert price["traded_at"].startswith("2026-11-1")
    assert (stock["price"]["price"], stock["price_unavailable"]) == (71_000, None)


def test_toss_is_not_asked_for_unknown_stocks(api: Api, me: Person, toss: Server) -> None:
    for code in (
        "A999999",
        "999999",
        "삼성",
        "A",
        "x" * 300,
        "%00",
        "..%2f..%2fetc",
        "A00593%ed%a0%80",
    ):
        for tail in ("", "/price", "/candles", "/orderbook", "/trades"):
            answered = api.get(f"/stocks/{code}{tail}", me)

            assert answered.status_code == 404, code
            assert answered.get_json()["code"] in ("stock-not-found", "not-found")
    assert toss.requests == []


def test_order_book_and_trades(api: Api, me: Person) -> None:
    book = data_of(api.get(f"/stocks/{SAMSUNG}/orderbook", me))
    trades = data_of(api.get(f"/stocks/{SAMSUNG}/trades?count=1", me))

    assert [level["price"] for level in book["asks"]] == [70_100, 70_200, 70_300]
    assert book["bids"][0] == {"price": 70_000, "volume": 4}
    assert [trade["price"] for trade in trades["trades"]] == [70_000]


def test_indices_and_exchange_rate_are_exact_decimals(api: Api, me: Person) -> None:
    kospi, kosdaq = data_of(api.get("/stocks/indices", me))["indices"]
    rate = data_of(api.get("/stocks/exchange-rate", me))

    assert (kospi["index_code"], kospi["close"], kospi["change"], kospi["change_rate_bp"]) == (
        "KOSPI",
        "4309.63",
        "95.46",
        227,
    )
    assert kosdaq["index_code"] == "KOSDAQ"
    assert (rate["rate"], rate["base_rate"], rate["change"]) == ("1392.8910", "1390.0000", "2.8910")


def test_ranking_has_own_names_and_prices(any_api: Api) -> None:
    api, me = any_api, any_api.person()
    api.harness.tick(1_000_000, HYNIX, base=990_000)

    close(api.harness, date(2026, 11, 19), 71_000)

    stocks = data_of(api.get("/stocks/rankings?limit=2", me))["stocks"]

    assert [(one["rank"], one["name"], one["price"]) for one in stocks] == [
        (1, "삼성전자", 71_000),
        (2, "SK하이닉스", 1_000_000),
    ]


def candle_page(number: int) -> dict[str, Any]:
    """Return a page of `number` minute candles, newest first, with more before them."""
    candle = {"open": 10, "high": 12, "low": 9, "close": 11, "volume": 5, "amount": 50}
    stamps = [
        f"2026-11-20T{10 - minute // 60:02}:{59 - minute % 60:02}:00+09:00"
        for minute in range(number)
    ]
    return {
        "candles": [{"dt": stamp, **candle} for stamp in stamps],
        "nextDateTime": "2026-11-20T05:00:00+09:00",
    }


def test_candles_are_paged(api: Api, me: Person, toss: Server) -> None:
    """A second user with a shorter page causes no request to Toss."""
    toss.reply = lambda _: answer(200, {"result": candle_page(120)})
    path = f"/stocks/{SAMSUNG}/candles?interval=min:1&count="

    first = data_of(api.get(f"{path}50", me))
    again = data_of(api.get(f"{path}120", me))
    assert (len(first["candles"]), len(again["candles"]), len(toss.requests)) == (50, 120, 1)
    assert f"count={CANDLES_PER_REQUEST}" in toss.requests[0].target
    assert first["next_before"] == first["candles"][-1]["time"] == "2026-11-20T01:10:00+00:00"

    older = data_of(api.get(f"{path}50&before={first['next_before']}", me))

    assert "from=2026-11-20T01%3A10%3A00%2B00%3A00" in toss.requests[1].target
    assert older["candles"][0]["time"] < first["next_before"]
    assert (older["source"], older["interval"]) == ("TOSS", "min:1")


def test_invalid_candle_query_is_refused(api: Api, me: Person, toss: Server) -> None:
    for arguments in [
        "interval=min:2",
        "interval=hour:1",
        "interval=..%2f..%2f",
        "count=0",
        "count=201",
        "count=x",
        "before=noon",
        "before=2026-11-20T10:00:00",
        "before=0001-01-01T00:00:00%2B23:59",
        "before=9999-12-31T23:59:59-23:59",
        "before=%00",
    ]:
        problem_of(api.get(f"/stocks/{SAMSUNG}/candles?{arguments}", me), "validation-failed")
        assert toss.requests == []


def store_candles(api: Api, minutes: int) -> None:
    """Store our own candles of the last minutes."""
    newest = api.harness.clock().replace(second=0, microsecond=0)
    rows = []
    for number in range(minutes):
        at = newest - timedelta(minutes=number)
        times = dict.fromkeys(("starts_at", "opened_at", "closed_at"), at)
        prices = {"open": 100, "high": 120, "low": 90, "close": 110, "volume": 7, "amount": 700}
        rows.append(
            {"stock_code": SAMSUNG, "candle_interval": "min:1", "position": 1, **times, **prices}
        )
    api.harness.do(lambda session: session.execute(insert(CANDLES), rows))


def test_own_candles_are_used_without_toss(any_api: Api, toss: Server) -> None:
    api, me = any_api, any_api.person()
    toss.reply = lambda _: answer(500)
    path = f"/stocks/{SAMSUNG}/candles?interval=min:5&count=2"
    problem_of(api.get(path, me), "upstream-failed")
    store_candles(api, 15)

    page = data_of(api.get(path, me))

    assert (page["source"], len(page["candles"]), page["age_ms"], page["stale"]) == (
        "OWN",
        2,
        None,
        False,
    )
    assert page["candles"][1]["volume"] == 35
    assert len(data_of(api.get(f"{path}&before={page['next_before']}", me))["candles"]) >= 1


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (answer(500), "upstream-failed"),
        (answer(200, octets=b"<html>"), "upstream-failed"),
        (answer(200, {"result": 7}), "upstream-failed"),
        (Answer(b"", Ending.RESET), "upstream-unavailable"),
        (Answer(b"", Ending.HOLD), "upstream-timeout"),
        (answer(404), "no-market-data"),
        (answer(429, Retry_After="77"), "upstream-paused"),
    ],
)
def test_every_toss_failure_has_its_own_problem(
    api: Api, me: Person, toss: Server, fault: Answer, code: str
) -> None:
    toss.reply = lambda _: fault
    for route in BY_TOSS[:3]:
        problem = problem_of(api.get(route, me), code)
        if code == "upstream-paused":
            assert 0 < problem["retry_after_s"] <= 77
            assert api.answers[-1].headers["Retry-After"] == str(problem["retry_after_s"])


@pytest.mark.parametrize("route", BY_TOSS)
def test_market_data_works_without_redis(
    api: Api, me: Person, valkey_server: Valkey, route: str
) -> None:
    valkey_server.stop()
    try:
        assert api.get(route, me).status_code == 200
    finally:
        valkey_server.start()


def test_invalid_ranking_query_is_refused(api: Api, me: Person, toss: Server) -> None:
    for arguments in ["by=loss", "by=%00", "limit=0", "limit=101", "limit=x"]:
        problem_of(api.get(f"/stocks/rankings?{arguments}", me), "validation-failed")
        assert toss.requests == []


def test_number_of_trades_is_bounded(api: Api, me: Person) -> None:
    for count in ["0", "51", "x"]:
        problem_of(api.get(f"/stocks/{SAMSUNG}/trades?count={count}", me), "validation-failed")


@settings(max_examples=examples(80), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_toss_response_causes_no_server_error(
    api: Api, me: Person, toss: Server, data: st.DataObject
) -> None:
    """Any JSON in any member becomes null, is left out, or is a Toss problem; types are as
    documented.
    """
    route = data.draw(st.sampled_from(BY_TOSS))
    # A success on either host first, so that no circuit breaker opens.
    for path in ("/stocks/exchange-rate", "/stocks/rankings"):
        api.harness.core.redis.flushall()
        toss.reply = as_toss
        data_of(api.get(path, me))
    api.harness.core.redis.flushall()
    asked: list[str] = []

    def odd(request: Request) -> Answer:
        asked.append(request.target)
        return answer(200, {"result": odd_result})

    good = result_of(toss_path_of(route))
    good_variants = (
        st.lists(variants(good[0]), max_size=3) if isinstance(good, list) else variants(good)
    )
    odd_result = data.draw(good_variants | JSON)
    toss.reply = odd

    answered = api.get(route, me)

    assert asked
    assert answered.status_code in (200, 404, 502), answered.get_data(as_text=True)
    if answered.status_code == 200:
        for name, value in data_of(answered).items():
            assert not isinstance(value, float), name


def toss_path_of(route: str) -> str:
    """Return Toss's path for a route."""
    return {
        "price": "/api/v3/stock-prices/details",
        "candles": f"/api/v1/c-chart/kr-s/{SAMSUNG}/day:1",
        "orderbook": f"/api/v3/stock-prices/{SAMSUNG}/quotes",
        "trades": f"/api/v2/stock-prices/{SAMSUNG}/ticks",
        "indices": "/api/v1/index-prices/KGG01P",
        "exchange-rate": "/api/v1/product/exchange-rate",
        "rankings": "/api/v2/dashboard/wts/overview/ranking",
    }[route.rpartition("/")[2]]
