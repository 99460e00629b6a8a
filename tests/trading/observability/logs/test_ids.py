"""Log lines with ids: all ids are logged, and every line fits into one write to a pipe."""

import pytest
import structlog
from structlog.contextvars import bound_contextvars

from tests.support.log_lines import json_lines, logs_of
from trading.config.settings import Settings
from trading.db.ids import new_id
from trading.observability.logs.ids import IDS_PER_LINE, log_with_ids

PIPE_BUF = 4_096


@pytest.mark.parametrize("count", [0, 1, IDS_PER_LINE, IDS_PER_LINE + 1, 500])
def test_every_id_is_logged_and_no_line_is_long(count: int) -> None:
    """A batch of the largest size, with the longest request ids that clients may send."""
    ids = {
        name: [new_id() for _ in range(count)]
        for name in ("order_ids", "execution_ids", "user_ids")
    }
    requests = [f"{number:0>64}" for number in range(count)]
    # A task dispatched by many requests together.
    dispatched_by = ",".join(64 * "x" for _ in range(20))
    context = {"task": "settle_executions", "task_id": str(new_id()), "request_id": dispatched_by}
    with logs_of(Settings(log_format="json")) as written, bound_contextvars(**context):
        log_with_ids(
            structlog.get_logger("product").info,
            "task_done",
            {**ids, "request_ids": requests},
            filled=count,
        )

    lines = json_lines(written.getvalue())
    assert [line["event"] for line in lines] == ["task_done"] + ["ids_continued"] * max(
        0, (count - 1) // IDS_PER_LINE
    )
    assert all(line["of"] == "task_done" for line in lines[1:])
    assert lines[0].get("order_ids_total", count) == count == lines[0]["filled"]
    assert [one for line in lines for one in line.get("order_ids", ())] == list(
        map(str, ids["order_ids"])
    )
    assert [one for line in lines for one in line.get("request_ids", ())] == requests
    assert max(len(line) for line in written.getvalue().splitlines()) < PIPE_BUF


def test_shorter_id_list_is_logged_once() -> None:
    user = new_id()
    with logs_of(Settings(log_format="json")) as written:
        log_with_ids(
            structlog.get_logger("product").info,
            "task_done",
            {"order_ids": range(3 * IDS_PER_LINE), "user_ids": [user]},
        )

    assert [line.get("user_ids") for line in json_lines(written.getvalue())] == [
        [str(user)],
        None,
        None,
    ]
