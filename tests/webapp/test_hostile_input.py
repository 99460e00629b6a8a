"""Hostile input gets a 4xx problem with a stable code and writes nothing."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from tests.support.properties import examples
from tests.support.trading_harness import SAMSUNG, TradingHarness, opened, settings_for
from tests.webapp.client import Api, Person, api_on, problem_form
from trading.db.declarative import Base

JSON = {"Content-Type": "application/json"}

# Values that are no whole number of won or shares.
NO_NUMBERS: list[Any] = [
    None, True, False, 0, -1, 1.0, 1.5, 1e300, "10", "", "10원", [], [10], {}, {"value": 10},
    10**15 + 1, 10**400, -(10**400), "９",
]  # fmt: skip

# Bodies that no route understands, byte for byte, and the statuses that may answer them.
BODIES: dict[str, tuple[bytes, set[int]]] = {
    "nothing": (b"", {422}),
    "no JSON": (b"{'single': 'quotes'}", {400}),
    "cut off": (b'{"amount": 1', {400}),
    "two values": (b"{} {}", {400}),
    "array": (b"[]", {422}),
    "array of objects": (b'[{"amount": 1}]', {422}),
    "null": (b"null", {422}),
    "text": (b'"amount"', {422}),
    "number": (b"7", {422}),
    "not a number": (b'{"amount": NaN}', {400}),
    "infinity by name": (b'{"amount": -Infinity}', {400}),
    "infinity": (b'{"amount": 1e999}', {422}),
    "a whole number as a fraction": (b'{"amount": 1.0}', {422}),
    "a whole number with an exponent": (b'{"amount": 1e3}', {422}),
    "a member twice": (b'{"amount": 1, "amount": 1}', {400}),
    "a member twice, once in other letters": (b'{"amount": 1, "\\u0061mount": 2}', {400}),
    "a member twice, further inside": (b'{"amount": {"a": 1, "a": 2}}', {400}),
    "a byte order mark": (b'\xef\xbb\xbf{"amount": 1}', {400}),
    "five thousand digits": (b'{"amount": ' + b"1" * 5_000 + b"}", {400}),
    "invalid UTF-8": (b'{"amount": "\xff\xfe"}', {400}),
    "UTF-16": ('{"amount": 1}'.encode("utf-16"), {400}),
    "NUL bytes": (b'{"amount": \x00}', {400}),
    "half a character as key": (b'{"\\ud800": 1}', {422}),
    "half a character as value": (b'{"amount": "\\ud800"}', {422}),
    "control characters as key": (b'{"\\u0000\\u001b[31m": 1}', {422}),
    "a member too many": (b'{"amount": 1, "user_id": "x"}', {422}),
    "sixty thousand arrays": (b"[" * 60_000, {400}),
    "closed deep arrays": (b"[" * 900 + b"]" * 900, {400}),
    "deep objects": (b'{"a":' * 9_000 + b"1" + b"}" * 9_000, {400}),
    "deeper than any parser's limit at any depth": (
        b'{"amount":' + b"[" * 940 + b"]" * 940 + b"}",
        {400},
    ),
    "a megabyte": (b'{"amount": "' + b"9" * 1_000_000 + b'"}', {413}),
    "many members": (b"{" + b",".join(b'"%d":1' % number for number in range(6_000)) + b"}", {422}),
}

QUERIES: dict[str, str] = {
    "limit of zero": "limit=0",
    "limit too large": "limit=101",
    "limit of words": "limit=ten",
    "fraction": "limit=1.5",
    "huge limit": "limit=" + "9" * 5_000,
    "foreign cursor": "cursor=not-a-cursor",
    "cursor of half a character": "cursor=%ED%A0%80",
    "huge cursor": "cursor=" + "9" * 5_000,
    "no code": "stock_code=samsung",
    "code with NUL": "stock_code=A00593%00",
    "code with quotes": "stock_code=A005930'--",
    "no day": "from=yesterday",
    "impossible day": "to=2026-02-30",
    "first day of all": "from=0001-01-01",
    "last day of all": "to=9999-12-31",
    "day with a time": "from=2026-01-01T00:00:00Z",
    "empty": "from=",
}
NO_ORDER = "/trading/orders/00000000-0000-0000-0000-000000000000"

PATHS = [
    "/trading/orders/not-a-uuid",
    "/trading/orders/%00",
    "/trading/orders/" + "f" * 10_000,
    "/trading/orders/not-a-uuid/explain",
    "/trading/transactions/..%2f..%2fetc%2fpasswd",
    "/portfolio/%F0%9F%92%A3",
    "/portfolio/" + "A" * 10_000,
    "/trading/realtime/stock/%0aforged%20line",
    "/trading/realtime/stock/%ED%A0%80",
    "/trading/realtime/stock/*",
    "/" + "x" * 100_000,
]

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=20)
    | st.sampled_from([10**400, -(10**18), "A005930", "BUY"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def target(server_uri: str, module_valkey_url: str) -> Iterator[tuple[Api, Person]]:
    """One signed-in user for the whole module, on the stricter database, with a live price."""
    with opened(settings_for(server_uri, module_valkey_url)) as harness:
        api = api_on(harness)
        person = api.person()
        harness.tick(70_000)
        yield api, person


def _rows(harness: TradingHarness) -> dict[str, int]:
    """Return the number of rows of every table."""
    return harness.core.database.read(
        lambda session: {
            table.name: session.execute(select(func.count()).select_from(table)).scalar_one()
            for table in Base.metadata.sorted_tables
        }
    )


def _refused(api: Api, method: str, path: str, who: Person, **more: Any) -> int:
    before = _rows(api.harness)
    answer = api.ask(method, path, who, **more)
    problem_form(answer)
    assert 400 <= answer.status_code < 500, answer.get_data(as_text=True)
    assert _rows(api.harness) == before
    return answer.status_code


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: repr(value)[:20])
def test_amounts_are_positive_json_integers(target: tuple[Api, Person], value: object) -> None:
    """Strings, booleans, 1.0 and values beyond the column are refused."""
    api, person = target
    assert _refused(api, "POST", "/balance/deposit", person, json={"amount": value}) == 422
    order = {"stock_code": SAMSUNG, "side": "BUY", "quantity": value}
    for path in ("/trading/orders", "/trading/orders/preview"):
        assert _refused(api, "POST", path, person, json=order) == 422
    for member in ("price", "quantity"):
        assert _refused(api, "PATCH", NO_ORDER, person, json={member: value}) == 422


@pytest.mark.parametrize(
    ("member", "value"),
    [
        (member, value)
        for member in ("stock_code", "side", "order_type", "client_order_id")
        for value in (
            1,
            True,
            "",
            " ",
            [],
            ["BUY"],
            {},
            {"BUY": 1},
            "buy ",
            "\ud800",
            "A00593\x00",
            "x" * 65,
            "STOP",
            "가나다",
        )
        if (member, value) != ("client_order_id", "STOP")  # "STOP" is a valid client order id.
    ],
    ids=repr,
)
def test_enum_members_accept_only_documented_values(
    target: tuple[Api, Person], member: str, value: object
) -> None:
    api, person = target
    body = {"stock_code": SAMSUNG, "side": "BUY", "quantity": 1, member: value}

    assert _refused(api, "POST", "/trading/orders", person, json=body) == 422

    assert list(api.answers[-1].get_json()["errors"]["json"]) == [member]


@pytest.mark.parametrize("name", sorted(set(BODIES) - {"nothing"}))
def test_malformed_halt_bodies_are_refused(target: tuple[Api, Person], name: str) -> None:
    """The body is optional, but a malformed one is refused and halts nothing."""
    api, _person = target
    body, statuses = BODIES[name]
    administrator = api.administrator()

    assert (
        _refused(api, "POST", "/admin/trading/halt", administrator, data=body, headers=JSON)
        in statuses
    )
    for reason in (1, True, [], {}, "x" * 201, "\x00", "\ud800"):
        assert (
            _refused(api, "POST", "/admin/trading/halt", administrator, json={"reason": reason})
            == 422
        )


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize(
    "route",
    [
        "POST /balance/deposit",
        "POST /trading/orders",
        "POST /trading/orders/preview",
        "POST /users/me/password",
        f"PATCH {NO_ORDER}",
    ],
)
def test_malformed_bodies_are_refused(target: tuple[Api, Person], route: str, name: str) -> None:
    api, person = target
    method, path = route.split()
    body, statuses = BODIES[name]

    assert _refused(api, method, path, person, data=body, headers=JSON) in statuses


@pytest.mark.parametrize(
    "name",
    [
        "no JSON",
        "sixty thousand arrays",
        "five thousand digits",
        "half a character as key",
        "a megabyte",
    ],
)
@pytest.mark.parametrize(
    "route", ["POST /users/logout", "DELETE /trading/orders", f"DELETE {NO_ORDER}"]
)
def test_routes_without_body_survive_any_body(
    target: tuple[Api, Person], route: str, name: str
) -> None:
    """With and without an Idempotency-Key."""
    api, _person = target
    method, path = route.split()
    for headers in (JSON, {**JSON, "Idempotency-Key": "key"}):
        answer = api.ask(method, path, api.person(), data=BODIES[name][0], headers=headers)
        assert answer.status_code < 500


@pytest.mark.parametrize(
    "kind",
    [
        "application/x-www-form-urlencoded",
        "text/plain",
        "multipart/form-data; boundary=x",
        "",
        "a" * 500,
        "application/vnd.api+json",
        "application/json; charset=utf-16",
        "application/json; charset=euc-kr",
        "application/json; charset=UTF-7",
    ],
)
def test_other_media_types_are_refused(target: tuple[Api, Person], kind: str) -> None:
    api, person = target

    assert (
        _refused(
            api,
            "POST",
            "/balance/deposit",
            person,
            data=b'{"amount": 1}',
            headers={"Content-Type": kind},
        )
        == 415
    )


@pytest.mark.parametrize("name", QUERIES)
def test_invalid_queries_are_refused(target: tuple[Api, Person], name: str) -> None:
    api, person = target
    for path in ("/trading/orders", "/trading/transactions", "/balance/history"):
        assert _refused(api, "GET", f"{path}?{QUERIES[name]}", person) == 422


@pytest.mark.parametrize(
    "query",
    ["", "stock_codes=", "stock_codes=x", "&".join(["stock_codes=A005930"] * 10_000)],
    ids=len,
)
def test_lists_of_codes_are_bounded(target: tuple[Api, Person], query: str) -> None:
    """Empty, invalid and overlong lists are refused before Redis is asked."""
    api, person = target

    assert _refused(api, "GET", f"/trading/realtime/stocks/multiple?{query}", person) == 422


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:40])
def test_odd_paths_are_404(target: tuple[Api, Person], path: str) -> None:
    api, person = target

    assert _refused(api, "GET", path, person) == 404


@pytest.mark.parametrize("key", ["", " ", "x" * 65, "with space", "tab\there", "é", "x" * 8_000])
def test_invalid_idempotency_keys_are_refused(target: tuple[Api, Person], key: str) -> None:
    """A key has 1 to 64 visible ASCII characters."""
    api, person = target

    status = _refused(
        api,
        "POST",
        "/balance/deposit",
        person,
        json={"amount": 1},
        headers={"Idempotency-Key": key},
    )

    assert status == 422


@given(
    body=st.dictionaries(
        st.sampled_from(["stock_code", "side", "quantity", "client_order_id", "x"]),
        anything,
        max_size=5,
    )
)
@settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_no_order_body_causes_a_server_error(
    target: tuple[Api, Person], body: dict[str, Any]
) -> None:
    """Any JSON is accepted or refused with a problem."""
    api, person = target

    answer = api.post("/trading/orders", person, body)

    assert answer.status_code < 500
    if answer.status_code != 201:
        problem_form(answer)


@given(
    body=st.dictionaries(
        st.sampled_from(
            ["stock_code", "side", "order_type", "time_in_force", "quantity", "price", "x"]
        ),
        anything,
        max_size=6,
    )
)
@settings(
    max_examples=examples(100),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_no_preview_or_amendment_body_causes_a_server_error(
    target: tuple[Api, Person], body: dict[str, Any]
) -> None:
    api, person = target

    for method, path in (("POST", "/trading/orders/preview"), ("PATCH", NO_ORDER)):
        answer = api.ask(method, path, person, json=body)
        assert answer.status_code < 500
        if answer.status_code != 200:
            problem_form(answer)


@given(
    data=st.binary(max_size=200),
    path=st.sampled_from(["/users", "/users/login", "/users/refresh", "/balance/withdraw"]),
)
@settings(
    max_examples=examples(100),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_random_bytes_cause_no_server_error(
    target: tuple[Api, Person], path: str, data: bytes
) -> None:
    api, person = target

    answer = api.post(path, person, data=data, headers=JSON)

    problem_form(answer)
    assert answer.status_code < 500


def test_audit_passes_after_all_hostile_input(target: tuple[Api, Person]) -> None:
    """Whichever tests of this module ran before."""
    api, _person = target

    api.harness.run_all()

    assert api.harness.breaches() == []
