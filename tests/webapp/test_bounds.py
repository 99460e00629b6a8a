"""The bounds in messages and in the OpenAPI document are those that the settings enforce."""

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.support.trading_harness import opened, settings_for
from tests.webapp.client import PREFIX, Api, Person, api_on, data_of, problem_of
from trading.config.settings import Settings

CHANGED = {
    "order_quantity_max": 4_321,
    "deposit_max": 54_321,
    "payment_amount_min": 2_345,
    "payment_amount_max": 65_432,
    "password_length_min": 13,
}
ORDER = {"stock_code": "A005930", "side": "BUY", "order_type": "LIMIT", "price": 100}
# Method, path, body and member, and the settings that bound it from below (None: 1) and above.
BOUNDED: list[tuple[str, str, dict[str, Any], str, str | None, str]] = [
    ("POST", "/trading/orders", ORDER, "quantity", None, "order_quantity_max"),
    ("POST", "/trading/orders/preview", ORDER, "quantity", None, "order_quantity_max"),
    ("POST", "/balance/deposit", {}, "amount", None, "deposit_max"),
    ("POST", "/balance/withdraw", {}, "amount", None, "deposit_max"),
    (
        "POST",
        "/payments/portone/prepare",
        {"order_name": "충전"},
        "amount",
        "payment_amount_min",
        "payment_amount_max",
    ),
]


@pytest.fixture(params=[{}, CHANGED], ids=["defaults", "changed"])
def api(request: pytest.FixtureRequest, migrated_sqlite: str, valkey_url: str) -> Iterator[Api]:
    with opened(settings_for(migrated_sqlite, valkey_url, **request.param)) as harness:
        yield api_on(harness)


def documented(api: Api, method: str, path: str, member: str) -> dict[str, Any]:
    """Return the schema of a member of a documented body."""
    document = api.client.get("/openapi.json").get_json()
    body = document["paths"][PREFIX + path][method.lower()]["requestBody"]
    name = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    found: dict[str, Any] = document["components"]["schemas"][name]["properties"][member]
    return found


@pytest.mark.parametrize(
    ("method", "path", "body", "member", "low", "high"),
    BOUNDED,
    ids=[path for _method, path, *_rest in BOUNDED],
)
def test_bounds_equal_the_settings(
    api: Api,
    *,
    method: str,
    path: str,
    body: dict[str, Any],
    member: str,
    low: str | None,
    high: str,
) -> None:
    """The document, the message far beyond a bound, and the one just beyond it name the same."""
    person, settings = api.person(), api.harness.settings
    least, most = getattr(settings, low) if low else 1, getattr(settings, high)
    schema = documented(api, method, path, member)
    assert (schema["minimum"], schema["maximum"]) == (least, most)

    for value in (least - 1, most + 1, 10**9 + 1, 10**15 + 1):
        refused = problem_of(
            api.ask(method, path, person, json={**body, member: value}), "validation-failed"
        )
        assert refused["errors"]["json"] == {
            member: [f"{least:,} 이상 {most:,} 이하로 입력해 주세요."]
        }
    for value in (least, most):
        answer = api.ask(method, path, person, json={**body, member: value})
        assert answer.get_json().get("code") != "validation-failed", value


def test_amended_quantity_has_the_bound_of_an_order(api: Api) -> None:
    """An order from before the setting was lowered can still be reduced to more than it."""
    person, most = api.person(), api.harness.settings.order_quantity_max
    order = api.limit_order(person, quantity=2, price=100)
    path = f"/trading/orders/{order['id']}"

    schema = documented(api, "PATCH", "/trading/orders/{order_id}", "quantity")
    assert (schema["minimum"], schema["maximum"]) == (1, most)
    for value in (most + 1, 10**9):
        refused = problem_of(
            api.ask("PATCH", path, person, json={"quantity": value}), "validation-failed"
        )
        assert (refused["field"], refused["limit"]) == ("quantity", most)
        assert f"{most:,}주" in refused["detail"]
    for value in (0, 10**9 + 1):
        refused = problem_of(
            api.ask("PATCH", path, person, json={"quantity": value}), "validation-failed"
        )
        assert refused["errors"]["json"]["quantity"] == [f"1 이상 {most:,} 이하로 입력해 주세요."]


@pytest.mark.parametrize(
    ("path", "member"), [("/users", "password"), ("/users/me/password", "new_password")]
)
def test_password_length_equals_the_setting(api: Api, path: str, member: str) -> None:
    settings: Settings = api.harness.settings
    least = settings.password_length_min

    assert documented(api, "POST", path, member)["minLength"] == least
    short = api.register(password="x7!qZ-kW93mPv#tY"[: least - 1])
    assert problem_of(short, "validation-failed")["minimum"] == least
    data_of(api.register(password="x7!qZ-kW93mPv#tY"[:least]), 201)


def test_page_limits_equal_their_document(api: Api) -> None:
    """Every GET with a limit: the documented largest is accepted, and the next one refused."""
    person, administrator = api.person(), api.administrator()
    document, seen = api.client.get("/openapi.json").get_json(), 0
    for path, item in document["paths"].items():
        parameters = item.get("get", {}).get("parameters", [])
        for schema in [each["schema"] for each in parameters if each["name"] == "limit"]:
            if path.startswith(f"{PREFIX}/stocks"):
                continue  # Answered by Toss, which is not there.
            asked, who = path.removeprefix(PREFIX), _who(path, person, administrator)
            data_of(api.get(f"{asked}?limit={schema['maximum']}", who))
            refused = problem_of(
                api.get(f"{asked}?limit={schema['maximum'] + 1}", who), "validation-failed"
            )
            assert str(schema["maximum"]) in str(refused["errors"]["query"]["limit"])
            seen += 1
    assert seen >= 8


# Bounds that the use case enforces, because they depend on the account or the order.
ENFORCED_LATER = {"password", "new_password", "PATCH /trading/orders/{order_id} quantity"}


def _bounded_members(document: dict[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Yield method, path, name and schema of every member of a body that has bounds."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            content = operation.get("requestBody", {}) if method != "parameters" else {}
            for body in content.get("content", {}).values():
                name = body["schema"]["$ref"].rpartition("/")[2]
                for member, schema in document["components"]["schemas"][name]["properties"].items():
                    if {"minimum", "maximum", "maxLength"} & set(schema):
                        yield method.upper(), path.removeprefix(PREFIX), member, schema


def _values_beside(schema: dict[str, Any]) -> Iterator[tuple[object, bool]]:
    """Yield the values at the documented bounds and next to them, and whether each is valid."""
    if "maxLength" in schema and schema.get("format") == "email":
        address = f"{'x' * 64}@" + f"{'y' * 60}." * 4
        yield from (
            (address[: schema["maxLength"] - 3] + ".kr", True),
            (address[: schema["maxLength"] - 2] + ".kr", False),
        )
    elif "maxLength" in schema:
        yield from (("가" * schema["maxLength"], True), ("가" * (schema["maxLength"] + 1), False))
    if "minimum" in schema:
        yield from ((schema["minimum"], True), (schema["minimum"] - 1, False))
    if "maximum" in schema:
        yield from ((schema["maximum"], True), (schema["maximum"] + 1, False))


def test_documented_bounds_of_bodies_are_enforced(api: Api) -> None:
    """Every member of every route accepts the values at its bounds and refuses those beside."""
    person, administrator = api.person(), api.administrator()
    document, checked = api.client.get("/openapi.json").get_json(), 0
    for method, path, member, schema in _bounded_members(document):
        if {member, f"{method} {path} {member}"} & ENFORCED_LATER:
            continue
        filled = re.sub(r"{\w+}", str(uuid4()), path.replace("{stock_code}", "A999990"))
        for value, is_valid in _values_beside(schema):
            answer = api.ask(
                method, filled, _who(path, person, administrator), json={member: value}
            )
            errors = (answer.get_json() or {}).get("errors", {}).get("json", {})
            assert (member not in errors) == is_valid, (method, path, member, value, errors)
            checked += 1
    assert checked > 40


def _who(path: str, person: Person, administrator: Person) -> Person:
    return administrator if "/admin/" in path else person


def test_invalid_address_is_refused_in_korean(api: Api) -> None:
    refused = problem_of(api.register("nobody"), "validation-failed")

    assert refused["errors"]["json"]["email"] == ["이메일 주소 형식이 올바르지 않습니다."]
