"""Ids in lines: all of them, in lines that a pipe takes in one piece."""

import pytest
import structlog
from structlog.contextvars import bound_contextvars

from tests.support.log_lines import json_lines, logs_of
from trading.config.settings import Settings
from trading.db.ids import new_id
from trading.observability.logs.ids import NAMED_MAX, log_with_ids

PIPE_BUF = 4_096


@pytest.mark.parametrize("count", [0, 1, NAMED_MAX, NAMED_MAX + 1, 500])
def test_every_id_is_in_some_line_and_no_line_is_long(count: int) -> None:
    """A batch of the largest size, with the longest names that clients may give their requests."""
    ids = {
        name: [new_id() for _ in range(count)]
        for name in ("order_ids", "execution_ids", "user_ids")
    }
    requests = [f"{number:0>64}" for number in range(count)]
    # Of a task that the wake-ups of many requests woke together.
    woken_by = ",".join(64 * "x" for _ in range(20))
    context = {"task": "settle_executions", "task_id": str(new_id()), "request_id": woken_by}
    with logs_of(Settings(log_format="json")) as written, bound_contextvars(**context):
        log_with_ids(
            structlog.get_logger("ours").info,
            "task_done",
            {**ids, "request_ids": requests},
            filled=count,
        )

    lines = json_lines(written.getvalue())
    assert [line["event"] for line in lines] == ["task_done"] + ["ids_continued"] * max(
        0, (count - 1) // NAMED_MAX
    )
    assert all(line["of"] == "task_done" for line in lines[1:])
    assert lines[0].get("order_ids_total", count) == count == lines[0]["filled"]
    assert [one for line in lines for one in line.get("order_ids", ())] == list(
        map(str, ids["order_ids"])
    )
    assert [one for line in lines for one in line.get("request_ids", ())] == requests
    assert max(len(line) for line in written.getvalue().splitlines()) < PIPE_BUF


def test_fewer_ids_of_one_kind_are_told_once() -> None:
    """Many orders of one user: he stands in the first line only."""
    user = new_id()
    with logs_of(Settings(log_format="json")) as written:
        log_with_ids(
            structlog.get_logger("ours").info,
            "task_done",
            {"order_ids": range(3 * NAMED_MAX), "user_ids": [user]},
        )

    assert [line.get("user_ids") for line in json_lines(written.getvalue())] == [
        [str(user)],
        None,
        None,
    ]
