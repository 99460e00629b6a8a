"""State tables of client and server; only these move a session.

A table lists, for a state, the commands allowed in one direction and the next state of each. ERROR
and DISCONNECT end the exchange; CLOSED is final.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from relayer.stomp.errors import IllegalAction, ProtocolError, UnexpectedFrame
from relayer.stomp.frames import Command


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


Table = Mapping[State, Mapping[Command, State]]

CLIENT_SENDS: Table = {
    State.NEW: {Command.CONNECT: State.CONNECTING},
    State.CONNECTED: {
        Command.SUBSCRIBE: State.CONNECTED,
        Command.UNSUBSCRIBE: State.CONNECTED,
        Command.DISCONNECT: State.DISCONNECTING,
    },
}
CLIENT_RECEIVES: Table = {
    State.CONNECTING: {Command.CONNECTED: State.CONNECTED, Command.ERROR: State.CLOSED},
    State.CONNECTED: {
        Command.MESSAGE: State.CONNECTED,
        Command.RECEIPT: State.CONNECTED,
        Command.ERROR: State.CLOSED,
    },
    # Messages and receipts in flight during DISCONNECT still arrive.
    State.DISCONNECTING: {
        Command.MESSAGE: State.DISCONNECTING,
        Command.RECEIPT: State.DISCONNECTING,
        Command.ERROR: State.CLOSED,
    },
}

SERVER_RECEIVES: Table = {
    State.NEW: {Command.CONNECT: State.CONNECTING, Command.STOMP: State.CONNECTING},
    State.CONNECTED: {
        Command.SUBSCRIBE: State.CONNECTED,
        Command.UNSUBSCRIBE: State.CONNECTED,
        Command.DISCONNECT: State.DISCONNECTING,
    },
}
SERVER_SENDS: Table = {
    State.NEW: {Command.ERROR: State.CLOSED},
    State.CONNECTING: {Command.CONNECTED: State.CONNECTED, Command.ERROR: State.CLOSED},
    State.CONNECTED: {
        Command.MESSAGE: State.CONNECTED,
        Command.RECEIPT: State.CONNECTED,
        Command.ERROR: State.CLOSED,
    },
    # Requests that the client sent just before DISCONNECT are still confirmed.
    State.DISCONNECTING: {Command.RECEIPT: State.DISCONNECTING},
}


def after_sending(table: Table, state: State, command: Command) -> State:
    """Return the state after sending ``command``. Raises IllegalAction if it is not allowed."""
    next_state = table.get(state, {}).get(command)
    if next_state is None:
        raise IllegalAction(f"{command} can't be sent while {state.name}")
    return next_state


def after_receiving(table: Table, state: State, command: Command) -> State:
    """Return the state after receiving ``command``. Raises UnexpectedFrame if it is not allowed."""
    next_state = table.get(state, {}).get(command)
    if next_state is None:
        raise UnexpectedFrame(f"{command} came while {state.name}")
    return next_state
