"""Task requests: batches, and their dispatch, which never raises."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from trading.tasks import Task, TaskRequest, task_dispatcher, task_requests

IDS = tuple(UUID(int=number) for number in range(1, 8))


@given(st.integers(0, 50), st.integers(1, 60))
def test_batches_contain_every_id_once_in_order(count: int, batch_size: int) -> None:
    ids = [UUID(int=number) for number in range(count)]
    batches = list(task_requests(Task.EXECUTE_ORDERS, ids, batch_size=batch_size))
    assert [one for batch in batches for one in batch.ids] == ids
    assert all(0 < len(batch.ids) <= batch_size for batch in batches)


def test_tasks_that_wait_for_external_services_get_one_id_each() -> None:
    """A minute for each of five hundred would exceed any time limit."""
    assert [one.ids for one in task_requests(Task.VERIFY_PAYMENT, IDS[:3], batch_size=500)] == [
        (one,) for one in IDS[:3]
    ]


def test_dispatcher_sends_task_names_and_ids_as_text() -> None:
    sent: list[tuple[str, list[str]]] = []
    task_dispatcher(lambda name, ids: sent.append((name, ids)))(
        [TaskRequest(Task.SETTLE_EXECUTIONS, IDS[:2])]
    )
    assert sent == [("settle_executions", [str(IDS[0]), str(IDS[1])])]


def test_unavailable_broker_is_tried_once_without_raising() -> None:
    """The rows are due already, and every further attempt would wait as long."""
    tries: list[str] = []

    def away(name: str, _ids: list[str]) -> None:
        tries.append(name)
        raise ConnectionError

    task_dispatcher(away)(
        [TaskRequest(Task.EXECUTE_ORDERS, IDS[:1]), TaskRequest(Task.EXECUTE_ORDERS, IDS[1:])]
    )
    assert tries == ["execute_orders"]


def test_lost_requests_are_counted_by_task() -> None:
    """The one that failed and all after it."""
    lost: dict[str, int] = {}

    def send(name: str, _ids: list[str]) -> None:
        if name == Task.SETTLE_EXECUTIONS:
            raise ConnectionError

    due = [
        Task.EXECUTE_ORDERS,
        Task.SETTLE_EXECUTIONS,
        Task.UPDATE_PORTFOLIOS,
        Task.SETTLE_EXECUTIONS,
    ]
    task_dispatcher(send, lost=lost.__setitem__)([TaskRequest(task, IDS[:1]) for task in due])

    assert lost == {"settle_executions": 2, "update_portfolios": 1}
