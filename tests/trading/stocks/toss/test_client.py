"""Toss client: tolerant parsing, and every failure is a TossError within the timeout."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from launcher.ports import free_port
from tests.fixtures.toss import (
    CANDLE,
    CANDLES,
    CODE,
    DETAILS,
    EXCHANGE_RATE,
    INDEX,
    QUOTES,
    RANKING,
    TICK,
    result_of,
)
from tests.support.deadlines import DEADLINE_S
from tests.support.http_server import Answer, Ending, Reply, Server, answer, serving
from tests.support.properties import examples
from trading.http_client import Timeouts
from trading.stocks.candles.model import CandleInterval
from trading.stocks.toss import answers
from trading.stocks.toss.answers import Level
from trading.stocks.toss.client import (
    BODY_OCTETS_MAX,
    FORBIDDEN_S,
    TOO_MANY_S,
    Index,
    RankedBy,
    TossClient,
    TossRefused,
)
from trading.stocks.toss.errors import (
    TossError,
    TossFailed,
    TossNoData,
    TossTimeout,
    TossUnreachable,
)

SHORT = Timeouts(connect_s=1.0, read_s=1.0, total_s=1.0)
LONG = Timeouts(connect_s=DEADLINE_S, read_s=DEADLINE_S, total_s=DEADLINE_S)

CALLS: dict[str, Callable[[TossClient], object]] = {
    "details": lambda client: client.price_details(CODE),
    "order book": lambda client: client.order_book(CODE),
    "trades": lambda client: client.trades(CODE, count=5),
    "candles": lambda client: client.candles(CODE, CandleInterval.DAY, count=5, before=None),
    "index": lambda client: client.index_price(Index.KOSPI),
    "exchange rate": lambda client: client.exchange_rate(),
    "ranking": lambda client: client.ranking(RankedBy.AMOUNT),
}


@contextmanager
def client_of(reply: Reply, timeouts: Timeouts = LONG) -> Iterator[tuple[TossClient, Server]]:
    with serving(reply) as server:
        yield TossClient(info_url=server.url, cert_url=server.url, timeouts=timeouts), server


def result_reply(result: Any) -> Reply:
    return lambda _: answer(200, {"result": result})


def as_toss(request: Any) -> Answer:
    return answer(200, {"result": result_of(request.target)})


def test_requests_have_the_expected_targets() -> None:
    """Without cookies and credentials, with the product's user agent."""
    with client_of(as_toss) as (client, server):
        for call in CALLS.values():
            call(client)
        client.candles(CODE, CandleInterval.DAY, count=5, before=datetime(2026, 11, 20, tzinfo=UTC))

    chart = (
        f"/api/v1/c-chart/kr-s/{CODE}/day:1?count=5&session=all&useAdjustedRate=true&investMode=krx"
    )
    assert [(request.method, request.target) for request in server.requests] == [
        ("GET", f"/api/v3/stock-prices/details?productCodes={CODE}"),
        ("GET", f"/api/v3/stock-prices/{CODE}/quotes?investMode=krx"),
        ("GET", f"/api/v2/stock-prices/{CODE}/ticks?viewType=krx&count=5&investMode=krx"),
        ("GET", chart),
        ("GET", "/api/v1/index-prices/KGG01P"),
        ("GET", "/api/v1/product/exchange-rate?buyCurrency=USD&sellCurrency=KRW"),
        ("POST", "/api/v2/dashboard/wts/overview/ranking"),
        ("GET", f"{chart}&from=2026-11-20T00%3A00%3A00%2B00%3A00"),
    ]
    assert server.requests[6].members == {
        "id": "biggest_total_amount",
        "tag": "kr",
        "duration": "realtime",
        "filters": [],
    }
    assert all(request.headers["user-agent"] == "stocking" for request in server.requests)
    assert all(
        {"cookie", "authorization"}.isdisjoint(request.headers) for request in server.requests
    )


def test_price_details_are_parsed() -> None:
    details = answers.read_price_details([{"code": "A000660", "close": 1}, DETAILS], CODE)

    assert asdict(details) == {
        "code": CODE,
        "price": 70_000,
        "base": 69_000,
        "open": 69_200,
        "high": 70_400,
        "low": 68_900,
        "volume": 12_345_678,
        "amount": 864_197_460_000,
        "upper_limit": 89_700,
        "lower_limit": 48_300,
        "high_52w": 88_800,
        "low_52w": 49_900,
        "market_cap": 414_374_634_540_000,
        "traded_at": datetime(2026, 11, 20, 1, tzinfo=UTC),
    }


def test_order_book_is_sorted_best_first() -> None:
    book = answers.read_order_book({**QUOTES, "offerVolumes": [30, "20", 10, 99]})

    assert book.asks == (Level(70_100, 10), Level(70_300, 30))
    assert book.bids == (Level(70_000, 4), Level(69_900, 5))


def test_invalid_candles_are_skipped() -> None:
    wrong = [{**CANDLE, "high": 1}, {**CANDLE, "dt": "noon"}, {**CANDLE, "open": None}, 7]
    later = {**CANDLE, "dt": "2026-11-20T09:02:00"}

    page = answers.read_candles({"candles": [CANDLE, *wrong, later], "nextDateTime": None})

    assert [candle.time.minute for candle in page.candles] == [2, 1]
    assert not page.has_more
    assert answers.read_candles(CANDLES).has_more
    with pytest.raises(TossFailed):
        answers.read_candles({"candles": wrong})


def test_points_are_exact_hundredths_and_rates_exact_decimals() -> None:
    """In binary floating point 4309.63 x 100 is 430962.99…"""
    index = answers.read_index_price(INDEX)
    rate = answers.read_exchange_rate(EXCHANGE_RATE)

    assert (index.close, index.base, index.open) == (430_963, 421_417, 422_453)
    assert (rate.close, rate.base) == (Decimal("1392.8910"), Decimal("1390.0000"))


def test_ranking_has_korean_stocks_without_duplicates() -> None:
    products = [*RANKING["products"], {"productCode": CODE}, {"productCode": None}, "A005930"]

    assert answers.read_ranking({"products": products}).codes == (CODE, "A000660")


@pytest.mark.parametrize("value", [None, "70000", True, 70_000.5, 0, -1, 10**10, 1e308, [], {}])
def test_invalid_price_is_none(value: object) -> None:
    """For an optional field; an invalid required price raises TossFailed."""
    assert answers.read_price_details([{**DETAILS, "high": value}], CODE).high is None
    with pytest.raises(TossFailed):
        answers.read_price_details([{**DETAILS, "close": value}], CODE)


def test_missing_stock_raises_no_data() -> None:
    with pytest.raises(TossNoData):
        answers.read_price_details([], CODE)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (answer(400), TossNoData),
        (answer(404), TossNoData),
        (answer(500), TossFailed),
        (answer(503, {"result": [DETAILS]}), TossFailed),
        (answer(204, octets=b""), TossFailed),
        (answer(302, {"result": [DETAILS]}, Location="http://127.0.0.1:1/"), TossFailed),
        (answer(200, {"result": None}), TossFailed),
        (answer(200, {"error": {}}), TossFailed),
        (answer(200, [DETAILS]), TossFailed),
        (answer(200, octets=b"<html>"), TossFailed),
        (answer(200, {"result": [DETAILS]}, Content_Type="text/html"), TossFailed),
        (answer(200, octets=b"[" * 100_000), TossFailed),
        (answer(200, octets=b"{}".ljust(BODY_OCTETS_MAX + 1)), TossFailed),
        (
            Answer(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
                + b" " * (BODY_OCTETS_MAX + 1),
                Ending.HOLD,
            ),
            TossFailed,
        ),
        (Answer(b"", Ending.CLOSE), TossUnreachable),
        (Answer(b"", Ending.RESET), TossUnreachable),
        (Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", Ending.CLOSE), TossUnreachable),
        (Answer(b"", Ending.HOLD), TossTimeout),
        (
            Answer(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{", Ending.DRIBBLE),
            TossTimeout,
        ),
    ],
)
def test_failure_raises_the_matching_error_in_time(reply: Answer, error: type[TossError]) -> None:
    """Redirects are not followed."""
    timeouts = SHORT if error is TossTimeout else LONG
    with client_of(lambda _: reply, timeouts) as (client, server):
        with pytest.raises(error):
            client.price_details(CODE)
        assert len(server.requests) == 1


def test_refused_connection_is_unreachable() -> None:
    closed_url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(TossUnreachable):
        TossClient(info_url=closed_url, cert_url=closed_url).exchange_rate()


@pytest.mark.parametrize(
    ("reply", "wait_s"),
    [
        (answer(403), FORBIDDEN_S),
        (answer(429), TOO_MANY_S),
        (answer(429, Retry_After="7"), 7),
        (answer(429, Retry_After="0"), TOO_MANY_S),
        (answer(403, Retry_After="99999999"), 3_600),
    ],
)
def test_refusal_has_the_time_to_wait(reply: Answer, wait_s: int) -> None:
    with client_of(lambda _: reply) as (client, _), pytest.raises(TossRefused) as refusal:
        client.price_details(CODE)
    assert refusal.value.retry_after_s == wait_s


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=50),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=10,
)


def variants(good: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Generate variants of an answer with missing or arbitrary members."""
    return st.fixed_dictionaries(
        {}, optional={name: st.just(value) | JSON for name, value in good.items()}
    )


READERS: list[tuple[Callable[[Any], object], st.SearchStrategy[Any]]] = [
    (
        lambda result: answers.read_price_details(result, CODE),
        st.lists(variants(DETAILS), max_size=2),
    ),
    (answers.read_order_book, variants(QUOTES)),
    (answers.read_trades, st.lists(variants(TICK), max_size=3)),
    (
        answers.read_candles,
        st.fixed_dictionaries(
            {"candles": st.lists(variants(CANDLE), max_size=3), "nextDateTime": JSON}
        ),
    ),
    (answers.read_index_price, variants(INDEX)),
    (answers.read_exchange_rate, variants(EXCHANGE_RATE)),
    (answers.read_ranking, variants(RANKING)),
]


@pytest.mark.parametrize(("read", "variant"), READERS)
@given(st.data())
def test_any_json_is_parsed_or_rejected(
    read: Callable[[Any], object], variant: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    result = data.draw(variant | JSON)
    with suppress(TossFailed, TossNoData):
        assert read(result) is not None


@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=100))
def test_random_bytes_raise_a_toss_error(octets: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
    for response in (octets, head + octets):
        with (
            client_of(lambda _, sent=response: Answer(sent, Ending.CLOSE)) as (client, _),
            pytest.raises(TossError),
        ):
            client.price_details(CODE)
