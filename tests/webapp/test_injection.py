"""Injection: payloads for SQL, Redis, HTTP, HTML, templates and paths in every input of every
route.

Each payload has a mark. It may be returned as JSON to its sender, but must not occur in the text of
a statement, a key's name, a header or a page.
"""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select

from tests.fixtures.toss import result_of
from tests.support.http_server import Request, answer, serving
from tests.support.statements import statements_counted
from tests.support.trading_harness import TradingHarness, opened, settings_for
from tests.trading.payments.payment_rows import partly_refunded_payment
from tests.webapp.client import Api, Person, api_on, data_of
from tests.webapp.request_examples import request_example
from tests.webapp.test_access_control import operations
from trading.db.declarative import Base

MARK = "zqmarkqz"
# Quotes, backslashes for MySQL, comments, stacked and time-based statements, wildcards, other
# encodings, line breaks for HTTP and Redis, tags, template expressions, paths, addresses.
PAYLOADS = [
    f"{MARK}' OR '1'='1' -- ",
    f"{MARK}'; DROP TABLE users; -- ",
    f"{MARK}\\' OR SLEEP(3) #",
    f'{MARK}" UNION SELECT email, password_hash FROM users /*',
    f"1) AND (SELECT 1 FROM (SELECT SLEEP(3)){MARK})-- -",
    f"A005930' AND EXTRACTVALUE(1,CONCAT(0x7e,VERSION()))-- {MARK}",
    f"{MARK}\u00bf\u2019 OR 1=1 -- %_*?[a-z]",
    f"{MARK}\r\nSet-Cookie: mine=1\r\n\r\nFLUSHALL\r\n",
    f"<script>alert('{MARK}')</script>{{{{1337*1338}}}}${{1337*1338}}<%= 1337*1338 %>",
    f"../../../../etc/passwd\x00{MARK}",
    f"http://169.254.169.254/{MARK}",
    f"@{MARK}.example.com:80/",
]
CALCULATED = str(1337 * 1338)
HEADERS = (
    "Idempotency-Key",
    "X-Request-ID",
    "Last-Event-ID",
    "Accept",
    "Accept-Language",
    "User-Agent",
    "Origin",
    "X-Forwarded-For",
    "Cookie",
)


@dataclass
class Target:
    """Two users with resources of every kind, and the requests to Toss's stand-in."""

    api: Api
    person: Person
    administrator: Person
    victim: Person
    own: dict[str, str]
    asked_of_toss: list[str]

    def who(self, path: str) -> Person:
        return self.administrator if path.startswith("/admin/") else self.person


@pytest.fixture
def injection_target(database_uri: str, valkey_url: str) -> Iterator[Target]:
    asked: list[str] = []

    def as_toss(request: Request) -> Any:
        asked.append(f"{request.headers['host']} {request.target} {request.headers}")
        return answer(200, {"result": result_of(request.target)})

    with serving(as_toss) as toss:
        more = {
            "toss_info_url": toss.url,
            "toss_cert_url": toss.url,
            "toss_requests_per_s": 10_000,
        }
        with opened(settings_for(database_uri, valkey_url, **more)) as harness:
            api = api_on(harness)
            harness.tick(70_000)
            yield _make_target(api, asked)


def _make_target(api: Api, asked: list[str]) -> Target:
    person, administrator, victim = api.person(), api.administrator(), api.person()
    for one in (person, victim):
        api.bought(one)
    own = {
        "order_id": api.limit_order(person)["id"],
        "transaction_id": data_of(api.get("/trading/transactions", person))["items"][0]["id"],
        "directory_id": data_of(api.post("/watchlist/directories", person, {"name": "둘째"}), 201)[
            "id"
        ],
        "item_id": data_of(api.post("/watchlist", person, {"stock_code": "A000660"}), 201)["id"],
        "payment_id": partly_refunded_payment(api.harness, UUID(person.id)).hex,
        # Administrators delist it and write it off; the users hold another stock.
        "stock_code": "A035720",
        "user_id": administrator.id,
    }
    return Target(api, person, administrator, victim, own, asked)


def _rows(harness: TradingHarness) -> dict[str, int]:
    return harness.core.database.read(
        lambda session: {
            table.name: session.execute(select(func.count()).select_from(table)).scalar_one()
            for table in Base.metadata.sorted_tables
        }
    )


def _body(api: Api, description: dict[str, Any]) -> dict[str, Any] | None:
    """Return the example of a request's body; None for a request without one."""
    content = description.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return None
    document = api.client.get("/openapi.json").get_json()
    return dict(request_example(document, content["schema"]))


def _requests(
    injection_target: Target, payload: str
) -> Iterator[tuple[str, str, Person, dict[str, Any]]]:
    """Yield every operation once per input, with the payload there and valid values elsewhere."""
    for method, path, description in operations(injection_target.api):
        if method == "DELETE" and path in ("/users/me", "/trading/orders"):
            continue
        who, body = injection_target.who(path), _body(injection_target.api, description)
        filled = path
        for name, value in injection_target.own.items():
            filled = filled.replace(f"{{{name}}}", value)
        usual = {} if body is None else {"json": body}
        for parameter in description["parameters"]:
            name = parameter["name"]
            if parameter["in"] == "path":
                elsewhere = path.replace(f"{{{name}}}", "{}")
                for other, value in injection_target.own.items():
                    elsewhere = elsewhere.replace(f"{{{other}}}", value)
                yield method, elsewhere, who, {**usual, "path_value": payload}
            else:
                yield method, filled, who, {**usual, "query_string": {name: payload}}
        for member in body or {}:
            if path != "/users/logout":
                yield method, filled, who, {"json": {**(body or {}), member: payload}}


def _send(
    injection_target: Target, method: str, path: str, who: Person, request: dict[str, Any]
) -> None:
    """Send one request and check everything that could go wrong."""
    api = injection_target.api
    if "path_value" in request:
        # As raw bytes in the path, without a client's escaping.
        value = request.pop("path_value")
        request["environ_overrides"] = {
            "PATH_INFO": ("/api/v1" + path.replace("{}", value)).encode().decode("latin-1")
        }
        path = path.replace("{}", "x")
    with statements_counted(api.harness.core.database.engine) as sent:
        answered = api.ask(method, path, who, **request)
    where = (method, path, request)
    text = answered.get_data(as_text=True)
    assert answered.status_code not in (500, 501), (where, text)
    assert not any(MARK in statement for statement in sent), (where, sent)
    assert CALCULATED not in text, where
    assert "root:" not in text, where
    assert injection_target.victim.email not in text, where
    assert "argon2" not in text, where
    assert answered.mimetype in ("application/json", "application/problem+json", "text/csv"), (
        where,
        answered.mimetype,
    )
    assert not any(MARK in value or "mine=1" in value for _, value in answered.headers), (
        where,
        answered.headers,
    )


def test_payloads_stay_values(injection_target: Target) -> None:
    """On each database and in each input: no server error, no payload in a statement, header, page
    or key, no delay, and the other user's resources unchanged.
    """
    api = injection_target.api
    tables, victims = _rows(api.harness), data_of(api.get("/balance", injection_target.victim))
    asked = 0
    for payload in PAYLOADS:
        for method, path, who, request in _requests(injection_target, payload):
            _send(injection_target, method, path, who, request)
            asked += 1
    assert asked > 1_500
    taken = sum(answered.status_code < 300 for answered in api.answers)
    assert taken > 50, "some are good values, and are kept as they are"
    assert set(_rows(api.harness)) == set(tables)
    assert _rows(api.harness)["users"] >= tables["users"]
    assert data_of(api.get("/balance", injection_target.victim)) == victims
    assert [target for target in injection_target.asked_of_toss if MARK in target] == []
    keys = [
        key if isinstance(key, str) else key.decode() for key in api.harness.core.redis.scan_iter()
    ]
    assert [key for key in keys if MARK in key] == []
    assert api.harness.core.redis.dbsize() > 0, "nothing emptied it"
    assert api.harness.breaches() == []


def test_payloads_in_headers_stay_values(injection_target: Target) -> None:
    """Headers cannot contain line breaks; the other payloads are tried on reading, writing and
    login.
    """
    for payload in PAYLOADS:
        value = (
            payload.replace("\r", "")
            .replace("\n", "")
            .replace("\x00", "")
            .encode()
            .decode("latin-1")
        )
        for header in HEADERS:
            for method, path, body in (
                ("GET", "/trading/transactions", {}),
                ("POST", "/balance/deposit", {"json": {"amount": 1}}),
                ("POST", "/users/login", {"json": {"email": "x@example.com", "password": "x"}}),
            ):
                _send(
                    injection_target,
                    method,
                    path,
                    injection_target.person,
                    {**body, "headers": {header: value}},
                )


def test_html_pages_do_not_repeat_input(sqlite_api: Api) -> None:
    """The pages are the same for any URL, and an unknown path is a problem."""
    client = sqlite_api.client
    for page in ("/docs/problems", "/demo/payment", "/docs/"):
        with client.get(page) as plain:
            assert plain.mimetype == "text/html", page
            usual = plain.get_data()
        for payload in PAYLOADS:
            with client.get(
                page, query_string={"q": payload, "sdk": payload, "url": payload, payload: "1"}
            ) as asked:
                assert asked.get_data() == usual, page
    for payload in PAYLOADS:
        for folder in ("/", "/docs/", "/docs/problems/", "/demo/payment/", "/demo/payment/assets/"):
            path = (folder + payload).encode().decode("latin-1")
            with client.get("/", environ_overrides={"PATH_INFO": path}) as missing:
                assert missing.status_code in (404, 400), (folder, payload)
                assert missing.mimetype == "application/problem+json", (folder, payload)


TRAVERSALS = [
    "../" * depth + file
    for depth in (1, 2, 4, 8)
    for file in (
        "wsgi.py",
        "trading/config/settings.py",
        "etc/passwd",
        "problems.py",
        "payment.html",
    )
]


@pytest.mark.parametrize(
    "folder", ["/docs/", "/demo/payment/assets/", "/demo/payment/", "/", "/api/v1/payments/"]
)
def test_path_traversal_is_refused(sqlite_api: Api, folder: str) -> None:
    """Dots, encoded dots and slashes, backslashes, absolute paths and file URLs."""
    for traversal in TRAVERSALS:
        for spelt in (
            traversal,
            traversal.replace("/", "%2f"),
            traversal.replace(".", "%2e"),
            traversal.replace("/", "\\"),
            traversal.replace("../", "....//"),
            "/" + traversal.rpartition("../")[2],
            "file:///" + traversal.rpartition("../")[2],
        ):
            with sqlite_api.client.get(
                "/", environ_overrides={"PATH_INFO": folder + spelt}
            ) as answered:
                text = answered.get_data(as_text=True)
                assert answered.status_code in (301, 308, 400, 401, 404), (
                    spelt,
                    answered.status_code,
                )
                assert "import" not in text, spelt
                assert "root:" not in text, spelt


@pytest.mark.parametrize(
    "email",
    [
        "a@" + "a." * 29_000,
        "a" * 60_000 + "@b",
        "@" * 60_000,
        ("a." * 20_000) + "@" + "b-" * 9_000,
        '"' + "\\a" * 19_000 + '"@b.c',
        "a@[" + "1." * 29_000,
    ],
    ids=lambda email: email[:6],
)
def test_long_email_is_refused_quickly(sqlite_api: Api, email: str) -> None:
    """When registering and when logging in."""
    for path, body in (
        ("/users", {"password": "correct horse battery", "name": "이름"}),
        ("/users/login", {"password": "x"}),
    ):
        began = time.thread_time()
        answered = sqlite_api.post(path, json={"email": email, **body})
        assert answered.status_code in (401, 422), answered.get_data(as_text=True)[:200]
        assert time.thread_time() - began < 1.0


def test_password_with_many_accents_is_refused_quickly(sqlite_api: Api) -> None:
    """Normalizing them would take quadratic time, so they are refused before."""
    sqlite_api.register("slow@example.com")
    for password in ("a" + "\u0315\u0300" * 15_000, "\ufdfa" * 20_000, "x" * 60_000):
        for path, body in (
            ("/users", {"email": "y@example.com", "name": "이름"}),
            ("/users/login", {"email": "slow@example.com"}),
        ):
            began = time.thread_time()
            raw = sqlite_api.client.post(f"/api/v1{path}", json={**body, "password": password})
            assert raw.status_code in (401, 413, 422)
            assert time.thread_time() - began < 1.0


def test_no_input_is_a_url_or_path(sqlite_api: Api) -> None:
    """No parameter or member names a URL, host, file or redirect target."""
    document = sqlite_api.client.get("/openapi.json").get_json()
    requests = {
        content["schema"]["$ref"].rpartition("/")[2]
        for item in document["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
        for content in operation.get("requestBody", {}).get("content", {}).values()
    }
    members = {
        name: member
        for schema in requests
        for name, member in document["components"]["schemas"][schema]["properties"].items()
    }
    parameters = {
        parameter["name"]: parameter.get("schema", {})
        for item in document["paths"].values()
        for method, operation in item.items()
        for parameter in (operation if method == "parameters" else operation.get("parameters", []))
    }
    assert len(members) + len(parameters) > 40
    for name, schema in {**members, **parameters}.items():
        assert schema.get("format") not in ("uri", "url", "uri-reference", "hostname", "binary"), (
            name
        )
        assert not re.search(
            r"url|uri|host|callback|redirect|return|webhook|file|path|next$", name
        ), name
