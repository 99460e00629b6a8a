"""Tests of the choice of stocks that the relayer follows."""

from tests.support.trading_harness import HYNIX, SAMSUNG, TradingHarness
from tests.trading.orders.steps import bought, set_status
from tests.trading.watchlists.watchlist_factory import unwatch, watch
from trading.exchange.order_types import Side
from trading.marketdata.subscriptions import SubscriptionSource
from trading.watchlists.followed_stocks import stocks_to_follow

KAKAO, NAVER = "A035720", "A035420"


def followed(harness: TradingHarness, *, largest: int) -> dict[str, SubscriptionSource]:
    return harness.core.read(stocks_to_follow, largest=largest)


def test_each_stock_has_its_most_urgent_source(harness: TradingHarness) -> None:
    """Open orders come first (due or in the book), then holdings, then the largest stocks."""
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

    assert [code for code, source in found.items() if source is SubscriptionSource.OPEN_ORDERS] == [
        NAVER,
        HYNIX,
    ]
    assert [code for code, source in found.items() if source is SubscriptionSource.HOLDINGS] == [
        SAMSUNG
    ]
    assert set(found.values()) == {
        SubscriptionSource.OPEN_ORDERS,
        SubscriptionSource.HOLDINGS,
        SubscriptionSource.MARKET_VALUE,
    }
    assert len(found) >= 20


def test_watched_stock_is_followed_after_open_orders_and_holdings(harness: TradingHarness) -> None:
    """It is followed until nobody watches it. A stock that is also held has the source HOLDINGS."""
    user_id, other = harness.user(), harness.user()
    bought(harness, user_id, 1, code=NAVER)
    items = [(watcher, watch(harness, watcher, KAKAO)) for watcher in (user_id, other)]
    watch(harness, other, NAVER)

    for watcher, item_id in items:
        assert followed(harness, largest=1) == {
            NAVER: SubscriptionSource.HOLDINGS,
            KAKAO: SubscriptionSource.WATCHLISTS,
            SAMSUNG: SubscriptionSource.MARKET_VALUE,
        }
        unwatch(harness, watcher, item_id)

    assert followed(harness, largest=1) == {
        NAVER: SubscriptionSource.HOLDINGS,
        SAMSUNG: SubscriptionSource.MARKET_VALUE,
    }


def test_delisted_stock_is_not_followed(harness: TradingHarness) -> None:
    """Although it is held and watched; a halted one is."""
    user_id = harness.user()
    for code in (NAVER, KAKAO):
        bought(harness, user_id, 1, code=code)
        watch(harness, user_id, code)
    set_status(harness, "DELISTED", NAVER)
    set_status(harness, "HALTED", KAKAO)

    assert followed(harness, largest=1) == {
        KAKAO: SubscriptionSource.HOLDINGS,
        SAMSUNG: SubscriptionSource.MARKET_VALUE,
    }


def test_open_orders_are_followed_beyond_the_limit_of_largest_stocks(
    harness: TradingHarness,
) -> None:
    """The relayer, not this query, reports stocks that exceed its subscriptions."""
    user_id = harness.user()
    for code in (KAKAO, NAVER):
        harness.tick(10_000, code)
        harness.place(user_id, Side.BUY, 1, code)

    assert followed(harness, largest=1) == {
        KAKAO: SubscriptionSource.OPEN_ORDERS,
        NAVER: SubscriptionSource.OPEN_ORDERS,
        SAMSUNG: SubscriptionSource.MARKET_VALUE,
    }


def test_cancelled_order_no_longer_makes_its_stock_followed(harness: TradingHarness) -> None:
    user_id = harness.user()
    harness.tick(10_000, KAKAO)
    order = harness.place(user_id, Side.BUY, 1, KAKAO, limit=9_000)

    assert followed(harness, largest=1) == {
        KAKAO: SubscriptionSource.OPEN_ORDERS,
        SAMSUNG: SubscriptionSource.MARKET_VALUE,
    }
    harness.cancel(user_id, order.id)

    assert followed(harness, largest=1) == {SAMSUNG: SubscriptionSource.MARKET_VALUE}
