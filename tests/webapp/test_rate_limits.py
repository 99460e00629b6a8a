"""How often one may ask: every route has its limit, each user his own, and a refusal costs nothing."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from werkzeug.test import TestResponse

from tests.support.servers import Valkey, wait_until
from tests.support.statements import statements_counted
from tests.support.trading_harness import COUNTED, opened, settings_for
from tests.webapp.client import PASSWORD, Api, Person, api_on, bearer, data_of, problem_of
from tests.webapp.counting_proxy import counting_proxy
from tests.webapp.test_sessions import FORGERIES
from trading.config.settings import Settings
from webapp.http.rate_limit_policies import BY_ROUTE, EXEMPT
from webapp.http.rate_limits import HEADERS, LIMIT_HEADER, REMAINING_HEADER, RESET_HEADER

ONCE = {
    f"rate_limit_{name}": "1 per hour"
    for name in (
        "sign_in_address",
        "registration",
        "password_change",
        "refresh",
        "orders",
        "money",
        "writes",
        "reads",
        "strangers",
        "webhook",
    )
}

_addresses = (f"198.51.{number // 250}.{number % 250 + 1}" for number in count())


@contextmanager
def limited(uri: str, redis_url: str, **changed: object) -> Iterator[Api]:
    """The API with these limits; without any, with those of the settings."""
    with opened(settings_for(uri, redis_url, rate_limits=True, **changed)) as harness:
        yield api_on(harness)


def from_somewhere() -> dict[str, dict[str, str]]:
    """What a request is sent with that comes from an address of its own."""
    return {"environ_overrides": {"REMOTE_ADDR": next(_addresses)}}


def newcomer(api: Api) -> Person:
    """A new user from an address of his own, who has asked for nothing but to be let in."""
    place = from_somewhere()
    email = f"{uuid4().hex}@example.com"
    account = {"email": email, "password": PASSWORD}
    data_of(api.post("/users", json={**account, "name": "새 사람"}, **place), 201)
    tokens = data_of(api.post("/users/login", json=account, **place))
    return Person(
        tokens["user"]["id"], email, PASSWORD, tokens["access_token"], tokens["refresh_token"]
    )


def refused(answer: TestResponse) -> bool:
    """Whether it was one too many; it says so in full then."""
    if answer.status_code != 429:
        return False
    body = problem_of(answer, "rate-limited")
    assert answer.headers["Retry-After"] == str(body["retry_after_s"])
    assert 1 <= body["retry_after_s"] <= body["window_s"]
    assert answer.headers[LIMIT_HEADER] == str(body["limit"])
    assert answer.headers[REMAINING_HEADER] == "0"
    return True


def every_route(api: Api) -> list[tuple[str, str, str]]:
    """Method, rule, and a path by it, of whatever the application serves."""
    return sorted(
        (
            method,
            rule.rule,
            re.sub(r"<\w+>|<path:\w+>", "A005930", re.sub(r"<uuid:\w+>", str(uuid4()), rule.rule)),
        )
        for rule in api.app.url_map.iter_rules()
        for method in rule.methods or ()
        if method not in ("HEAD", "OPTIONS")
    )


def test_every_route_has_a_limit_or_a_reason(migrated_sqlite: str, valkey_url: str) -> None:
    """Asked a second time where one request is allowed each refuses, a route that is new as well; but for a few, each of which says why."""
    with limited(migrated_sqlite, valkey_url, **ONCE) as api:
        asked = every_route(api)
        assert len(asked) > 70
        assert {(method, rule) for method, rule, _ in asked} >= set(BY_ROUTE)
        for method, rule, path in asked:
            who, place = newcomer(api), from_somewhere()
            first, second = (
                api.client.open(path, method=method, headers=who.headers, **place) for _ in range(2)
            )
            with first, second:
                assert not refused(first), (method, rule)
                assert refused(second) == (rule not in EXEMPT), (method, rule)
    assert all(len(reason) > 20 for reason in EXEMPT.values())
    assert set(EXEMPT) <= {"/healthz", "/readyz", "/metrics"}


def test_what_is_not_there_is_limited_too(migrated_sqlite: str, valkey_url: str) -> None:
    """Whoever tries addresses, or methods, or the parts of a page, asks as everybody else does."""
    with limited(migrated_sqlite, valkey_url, **ONCE) as api:
        for path, method in (
            ("/nothing/here", "GET"),
            ("/api/v1/users/login", "PUT"),
            ("/demo/payment/assets/x", "GET"),
        ):
            place = from_somewhere()
            assert not refused(api.client.open(path, method=method, **place))
            assert refused(api.client.open(path, method=method, **place)), path


def test_orders_share_one_budget_and_reads_have_another(
    migrated_sqlite: str, valkey_url: str
) -> None:
    """Placed, amended or cancelled, they count together; the one too many is not placed, and the user still sees his account."""
    with limited(migrated_sqlite, valkey_url, rate_limit_orders="10 per hour") as api:
        person = newcomer(api)
        api.harness.tick(70_000)
        path = f"/trading/orders/{uuid4()}"
        ways: list[Callable[[], TestResponse]] = [
            lambda: api.order(person),
            lambda: api.ask("PATCH", path, person, json={"price": 60_000}),
            lambda: api.ask("DELETE", path, person),
        ]

        answers = [ways[number % 3]() for number in range(10)]

        assert [answer.status_code for answer in answers[:3]] == [201, 404, 404]
        assert [answer.headers[REMAINING_HEADER] for answer in answers] == [
            str(left) for left in range(9, -1, -1)
        ]
        assert all(refused(way()) for way in ways)
        assert len(data_of(api.get("/trading/orders", person))["items"]) == 4


def test_what_was_too_many_is_not_any_more_a_while_later(
    migrated_sqlite: str, valkey_url: str
) -> None:
    """The answer says when, and then it is so."""
    with limited(migrated_sqlite, valkey_url, rate_limit_orders="1 per second") as api:
        person = newcomer(api)
        api.harness.tick(70_000)
        wait_until(lambda: refused(api.order(person)), what="an order too many")
        until = time.monotonic() + api.answers[-1].get_json()["retry_after_s"]

        wait_until(lambda: time.monotonic() > until, what="the time to try again")

        assert api.order(person).status_code == 201


def test_orders_are_limited_to_ten_a_second_by_default(counting_api: Api) -> None:
    """And reads to two hundred in ten."""
    person = newcomer(counting_api)

    limits = [
        counting_api.order(person).headers[LIMIT_HEADER],
        counting_api.get("/balance", person).headers[LIMIT_HEADER],
    ]

    assert limits == ["10", "200"]
    assert Settings.model_fields["rate_limit_orders"].default == "10 per second"


def test_answers_tell_what_is_left(counting_api: Api) -> None:
    """Successes and refusals alike; and what is not counted tells nothing."""
    person = newcomer(counting_api)

    first, second = (
        counting_api.get("/balance", person),
        counting_api.get("/trading/orders/none", person),
    )

    assert (first.headers[LIMIT_HEADER], first.headers[REMAINING_HEADER]) == ("200", "199")
    assert second.headers[REMAINING_HEADER] == "198"
    assert int(second.headers[RESET_HEADER]) >= 1_700_000_000
    assert "Retry-After" not in first.headers
    assert not set(HEADERS) & set(counting_api.client.get("/healthz").headers.keys())
    assert not set(HEADERS) & set(counting_api.ask("OPTIONS", "/balance").headers.keys())


def test_each_user_has_his_own_limit(migrated_sqlite: str, valkey_url: str) -> None:
    """Wherever he comes from, and however many sessions he has; another at the same address is not held up."""
    with limited(
        migrated_sqlite, valkey_url, **(COUNTED | {"rate_limit_reads": "2 per hour"})
    ) as api:
        one, other = api.person(), api.person()
        session = api.signed_in(one.email)

        assert not refused(api.get("/balance", one, **from_somewhere()))
        assert not refused(api.get("/balance", session, **from_somewhere()))
        assert refused(api.get("/balance", one, **from_somewhere()))
        assert refused(api.get("/balance", session, **from_somewhere()))
        assert not refused(api.get("/balance", other))


# A token that we have signed for an unknown session of this very user is as good as one whose session has ended: see the next test.
@pytest.mark.parametrize("forgery", sorted(set(FORGERIES) - {"unknown session"}))
def test_a_token_that_proves_nobody_uses_up_nobodys_limit(
    migrated_sqlite: str, valkey_url: str, forgery: str
) -> None:
    """Its bearer is a stranger, counted by his address."""
    with limited(
        migrated_sqlite, valkey_url, **(COUNTED | {"rate_limit_reads": "1 per hour"})
    ) as api:
        victim = api.person()
        token = FORGERIES[forgery](api, victim)
        for _ in range(3):
            problem_of(api.get("/balance", headers=bearer(token)), "unauthorized")

        data_of(api.get("/balance", victim))


def test_a_session_that_has_ended_uses_up_no_limit_either(
    migrated_sqlite: str, valkey_url: str
) -> None:
    """Who finds a token of a session that was signed out is told so, once in the user's name and then in his own."""
    with limited(
        migrated_sqlite, valkey_url, **(COUNTED | {"rate_limit_reads": "2 per hour"})
    ) as api:
        person = api.person()
        here = api.signed_in(person.email)
        data_of(api.post("/users/logout", person))

        for _ in range(5):
            problem_of(api.get("/balance", person), "unauthorized")

        data_of(api.get("/balance", here))


def test_addresses_of_one_ipv6_network_are_one_client(
    migrated_sqlite: str, valkey_url: str
) -> None:
    """A subscriber has a whole /64, and would never be refused otherwise."""
    with limited(migrated_sqlite, valkey_url, rate_limit_strangers="2 per hour") as api:

        def clock(address: str) -> TestResponse:
            return api.get("/market/clock", environ_overrides={"REMOTE_ADDR": address})

        assert not refused(clock("2001:db8::1"))
        assert not refused(clock("2001:db8::2"))
        assert refused(clock("2001:db8::ffff:3"))
        assert not refused(clock("2001:db8:0:1::1"))


def test_a_refusal_looks_at_nothing(migrated_sqlite: str, valkey_url: str) -> None:
    """Neither at a body, which may be no JSON or far too large, so that no password in it is hashed; nor at the database."""
    with limited(migrated_sqlite, valkey_url, **ONCE) as api:
        place = from_somewhere()
        api.post("/users/login", json={}, **place)
        with statements_counted(api.harness.core.database.engine) as statements:
            for body in (
                b"{",
                b"x" * 100_000,
                b'{"email": "a@example.com", "password": "correct horse"}',
            ):
                answer = api.post(
                    "/users/login", data=body, headers={"Content-Type": "application/json"}, **place
                )
                assert refused(answer)
        assert statements == []


def test_a_request_takes_one_round_trip_to_be_counted(
    migrated_sqlite: str, valkey_server: Valkey, valkey_url: str
) -> None:
    """The count and what the answer tells of it together, also where Redis has to be taught the scripts first."""
    port = urlsplit(valkey_url).port or 0
    with (
        counting_proxy(port) as proxy,
        limited(migrated_sqlite, f"redis://127.0.0.1:{proxy.port}/0", **COUNTED) as api,
    ):
        person = api.person()
        data_of(api.get("/users/me", person))
        before = proxy.trips

        for _ in range(20):
            assert api.get("/users/me", person).headers[REMAINING_HEADER]

        assert proxy.trips - before == 20


def test_counts_are_shared_and_expire(migrated_sqlite: str, valkey_url: str) -> None:
    """Two processes count together; nothing is kept for longer than it counts, and no address is in a name."""
    with (
        limited(migrated_sqlite, valkey_url, rate_limit_strangers="3 per hour") as api,
    ):
        other = api_on(api.harness)
        place = from_somewhere()
        for process in (api, other, api):
            assert not refused(process.get("/market/clock", **place))
        for process in (other, api):
            assert refused(process.get("/market/clock", **place))
        redis = api.harness.core.redis
        names = redis.keys("rate*")
        assert names
        assert all(0 < redis.ttl(name) <= 7_200 for name in names)
        assert not any("198.51" in name for name in names)


def test_limits_are_off_where_they_are_switched_off(sqlite_api: Api) -> None:
    """For a load test: nothing is counted, and nothing told."""
    for _ in range(30):
        answer = sqlite_api.login("nobody@example.com")
    problem_of(answer, "unauthorized")
    assert not set(HEADERS) & set(answer.headers.keys())
    assert sqlite_api.harness.core.redis.keys("rate*") == []


def test_without_redis_reads_and_orders_go_on_and_sign_ins_do_not(
    counting_api: Api, redis_away: Callable[[], None]
) -> None:
    """What can't be counted is allowed, where it is not a guess at a password: that is 503 until it can be counted again. A session is still renewed."""
    api, person = counting_api, newcomer(counting_api)
    api.harness.tick(70_000)
    api.bought(person)
    change = {"current_password": PASSWORD, "new_password": "another good one"}
    redis_away()

    answers = {
        "read": api.get("/users/me", person),
        "order": api.order(person, "SELL", 1),
        "deposit": api.post("/balance/deposit", person, {"amount": 1}),
        "renewal": api.post("/users/refresh", headers=bearer(person.refresh_token)),
        "stranger": api.get("/market/rules"),
    }
    closed = {
        "sign-in": api.login(person.email),
        "registration": api.register(),
        "password": api.post("/users/me/password", person, change),
    }

    assert {name: answer.status_code for name, answer in answers.items()} == {
        "read": 200,
        "order": 201,
        "deposit": 201,
        "renewal": 200,
        "stranger": 200,
    }
    assert not any(set(HEADERS) & set(answer.headers.keys()) for answer in answers.values())
    for answer in closed.values():
        assert problem_of(answer, "service-unavailable")["retry_after_s"] >= 1
    assert api.harness.breaches() == []


def test_the_webhook_is_counted_by_where_it_comes_from(
    migrated_sqlite: str, valkey_url: str
) -> None:
    """Whoever floods it holds up neither PortOne nor anybody's sign-in."""
    with limited(migrated_sqlite, valkey_url, rate_limit_webhook="1 per hour") as api:
        flood, portone = from_somewhere(), from_somewhere()

        def told(place: dict[str, dict[str, str]]) -> TestResponse:
            return api.post("/payments/portone/webhook", json={}, **place)

        problem_of(told(flood), "webhook-refused")
        assert refused(told(flood))
        problem_of(told(portone), "webhook-refused")
        problem_of(api.post("/users/login", json={}, **flood), "validation-failed")
