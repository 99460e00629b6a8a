"""No user reaches another user's or the administrators' resources through any documented route."""

import base64
import csv
import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from uuid import UUID

import jwt
import pytest
from click.testing import CliRunner
from flask.cli import FlaskGroup

from tests.trading.orders.steps import everything
from tests.trading.payments.payment_rows import partly_refunded_payment
from tests.webapp.client import PASSWORD, Api, Person, bearer, data_of, problem_of
from webapp.http.commands import KEY_HEADER
from webapp.http.stream_docs import PATH as STREAM_DOCUMENT_PATH

# Body members that identify a user's resource; each is tried with another user's value.
NAMING = {"directory_id", "item_ids", "payment_id", "client_order_id"}


@dataclass(frozen=True)
class Victim:
    """A user with one resource of every kind, and their ids by parameter name."""

    person: Person
    ids: dict[str, str]

    def is_in(self, text: str) -> list[str]:
        """Return the ids that occur in a text, with or without hyphens; sequence numbers are no
        secret.
        """
        folded = text.replace("-", "")
        return [name for name, value in self.ids.items() if value.replace("-", "") in folded]


@pytest.fixture
def victim(api: Api) -> Victim:
    api.harness.tick(70_000)
    person = api.person()
    bought = api.bought(person)
    waiting = [api.limit_order(person, client_order_id=f"mine-{number}") for number in range(3)]
    data_of(api.post("/balance/deposit", person, {"amount": 1}), 201)
    directory = data_of(api.post("/watchlist/directories", person, {"name": "둘째"}), 201)
    items = [
        data_of(
            api.post("/watchlist", person, {"stock_code": code, "directory_id": directory["id"]}),
            201,
        )
        for code in ("A000660", "A035720", "A035420")
    ]
    payment = partly_refunded_payment(api.harness, UUID(person.id))
    transactions = data_of(api.get("/trading/transactions", person))["items"]
    return Victim(
        person,
        {
            "user_id": person.id,
            "order_id": waiting[0]["id"],
            "bought_order_id": bought["id"],
            "transaction_id": transactions[0]["id"],
            "directory_id": directory["id"],
            "item_id": items[0]["id"],
            "second_item_id": items[1]["id"],
            "payment_id": payment.hex,
        },
    )


def operations(api: Api) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path below the prefix, and description of every operation."""
    for path, item in api.client.get("/openapi.json").get_json()["paths"].items():
        shared = item.get("parameters", [])
        for method, operation in item.items():
            if method != "parameters":
                description = {
                    **operation,
                    "parameters": [*shared, *operation.get("parameters", [])],
                }
                yield method.upper(), path.removeprefix("/api/v1"), description


def user_lists(api: Api) -> list[tuple[str, list[str]]]:
    """Return path and query parameters of every user-specific GET without an id in its path."""
    shared = ("/market/", "/stocks/", "/trading/realtime/", "/admin/")
    return [
        (
            path,
            [
                parameter["name"]
                for parameter in description["parameters"]
                if parameter["in"] == "query"
            ],
        )
        for method, path, description in operations(api)
        if method == "GET" and "{" not in path and not path.startswith(shared)
    ]


def test_filters_do_not_reveal_another_users_resources(api: Api, victim: Victim) -> None:
    """Every documented or plausible parameter, with each id of the other user."""
    thief, asked = api.person(), 0
    for path, parameters in user_lists(api):
        for name in {*parameters, "user_id", "order_id", "id", "account_id", "owner"}:
            for value in victim.ids.values():
                answer = api.get(path, thief, query_string={name: value})
                assert answer.status_code < 500, (path, name)
                text = (
                    answer.get_data(as_text=True).replace(value, "")
                    if answer.status_code >= 400
                    else answer.text
                )
                assert victim.is_in(text) == [], (path, name)
                asked += 1
    assert asked > 500


def test_another_users_cursor_reveals_only_own_items(api: Api, victim: Victim) -> None:
    thief, pages = api.person(), 0
    api.limit_order(thief)
    for path, parameters in user_lists(api):
        for cursor in {"cursor", "after"} & set(parameters):
            first = data_of(api.get(path, victim.person, query_string={"limit": 1}))
            given = first["next_cursor"] or (victim.ids["order_id"] if "orders" in path else "1")
            answer = api.get(path, thief, query_string={cursor: given, "limit": 100})
            assert answer.status_code in (200, 422), path
            assert victim.is_in(answer.get_data(as_text=True)) == [], path
            pages += 1
    assert pages >= 5


def test_ledger_csv_contains_only_own_entries(api: Api, victim: Victim) -> None:
    """Filtered by another user's order, only the header row remains."""
    thief = api.person()
    named = api.get(f"/trading/transactions?user_id={victim.person.id}", thief)
    problem_of(named, "unknown-query-parameter")
    for query, count in {f"order_id={victim.ids['bought_order_id']}": 0, "": 1}.items():
        answer = api.get(f"/trading/transactions?{query}", thief, headers={"Accept": "text/csv"})
        _, *rows = csv.reader(StringIO(answer.get_data().decode("utf-8-sig"), newline=""))
        assert len(rows) == count, query
        assert victim.is_in(answer.get_data(as_text=True)) == []


def body_members(api: Api) -> set[str]:
    """Return the names of all body members that end like an id."""
    schemas = api.client.get("/openapi.json").get_json()["components"]["schemas"]
    found = set()
    for method, path, description in operations(api):
        if path.startswith("/admin/") or method == "GET":
            continue
        for content in description.get("requestBody", {}).get("content", {}).values():
            schema = schemas[content["schema"]["$ref"].rpartition("/")[2]]
            found |= {name for name in schema["properties"] if name.endswith(("_id", "_ids"))}
    return found


def test_ids_in_bodies_do_not_reach_another_users_resources(api: Api, victim: Victim) -> None:
    """The response is not-found or reveals no more, and nothing changes."""
    assert body_members(api) == NAMING
    thief, ids = api.person(), victim.ids
    own = data_of(api.post("/watchlist", thief, {"stock_code": "A000660"}), 201)
    before = everything(api.harness)

    attempts: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/watchlist", {"stock_code": "A005930", "directory_id": ids["directory_id"]}),
        ("PATCH", f"/watchlist/{own['id']}", {"directory_id": ids["directory_id"]}),
        (
            "PUT",
            "/watchlist/order",
            {"directory_id": ids["directory_id"], "item_ids": [ids["item_id"]]},
        ),
        (
            "PUT",
            "/watchlist/order",
            {"directory_id": own["directory_id"], "item_ids": [ids["item_id"], own["id"]]},
        ),
        (
            "PUT",
            "/watchlist/order",
            {"directory_id": own["directory_id"], "item_ids": [ids["item_id"]]},
        ),
        ("POST", "/payments/portone/complete", {"payment_id": ids["payment_id"]}),
    ]
    for method, path, body in attempts:
        answer = api.ask(method, path, thief, json=body)
        assert answer.status_code in (404, 409), (path, answer.get_data(as_text=True))
        # The response may repeat what the user sent.
        assert set(victim.is_in(answer.get_data(as_text=True))) <= {"item_id"}
        assert everything(api.harness) == before, (path, body)


def test_client_order_ids_are_independent_between_users(api: Api, victim: Victim) -> None:
    thief = api.person()
    placed = api.limit_order(thief, client_order_id="mine-0")
    assert placed["client_order_id"] == "mine-0"
    again = api.order(thief, "BUY", 1, order_type="LIMIT", price=60_000, client_order_id="mine-0")
    problem_of(again, "client-order-id-taken")
    free = api.order(thief, "BUY", 1, order_type="LIMIT", price=60_000, client_order_id="mine-1")
    data_of(free, 201)


def test_idempotency_keys_are_independent_between_users(api: Api, victim: Victim) -> None:
    key = {KEY_HEADER: "one-key-for-two"}
    first = data_of(
        api.post("/balance/deposit", victim.person, {"amount": 5_000}, headers=key), 201
    )
    thief = api.person()

    second = api.post("/balance/deposit", thief, {"amount": 5_000}, headers=key)

    assert "Idempotency-Replayed" not in second.headers
    assert data_of(second, 201)["id"] != first["id"]
    assert victim.person.id not in second.get_data(as_text=True)
    data_of(
        api.post("/balance/deposit", thief, {"amount": 1}, headers={KEY_HEADER: "another"}), 201
    )


def test_users_cannot_make_themselves_administrators(api: Api) -> None:
    """Neither by any route that writes nor by registering."""
    person = api.person()
    claims = {
        "role": "ADMIN",
        "is_admin": True,
        "admin": True,
        "roles": ["ADMIN"],
        "user": {"role": "ADMIN"},
    }
    tried = 0
    for method, path, _description in operations(api):
        if method == "GET" or (
            path in ("/users/logout", "/users/me") and method in ("POST", "DELETE")
        ):
            continue
        filled = path.replace("{stock_code}", "A005930")
        for name in (
            "order_id",
            "transaction_id",
            "directory_id",
            "item_id",
            "payment_id",
            "user_id",
        ):
            filled = filled.replace(f"{{{name}}}", "0" * 32)
        for body in (
            claims,
            {"name": "이름", **claims},
            {"email": f"x{tried}@example.com", "password": PASSWORD, "name": "이름", **claims},
        ):
            answer = api.ask(method, filled, person, json=body, query_string={"role": "ADMIN"})
            assert answer.status_code < 500, (path, answer.get_data(as_text=True))
            tried += 1
    assert tried > 60
    assert data_of(api.get("/users/me", person))["role"] == "USER"
    roles = api.harness.core.database.read(
        lambda session: (
            session.connection().exec_driver_sql("SELECT DISTINCT role FROM users").scalars().all()
        )
    )
    assert roles == ["USER"]
    claimed = jwt.encode(
        {**jwt.decode(person.access_token, options={"verify_signature": False}), "role": "ADMIN"},
        api.app.config["JWT_SECRET_KEY"],
    )
    problem_of(api.get("/admin/actions", headers=bearer(claimed)), "forbidden")


def test_role_change_takes_effect_on_the_next_request(api: Api) -> None:
    person = api.person()
    for command, code in (
        ("promote", None),
        ("demote", "forbidden"),
        ("promote", None),
        ("demote", "forbidden"),
    ):
        result = CliRunner().invoke(
            FlaskGroup(create_app=lambda: api.app), ["users", command, person.email]
        )
        assert result.exit_code == 0, result.output
        answer = api.get("/admin/actions", person)
        assert answer.status_code == 200 if code is None else problem_of(answer, code)
    renewed = data_of(api.post("/users/refresh", headers=bearer(person.refresh_token)))
    assert renewed["user"]["role"] == "USER"
    problem_of(
        api.post("/admin/trading/halt", headers=bearer(renewed["access_token"])), "forbidden"
    )


def test_closed_account_rejects_every_token(api: Api) -> None:
    """Access and refresh tokens of all sessions, also of an administrator."""
    person = api.administrator()
    elsewhere = api.signed_in(person.email)
    data_of(api.close(person))
    for one in (person, elsewhere):
        for method, path, _ in operations(api):
            if (
                method == "GET"
                and "{" not in path
                and not path.startswith("/market/")
                and "daemon" not in path
                and f"/api/v1{path}"
                != STREAM_DOCUMENT_PATH  # Served by the push gateway, which has its own test.
            ):
                problem_of(api.get(path, one), "unauthorized")
        problem_of(api.post("/users/refresh", headers=bearer(one.refresh_token)), "unauthorized")
    problem_of(api.login(person.email), "unauthorized")


def _header(**members: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(members).encode()).rstrip(b"=").decode()


def _hs256(header: str, payload: str, key: bytes) -> str:
    signature = hmac.digest(key, f"{header}.{payload}".encode(), hashlib.sha256)
    return f"{header}.{payload}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def forged_tokens(api: Api, person: Person) -> dict[str, str]:
    """Return tokens that are one step from a valid one, in addition to those of test_sessions."""
    unsigned, _, signature = person.access_token.rpartition(".")
    payload = unsigned.partition(".")[2]
    other_signature = api.person().access_token.rpartition(".")[2]
    claims = jwt.decode(person.access_token, options={"verify_signature": False})
    secret = api.app.config["JWT_SECRET_KEY"]
    later = datetime.now(UTC) + timedelta(hours=1)

    def signed(**changed: Any) -> str:
        return jwt.encode({**claims, **changed}, secret, algorithm="HS256")

    return {
        "not yet valid": signed(nbf=later),
        "issued later": signed(iat=later),
        "no end": jwt.encode(
            {name: claims[name] for name in claims if name != "exp"}, secret, algorithm="HS256"
        ),
        "another type": signed(type="admin"),
        "type of no kind": signed(type=["access"]),
        "empty key": _hs256(_header(alg="HS256", typ="JWT"), payload, b""),
        "null key": _hs256(_header(alg="HS256", typ="JWT"), payload, b"None"),
        "key of the header's choice": _hs256(
            _header(alg="HS256", typ="JWT", kid="../../dev/null"), payload, b""
        ),
        "key in the header": _hs256(
            _header(alg="HS256", jwk={"kty": "oct", "k": "AAAA"}), payload, b"\0\0\0"
        ),
        "algorithm in other letters": f"{_header(alg='hs256', typ='JWT')}.{payload}.{signature}",
        "None": f"{_header(alg='None', typ='JWT')}.{payload}.",
        "public key as secret": f"{_header(alg='RS256', typ='JWT')}.{payload}.{signature}",
        "signature of another token": f"{unsigned}.{other_signature}",
        "signature cut": person.access_token[:-1],
        "refresh token's body": f"{person.refresh_token.rpartition('.')[0]}.{signature}",
        "session of another": signed(
            sid=jwt.decode(api.person().access_token, options={"verify_signature": False})["sid"]
        ),
        "a list of users": signed(sub=[person.id]),
        "encrypted form": "a.b.c.d.e",
    }


def test_forged_tokens_are_rejected(sqlite_api: Api) -> None:
    """Both as access and as refresh token; the valid ones still work."""
    person = sqlite_api.person()
    taken = []
    for name, token in forged_tokens(sqlite_api, person).items():
        for answer in (
            sqlite_api.get("/users/me", headers=bearer(token)),
            sqlite_api.get("/trading/orders", headers=bearer(token)),
            sqlite_api.post("/users/refresh", headers=bearer(token)),
        ):
            if answer.status_code == 401:
                problem_of(answer, "unauthorized")
            else:
                taken.append((name, answer.request.path))
    assert not taken, taken
    data_of(sqlite_api.get("/users/me", person))
    data_of(sqlite_api.post("/users/refresh", headers=bearer(person.refresh_token)))
