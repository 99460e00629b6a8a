"""Connections lost during COMMIT: its outcome is unknown, and the response is still right."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.trading.db.cutting_proxy import Cut
from tests.webapp.client import PASSWORD, Api, Person, bearer, data_of, problem_of
from webapp.http.commands import KEY_HEADER, REPLAYED_HEADER

KEY = {KEY_HEADER: "one-key"}

# A request without a key has one COMMIT; with a key, the claim's COMMIT comes first.
CUTS = {
    "without key, before": ({}, (Cut.BEFORE,)),
    "without key, after": ({}, (Cut.AFTER,)),
    "claim, before": (KEY, (Cut.BEFORE,)),
    "claim, after": (KEY, (Cut.AFTER,)),
}


def _cash(api: Api, who: Person) -> int:
    return int(data_of(api.get("/balance", who))["cash_balance"])


@pytest.mark.parametrize("case", CUTS)
def test_order_is_placed_once(server_api: Api, cut_api: Callable[..., Any], case: str) -> None:
    """The response is 201, there is one order, and its task is due."""
    headers, cuts = CUTS[case]
    person = server_api.person()
    server_api.harness.tick(70_000)

    with cut_api(*cuts) as api:
        answer = api.order(person, "BUY", 10, headers=headers)

    placed = data_of(answer, 201)
    (order,) = data_of(server_api.get("/trading/orders", person))["items"]
    assert order["id"] == placed["id"]
    assert server_api.harness.breaches() == []
    if headers:
        again = server_api.order(person, "BUY", 10, headers=headers)
        assert (again.headers[REPLAYED_HEADER], again.data) == ("true", answer.data)


@pytest.mark.parametrize("case", CUTS)
@pytest.mark.parametrize("path", ["/balance/deposit", "/balance/withdraw"])
def test_cash_moves_once(
    server_api: Api, cut_api: Callable[..., Any], path: str, case: str
) -> None:
    headers, cuts = CUTS[case]
    person = server_api.person()

    with cut_api(*cuts) as api:
        moved = data_of(api.post(path, person, {"amount": 5}, headers=headers), 201)

    assert _cash(server_api, person) == 10_000_000 + (5 if path.endswith("deposit") else -5)
    assert data_of(server_api.get(f"/trading/transactions/{moved['id']}", person)) == moved
    assert server_api.harness.breaches() == []


@pytest.mark.parametrize("case", CUTS)
@pytest.mark.parametrize(
    "change",
    [
        ("PATCH", {"price": 61_000, "quantity": 3}, (61_000, 3, "PENDING", 183_027)),
        ("PATCH", {"quantity": 12}, (60_000, 12, "PENDING", 720_108)),
        ("DELETE", {}, (60_000, 10, "CANCELLED", 0)),
    ],
    ids=str,
)
def test_order_is_changed_once(
    server_api: Api,
    cut_api: Callable[..., Any],
    change: tuple[str, dict[str, int], tuple[int, int, str, int]],
    case: str,
) -> None:
    """The response shows the changed order; a cancellation does not become 409."""
    method, body, expected = change
    headers, cuts = CUTS[case]
    person = server_api.person()
    server_api.harness.tick(70_000)
    path = f"/trading/orders/{server_api.limit_order(person)['id']}"

    with cut_api(*cuts) as api:
        changed = data_of(
            api.ask(method, path, person, headers=headers, **({"json": body} if body else {}))
        )

    assert (
        tuple(changed[name] for name in ("price", "quantity", "status", "reserved_cash"))
        == expected
    )
    assert data_of(server_api.get(path, person)) == changed
    assert data_of(server_api.get("/balance", person))["reserved_cash"] == expected[3]
    assert server_api.harness.breaches() == []


@pytest.mark.parametrize("case", CUTS)
def test_all_orders_are_cancelled_once(
    server_api: Api, cut_api: Callable[..., Any], case: str
) -> None:
    """The response lists the orders that this request cancelled."""
    headers, cuts = CUTS[case]
    person = server_api.person()
    server_api.harness.tick(70_000)
    earlier = server_api.limit_order(person)
    server_api.ask("DELETE", f"/trading/orders/{earlier['id']}", person)
    server_api.harness.clock.advance(seconds=1)
    orders = [server_api.limit_order(person)["id"] for _ in range(2)]

    with cut_api(*cuts) as api:
        done = data_of(api.ask("DELETE", "/trading/orders", person, headers=headers))

    assert done == {"cancelled": 2, "order_ids": orders}
    assert data_of(server_api.get("/balance", person))["reserved_cash"] == 0
    assert server_api.harness.breaches() == []


@pytest.mark.parametrize("cut", Cut)
def test_second_commit_of_a_keyed_request_is_cut(
    server_api: Api, cut_api: Callable[..., Any], cut: Cut
) -> None:
    """The use case's COMMIT, after the claim's: its stored answer is found, or it runs again."""
    person = server_api.person()
    server_api.harness.tick(70_000)

    # Cutting the claim's COMMIT first makes the use case's the third, on a connection that has
    # written.
    with cut_api(Cut.BEFORE, Cut.BEFORE, cut) as api:
        answer = api.order(person, "BUY", 10, headers=KEY)

    placed = data_of(answer, 201)
    (order,) = data_of(server_api.get("/trading/orders", person))["items"]
    assert order["id"] == placed["id"]
    again = server_api.order(person, "BUY", 10, headers=KEY)
    assert (again.headers[REPLAYED_HEADER], again.data) == ("true", answer.data)
    assert server_api.harness.breaches() == []


@pytest.mark.parametrize("cut", Cut)
def test_password_is_changed_once(server_api: Api, cut_api: Callable[..., Any], cut: Cut) -> None:
    """The new password works and the old one does not."""
    person = server_api.person()
    change = {"current_password": PASSWORD, "new_password": "another good one"}

    with cut_api(cut) as api:
        data_of(api.post("/users/me/password", person, change))

    problem_of(server_api.login(person.email), "unauthorized")
    data_of(server_api.login(person.email, "another good one"))


@pytest.mark.parametrize("cut", Cut)
def test_refresh_survives_a_cut(server_api: Api, cut_api: Callable[..., Any], cut: Cut) -> None:
    """The client gets tokens that work, and using them is not taken for token theft."""
    person = server_api.person()

    with cut_api(cut) as api:
        renewed = data_of(api.post("/users/refresh", headers=bearer(person.refresh_token)))

    data_of(server_api.get("/users/me", headers=bearer(renewed["access_token"])))
    data_of(server_api.post("/users/refresh", headers=bearer(renewed["refresh_token"])))


@pytest.mark.parametrize("case", CUTS)
def test_halt_begins_and_ends_once(server_api: Api, cut_api: Callable[..., Any], case: str) -> None:
    headers, cuts = CUTS[case]
    administrator = server_api.administrator()

    with cut_api(*cuts) as api:
        halted = data_of(
            api.post("/admin/trading/halt", administrator, {"reason": "점검"}, headers=headers)
        )
    resume = {name: f"{value}-resume" for name, value in headers.items()}
    with cut_api(*cuts) as api:
        resumed = data_of(api.post("/admin/trading/resume", administrator, headers=resume))

    assert (halted["reason"], halted["resumed_at"]) == ("점검", None)
    assert (resumed["id"], resumed["resumed_at"] is None) == (halted["id"], False)
    assert data_of(server_api.post("/admin/trading/resume", administrator)) is None
