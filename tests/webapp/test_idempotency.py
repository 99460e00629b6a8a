"""Idempotency-Key: a request that is repeated is answered once, and its work is done once."""

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


def _at_once(count: int, work: Any) -> list[TestResponse]:
    """The answers of ``count`` threads that begin together."""
    barrier = threading.Barrier(count)

    def one(number: int) -> TestResponse:
        barrier.wait()
        answer: TestResponse = work(number)
        return answer

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


@pytest.fixture
def wide_api(server_uri: str, valkey_url: str) -> Iterator[Api]:
    """The API with a connection for each of a hundred threads."""
    with opened(settings_for(server_uri, valkey_url, database_pool_size=55)) as harness:
        yield api_on(harness)


def test_a_hundred_posts_with_one_key_are_one_order(wide_api: Api) -> None:
    """Sent at once they are answered with that order or with 409 while it is being placed; afterwards all get the same answer."""
    api, person = wide_api, wide_api.person()
    api.harness.tick(70_000)

    answers = _at_once(
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


def test_ten_buys_of_the_whole_balance_are_one_order(server_api: Api) -> None:
    """Without a key each is an order of its own: exactly one finds the cash, the others are told what is left."""
    api, person = server_api, server_api.person()
    api.harness.tick(70_000)

    answers = _at_once(10, lambda _number: api.another_client().order(person, "BUY", 140))

    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 9}
    api.harness.run_all()
    assert api.harness.breaches() == []


def test_many_registrations_of_one_address_are_one_account(server_api: Api) -> None:
    """However they race, the others hear that the address is taken."""
    answers = _at_once(20, lambda _number: server_api.another_client().register("race@example.com"))

    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 19}


def test_more_requests_than_connections_are_not_a_server_error(server_api: Api) -> None:
    """Who finds no connection within the pool's patience is asked to come again."""
    api, person = server_api, server_api.person()
    pool = api.harness.settings.database_pool_size * 2
    held = [api.harness.core.database.engine.connect() for _ in range(pool)]
    try:
        problem_of(api.get("/users/me", person), "service-unavailable")
    finally:
        for connection in held:
            connection.close()

    data_of(api.get("/users/me", person))


def test_another_body_with_the_same_key_is_refused(api: Api) -> None:
    """A key stands for one request: another body or another route with it is a mistake of the client's."""
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


def test_a_refusal_is_an_answer_and_is_repeated(api: Api) -> None:
    """Also after the reason is gone: a client that repeats a request wants to know what became of that one."""
    person = api.person()
    api.harness.tick(70_000)
    refused = api.order(person, "BUY", 200, headers=KEY)
    problem_of(refused, "insufficient-cash")

    api.post("/balance/deposit", person, {"amount": 10_000_000})

    assert _is_replay(api.order(person, "BUY", 200, headers=KEY), refused)
    data_of(api.order(person, "BUY", 200), 201)


def test_an_answer_that_time_may_change_is_not_kept(api: Api) -> None:
    """503 asks to come again, so the same key may place the order as soon as there is a price."""
    person = api.person()
    problem_of(api.order(person, "BUY", 10, headers=KEY), "no-live-price")
    api.harness.tick(70_000)

    placed = api.order(person, "BUY", 10, headers=KEY)

    data_of(placed, 201)
    assert REPLAYED_HEADER not in placed.headers


def test_a_key_belongs_to_its_user(api: Api) -> None:
    """Two users may hit on the same key."""
    person, other = api.person(), api.person()

    for who in (person, other):
        moved = api.post("/balance/deposit", who, {"amount": 5}, headers=KEY)
        assert data_of(moved, 201)["user_id"] == who.id
        assert REPLAYED_HEADER not in moved.headers


def test_letter_case_makes_another_key(api: Api) -> None:
    """Keys are compared byte by byte on each kind of database."""
    person = api.person()

    for key in ("key", "KEY", "Key"):
        answer = api.post("/balance/deposit", person, {"amount": 5}, headers={KEY_HEADER: key})
        assert REPLAYED_HEADER not in answer.headers

    assert data_of(api.get("/balance", person))["cash_balance"] == 10_000_015


@pytest.mark.parametrize("path", ["/balance/deposit", "/balance/withdraw"])
def test_cash_moves_once(api: Api, path: str) -> None:
    """A repeated deposit or withdrawal shows the first one's Transaction."""
    person = api.person()

    first = api.post(path, person, {"amount": 5}, headers=KEY)
    again = api.post(path, person, {"amount": 5}, headers=KEY)

    data_of(first, 201)
    assert _is_replay(again, first)
    assert len(data_of(api.get("/trading/transactions", person))["items"]) == 2


def test_registering_again_with_the_key_is_no_conflict(api: Api) -> None:
    """A client whose answer was lost learns that his account is there, instead of that the address is taken."""
    body = {"email": "lost@example.com", "password": PASSWORD, "name": "이름"}

    first = api.post("/users", None, body, headers=KEY)

    assert _is_replay(api.post("/users", None, body, headers=KEY), first)
    problem_of(api.post("/users", None, body), "email-taken")
    problem_of(
        api.post("/users", None, body | {"password": "another good one"}, headers=KEY),
        "idempotency-key-conflict",
    )


def test_changing_the_password_again_with_the_key_succeeds_again(api: Api) -> None:
    """Though the repetition bears the old password, and that is no longer the current one."""
    person = api.person()
    body = {"current_password": PASSWORD, "new_password": "another good one"}
    first = api.post("/users/me/password", person, body, headers=KEY)
    data_of(first)

    assert _is_replay(api.post("/users/me/password", person, body, headers=KEY), first)

    problem_of(api.post("/users/me/password", person, body), "unauthorized")


def test_a_wrong_password_is_not_kept_under_a_key(api: Api) -> None:
    """401 is a state of the moment: with the same key and the password that has become right it is looked at anew."""
    person = api.person()
    body = {"current_password": "another good one", "new_password": "a third good one"}
    problem_of(api.post("/users/me/password", person, body, headers=KEY), "unauthorized")
    api.post(
        "/users/me/password",
        person,
        {"current_password": PASSWORD, "new_password": "another good one"},
    )

    data_of(api.post("/users/me/password", person, body, headers=KEY))


def test_signing_out_again_finds_nobody_signed_in(api: Api) -> None:
    """A key does not bring an ended session back to life: the repetition is a stranger's."""
    person = api.person()

    data_of(api.post("/users/logout", person, headers=KEY))

    problem_of(api.post("/users/logout", person, headers=KEY), "unauthorized")


def test_a_key_is_forgotten_after_a_day(api: Api) -> None:
    """Up to 24 hours it answers again, from then on it is a new one."""
    person = api.person()
    first = api.post("/balance/deposit", person, {"amount": 5}, headers=KEY)

    api.harness.clock.advance(hours=23, minutes=59)
    assert _is_replay(api.post("/balance/deposit", person, {"amount": 5}, headers=KEY), first)
    api.harness.clock.advance(minutes=1)
    anew = api.post("/balance/deposit", person, {"amount": 7}, headers=KEY)

    assert data_of(anew, 201)["amount"] == 7
    assert REPLAYED_HEADER not in anew.headers


def test_the_key_of_a_process_that_died_is_taken_over(api: Api) -> None:
    """A request that still runs is 409; one whose process died is done by whoever repeats it, once its claim has run out."""
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


def test_nobody_waits_long_for_the_key_of_a_process_that_died() -> None:
    """A claim outlasts the slowest request, which is one that waits for PortOne, and not by much."""
    slowest_s = PORTONE_API_TIMEOUTS.connect_s + PORTONE_API_TIMEOUTS.total_s
    assert slowest_s < CLAIM_S <= slowest_s + 5


def test_an_order_of_one_key_is_the_answers_order(api: Api) -> None:
    """What is replayed is the order as it was accepted; what became of it since is at its Location."""
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
def test_an_amendment_is_made_once(api: Api, change: dict[str, int]) -> None:
    """Repeated after the order has been amended again it shows what it did then, and changes nothing."""
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


def test_a_cancellation_is_made_once(api: Api) -> None:
    """Repeated with its key it is the same success; without one the order is no longer open."""
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


def test_cancelling_all_is_done_once(api: Api) -> None:
    """An order that was placed since is not touched by the repetition."""
    person = api.person()
    api.harness.tick(70_000)
    api.limit_order(person)
    first = api.ask("DELETE", "/trading/orders", person, headers=KEY)
    assert data_of(first)["cancelled"] == 1
    later = api.limit_order(person)

    assert _is_replay(api.ask("DELETE", "/trading/orders", person, headers=KEY), first)

    assert data_of(api.get(f"/trading/orders/{later['id']}", person))["status"] == "PENDING"


def test_twenty_cancellations_at_once_are_one(server_api: Api) -> None:
    """Without a key exactly one finds the order open; the others hear how it ended, and the cash comes back once."""
    api, person = server_api, server_api.person()
    api.harness.tick(70_000)
    path = f"/trading/orders/{api.limit_order(person)['id']}"

    answers = _at_once(20, lambda _number: api.another_client().ask("DELETE", path, person))

    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 19}
    assert data_of(api.get("/balance", person))["reserved_cash"] == 0
    assert api.harness.breaches() == []
