"""Input that no friendly client sends: always a 4xx problem with a stable code, nothing written, and the process unmoved."""

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

# Nothing of this is a whole number of won or shares.
NO_NUMBERS: list[Any] = [
    None, True, False, 0, -1, 1.0, 1.5, 1e300, "10", "", "10원", [], [10], {}, {"value": 10}, 10**15 + 1, 10**400, -(10**400), "９",
]  # fmt: skip

# Bodies that are no object that a route understands, byte for byte, and the statuses that may answer them.
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
    """One signed-in user for the whole page, on the stricter of the databases, with a price to trade at."""
    with opened(settings_for(server_uri, module_valkey_url)) as harness:
        api = api_on(harness)
        person = api.person()
        harness.tick(70_000)
        yield api, person


def _rows(harness: TradingHarness) -> dict[str, int]:
    """How many rows every table has."""
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
def test_amounts_are_whole_positive_json_numbers(target: tuple[Api, Person], value: object) -> None:
    """Neither text, nor true, nor 1.0, nor what no column holds."""
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
        if (member, value) != ("client_order_id", "STOP")  # A client may call his order so.
    ],
    ids=repr,
)
def test_words_are_those_of_the_contract(
    target: tuple[Api, Person], member: str, value: object
) -> None:
    """A value of another type or spelling is refused by name."""
    api, person = target
    body = {"stock_code": SAMSUNG, "side": "BUY", "quantity": 1, member: value}

    assert _refused(api, "POST", "/trading/orders", person, json=body) == 422

    assert list(api.answers[-1].get_json()["errors"]["json"]) == [member]


@pytest.mark.parametrize("name", sorted(set(BODIES) - {"nothing"}))
def test_bodies_that_are_no_halt(target: tuple[Api, Person], name: str) -> None:
    """A body may be left out there, but what comes has to be one; nothing is halted by what is not understood."""
    api, _person = target
    body, statuses = BODIES[name]
    administrator = api.administrator()

    assert (
        _refused(api, "POST", "/admin/trading/halt", administrator, data=body, headers=JSON)
        in statuses
    )
    for reason in (1, True, [], {}, "", "x" * 201, "\x00", "\ud800"):
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
def test_bodies_that_are_no_requests(target: tuple[Api, Person], route: str, name: str) -> None:
    """Whatever the bytes are, the answer is the fitting refusal."""
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
def test_bodies_that_nobody_asked_for(target: tuple[Api, Person], route: str, name: str) -> None:
    """A route without arguments survives a body too, with and without a key to compare it by."""
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
def test_only_json_is_read(target: tuple[Api, Person], kind: str) -> None:
    """A body of another type is said to be that, instead of being an order without members."""
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
def test_queries_that_make_no_sense(target: tuple[Api, Person], name: str) -> None:
    """Filters, limits and cursors are checked like bodies."""
    api, person = target
    for path in ("/trading/orders", "/trading/transactions", "/balance/history"):
        assert _refused(api, "GET", f"{path}?{QUERIES[name]}", person) == 422


@pytest.mark.parametrize(
    "query",
    ["", "stock_codes=", "stock_codes=x", "&".join(["stock_codes=A005930"] * 10_000)],
    ids=len,
)
def test_lists_of_codes_are_bounded(target: tuple[Api, Person], query: str) -> None:
    """None, wrong ones and ten thousand are refused before Redis is asked."""
    api, person = target

    assert _refused(api, "GET", f"/trading/realtime/stocks/multiple?{query}", person) == 422


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:40])
def test_paths_that_lead_nowhere(target: tuple[Api, Person], path: str) -> None:
    """Odd characters and lengths in a path end in a 404."""
    api, person = target

    assert _refused(api, "GET", path, person) == 404


@pytest.mark.parametrize("key", ["", " ", "x" * 65, "with space", "tab\there", "é", "x" * 8_000])
def test_keys_that_are_none(target: tuple[Api, Person], key: str) -> None:
    """An Idempotency-Key is 1 to 64 visible ASCII characters."""
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
def test_no_order_body_is_a_server_error(target: tuple[Api, Person], body: dict[str, Any]) -> None:
    """Any JSON in any place is accepted or refused, and what is refused has the form of a problem."""
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
def test_no_preview_and_no_amendment_is_a_server_error(
    target: tuple[Api, Person], body: dict[str, Any]
) -> None:
    """The same for what only looks at an order and for what changes one, which is not there."""
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
def test_no_bytes_are_a_server_error(target: tuple[Api, Person], path: str, data: bytes) -> None:
    """Random bytes that call themselves JSON are refused."""
    api, person = target

    answer = api.post(path, person, data=data, headers=JSON)

    problem_form(answer)
    assert answer.status_code < 500


def test_the_books_stand_after_all_this(target: tuple[Api, Person]) -> None:
    """The audit finds nothing, whichever of these tests ran before."""
    api, _person = target

    api.harness.run_all()

    assert api.harness.breaches() == []
