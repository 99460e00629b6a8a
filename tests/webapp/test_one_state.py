"""What one answer shows belongs to one moment, though it takes several statements."""

from sqlalchemy import event

from tests.webapp.client import Api, data_of

START = 10_000_000


def test_a_summary_never_mixes_the_cash_of_one_moment_with_the_shares_of_another(api: Api) -> None:
    """A buy is settled and applied between the summary's statements: the money is in the cash or in the shares, never in both."""
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
