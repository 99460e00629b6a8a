"""Which stocks the relayer is told to follow."""

from tests.books import HYNIX, SAMSUNG, Books
from trading.queries.subscriptions import codes_to_follow
from trading.rules.orders import Side

KAKAO, NAVER = "A035720", "A035420"


def followed(books: Books, *, budget: int) -> list[str]:
    return books.core.database.read(lambda session: codes_to_follow(session, budget=budget))


def test_stocks_with_open_orders_come_before_held_ones(books: Books) -> None:
    """A market order that waits for its execution, limit orders on both sides of a book, then what is held, then the largest."""
    user_id = books.user()
    for code in (SAMSUNG, HYNIX, NAVER):
        books.tick(10_000, code)
    for code in (SAMSUNG, HYNIX):
        books.place(user_id, Side.BUY, 2, code)
    books.run_all()
    books.place(user_id, Side.SELL, 1, HYNIX, limit=12_000)
    books.place(user_id, Side.BUY, 1, HYNIX, limit=9_000)
    books.place(user_id, Side.BUY, 1, NAVER)

    assert set(followed(books, budget=2)) == {HYNIX, NAVER}
    assert followed(books, budget=3)[2] == SAMSUNG
    assert len(set(followed(books, budget=20))) == 20


def test_a_finished_order_is_no_reason_to_follow_a_stock(books: Books) -> None:
    """Once it is cancelled the stock falls back to its place by market value."""
    user_id = books.user()
    books.tick(10_000, KAKAO)
    order = books.place(user_id, Side.BUY, 1, KAKAO, limit=9_000)

    assert followed(books, budget=1) == [KAKAO]
    books.cancel(user_id, order.id)

    assert followed(books, budget=1) == [SAMSUNG]
