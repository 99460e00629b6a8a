"""Idempotency-Key: a repeated request runs once and gets the first answer."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import func, select, update
from werkzeug.test import TestResponse

from tests.support.trading_harness import SAMSUNG, opened, settings_for
from tests.webapp.client import PASSWORD, Api, api_on, data_of, problem_of
from trading.bootstrap import PORTONE_API_TIMEOUTS
from trading.idempotency import CLAIM_S
from trading.idempotency_table import IDEMPOTENCY_RECEIPTS
from trading.orders.tables import ORDERS
from webapp.http.commands import KEY_HEADER, REPLAYED_HEADER

KEY = {KEY_HEADER: "one-key"}


def _orders(api: Api) -> int:
    return api.harness.core.database.read(
        lambda session: session.execute(select(func.count()).select_from(ORDERS)).scalar_one()
    )


def _is_replay(answer: TestResponse, of: TestResponse) -> bool:
    assert answer.headers[REPLAYED_HEADER] == "true"
    assert REPLAYED_HEADER not in of.headers
    return (answer.status_code, answer.data, answer.mimetype, answer.headers.get("Location")) == (
        of.status_code, of.data, of.mimetype, of.headers.get("Location"),
    )  # fmt: skip


def _concurrently(count: int, work: Any) -> list[TestResponse]:
    """Return the answers of `count` threads that start together."""
    barrier = threading.Barrier(count)

    def one(number: int) -> TestResponse:
        barrier.wait()
        answer: TestResponse = work(number)
        return answer

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


@pytest.fixture
def wide_api(server_uri: str, valkey_url: str) -> Iterator[Api]:
    """The API with a database connection for each of a hundred threads."""
    with opened(settings_for(server_uri, valkey_url, database_pool_size=55)) as harness:
        yield api_on(harness)


def test_hundred_concurrent_posts_with_one_key_place_one_order(wide_api: Api) -> None:
    """Concurrent requests get the order or 409; later ones all get the same answer."""
    api, person = wide_api, wide_api.person()
    api.harness.tick(70_000)

    answers = _concurrently(
        100, lambda _number: api.another_client().order(person, "BUY", 10, headers=KEY)
    )

    found = Counter(answer.status_code for answer in answers)
    assert set(found) <= {201, 409}, found
    assert all(
        answer.get_json()["code"] == "request-in-progress"
        for answer in answers
        if answer.status_code == 409
    )
    assert _orders(api) == 1
    placed = next(
        answer
        for answer in answers
        if REPLAYED_HEADER not in answer.headers and answer.status_code == 201
    )
    assert all(
        _is_replay(one, placed) for one in answers if one.status_code == 201 and one is not placed
    )
    assert _is_replay(api.order(person, "BUY", 10, headers=KEY), placed)
    api.harness.run_all()
    assert api.harness.breaches() == []


def test_only_one_of_ten_concurrent_buys_of_the_whole_balance_succeeds(server_api: Api) -> None:
    """Without a key each is an order of its own; the others get the remaining cash as fact."""
    api, person = server_api, server_api.person()
    api.harness.tick(70_000)

    answers = _concurrently(10, lambda _number: api.another_client().order(person, "BUY", 140))

    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 9}
    api.harness.run_all()
    assert api.harness.breaches() == []


def test_concurrent_registrations_of_one_email_open_one_account(server_api: Api) -> None:
    answers = _concurrently(
        20, lambda _number: server_api.another_client().register("race@example.com")
    )

    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 19}


def test_more_requests_than_connections_cause_no_server_error(server_api: Api) -> None:
    """Requests without a connection get a 503."""
    api, person = server_api, server_api.person()
    pool = api.harness.settings.database_pool_size * 2
    held = [api.harness.core.database.engine.connect() for _ in range(pool)]
    try:
        problem_of(api.get("/users/me", person), "service-unavailable")
    finally:
        for connection in held:
            connection.close()

    data_of(api.get("/users/me", person))


def test_key_with_another_request_is_refused(api: Api) -> None:
    """Another body or another route."""
    person = api.person()
    api.harness.tick(70_000)
    first = api.order(person, "BUY", 10, headers=KEY)

    problem_of(api.order(person, "BUY", 11, headers=KEY), "idempotency-key-conflict")
    problem_of(
        api.post("/balance/deposit", person, {"amount": 1}, headers=KEY), "idempotency-key-conflict"
    )

    reordered = {"quantity": 10, "side": "BUY", "stock_code": SAMSUNG}
    assert _is_replay(api.post("/trading/orders", person, reordered, headers=KEY), first)
    assert _orders(api) == 1


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("invalid-tick-size", {"order_type": "LIMIT", "price": 70_001}),
        ("stock-not-found", {"code": "A999999"}),
        ("client-order-id-taken", {"client_order_id": "mine"}),
    ],
)
def test_permanent_refusal_is_stored_and_repeated(
    api: Api, code: str, change: dict[str, Any]
) -> None:
    person = api.person()
    api.harness.tick(70_000)
    data_of(api.order(person, "BUY", 1, client_order_id="mine"), 201)

    refused = api.order(person, "BUY", 10, headers=KEY, **change)

    problem_of(refused, code)
    assert _is_replay(api.order(person, "BUY", 10, headers=KEY, **change), refused)


def test_refused_change_of_a_closed_order_is_repeated(api: Api) -> None:
    person = api.person()
    api.harness.tick(70_000)
    path = f"/trading/orders/{api.limit_order(person)['id']}"
    data_of(api.ask("DELETE", path, person))

    refused = api.ask("PATCH", path, person, json={"quantity": 1}, headers=KEY)

    problem_of(refused, "order-not-open")
    assert _is_replay(api.ask("PATCH", path, person, json={"quantity": 1}, headers=KEY), refused)


def test_key_with_another_query_is_refused(api: Api) -> None:
    person = api.person()
    created = data_of(api.post("/watchlist/directories", person, {"name": "그룹"}), 201)
    path = f"/watchlist/directories/{created['id']}"
    data_of(api.ask("DELETE", path, person, headers=KEY, query_string={"force": "true"}))

    problem_of(api.ask("DELETE", path, person, headers=KEY), "idempotency-key-conflict")


def test_keys_are_separate_per_user(api: Api) -> None:
    person, other = api.person(), api.person()

    for who in (person, other):
        moved = api.post("/balance/deposit", who, {"amount": 5}, headers=KEY)
        assert data_of(moved, 201)["user_id"] == who.id
        assert REPLAYED_HEADER not in moved.headers


def test_keys_are_case_sensitive(api: Api) -> None:
    """On every kind of database."""
    person = api.person()

    for key in ("key", "KEY", "Key"):
        answer = api.post("/balance/deposit", person, {"amount": 5}, headers={KEY_HEADER: key})
        assert REPLAYED_HEADER not in answer.headers

    assert data_of(api.get("/balance", person))["cash_balance"] == 10_000_015


@pytest.mark.parametrize("path", ["/balance/deposit", "/balance/withdraw"])
def test_cash_moves_once(api: Api, path: str) -> None:
    person = api.person()

    first = api.post(path, person, {"amount": 5}, headers=KEY)
    again = api.post(path, person, {"amount": 5}, headers=KEY)

    data_of(first, 201)
    assert _is_replay(again, first)
    assert len(data_of(api.get("/trading/transactions", person))["items"]) == 2


def test_repeated_registration_returns_the_account(api: Api) -> None:
    body = {"email": "lost@example.com", "password": PASSWORD, "name": "이름"}

    first = api.post("/users", None, body, headers=KEY)

    assert _is_replay(api.post("/users", None, body, headers=KEY), first)
    problem_of(api.post("/users", None, body), "email-taken")
    problem_of(
        api.post("/users", None, body | {"password": "another good one"}, headers=KEY),
        "idempotency-key-conflict",
    )


def test_repeated_password_change_succeeds(api: Api) -> None:
    """Although its body has the old password."""
    person = api.person()
    body = {"current_password": PASSWORD, "new_password": "another good one"}
    first = api.post("/users/me/password", person, body, headers=KEY)
    data_of(first)

    assert _is_replay(api.post("/users/me/password", person, body, headers=KEY), first)

    problem_of(api.post("/users/me/password", person, body), "unauthorized")


def test_wrong_password_is_not_stored(api: Api) -> None:
    """401 releases the key, so the corrected request works."""
    person = api.person()
    body = {"current_password": "another good one", "new_password": "a third good one"}
    problem_of(api.post("/users/me/password", person, body, headers=KEY), "unauthorized")
    api.post(
        "/users/me/password",
        person,
        {"current_password": PASSWORD, "new_password": "another good one"},
    )

    data_of(api.post("/users/me/password", person, body, headers=KEY))


def test_repeated_logout_is_unauthorized(api: Api) -> None:
    """A key does not revive an ended session."""
    person = api.person()

    data_of(api.post("/users/logout", person, headers=KEY))

    problem_of(api.post("/users/logout", person, headers=KEY), "unauthorized")


def test_key_expires_after_a_day(api: Api) -> None:
    person = api.person()
    first = api.post("/balance/deposit", person, {"amount": 5}, headers=KEY)

    api.harness.clock.advance(hours=23, minutes=59)
    assert _is_replay(api.post("/balance/deposit", person, {"amount": 5}, headers=KEY), first)
    api.harness.clock.advance(minutes=1)
    executed_again = api.post("/balance/deposit", person, {"amount": 7}, headers=KEY)

    assert data_of(executed_again, 201)["amount"] == 7
    assert REPLAYED_HEADER not in executed_again.headers


def test_key_of_a_dead_process_is_taken_over(api: Api) -> None:
    """409 while the claim is valid; afterwards the repetition runs the request."""
    person = api.person()
    api.harness.tick(70_000)
    placed = api.order(person, "BUY", 10, headers={KEY_HEADER: "done"})
    data_of(placed, 201)
    unanswer = (
        update(IDEMPOTENCY_RECEIPTS)
        .where(IDEMPOTENCY_RECEIPTS.c.idempotency_key == "done")
        .values(status=None, body=None, location=None, idempotency_key="one-key")
    )
    api.harness.core.database.transaction(lambda session: session.execute(unanswer))

    problem_of(api.order(person, "BUY", 10, headers=KEY), "request-in-progress")
    api.harness.clock.advance(seconds=CLAIM_S)
    api.harness.tick(70_000)
    done = api.order(person, "BUY", 10, headers=KEY)

    data_of(done, 201)
    assert _is_replay(api.order(person, "BUY", 10, headers=KEY), done)


def test_claim_outlasts_the_slowest_request_only_slightly() -> None:
    """The slowest request waits for PortOne."""
    slowest_s = PORTONE_API_TIMEOUTS.connect_s + PORTONE_API_TIMEOUTS.total_s
    assert slowest_s < CLAIM_S <= slowest_s + 5


def test_replay_shows_the_order_as_accepted(api: Api) -> None:
    """Its current state is at its Location."""
    person = api.person()
    api.harness.tick(70_000)
    first = api.order(person, "BUY", 10, headers=KEY)
    api.harness.run_all()

    again = api.order(person, "BUY", 10, headers=KEY)

    assert _is_replay(again, first)
    assert again.get_json()["data"]["status"] == "PENDING"
    assert (
        data_of(api.client.get(again.headers["Location"], headers=person.headers))["status"]
        == "FILLED"
    )


@pytest.mark.parametrize(
    "change", [{"price": 61_000}, {"quantity": 3}, {"price": 61_000, "quantity": 3}], ids=str
)
def test_amendment_runs_once(api: Api, change: dict[str, int]) -> None:
    """A repetition after another amendment shows the first result and changes nothing."""
    person = api.person()
    api.harness.tick(70_000)
    path = f"/trading/orders/{api.limit_order(person)['id']}"
    first = api.ask("PATCH", path, person, json=change, headers=KEY)
    data_of(first)
    data_of(api.ask("PATCH", path, person, json={"price": 50_000, "quantity": 7}))

    assert _is_replay(api.ask("PATCH", path, person, json=change, headers=KEY), first)

    assert (
        data_of(api.get(path, person))["price"],
        data_of(api.get(path, person))["quantity"],
    ) == (50_000, 7)
    problem_of(
        api.ask("PATCH", path, person, json={"quantity": 9}, headers=KEY),
        "idempotency-key-conflict",
    )


def test_cancellation_runs_once(api: Api) -> None:
    """Without a key, the second request finds the order closed."""
    person = api.person()
    api.harness.tick(70_000)
    path = f"/trading/orders/{api.limit_order(person)['id']}"
    first = api.ask("DELETE", path, person, headers=KEY)
    assert data_of(first)["status"] == "CANCELLED"

    assert _is_replay(api.ask("DELETE", path, person, headers=KEY), first)

    problem_of(api.ask("DELETE", path, person), "order-not-open")
    problem_of(
        api.ask("PATCH", path, person, json={"quantity": 1}, headers=KEY),
        "idempotency-key-conflict",
    )


def test_cancelling_all_runs_once(api: Api) -> None:
    """A later order is not cancelled by the repetition."""
    person = api.person()
    api.harness.tick(70_000)
    api.limit_order(person)
    first = api.ask("DELETE", "/trading/orders", person, headers=KEY)
    assert data_of(first)["cancelled"] == 1
    later = api.limit_order(person)

    assert _is_replay(api.ask("DELETE", "/trading/orders", person, headers=KEY), first)

    assert data_of(api.get(f"/trading/orders/{later['id']}", person))["status"] == "PENDING"


def test_only_one_of_twenty_concurrent_cancellations_succeeds(server_api: Api) -> None:
    """The others get the order's end, and the cash is released once."""
    api, person = server_api, server_api.person()
    api.harness.tick(70_000)
    path = f"/trading/orders/{api.limit_order(person)['id']}"

    answers = _concurrently(20, lambda _number: api.another_client().ask("DELETE", path, person))

    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 19}
    assert data_of(api.get("/balance", person))["reserved_cash"] == 0
    assert api.harness.breaches() == []
