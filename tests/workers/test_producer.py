"""Dispatching tasks from web requests never delays or fails a request."""

import json
import subprocess
import sys
import threading
from base64 import b64decode
from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
from structlog.contextvars import bound_contextvars, get_contextvars

from launcher.plan import ROOT
from tests.support.deadlines import DEADLINE_S
from tests.support.servers import Valkey, wait_until
from tests.support.trading_harness import TradingHarness, opened, settings_for
from tests.trading.orders.steps import deposit, rows
from tests.trading.threads import run_together
from tests.webapp.client import api_on, data_of
from tests.workers.processes import environment_of
from trading import bootstrap as trading_core
from trading.account_events.stream import AccountStreams
from trading.config.settings import Settings
from trading.tasks import Task, TaskRequest, task_dispatcher
from webapp.background_sender import (
    BackgroundSender,
    background_dispatcher,
    background_publisher,
    combined_requests,
)
from webapp.http.request_context import HEADER


@pytest.fixture
def settings(migrated_sqlite: str, valkey_url: str) -> Settings:
    return settings_for(migrated_sqlite, valkey_url)


def _message(valkey_url: str, queue: str) -> dict[str, Any]:
    """Return the only message that arrives in a queue."""
    with redis.Redis.from_url(valkey_url) as client:
        wait_until(lambda: client.llen(queue), what=f"a message in {queue}")
        (message,) = [json.loads(text) for text in client.lrange(queue, 0, -1)]
    return dict(message)


def _ids(message: dict[str, Any]) -> list[str]:
    (ids,), keywords, *_ = json.loads(b64decode(message["body"]))
    assert keywords == {}
    return list(ids)


def test_a_dispatched_task_is_a_message_with_ids_on_its_queue(
    settings: Settings, valkey_url: str
) -> None:
    """JSON with ids only, and the request's id in a header."""
    ids = (uuid4(), uuid4())

    with bound_contextvars(request_id="from-this-request"):
        background_dispatcher(settings)([TaskRequest(Task.EXECUTE_ORDERS, ids)])

    message = _message(valkey_url, "orders.execute")
    assert message["content-type"] == "application/json"
    assert message["headers"]["task"] == "execute_orders"
    assert message["headers"]["request_id"] == "from-this-request"
    assert _ids(message) == [str(one) for one in ids]


def test_the_request_id_is_sent_with_an_orders_task(
    migrated_sqlite: str, settings: Settings, valkey_url: str
) -> None:
    with opened(settings) as harness:
        core = trading_core.build(
            settings, deliver=background_dispatcher(settings), clock=harness.clock
        )
        try:
            api = api_on(TradingHarness(core, harness.clock))
            person = api.person()
            api.harness.tick(70_000)
            data_of(api.order(person, headers={HEADER: "chosen-by-client"}), 201)
        finally:
            core.close()

    assert _message(valkey_url, "orders.execute")["headers"]["request_id"] == "chosen-by-client"


@pytest.mark.parametrize("warm", [False, True], ids=["first message", "later message"])
@pytest.mark.parametrize("way", ["refused", "frozen"])
def test_an_unavailable_broker_fails_no_request(
    settings: Settings, valkey_server: Valkey, way: str, warm: bool
) -> None:
    """Refused or silent, on a new or an open connection. Once it is back, messages arrive again."""
    deliver = background_dispatcher(settings)
    if warm:
        deliver([TaskRequest(Task.EXECUTE_ORDERS, (uuid4(),))])
        _message(valkey_server.url, "orders.execute")
    leave, come_back = (
        (valkey_server.stop, valkey_server.start)
        if way == "refused"
        else (valkey_server.pause, valkey_server.resume)
    )
    leave()
    try:
        for _ in range(3):
            deliver([TaskRequest(Task.EXECUTE_ORDERS, (uuid4(),)) for _ in range(5)])
    finally:
        come_back()

    with redis.Redis.from_url(valkey_server.url) as client:

        def message_arrives() -> bool:
            # A request sent together with earlier ones may be lost with them.
            deliver([TaskRequest(Task.SETTLE_EXECUTIONS, (uuid4(),))])
            return bool(client.llen("orders.settle"))

        wait_until(message_arrives, what="a message after the broker's return")


class _BlockedDispatcher:
    """A dispatcher that discards its requests and blocks the first time until ``go``."""

    def __init__(self) -> None:
        self.began, self.go = threading.Event(), threading.Event()
        self.sent: list[tuple[str | None, list[TaskRequest]]] = []

    def __call__(self, requests: Sequence[TaskRequest]) -> None:
        self.began.set()
        assert self.go.wait(DEADLINE_S)
        self.sent.append((get_contextvars()["request_id"], list(requests)))


def test_waiting_requests_are_sent_in_batches(settings: Settings) -> None:
    """While one is being sent, others are grouped by task, up to a task's batch size."""
    dispatch, ids = _BlockedDispatcher(), [uuid4() for _ in range(5)]
    sender = BackgroundSender(
        lambda due: dispatch(list(combined_requests(due, batch_size=2))), name="dispatch"
    )

    def leave(task: Task, *ids: UUID, request_id: str) -> None:
        with bound_contextvars(request_id=request_id):
            sender.enqueue([TaskRequest(task, ids)])

    leave(Task.EXECUTE_ORDERS, ids[0], request_id="first")
    assert dispatch.began.wait(DEADLINE_S)
    run_together(
        *[partial(leave, Task.EXECUTE_ORDERS, one, request_id="again") for one in ids[1:4]]
    )
    leave(Task.SETTLE_EXECUTIONS, ids[4], request_id="other")
    dispatch.go.set()
    wait_until(lambda: len(dispatch.sent) == 2, what="the batched requests")

    (first_id, first), (gathered_ids, gathered) = dispatch.sent
    assert (first_id, first) == ("first", [TaskRequest(Task.EXECUTE_ORDERS, (ids[0],))])
    assert gathered_ids == "again,other"
    assert [(one.task, len(one.ids)) for one in gathered] == [
        (Task.EXECUTE_ORDERS, 2),
        (Task.EXECUTE_ORDERS, 1),
        (Task.SETTLE_EXECUTIONS, 1),
    ]
    assert {one for request in gathered for one in request.ids} == set(ids[1:])


def test_account_events_are_published_by_a_thread(
    settings: Settings, valkey_server: Valkey
) -> None:
    """Changes commit while Redis is silent; the next publication includes the missed events."""
    with opened(settings) as harness:
        user = harness.user()
        core = trading_core.build(settings, publishing=background_publisher, clock=harness.clock)
        mine = TradingHarness(core, harness.clock)
        try:
            valkey_server.pause()
            try:
                for _ in range(5):
                    deposit(mine, user, 1)
            finally:
                valkey_server.resume()

            def published() -> bool:
                deposit(mine, user, 1)
                return bool(AccountStreams(core.redis).after(user, 6, limit=1).events)

            wait_until(published, what="an event after Redis's return")
            (last,) = rows(mine, "SELECT last_id FROM account_event_heads")
            wait_until(
                lambda: AccountStreams(core.redis).last_ids([user]) == {user: last["last_id"]},
                what="the newest event",
            )
            part = AccountStreams(core.redis).after(user, 1, limit=10_000)
            assert [event.id for event in part.events] == list(range(2, last["last_id"] + 1))
        finally:
            core.close()


def test_a_stopping_process_sends_what_is_queued(settings: Settings, valkey_url: str) -> None:
    """As when gunicorn replaces a worker right after a response."""
    one = uuid4()
    program = (
        "from uuid import UUID; from trading.tasks import Task, TaskRequest; "
        "from trading.config.settings import load; "
        "from webapp.background_sender import background_dispatcher; "
        f"background_dispatcher(load())([TaskRequest(Task.EXECUTE_ORDERS, (UUID('{one}'),))])"
    )

    subprocess.run(
        [sys.executable, "-c", program],
        env=environment_of(settings),
        cwd=ROOT,
        check=True,
        timeout=DEADLINE_S,
    )

    assert _ids(_message(valkey_url, "orders.execute")) == [str(one)]


def test_the_task_dispatcher_never_raises() -> None:
    """The rows stay due and will be found; the first failure ends the round."""
    tried: list[str] = []

    def send(task: str, ids: list[str]) -> None:
        tried.append(task)
        if len(tried) == 2:
            raise RuntimeError("anything")

    task_dispatcher(send)([TaskRequest(Task.EXECUTE_ORDERS, (uuid4(),)) for _ in range(4)])

    assert tried == ["execute_orders"] * 2
