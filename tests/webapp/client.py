"""Test client of the API: an application on a trading harness, and the requests that most tests
need.
"""

import re
from dataclasses import dataclass, field
from itertools import count
from json import dumps
from typing import Any, ClassVar
from uuid import UUID

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from tests.support.trading_harness import SAMSUNG, TradingHarness
from trading.accounts.tables import USERS
from webapp import create_app
from webapp.http.problems import CODES, MIMETYPE, status_of

PREFIX = "/api/v1"
PASSWORD = "correct horse battery"
HANGUL = re.compile(r"[가-힣]")

_numbers = count(1)


class CompiledOnce(Rule):
    """URL rule that is compiled once per process; compiling dominates the time to create an
    application.
    """

    _compiled: ClassVar[dict[object, dict[str, Any]]] = {}

    def compile(self) -> None:
        key = (self.rule, self.endpoint, self.subdomain, self.strict_slashes, str(self.defaults))
        if key not in self._compiled:
            before = dict(vars(self))
            super().compile()
            self._compiled[key] = {
                name: value
                for name, value in vars(self).items()
                if name == "arguments" or before.get(name) is not value
            }
        vars(self).update(self._compiled[key])


Flask.url_rule_class = CompiledOnce


@dataclass(frozen=True)
class Person:
    """A registered and signed-in user."""

    id: str
    email: str
    password: str
    access_token: str
    refresh_token: str

    @property
    def headers(self) -> dict[str, str]:
        return bearer(self.access_token)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@dataclass
class Api:
    """An application on a trading harness, with its client. `answers` keeps every response."""

    harness: TradingHarness
    app: Flask
    client: FlaskClient
    answers: list[TestResponse] = field(default_factory=list)

    def another_client(self) -> "Api":
        """Return a client of the same application for another thread."""
        return Api(self.harness, self.app, self.app.test_client())

    def ask(self, method: str, path: str, who: Person | None = None, **more: Any) -> TestResponse:
        """Send a request below the API's prefix, authenticated as `who`."""
        headers = {**(who.headers if who else {}), **more.pop("headers", {})}
        if "json" in more:
            # ASCII escapes, so that tests can send lone surrogates.
            more["data"] = dumps(more.pop("json"))
            headers.setdefault("Content-Type", "application/json")
        answer = self.client.open(PREFIX + path, method=method, headers=headers, **more)
        self.answers.append(answer)
        return answer

    def get(self, path: str, who: Person | None = None, **more: Any) -> TestResponse:
        return self.ask("GET", path, who, **more)

    def post(
        self, path: str, who: Person | None = None, json: Any = None, **more: Any
    ) -> TestResponse:
        return self.ask("POST", path, who, **({} if json is None else {"json": json}), **more)

    def register(
        self, email: str | None = None, *, password: str = PASSWORD, name: str = "홍길동"
    ) -> TestResponse:
        email = email or f"user{next(_numbers)}@example.com"
        return self.post("/users", json={"email": email, "password": password, "name": name})

    def login(self, email: str, password: str = PASSWORD) -> TestResponse:
        return self.post("/users/login", json={"email": email, "password": password})

    def person(self, email: str | None = None) -> Person:
        """Register and sign in a new user."""
        user = self.register(email).get_json()["data"]
        return self.signed_in(user["email"])

    def signed_in(self, email: str, password: str = PASSWORD) -> Person:
        """Start another session of a user."""
        tokens = self.login(email, password).get_json()["data"]
        return Person(
            tokens["user"]["id"], email, password, tokens["access_token"], tokens["refresh_token"]
        )

    def administrator(self) -> Person:
        """Register and sign in a new administrator."""
        person = self.person()
        users = USERS
        promote = update(users).where(users.c.id == UUID(person.id)).values(role="ADMIN")
        self.harness.do(lambda session: session.execute(promote))
        return person

    def order(
        self, who: Person, side: str = "BUY", quantity: int = 10, code: str = SAMSUNG, **more: Any
    ) -> TestResponse:
        """Place a market order; extra members are added to its body."""
        headers = more.pop("headers", {})
        body = {"stock_code": code, "side": side, "quantity": quantity, **more}
        return self.post("/trading/orders", who, json=body, headers=headers)

    def limit_order(
        self, who: Person, side: str = "BUY", quantity: int = 10, price: int = 60_000, **more: Any
    ) -> dict[str, Any]:
        """Place a limit order at `price` won and require that it is accepted."""
        order: dict[str, Any] = data_of(
            self.order(who, side, quantity, order_type="LIMIT", price=price, **more), 201
        )
        return order

    def close(self, who: Person, **more: Any) -> TestResponse:
        """Close an account with its password."""
        return self.ask("DELETE", "/users/me", who, json={"password": who.password, **more})

    def bought(self, who: Person, quantity: int = 10, code: str = SAMSUNG) -> dict[str, Any]:
        """Place a buy order and run every stage."""
        order: dict[str, Any] = self.order(who, "BUY", quantity, code).get_json()["data"]
        self.harness.run_all()
        return order


def api_on(harness: TradingHarness) -> Api:
    """Return the API of a process that just started on this harness."""
    app = create_app(harness.core)
    return Api(harness, app, app.test_client())


def data_of(answer: TestResponse, status: int = 200) -> Any:
    """Check the success envelope and return its data."""
    assert answer.status_code == status, answer.get_data(as_text=True)
    assert answer.mimetype == "application/json"
    body = answer.get_json()
    assert list(body) == ["success", "message", "data"]
    assert body["success"] is True
    assert HANGUL.search(body["message"])
    return body["data"]


def problem_of(answer: TestResponse, code: str, *, status: int | None = None) -> dict[str, Any]:
    """Check that the response is a problem with this code and return its members.

    `status` is needed where it is not the code's usual one.
    """
    assert answer.status_code == (status or status_of(code)), answer.get_data(as_text=True)
    body: dict[str, Any] = problem_form(answer, usual_status=status is None)
    assert body["code"] == code
    return body


def problem_form(answer: TestResponse, *, usual_status: bool = True) -> dict[str, Any]:
    """Check the form of a problem (RFC 9457, Korean texts, request id) and return its members."""
    assert answer.mimetype == MIMETYPE, answer.get_data(as_text=True)
    body: dict[str, Any] = answer.get_json()
    assert {"type", "title", "status", "detail", "instance", "code", "request_id"} <= set(body)
    assert body["code"] in CODES
    assert body["status"] == answer.status_code
    assert not usual_status or answer.status_code == status_of(body["code"])
    assert body["type"].endswith(f"#{body['code']}")
    assert body["instance"] == answer.request.path
    assert HANGUL.search(body["title"])
    assert HANGUL.search(body["detail"])
    assert body["request_id"]
    assert ("WWW-Authenticate" in answer.headers) == (answer.status_code == 401)
    waits = answer.status_code == 503 or (answer.status_code == 429 and "retry_after_s" in body)
    assert ("Retry-After" in answer.headers) == waits
    return body
