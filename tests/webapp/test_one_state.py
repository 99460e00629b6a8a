"""A response that needs several statements shows one snapshot."""

from sqlalchemy import event

from tests.webapp.client import Api, data_of

START = 10_000_000


def test_summary_is_one_snapshot_of_cash_and_shares(api: Api) -> None:
    """A buy is settled and applied between the summary's statements, and is counted once."""
    person = api.person()
    api.harness.tick(70_000)
    api.order(person, "BUY", 10)
    interrupted: list[str] = []

    def interrupt(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if not interrupted and statement.startswith("SELECT virtual_balances"):
            interrupted.append(statement)
            api.harness.run_all()

    event.listen(api.harness.core.database.engine, "after_cursor_execute", interrupt)
    try:
        summary = data_of(api.get("/portfolio/summary", person))
    finally:
        event.remove(api.harness.core.database.engine, "after_cursor_execute", interrupt)

    assert interrupted
    assert summary["cash_balance"] + summary["invested_amount"] + summary["buy_commission"] == START
