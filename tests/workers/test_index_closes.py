"""Index closes with a real worker: fetched once, known ones kept."""

from datetime import date, timedelta
from pathlib import Path

from tests.fixtures.toss import INDEX
from tests.support.http_server import Answer, Request, answer, serving
from tests.support.servers import wait_until
from tests.support.trading_harness import TradingHarness
from tests.webapp.client import Api
from tests.workers.processes import worker
from tests.workers.test_live import _send
from trading.config.settings import Settings
from trading.db.clock import utc_now
from trading.exchange.time import trade_date
from trading.stocks.indices.queries import KOSPI, index_closes
from trading.stocks.indices.record import record_index_closes
from trading.tasks import Task

ONE_DAY = timedelta(days=1)


def known(harness: TradingHarness) -> dict[date, int]:
    return harness.core.read(index_closes, KOSPI)


def runs(output: str) -> int:
    """Return how often the task has finished."""
    return sum(
        '"task_done"' in line and str(Task.REFRESH_INDEX_CLOSES) in line
        for line in output.splitlines()
    )


def test_missing_closes_of_completed_days_are_fetched(
    live_api: Api, live_settings: Settings, tmp_path: Path
) -> None:
    """Yesterday's price is a close; an operator's earlier close stays. Then Toss is not asked."""
    harness, asked = live_api.harness, []
    today = trade_date(utc_now())
    yesterday, before = today - ONE_DAY, today - 2 * ONE_DAY

    def as_toss(request: Request) -> Answer:
        asked.append(request.target)
        return answer(200, {"result": {**INDEX, "tradeTime": f"{yesterday}T23:59:00+09:00"}})

    harness.core.run(record_index_closes, KOSPI, {before: 1})
    with serving(as_toss) as toss:
        # A run without due closes is logged at DEBUG only.
        settings = live_settings.model_copy(
            update={"toss_info_url": toss.url, "log_level": "DEBUG"}
        )
        with worker(tmp_path / "worker.log", settings, TOSS_INFO_URL=toss.url) as process:
            for run in (1, 2):
                _send(settings, Task.REFRESH_INDEX_CLOSES)
                wait_until(lambda run=run: runs(process.output) >= run, what="a run")
                wait_until(lambda: yesterday in known(harness), what="yesterday's close")

    assert known(harness) == {before: 1, yesterday: 430_963}
    # After midnight another day is complete and its close is due.
    assert len(asked) == 1 or trade_date(utc_now()) != today
