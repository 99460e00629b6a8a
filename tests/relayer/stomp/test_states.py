"""The state tables allow what the protocol allows and nothing else."""

import pytest

from relayer.stomp.errors import IllegalAction, UnexpectedFrame
from relayer.stomp.frames import StompCommand
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


def test_no_transition_leaves_closed() -> None:
    assert all(State.CLOSED not in table for table in TABLES)


def test_each_side_can_receive_what_the_other_may_send() -> None:
    for sends, receives in ((CLIENT_SENDS, SERVER_RECEIVES), (SERVER_SENDS, CLIENT_RECEIVES)):
        sent = {command for row in sends.values() for command in row}
        received = {command for row in receives.values() for command in row}
        assert sent <= received


def test_a_transition_outside_the_table_is_refused() -> None:
    """The caller's error and the peer's error are distinct."""
    assert after_sending(CLIENT_SENDS, State.NEW, StompCommand.CONNECT) is State.CONNECTING
    with pytest.raises(IllegalAction):
        after_sending(CLIENT_SENDS, State.NEW, StompCommand.SUBSCRIBE)
    with pytest.raises(UnexpectedFrame):
        after_receiving(CLIENT_RECEIVES, State.CONNECTING, StompCommand.MESSAGE)
