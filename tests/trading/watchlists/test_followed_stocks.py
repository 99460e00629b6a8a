"""Which stocks the relayer is told to follow, and why."""

from tests.support.trading_harness import HYNIX, SAMSUNG, TradingHarness
from tests.trading.orders.steps import bought
from tests.trading.watchlists.watchlist_factory import unwatch, watch
from trading.exchange.order_types import Side
from trading.marketdata.subscriptions import Source
from trading.watchlists.followed_stocks import stocks_to_follow

KAKAO, NAVER = "A035720", "A035420"


def followed(harness: TradingHarness, *, largest: int) -> dict[str, Source]:
    return harness.core.read(stocks_to_follow, largest=largest)


def test_every_stock_has_its_most_urgent_source(harness: TradingHarness) -> None:
    """A market order that waits for its execution, limit orders on both sides of a book, what is held, and the largest to fill up."""
    user_id = harness.user()
    for code in (SAMSUNG, HYNIX, NAVER):
        harness.tick(10_000, code)
    for code in (SAMSUNG, HYNIX):
        harness.place(user_id, Side.BUY, 2, code)
    harness.run_all()
    harness.place(user_id, Side.SELL, 1, HYNIX, limit=12_000)
    harness.place(user_id, Side.BUY, 1, HYNIX, limit=9_000)
    harness.place(user_id, Side.BUY, 1, NAVER)

    found = followed(harness, largest=20)

    assert [code for code, source in found.items() if source is Source.OPEN_ORDERS] == [
        NAVER,
        HYNIX,
    ]
    assert [code for code, source in found.items() if source is Source.HOLDINGS] == [SAMSUNG]
    assert set(found.values()) == {Source.OPEN_ORDERS, Source.HOLDINGS, Source.MARKET_VALUE}
    assert len(found) >= 20


def test_a_watched_stock_is_followed_behind_those_of_money(harness: TradingHarness) -> None:
    """Whoever watches it, until nobody does; one that is held as well is followed for that."""
    user_id, other = harness.user(), harness.user()
    bought(harness, user_id, 1, code=NAVER)
    items = [(who, watch(harness, who, KAKAO)) for who in (user_id, other)]
    watch(harness, other, NAVER)

    for who, item_id in items:
        assert followed(harness, largest=1) == {
            NAVER: Source.HOLDINGS,
            KAKAO: Source.WATCHLISTS,
            SAMSUNG: Source.MARKET_VALUE,
        }
        unwatch(harness, who, item_id)

    assert followed(harness, largest=1) == {NAVER: Source.HOLDINGS, SAMSUNG: Source.MARKET_VALUE}


def test_what_money_depends_on_knows_no_bound(harness: TradingHarness) -> None:
    """What does not fit the budget is the relayer's to tell, so all of it is named."""
    user_id = harness.user()
    for code in (KAKAO, NAVER):
        harness.tick(10_000, code)
        harness.place(user_id, Side.BUY, 1, code)

    assert followed(harness, largest=1) == {
        KAKAO: Source.OPEN_ORDERS,
        NAVER: Source.OPEN_ORDERS,
        SAMSUNG: Source.MARKET_VALUE,
    }


def test_a_finished_order_is_no_reason_to_follow_a_stock(harness: TradingHarness) -> None:
    """Once it is cancelled the stock is only as important as it is large."""
    user_id = harness.user()
    harness.tick(10_000, KAKAO)
    order = harness.place(user_id, Side.BUY, 1, KAKAO, limit=9_000)

    assert followed(harness, largest=1) == {KAKAO: Source.OPEN_ORDERS, SAMSUNG: Source.MARKET_VALUE}
    harness.cancel(user_id, order.id)

    assert followed(harness, largest=1) == {SAMSUNG: Source.MARKET_VALUE}
