"""Hostile input to watchlist routes gets a 4xx problem and writes nothing."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.properties import examples
from tests.support.trading_harness import HYNIX, SAMSUNG, opened, settings_for
from tests.trading.orders.steps import everything
from tests.webapp.client import Api, Person, api_on, data_of, problem_form
from tests.webapp.test_hostile_input import BODIES, JSON, NO_NUMBERS, anything

PRICES = ("target_price", "upper_price", "lower_price")
NO_TEXTS: list[Any] = [1, True, [], {}, "\ud800", "\x00", "\x1b[31m", "x" * 501]
NO_IDS: list[Any] = [None, 1, True, "", "x", [], {}, "\ud800", "0" * 31, "f" * 10_000]
MEMBERS = [
    "stock_code",
    "directory_id",
    "memo",
    *PRICES,
    "rearm",
    "bounds",
    "name",
    "position",
    "item_ids",
    "x",
]

# Method, path and body to which a member is added; {} stands for an item's id.
ROUTES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "add": ("POST", "/watchlist", {"stock_code": HYNIX}),
    "change": ("PATCH", "/watchlist/{}", {}),
}


class Target:
    """A user with one watched stock for the whole module, on the stricter database."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.person: Person = api.person()
        self.item = data_of(
            api.post("/watchlist", self.person, {"stock_code": SAMSUNG, "target_price": 72_000}),
            201,
        )

    def refused(self, method: str, path: str, **more: Any) -> int:
        before = everything(self.api.harness)
        answer = self.api.ask(method, path.format(self.item["id"]), self.person, **more)
        problem_form(answer)
        assert everything(self.api.harness) == before
        return answer.status_code


@pytest.fixture(scope="module")
def target(server_uri: str, module_valkey_url: str) -> Iterator[Target]:
    with opened(settings_for(server_uri, module_valkey_url)) as harness:
        harness.tick(70_000)
        yield Target(api_on(harness))


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "value", [one for one in NO_NUMBERS if one is not None] + [10**9 + 1], ids=repr
)
def test_prices_are_positive_json_integers(target: Target, route: str, value: object) -> None:
    """null removes a price."""
    method, path, body = ROUTES[route]
    for price in PRICES:
        assert target.refused(method, path, json={**body, price: value}) == 422


@pytest.mark.parametrize("route", ROUTES)
def test_members_have_their_types(target: Target, route: str) -> None:
    """Unknown members are refused by name."""
    method, path, body = ROUTES[route]
    wrong = {
        "memo": NO_TEXTS,
        "directory_id": NO_IDS,
        "bounds": [{}],
        "user_id": ["x"],
        "id": ["x"],
    }
    for member, values in wrong.items():
        for value in values:
            assert target.refused(method, path, json={**body, member: value}) == 422, (
                member,
                value,
            )
    assert target.refused("POST", "/watchlist", json={"stock_code": HYNIX, "rearm": True}) == 422
    for value in ("true", 1, 0, None, [], "yes"):
        assert target.refused("PATCH", "/watchlist/{}", json={"rearm": value}) == 422
    assert target.refused("PATCH", "/watchlist/{}", json={}) == 422
    for code in (None, 1, "", "samsung", "A00593\x00", "\ud800", ["A005930"]):
        assert target.refused("POST", "/watchlist", json={"stock_code": code}) == 422


def test_directory_names_and_positions_are_validated(target: Target) -> None:
    directory = f"/watchlist/directories/{target.person.id}"
    for name in [*NO_TEXTS, None, "", "  ", "줄\n바꿈", "가" * 51, "\u0958" * 26]:
        assert target.refused("POST", "/watchlist/directories", json={"name": name}) == 422
        assert target.refused("PATCH", directory, json={"name": name}) == 422
    for place in [one for one in NO_NUMBERS if one != 0 or one is False] + [10**6 + 1]:
        assert target.refused("PATCH", directory, json={"position": place}) == 422
    assert target.refused("PATCH", directory, json={}) == 422
    for query in ("force=maybe", "force=", "force=true&all=1", "cascade=true"):
        assert target.refused("DELETE", f"{directory}?{query}") == 422


def test_item_order_is_a_bounded_list_of_ids(target: Target) -> None:
    body = {"directory_id": target.person.id, "item_ids": [target.item["id"]]}
    for ids in [None, {}, "x", 1, [None], ["x"], [1], [[]], ["\ud800"], [target.item["id"]] * 2]:
        assert target.refused("PUT", "/watchlist/order", json={**body, "item_ids": ids}) == 422
    many = [f"{number:032x}" for number in range(1_001)]
    assert target.refused("PUT", "/watchlist/order", json={**body, "item_ids": many}) == 422
    for where in NO_IDS:
        assert (
            target.refused("PUT", "/watchlist/order", json={**body, "directory_id": where}) == 422
        )
    assert target.refused("PUT", "/watchlist/order", json={"item_ids": []}) == 422


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=101", "limit=x", "cursor=x", "cursor=1", "cursor=1-2-3",
     "cursor=-1-2", "cursor=1-" + "9" * 16, "cursor=%ED%A0%80", "cursor=", "directory_id=x",
     "directory_id=", "directory_id=%00", "cursor=１-２"],
)  # fmt: skip
def test_invalid_queries_are_refused(target: Target, query: str) -> None:
    assert target.refused("GET", f"/watchlist?{query}") == 422


@pytest.mark.parametrize("name", sorted(set(BODIES) - {"nothing"}))
@pytest.mark.parametrize(
    "route",
    [
        "POST /watchlist",
        "PATCH /watchlist/{}",
        "PUT /watchlist/order",
        "POST /watchlist/directories",
    ],
)
def test_malformed_bodies_are_refused(target: Target, route: str, name: str) -> None:
    method, path = route.split()
    body, statuses = BODIES[name]

    assert target.refused(method, path, data=body, headers=JSON) in statuses


@pytest.mark.parametrize(
    "path",
    [
        "/watchlist/not-a-uuid",
        "/watchlist/%00",
        "/watchlist/directories/x",
        "/watchlist/" + "f" * 10_000,
    ],
)
def test_odd_paths_are_404(target: Target, path: str) -> None:
    assert target.refused("GET", path) == 404
    assert target.refused("DELETE", path) == 404


@given(body=st.dictionaries(st.sampled_from(MEMBERS), anything, max_size=6))
@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_body_causes_a_server_error(target: Target, body: dict[str, Any]) -> None:
    """Any JSON is accepted or refused with a problem."""
    routes = (
        "POST /watchlist",
        "PATCH /watchlist/{}",
        "PUT /watchlist/order",
        "POST /watchlist/directories",
    )
    for route in routes:
        method, path = route.split()
        answer = target.api.ask(method, path.format(target.item["id"]), target.person, json=body)
        assert answer.status_code < 500
        if answer.status_code >= 400:
            problem_form(answer)
