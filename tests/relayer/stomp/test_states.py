"""The state tables allow what the protocol allows and nothing else."""

import pytest

from relayer.stomp.errors import IllegalAction, UnexpectedFrame
from relayer.stomp.frames import Command
from relayer.stomp.states import (
    CLIENT_RECEIVES,
    CLIENT_SENDS,
    SERVER_RECEIVES,
    SERVER_SENDS,
    State,
    after_receiving,
    after_sending,
)

TABLES = (CLIENT_SENDS, CLIENT_RECEIVES, SERVER_SENDS, SERVER_RECEIVES)


def test_closed_is_final() -> None:
    assert all(State.CLOSED not in table for table in TABLES)


def test_what_one_side_sends_the_other_can_receive() -> None:
    """Commands that a client may send are ones that a server may receive, and the other way round."""
    for sends, receives in ((CLIENT_SENDS, SERVER_RECEIVES), (SERVER_SENDS, CLIENT_RECEIVES)):
        sent = {command for row in sends.values() for command in row}
        received = {command for row in receives.values() for command in row}
        assert sent <= received


def test_a_table_without_a_row_refuses() -> None:
    """Our own mistake and the peer's are told apart."""
    assert after_sending(CLIENT_SENDS, State.NEW, Command.CONNECT) is State.CONNECTING
    with pytest.raises(IllegalAction):
        after_sending(CLIENT_SENDS, State.NEW, Command.SUBSCRIBE)
    with pytest.raises(UnexpectedFrame):
        after_receiving(CLIENT_RECEIVES, State.CONNECTING, Command.MESSAGE)
