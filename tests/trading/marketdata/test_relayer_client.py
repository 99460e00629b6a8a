"""Relayer commands and answers: message formats, and the client."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from tests.support.deadlines import DEADLINE_S
from tests.support.servers import Valkey
from trading.marketdata.health import RelayerHealth
from trading.marketdata.quotes import MarketUnavailable
from trading.marketdata.relayer_client import (
    AnswerCode,
    CommandAnswer,
    CommandType,
    MalformedCommand,
    RelayerClient,
    RelayerCommand,
    RelayerUnavailable,
)
from trading.marketdata.topics import code_of_trade_topic, trade_topic
from trading.redis import keys
from trading.redis.client import connect

NOW = datetime(2026, 11, 20, 1, 0, tzinfo=UTC)
ANSWER = CommandAnswer(AnswerCode.SUBSCRIBED, {"source": "commands"})

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from(list(CommandType)),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)


@pytest.fixture
def client(valkey_url: str) -> Iterator[Redis]:
    with connect(valkey_url) as client:
        yield client


@pytest.fixture
def alive(client: Redis) -> None:
    """Health record of a live relayer."""
    health = RelayerHealth(pid=7, started_at=NOW, updated_at=NOW, connected=True)
    client.set(keys.RELAYER_HEALTH, health.to_json())


def ask(client: Redis, *, timeout_s: float = DEADLINE_S, now: datetime = NOW) -> CommandAnswer:
    command = RelayerCommand.new(CommandType.SUBSCRIBE, trade_topic("A005930"))
    return RelayerClient(client, timeout_s=timeout_s).ask(command, now=now)


@pytest.fixture
def play_relayer(valkey_url: str) -> Iterator[Callable[[Callable[[Redis, str], object]], None]]:
    """Play the relayer: call ``act`` with a client and the id of the first command."""
    threads: list[threading.Thread] = []

    def play(act: Callable[[Redis, str], object]) -> None:
        is_subscribed = threading.Event()

        def run() -> None:
            with (
                connect(valkey_url) as client,
                client.pubsub(ignore_subscribe_messages=True) as channel,
            ):
                channel.subscribe(keys.RELAYER_COMMANDS)
                channel.get_message(timeout=DEADLINE_S)
                is_subscribed.set()
                message = channel.get_message(timeout=DEADLINE_S)
                if message is not None:
                    act(client, RelayerCommand.from_json(message["data"]).command_id)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        assert is_subscribed.wait(DEADLINE_S)

    yield play
    for thread in threads:
        thread.join(DEADLINE_S)


@given(
    message=st.dictionaries(st.sampled_from(["type", "topic", "command_id", "x"]), anything)
    | anything
)
def test_any_json_is_a_command_or_malformed(message: Any) -> None:
    """Ids are safe in keys, and topics are safe in STOMP frames."""
    topic = None
    try:
        command = RelayerCommand.from_json(json.dumps(message))
        command_id, topic = command.command_id, command.topic
    except MalformedCommand as malformed:
        command_id = malformed.command_id or "none"
    assert command_id.isascii()
    assert command_id.isprintable()
    assert topic is None or code_of_trade_topic(topic) is not None


@given(octets=st.binary(max_size=50))
def test_binary_message_is_malformed(octets: bytes) -> None:
    for read in (RelayerCommand.from_json, CommandAnswer.from_json):
        with pytest.raises(MalformedCommand):
            read(octets)


@pytest.mark.parametrize("kind", CommandType)
def test_command_survives_json_round_trip(kind: CommandType) -> None:
    topic = (
        trade_topic("A0126Z0") if kind in (CommandType.SUBSCRIBE, CommandType.UNSUBSCRIBE) else None
    )
    command = RelayerCommand.new(kind, topic)

    assert RelayerCommand.from_json(command.to_json()) == command


@pytest.mark.parametrize("code", AnswerCode)
def test_answer_survives_json_round_trip(code: AnswerCode) -> None:
    answer = CommandAnswer(code, {"reason": "거절", "budget": 1})
    written = json.loads(answer.to_json())

    assert CommandAnswer.from_json(answer.to_json()) == answer
    assert (written["success"], bool(written["message"])) == (code.success, True)


@pytest.mark.usefixtures("alive")
def test_answer_is_received_from_the_channel(client: Redis, play_relayer: Any) -> None:
    """Published and not stored."""
    play_relayer(
        lambda redis, command_id: redis.publish(keys.command_result(command_id), ANSWER.to_json())
    )

    assert ask(client) == ANSWER


@pytest.mark.usefixtures("alive")
def test_stored_answer_is_read_after_the_timeout(client: Redis, play_relayer: Any) -> None:
    play_relayer(
        lambda redis, command_id: redis.set(keys.command_result(command_id), ANSWER.to_json())
    )

    assert ask(client, timeout_s=3) == ANSWER


@pytest.mark.parametrize(
    ("record_age", "reason"),
    [(None, "no-record"), (61, "no-heartbeat"), (0, "no-listener")],
    ids=str,
)
def test_missing_relayer_is_reported_immediately(
    client: Redis, record_age: int | None, reason: str
) -> None:
    """No record, an old one, or no subscriber of the command channel."""
    if record_age is not None:
        at = NOW - timedelta(seconds=record_age)
        record = RelayerHealth(pid=7, started_at=at, updated_at=at, connected=True)
        client.set(keys.RELAYER_HEALTH, record.to_json())
    with pytest.raises(RelayerUnavailable) as raised:
        ask(client)

    assert raised.value.reason == reason


@pytest.mark.usefixtures("alive")
def test_unanswered_command_times_out(client: Redis, play_relayer: Any) -> None:
    play_relayer(lambda _redis, _command_id: None)

    with pytest.raises(RelayerUnavailable, match="no-answer"):
        ask(client, timeout_s=0.5)


@pytest.mark.usefixtures("alive")
@pytest.mark.parametrize(
    "text", ["", "{}", '{"success": true}', '{"code": "subscribed"}', '{"code": [], "data": {}}']
)
def test_malformed_answer_is_rejected(client: Redis, play_relayer: Any, text: str) -> None:
    play_relayer(lambda redis, command_id: redis.publish(keys.command_result(command_id), text))

    with pytest.raises(RelayerUnavailable, match="malformed-answer"):
        ask(client)


@pytest.mark.usefixtures("alive")
def test_redis_outage_ends_the_wait(
    valkey_server: Valkey, client: Redis, play_relayer: Any
) -> None:
    stopped = threading.Event()

    def stop(_redis: Redis, _command_id: str) -> None:
        valkey_server.stop()
        stopped.set()

    play_relayer(stop)
    try:
        with pytest.raises(MarketUnavailable):
            ask(client)
    finally:
        assert stopped.wait(DEADLINE_S)
        valkey_server.start()


def test_unavailable_redis_is_reported_immediately(valkey_server: Valkey, client: Redis) -> None:
    valkey_server.stop()
    try:
        with pytest.raises(MarketUnavailable):
            ask(client)
    finally:
        valkey_server.start()
