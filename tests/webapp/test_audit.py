"""The audit's endpoints and halted accounts."""

from datetime import datetime
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner, Result
from flask.cli import FlaskGroup
from sqlalchemy import text

from tests.support.trading_harness import TradingHarness
from tests.webapp.client import Api, Person, data_of, problem_of
from trading.audit.checks import audit_accounts
from trading.audit.run import record_audit_run, record_batch

HALTED_SINCE = "2026-11-20T10:00:00+09:00"


@pytest.fixture
def administrator(api: Api) -> Person:
    """An administrator in a market whose last trade was at 70,000 won."""
    api.harness.tick(70_000)
    return api.administrator()


def audited(harness: TradingHarness, *people: Person) -> None:
    """Audit these accounts, as the task does."""
    accounts = sorted(UUID(person.id) for person in people)
    found = harness.core.snapshot(audit_accounts, accounts)
    now = harness.clock()
    harness.core.run(record_batch, found, begun_at=now)
    harness.core.run(record_audit_run, accounts=len(accounts), duration_ms=7)


def damage(harness: TradingHarness, person: Person) -> None:
    wrong = text("UPDATE portfolios SET quantity = quantity + 1 WHERE user_id = :user")
    harness.do(lambda session: session.execute(wrong, {"user": UUID(person.id).bytes}))


def flask(api: Api, *arguments: str) -> Result:
    return CliRunner().invoke(FlaskGroup(create_app=lambda: api.app), list(arguments))


def halted(api: Api, administrator: Person, person: Person) -> dict[str, object]:
    return dict(
        data_of(api.post(f"/admin/accounts/{person.id}/halt", administrator, {"reason": "확인 중"}))
    )


def test_breach_is_listed_and_halts_the_account(api: Api, administrator: Person) -> None:
    """The user's next order is refused with its own code."""
    person, other = api.person(), api.person()
    api.bought(person, 3)
    before = data_of(api.get("/admin/audit", administrator))
    assert (before["run_at"], before["breaches"], before["halted"]) == (None, [], [])
    assert (before["accounts_total"], before["changed"]) == (3, 3)

    damage(api.harness, person)
    audited(api.harness, person, other)

    state = data_of(api.get("/admin/audit", administrator))
    assert (state["accounts"], state["duration_ms"], state["changed"]) == (2, 7, 1)
    assert datetime.fromisoformat(state["run_at"]) == api.harness.clock()
    assert {breach["check"].split()[0] for breach in state["breaches"]} == {"3a", "9e"}
    assert all(breach["user_id"] == person.id and breach["sample"] for breach in state["breaches"])
    (halt,) = state["halted"]
    assert (halt["user_id"], halt["cause"], halt["reason"]) == (person.id, "audit-breach", "3a, 9e")
    assert problem_of(api.order(person, "BUY", 1), "account-halted")["since"] == HALTED_SINCE
    data_of(api.order(other, "BUY", 1), 201)


def test_administrator_halts_and_resumes_an_account(api: Api, administrator: Person) -> None:
    """The open order explains the halt, a second halt changes nothing, and after the resume it
    fills.
    """
    person = api.person()
    order = data_of(api.order(person, "BUY", 1), 201)
    halt = halted(api, administrator, person)
    assert (halt["user_id"], halt["cause"], halt["reason"]) == (
        person.id,
        "administrator",
        "확인 중",
    )
    again = api.post(f"/admin/accounts/{person.id}/halt", administrator)
    assert data_of(again) == halt
    assert "이미" in again.get_json()["message"]
    api.harness.run_all()

    explanation = data_of(api.get(f"/trading/orders/{order['id']}/explain", person))
    assert explanation["waiting"]["reasons"][0]["code"] == "account-halted"
    order_form = {"stock_code": "005930", "side": "BUY", "quantity": 1}
    for path, body in (
        ("/balance/withdraw", {"amount": 1}),
        ("/trading/orders/preview", order_form),
    ):
        problem_of(api.post(path, person, body), "account-halted")
    data_of(api.post("/balance/deposit", person, {"amount": 1}), 201)

    resume = f"/admin/accounts/{person.id}/resume"
    problem_of(api.post(resume, administrator), "validation-failed")
    lifted = data_of(api.post(resume, administrator, {"note": "문제 없음"}))
    assert lifted["id"] == halt["id"]
    assert datetime.fromisoformat(lifted["resumed_at"]) == api.harness.clock()
    assert data_of(api.post(resume, administrator, {"note": "한 번 더"})) is None
    api.harness.run_all()
    assert data_of(api.get(f"/trading/orders/{order['id']}", person))["status"] == "FILLED"


def test_halting_an_unknown_account_is_404(api: Api, administrator: Person) -> None:
    """Resuming it has no effect."""
    problem_of(api.post(f"/admin/accounts/{uuid4()}/halt", administrator), "user-not-found")
    assert (
        data_of(api.post(f"/admin/accounts/{uuid4()}/resume", administrator, {"note": "없음"}))
        is None
    )


def test_operators_halt_and_resume_by_command(api: Api) -> None:
    api.harness.tick(70_000)
    person = api.person()
    api.bought(person, 1)
    damage(api.harness, person)
    audited(api.harness, person)
    shown = flask(api, "users", "halted").output
    assert f"{person.email} ({person.id}) since 2026-11-20 10:00:00+09:00: audit-breach" in shown
    assert f"{person.email} ({person.id}) breaks 3a holding quantity" in shown
    assert shown.endswith("1 halted accounts, 2 open breaches.\n")

    assert (
        "may trade again" in flask(api, "users", "resume", person.id, "--note", "바로잡음").output
    )
    assert flask(api, "users", "halted").output == "0 halted accounts, 0 open breaches.\n"
    assert (
        "is halted since"
        in flask(api, "users", "halt", f" {person.email.upper()}", "--reason", "확인").output
    )
    problem_of(api.order(person, "SELL", 1), "account-halted")

    for command in (
        ("halt", "nobody@example.com", "--reason", "x"),
        ("halt", str(uuid4()), "--reason", "x"),
        ("resume", str(uuid4()), "--note", "x"),
        ("halt", person.email, "--reason", "x" * 201),
        ("resume", person.email, "--note", "a\x1b[31m"),
        ("resume", person.email, "--note", "  "),
    ):
        refused = flask(api, "users", *command)
        assert (refused.exit_code, refused.output[:7]) == (1, "Error: "), command
