"""Sending a wake-up from a web request: bounded in time whatever the broker does, and never a reason to fail."""

import json
import time
from base64 import b64decode
from uuid import uuid4

import pytest
import redis
from structlog.contextvars import bound_contextvars

from tests.books import Books, opened, settings_for
from tests.servers import Valkey
from tests.webapp.client import api_on, data_of
from trading import core as trading_core
from trading.core import Deliver
from trading.queue import Task, Wakeup, courier
from trading.settings import Settings
from webapp.queue import producer_courier
from webapp.request_context import HEADER

LONGEST_S = 0.6


@pytest.fixture
def settings(migrated_sqlite: str, valkey_url: str) -> Settings:
    return settings_for(migrated_sqlite, valkey_url)


def _span_of(deliver: Deliver, *wakeups: Wakeup) -> float:
    began = time.perf_counter()
    deliver(wakeups)
    return time.perf_counter() - began


def test_a_wakeup_is_a_message_with_ids_on_its_stages_queue(settings: Settings, valkey_url: str) -> None:
    """JSON with ids only, and the id of the request that it comes from in its headers."""
    ids = (uuid4(), uuid4())

    with bound_contextvars(request_id="from-this-request"):
        producer_courier(settings)([Wakeup(Task.EXECUTE_ORDERS, ids)])

    with redis.Redis.from_url(valkey_url) as client:
        (message,) = [json.loads(text) for text in client.lrange("orders.execute", 0, -1)]
    assert message["content-type"] == "application/json"
    assert message["headers"]["task"] == "execute_orders"
    assert message["headers"]["request_id"] == "from-this-request"
    body = json.loads(b64decode(message["body"]))
    assert body[:2] == [[[str(one) for one in ids]], {}]


def test_a_requests_id_goes_along_with_its_order(migrated_sqlite: str, settings: Settings, valkey_url: str) -> None:
    """The id that the client chose is in the header of the message that its order sends."""
    with opened(settings) as books:
        core = trading_core.build(settings, deliver=producer_courier(settings), clock=books.clock)
        try:
            api = api_on(Books(core, books.clock))
            person = api.person()
            api.books.tick(70_000)
            data_of(api.order(person, headers={HEADER: "chosen-by-client"}), 201)
        finally:
            core.close()

    with redis.Redis.from_url(valkey_url) as client:
        (message,) = [json.loads(text) for text in client.lrange("orders.execute", 0, -1)]
    assert message["headers"]["request_id"] == "chosen-by-client"


@pytest.mark.parametrize("warm", [False, True], ids=["first message", "later message"])
@pytest.mark.parametrize("way", ["refused", "frozen"])
def test_a_broker_that_is_away_costs_half_a_second(
    settings: Settings, valkey_server: Valkey, way: str, warm: bool
) -> None:
    """Whether nobody listens or nobody answers, on a new connection or one that was good before; and once for a whole round."""
    deliver = producer_courier(settings)
    if warm:
        _span_of(deliver, Wakeup(Task.EXECUTE_ORDERS, (uuid4(),)))
    leave, come_back = (
        (valkey_server.stop, valkey_server.start) if way == "refused" else (valkey_server.pause, valkey_server.resume)
    )
    leave()
    try:
        spans = [_span_of(deliver, *[Wakeup(Task.EXECUTE_ORDERS, (uuid4(),)) for _ in range(5)]) for _ in range(3)]
    finally:
        come_back()

    assert max(spans) < LONGEST_S
    _span_of(deliver, Wakeup(Task.SETTLE_EXECUTIONS, (uuid4(),)))
    with redis.Redis.from_url(valkey_server.url) as client:
        assert client.llen("orders.settle") == 1


def test_the_courier_never_raises() -> None:
    """Whatever is wrong with sending, the rows are due and will be found; the first failure ends the round."""
    tried: list[str] = []

    def send(task: str, ids: list[str]) -> None:
        tried.append(task)
        if len(tried) == 2:
            raise RuntimeError("anything")

    courier(send)([Wakeup(Task.EXECUTE_ORDERS, (uuid4(),)) for _ in range(4)])

    assert tried == ["execute_orders"] * 2
