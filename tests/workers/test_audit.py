"""The audit by real workers: an account whose books break an invariant is halted by beat's own turn, while others trade on."""

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
    """As for other real processes, with looks in quick succession."""
    return live_settings.model_copy(update={"audit_period_s": 1})


def test_an_account_is_halted_for_its_breach(
    live_api: Api, live_settings: Settings, tmp_path: Path
) -> None:
    """A won too many in one account, told once in the log; the account that trades beside it is audited as it goes, and not halted."""
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
        # A change that leaves no event is the night's to find; with one the next look finds it.
        harness.do(lambda session: session.execute(text(_WRONG), {"email": unsound.email}))
        data_of(live_api.post("/balance/deposit", unsound, {"amount": 1}), 201)

        wait_until(lambda: state()["halted_total"] == 1, what="the halt")
        data_of(live_api.post("/balance/deposit", unsound, {"amount": 1}), 201)
        wait_until(lambda: state()["changed"] == 0, what="the account audited again")

    problem_of(live_api.order(unsound, "BUY", 1), "account-halted")
    data_of(live_api.order(sound, "BUY", 1), 201)
    told = [json.loads(line) for line in auditing.output.splitlines() if '"audit_breach"' in line]
    assert all(line["user_id"].replace("-", "") == unsound.id.replace("-", "") for line in told)
    assert [line["check_number"] for line in told].count("1a") == 1


_WRONG = "UPDATE virtual_balances SET cash_balance = cash_balance + 1 WHERE user_id = (SELECT id FROM users WHERE email = :email)"
