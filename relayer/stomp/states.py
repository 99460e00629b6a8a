"""State tables of client and server; only these move a session.

A table lists, for a state, the commands allowed in one direction and the next state of each. ERROR
and DISCONNECT end the exchange; CLOSED is final.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from relayer.stomp.errors import IllegalAction, ProtocolError, UnexpectedFrame
from relayer.stomp.frames import StompCommand


class State(Enum):
    """States of a session.

    NEW before CONNECT, CONNECTING until CONNECTED, DISCONNECTING until the last receipt, CLOSED.
    """

    # Every frame is looked up by the state, and Enum's own hash is slow Python code.
    __hash__ = object.__hash__

    NEW = auto()
    CONNECTING = auto()
    CONNECTED = auto()
    DISCONNECTING = auto()
    CLOSED = auto()


@dataclass(frozen=True, slots=True)
class Failed:
    """The session ended by the peer's error or silence; ``error`` says which."""

    error: ProtocolError


Table = Mapping[State, Mapping[StompCommand, State]]

CLIENT_SENDS: Table = {
    State.NEW: {StompCommand.CONNECT: State.CONNECTING},
    State.CONNECTED: {
        StompCommand.SUBSCRIBE: State.CONNECTED,
        StompCommand.UNSUBSCRIBE: State.CONNECTED,
        StompCommand.DISCONNECT: State.DISCONNECTING,
    },
}
CLIENT_RECEIVES: Table = {
    State.CONNECTING: {StompCommand.CONNECTED: State.CONNECTED, StompCommand.ERROR: State.CLOSED},
    State.CONNECTED: {
        StompCommand.MESSAGE: State.CONNECTED,
        StompCommand.RECEIPT: State.CONNECTED,
        StompCommand.ERROR: State.CLOSED,
    },
    # Messages and receipts in flight during DISCONNECT still arrive.
    State.DISCONNECTING: {
        StompCommand.MESSAGE: State.DISCONNECTING,
        StompCommand.RECEIPT: State.DISCONNECTING,
        StompCommand.ERROR: State.CLOSED,
    },
}

SERVER_RECEIVES: Table = {
    State.NEW: {StompCommand.CONNECT: State.CONNECTING, StompCommand.STOMP: State.CONNECTING},
    State.CONNECTED: {
        StompCommand.SUBSCRIBE: State.CONNECTED,
        StompCommand.UNSUBSCRIBE: State.CONNECTED,
        StompCommand.DISCONNECT: State.DISCONNECTING,
    },
}
SERVER_SENDS: Table = {
    State.NEW: {StompCommand.ERROR: State.CLOSED},
    State.CONNECTING: {StompCommand.CONNECTED: State.CONNECTED, StompCommand.ERROR: State.CLOSED},
    State.CONNECTED: {
        StompCommand.MESSAGE: State.CONNECTED,
        StompCommand.RECEIPT: State.CONNECTED,
        StompCommand.ERROR: State.CLOSED,
    },
    # Requests that the client sent just before DISCONNECT are still confirmed.
    State.DISCONNECTING: {StompCommand.RECEIPT: State.DISCONNECTING},
}


def after_sending(table: Table, state: State, command: StompCommand) -> State:
    """Return the state after sending ``command``. Raises IllegalAction if it is not allowed."""
    next_state = table.get(state, {}).get(command)
    if next_state is None:
        raise IllegalAction(f"{command} can't be sent while {state.name}")
    return next_state


def after_receiving(table: Table, state: State, command: StompCommand) -> State:
    """Return the state after receiving ``command``. Raises UnexpectedFrame if it is not allowed."""
    next_state = table.get(state, {}).get(command)
    if next_state is None:
        raise UnexpectedFrame(f"{command} came while {state.name}")
    return next_state
