"""Cash movements form a chain of balances, and the response shows whether it is unbroken."""

from uuid import UUID

from sqlalchemy import text

from tests.support.statements import statements_counted
from tests.webapp.client import Api, data_of

START = 10_000_000


def test_each_movement_continues_the_previous_balance(api: Api) -> None:
    """Newest first, over pages and with filters, with the signed change."""
    person = api.person()
    api.harness.tick(70_000)
    api.bought(person, 10)
    api.order(person, "SELL", 10)
    api.harness.run_all()
    api.post("/balance/withdraw", person, {"amount": 500})

    history = data_of(api.get("/balance/history", person))

    assert list(history) == ["items", "next_cursor", "is_unbroken"]
    assert history["is_unbroken"]
    assert [one["change"] for one in history["items"]] == [
        -500,
        700_000 - 105 - 1_400,
        -700_105,
        START,
    ]
    newer, *_ = history["items"]
    for older in history["items"][1:]:
        assert newer["cash_balance_before"] == older["cash_balance_after"]
        newer = older
    (one,) = data_of(api.get("/balance/history?limit=1&cursor=3", person))["items"]
    assert one == history["items"][2]
    sales = data_of(api.get("/balance/history?transaction_type=SELL", person))
    assert sales["items"] == [history["items"][1]]
    assert sales["is_unbroken"]


def test_broken_chain_is_reported(api: Api) -> None:
    """After one entry was changed in the database, it and the next one are not linked."""
    person = api.person()
    for _ in range(4):
        api.post("/balance/deposit", person, {"amount": 7})
    forged = text(
        "UPDATE transactions SET cash_before = cash_before + 1, cash_after = cash_after + "
        "1 WHERE user_id = :id AND sequence = 3"
    )
    api.harness.do(lambda session: session.execute(forged, {"id": UUID(person.id).bytes}))

    history = data_of(api.get("/balance/history", person))

    assert not history["is_unbroken"]
    assert {one["sequence"]: one["is_linked"] for one in history["items"]} == {
        5: True,
        4: False,
        3: False,
        2: True,
        1: True,
    }
    assert not data_of(api.get("/balance/history?limit=1&cursor=5", person))["is_unbroken"]
    assert data_of(api.get("/balance/history?limit=2&cursor=3", person))["is_unbroken"]


def test_pages_are_stable_while_cash_moves(api: Api) -> None:
    person = api.person()
    for _ in range(5):
        api.post("/balance/deposit", person, {"amount": 1})
    for path in ("/balance/history", "/trading/transactions"):
        first = data_of(api.get(f"{path}?limit=2", person))
        second = data_of(api.get(f"{path}?limit=2&cursor={first['next_cursor']}", person))
        api.post("/balance/deposit", person, {"amount": 1})
        assert data_of(api.get(f"{path}?limit=2&cursor={first['next_cursor']}", person)) == second


def test_statement_count_of_a_page_is_constant(api: Api) -> None:
    person, counts = api.person(), []
    for movements in (1, 30):
        for _ in range(movements):
            api.post("/balance/deposit", person, {"amount": 1})
        with statements_counted(api.harness.core.database.engine) as statements:
            data_of(api.get("/balance/history?limit=100", person))
        counts.append(len(statements))
    assert counts[0] == counts[1] <= 4
