"""The audit with real workers: an account that violates an invariant is halted, others trade on."""

import json
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.support.servers import wait_until
from tests.webapp.client import Api, data_of, problem_of
from tests.workers.processes import beat, worker
from trading.config.settings import Settings


@pytest.fixture
def live_settings(live_settings: Settings) -> Settings:
    """Settings for real processes with frequent runs."""
    return live_settings.model_copy(update={"audit_period_s": 1})


def test_an_account_with_a_breach_is_halted(
    live_api: Api, live_settings: Settings, tmp_path: Path
) -> None:
    """One won too much is logged once; the account trading beside it is audited and not halted."""
    harness, administrator = live_api.harness, live_api.administrator()
    sound, unsound = live_api.person(), live_api.person()
    harness.tick(70_000)

    def state() -> dict[str, object]:
        return dict(data_of(live_api.get("/admin/audit", administrator)))

    with (
        worker(tmp_path / "worker.log", live_settings) as auditing,
        beat(tmp_path / "beat.log", live_settings),
    ):
        data_of(live_api.order(sound, "BUY", 1), 201)
        wait_until(lambda: state()["changed"] == 0, what="all accounts audited")
        assert state()["halted"] == []
        # A change without an event is found by the nightly audit; with one, by the next run.
        harness.do(lambda session: session.execute(text(_WRONG), {"email": unsound.email}))
        data_of(live_api.post("/balance/deposit", unsound, {"amount": 1}), 201)

        wait_until(lambda: state()["halted_total"] == 1, what="the halt")
        data_of(live_api.post("/balance/deposit", unsound, {"amount": 1}), 201)
        wait_until(lambda: state()["changed"] == 0, what="the account audited again")

    problem_of(live_api.order(unsound, "BUY", 1), "account-halted")
    data_of(live_api.order(sound, "BUY", 1), 201)
    breaches = [
        json.loads(line) for line in auditing.output.splitlines() if '"audit_breach"' in line
    ]
    assert all(line["user_id"].replace("-", "") == unsound.id.replace("-", "") for line in breaches)
    assert [line["check_number"] for line in breaches].count("1a") == 1


_WRONG = (
    "UPDATE virtual_balances SET cash_balance = cash_balance + 1"
    " WHERE user_id = (SELECT id FROM users WHERE email = :email)"
)
