"""The administrators' log has every change by administrators and operators, and is immutable."""

import json
import os
import pwd
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result
from flask.cli import FlaskGroup
from structlog.testing import capture_logs

from tests.support.payments_stack import PaymentsStack, payments_stack
from tests.support.trading_harness import HYNIX, SAMSUNG
from tests.trading.db.cutting_proxy import Cut
from tests.trading.orders.steps import rows
from tests.webapp.client import Api, Person, data_of, problem_of
from tests.webapp.test_guards import routes
from trading.operations import admin_actions
from trading.operations.admin_action_model import ActionKind, Actor, AdminAction
from webapp.http import log_throttling
from webapp.http.commands import KEY_HEADER

PATH = "/admin/actions"
REQUEST_ID = "a-request-of-mine"
# Query parameters of administrator routes that write; other routes need none.
QUERIES = {
    "/admin/websocket/subscriptions/subscribe": {"topic": "A000660"},
    "/admin/websocket/subscriptions/unsubscribe": {"topic": "A000660"},
}
BODIES = {
    "/admin/accounts/<uuid:user_id>/resume": {"note": "확인"},
    "/admin/stocks/<stock_code>/leverage": {"leverage": "2"},
}
OPERATOR = pwd.getpwuid(os.getuid()).pw_name


def entries(api: Api, administrator: Person, **query: Any) -> list[dict[str, Any]]:
    """Return the log as an administrator reads it, newest first."""
    items: list[dict[str, Any]] = data_of(api.get(PATH, administrator, query_string=query))["items"]
    return items


def flask(api: Api, *arguments: str) -> Result:
    """Run a `flask` command on the API's application."""
    return CliRunner().invoke(FlaskGroup(create_app=lambda: api.app), list(arguments))


def test_halt_and_resume_are_recorded(api: Api) -> None:
    administrator = api.administrator()
    asked = {
        "headers": {"X-Request-ID": REQUEST_ID},
        "environ_overrides": {"REMOTE_ADDR": "203.0.113.7"},
    }
    halt = data_of(api.post("/admin/trading/halt", administrator, {"reason": "점검"}, **asked))

    (entry,) = entries(api, administrator)

    at = api.harness.clock().isoformat()
    assert entry.pop("id")
    assert entry == {
        "action": "trading.halt",
        "user_id": administrator.id,
        "operator": None,
        "target": halt["id"],
        "details": {"reason": "점검"},
        "request_id": REQUEST_ID,
        "address": "203.0.113.7",
        "began_at": at,
        "outcome": "halted",
        "outcome_details": {},
        "ended_at": at,
    }
    data_of(api.post("/admin/trading/halt", administrator))
    data_of(api.post("/admin/trading/resume", administrator))
    data_of(api.post("/admin/trading/resume", administrator))
    found = [
        (entry["action"], entry["outcome"], entry["target"])
        for entry in entries(api, administrator)
    ]
    assert found == [
        ("trading.resume", "unchanged", None),
        ("trading.resume", "resumed", halt["id"]),
        ("trading.halt", "unchanged", halt["id"]),
        ("trading.halt", "halted", halt["id"]),
    ]


def test_every_writing_administrator_route_is_recorded(sqlite_api: Api) -> None:
    """Each route that writes leaves one entry with its outcome; routes that read leave none."""
    api = sqlite_api
    administrator, user = api.administrator(), api.person()
    asked = [(method, rule) for method, rule in routes(api) if rule.startswith("/admin/")]
    assert {method for method, _ in asked} > {"GET", "POST"}

    for method, rule in asked:
        before = rows(api.harness, "SELECT id FROM admin_actions")
        # A delisted stock cannot be halted, and only a delisted one is written off.
        code = HYNIX if rule.endswith(("/delist", "/write-off")) else SAMSUNG
        path, body = (
            rule.replace("<uuid:user_id>", user.id).replace("<stock_code>", code),
            {"json": BODIES[rule]} if rule in BODIES else {},
        )
        answer = api.ask(method, path, administrator, query_string=QUERIES.get(rule, {}), **body)
        assert answer.status_code in (200, 504), (rule, answer.get_data(as_text=True))
        added = len(rows(api.harness, "SELECT id FROM admin_actions")) - len(before)
        assert added == (0 if method == "GET" else 1), (method, rule)
        without = (
            "SELECT a.id FROM admin_actions a LEFT JOIN admin_action_outcomes o ON "
            "o.action_id = a.id WHERE o.action_id IS NULL"
        )
        assert rows(api.harness, without) == []


def test_malformed_and_replayed_requests_are_not_recorded(sqlite_api: Api) -> None:
    api = sqlite_api
    administrator, key = api.administrator(), {"headers": {KEY_HEADER: "one-key"}}
    problem_of(api.post("/admin/trading/halt", administrator, {"reason": 7}), "validation-failed")
    problem_of(
        api.post("/admin/websocket/subscriptions/subscribe?topic=x", administrator),
        "validation-failed",
    )
    assert entries(api, administrator) == []

    for _ in range(2):
        data_of(api.post("/admin/trading/halt", administrator, {"reason": "점검"}, **key))

    assert len(entries(api, administrator)) == 1


def test_relayer_commands_are_recorded_before_and_after(sqlite_api: Api) -> None:
    """Without a relayer the entry has the reason of the failure."""
    api = sqlite_api
    administrator = api.administrator()
    problem_of(
        api.post("/admin/websocket/subscriptions/subscribe?topic=000660", administrator),
        "relayer-unavailable",
        status=504,
    )

    (entry,) = entries(api, administrator, action="feed.subscribe")

    assert (entry["target"], entry["outcome"]) == ("/topic/v1/kr/stock/trade/A000660", "no-record")
    assert entry["details"]["command_id"]


def test_intent_without_outcome_is_listed(api: Api) -> None:
    """As left by a process that was killed in between."""
    administrator = api.administrator()
    action = AdminAction(
        id=uuid4(),
        kind=ActionKind.RECONNECT,
        actor=Actor(operator="somebody"),
        began_at=api.harness.clock(),
    )
    for _ in range(2):  # A rerun whose first COMMIT had an unknown outcome.
        api.harness.core.run(admin_actions.insert_action, action, target="x")

    (entry,) = entries(api, administrator)

    assert (entry["operator"], entry["outcome"], entry["ended_at"]) == ("somebody", None, None)
    assert "-> not known" in flask(api, "admin-log").output
    for word in ("first", "second"):
        api.harness.core.run(admin_actions.insert_outcome, action, word)
    assert entries(api, administrator)[0]["outcome"] == "first"


def test_rolled_back_action_is_not_recorded(api: Api) -> None:
    administrator = api.administrator()

    result = flask(api, "calendar", "forget", "2026-11-23")

    assert result.exit_code == 1
    (entry,) = entries(api, administrator)
    assert (entry["action"], entry["outcome"]) == ("calendar.forget", "unchanged")
    assert flask(api, "users", "promote", "nobody@example.com").exit_code == 1
    assert len(entries(api, administrator)) == 1


@pytest.mark.parametrize("cut", list(Cut))
@pytest.mark.parametrize("path", ["/admin/trading/halt", "/admin/trading/resume"])
def test_lost_commit_leaves_one_entry(
    server_api: Api, cut_api: Callable[..., Any], path: str, cut: Cut
) -> None:
    """The log itself decides whether the COMMIT took effect."""
    administrator = server_api.administrator()
    data_of(server_api.post("/admin/trading/halt", administrator))
    before = len(entries(server_api, administrator))

    with cut_api(cut) as api:
        data_of(api.post(path, administrator))

    assert len(entries(server_api, administrator)) == before + 1


def test_every_writing_command_is_recorded(api: Api, tmp_path: Path) -> None:
    """With the operator's system name, and without the e-mail address of an account."""
    person, administrator = api.person(), api.administrator()
    listing, closes = tmp_path / "listing.csv", tmp_path / "closes.csv"
    listing.write_text(
        "Code,ISU_CD,Name,Market,Close,Stocks\n000020,KR7000020008,동화약품,KOSPI,6000,27931470\n"
    )
    closes.write_text("Date,Close\n2026-11-19,4000.12\n")
    commands = {
        ("seed",): ("stocks.seed", None),
        ("stocks", "import", str(listing)): ("stocks.import", None),
        ("stocks", "aliases", "add", "035420", "네이버"): ("stocks.add-alias", "A035420"),
        ("stocks", "aliases", "remove", "035420", "네이버"): ("stocks.remove-alias", "A035420"),
        ("index", "import", str(closes)): ("index.import", "KOSPI"),
        ("users", "promote", person.email): ("users.promote", person.id),
        ("users", "demote", person.email): ("users.demote", person.id),
        ("users", "halt", person.email, "--reason", "문의"): ("accounts.halt", person.id),
        ("users", "resume", person.id, "--note", "확인"): ("accounts.resume", person.id),
        ("calendar", "close", "2026-11-23", "--note", "임시 휴장"): (
            "calendar.change",
            "2026-11-23",
        ),
        ("calendar", "open", "2026-11-23", "--note", "개장"): ("calendar.change", "2026-11-23"),
        ("calendar", "late", "2026-11-23", "--minutes", "60", "--note", "수능"): (
            "calendar.change",
            "2026-11-23",
        ),
        ("calendar", "forget", "2026-11-23"): ("calendar.forget", "2026-11-23"),
    }
    for command in commands:
        result = flask(api, *command)
        assert result.exit_code == 0, result.output

    found = entries(api, administrator)[::-1]

    assert [(entry["action"], entry["target"]) for entry in found] == list(commands.values())
    assert {(entry["operator"], entry["user_id"]) for entry in found} == {(OPERATOR, None)}
    assert [entry["outcome"] for entry in found] == ["done"] * 7 + ["halted", "resumed"] + [
        "done"
    ] * 4
    assert found[1]["details"] == {"file": "listing.csv"}
    assert found[1]["outcome_details"] == {"stocks": 1}
    assert found[11]["details"] == {"closed": False, "delay_minutes": 60, "note": "수능"}
    assert person.email not in json.dumps(found)


@pytest.fixture
def stack(migrated_sqlite: str, valkey_url: str) -> Iterator[PaymentsStack]:
    with payments_stack(migrated_sqlite, valkey_url) as stack:
        yield stack


def test_payment_decisions_are_recorded(stack: PaymentsStack) -> None:
    """Also those that failed because PortOne did not answer."""
    api = stack.api
    person, administrator = api.person(), api.administrator()
    payment_id = stack.paid(person)
    refund = stack.refund(person, payment_id, 4_000)
    stack.portone.inject_fault(method="GET", drop="before")
    give_up = ("payments", "give-up", refund["id"], "--note", "송금함")
    assert [flask(api, *give_up).exit_code for _ in range(3)] == [1, 0, 1]
    assert flask(api, "payments", "check", payment_id).exit_code == 0
    assert flask(api, "payments", "resolve", payment_id, "--note", "확인").exit_code == 1

    found = [
        (entry["action"], entry["target"], entry["outcome"])
        for entry in entries(api, administrator)
    ][::-1]

    assert found == [
        ("payments.give-up", refund["id"], "no-answer"),
        ("payments.give-up", refund["id"], "done"),
        ("payments.give-up", refund["id"], "unchanged"),
        ("payments.look", payment_id, "done"),
        ("payments.resolve", payment_id, "unchanged"),
    ]


def test_log_is_paged_and_filtered(api: Api) -> None:
    administrator, other = api.administrator(), api.administrator()
    for who, path in (
        (administrator, "halt"),
        (other, "resume"),
        (administrator, "halt"),
        (other, "resume"),
    ):
        data_of(api.post(f"/admin/trading/{path}", who))
        api.harness.clock.advance(days=1)
    everything = entries(api, administrator)
    assert [entry["action"] for entry in everything] == ["trading.resume", "trading.halt"] * 2

    pages, cursor = [], None
    while True:
        page = data_of(
            api.get(
                PATH, other, query_string={"limit": 3, **({"cursor": cursor} if cursor else {})}
            )
        )
        pages.append(page["items"])
        if (cursor := page["next_cursor"]) is None:
            break
    assert [len(page) for page in pages] == [3, 1]
    assert [*pages[0], *pages[1]] == everything
    assert entries(api, other, action="trading.halt") == everything[1::2]
    assert entries(api, other, user_id=other.id) == everything[::2]
    assert entries(api, other, target=everything[0]["target"]) == everything[:2]
    assert entries(api, other, **{"from": "2026-11-21", "to": "2026-11-22"}) == everything[1:3]
    assert entries(api, other, operator="nobody") == []
    for query in (
        "action=x",
        "user_id=x",
        "cursor=x",
        "operator=%00",
        "target=",
        "from=x",
        "limit=0",
    ):
        problem_of(api.get(f"{PATH}?{query}", other), "validation-failed")


def test_admin_log_command_prints_one_line_per_action(api: Api) -> None:
    """Control characters are removed."""
    administrator = api.administrator()
    assert flask(api, "admin-log").output == "Nothing.\n"
    data_of(api.post("/admin/trading/halt", administrator, {"reason": "점검"}))
    action = AdminAction(
        id=uuid4(),
        kind=ActionKind.SEED_STOCKS,
        actor=Actor(operator="\x1b[31m\udcff"),
        began_at=api.harness.clock(),
    )
    api.harness.core.run(admin_actions.insert_action, action, file="\x1b]0;x\x07\ud800")

    listed = flask(api, "admin-log", "--limit", "1").output
    halt = flask(api, "admin-log", "--action", "trading.halt", "--user", administrator.id).output

    assert "\x1b" not in listed
    assert "There are more: --before " in listed
    assert f"administrator {administrator.id} (request " in halt
    assert "trading.halt" in halt
    assert '{"reason":"점검"} -> halted' in halt


def test_refused_administration_is_logged_but_not_recorded(sqlite_api: Api) -> None:
    """Users leave a limited number of log lines per minute, unauthenticated clients none."""
    api = sqlite_api
    user, administrator = api.person(), api.administrator()
    with capture_logs() as lines:
        for _ in range(log_throttling.LINES_PER_MINUTE + 5):
            problem_of(api.post("/admin/trading/halt", user), "forbidden")
            problem_of(api.post("/admin/trading/halt"), "unauthorized")

    denied = [line for line in lines if line["event"] == "admin_access_denied"]

    assert len(denied) == log_throttling.LINES_PER_MINUTE
    assert denied[0] == {
        "event": "admin_access_denied",
        "log_level": "warning",
        "user_id": user.id,
        "method": "POST",
        "rule": "/api/v1/admin/trading/halt",
    }
    assert entries(api, administrator) == []
