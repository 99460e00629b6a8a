"""Account events over HTTP: own events, in order, from a given position."""

from json import loads
from typing import Any
from uuid import UUID

import pytest

from tests.trading.orders.steps import events
from tests.webapp.client import Api, Person, data_of, problem_of


def ask(api: Api, who: Person, query: str = "") -> dict[str, Any]:
    page: dict[str, Any] = data_of(api.get(f"/trading/events{query}", who))
    assert list(page) == ["items", "next_cursor", "last_event_id"]
    return page


def test_events_have_the_members_of_the_database_and_the_stream(api: Api) -> None:
    person = api.person()
    api.harness.tick(70_000)
    api.bought(person)

    page = ask(api, person)

    assert [event["kind"] for event in page["items"]] == [
        "cash",
        "order",
        "fill",
        "order",
        "cash",
        "holding",
    ]
    for shown, event in zip(page["items"], events(api.harness, UUID(person.id)), strict=True):
        assert list(shown) == ["id", "kind", "occurred_at", "data"]
        assert shown == loads(event.to_json())
    assert (page["next_cursor"], page["last_event_id"]) == (None, 6)


def test_event_members_are_named_like_those_of_the_resource(api: Api) -> None:
    person = api.person()
    api.harness.tick(70_000)
    api.bought(person)
    _, _, fill, order, cash, holding = [event["data"] for event in ask(api, person)["items"]]

    (answered,) = data_of(api.get("/trading/orders", person))["items"]
    assert order == {name: answered[name] for name in order}
    (execution,) = answered["executions"]
    own = {
        "order_id": answered["id"],
        "stock_code": answered["stock_code"],
        "side": answered["side"],
    }
    assert fill == {name: (execution | own)[name] for name in fill}
    transaction = data_of(api.get("/trading/transactions", person))["items"][0]
    assert cash == {name: transaction[name] for name in cash}
    held = data_of(api.get("/portfolio/A005930", person))
    assert holding == {name: held[name] for name in holding}


@pytest.mark.parametrize("limit", [1, 2, 5, 100])
def test_paging_returns_every_event_once(api: Api, limit: int) -> None:
    """With any page size, while new events arrive."""
    person = api.person()
    for _ in range(4):
        data_of(api.post("/balance/deposit", person, {"amount": 1}), 201)

    seen, after = [], "0"
    while True:
        page = ask(api, person, f"?after={after}&limit={limit}")
        assert len(page["items"]) <= limit
        seen += [event["id"] for event in page["items"]]
        if page["next_cursor"] is None:
            break
        after = page["next_cursor"]
    assert seen == [1, 2, 3, 4, 5]

    assert ask(api, person, "?after=5") == {"items": [], "next_cursor": None, "last_event_id": 5}
    data_of(api.post("/balance/withdraw", person, {"amount": 1}), 201)
    (event,) = ask(api, person, "?after=5")["items"]
    assert (event["id"], event["data"]["transaction_type"]) == (6, "WITHDRAW")


def test_response_contains_the_newest_event_id(api: Api) -> None:
    """A client that is ahead of the account can notice it."""
    assert ask(api, api.person(), "?after=999") == {
        "items": [],
        "next_cursor": None,
        "last_event_id": 1,
    }


def test_users_see_only_their_own_events(api: Api) -> None:
    one, other = api.person(), api.person()
    data_of(api.post("/balance/deposit", one, {"amount": 11}), 201)
    data_of(api.post("/balance/deposit", other, {"amount": 22}), 201)

    for person, amount in ((one, 11), (other, 22)):
        page = ask(api, person)
        assert [(event["id"], event["data"]["amount"]) for event in page["items"]] == [
            (1, 10_000_000),
            (2, amount),
        ]
    named = api.get(f"/trading/events?user_id={other.id}", one)
    problem_of(named, "unknown-query-parameter")
    problem_of(api.get("/trading/events"), "unauthorized")


@pytest.mark.parametrize(
    "query",
    ["after=-1", "after=1.5", "after=x", "after=", "after=%EF%BC%99", "after=" + "9" * 16,
     "limit=0", "limit=101", "limit=x"],
)  # fmt: skip
def test_invalid_position_is_refused(sqlite_api: Api, query: str) -> None:
    problem = problem_of(
        sqlite_api.get(f"/trading/events?{query}", sqlite_api.person()), "validation-failed"
    )

    assert list(problem["errors"]["query"]) == [query.partition("=")[0]]
