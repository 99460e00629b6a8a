"""The two state tables, client's and server's. Everything that moves a session stands here, and nothing else moves one.

A table says for a state which commands may pass in a direction and which state follows. ERROR and DISCONNECT end the talk, CLOSED
is final. The tables know no session, so a session cannot cheat.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from relayer.stomp.errors import IllegalAction, ProtocolError, UnexpectedFrame
from relayer.stomp.frames import Command


class State(Enum):
    """NEW before CONNECT; CONNECTING until CONNECTED; DISCONNECTING until the last receipt; CLOSED for good."""

    # Each frame is looked up by the state, and an enum's own hash is Python code.
    __hash__ = object.__hash__

    NEW = auto()
    CONNECTING = auto()
    CONNECTED = auto()
    DISCONNECTING = auto()
    CLOSED = auto()


@dataclass(frozen=True, slots=True)
class Failed:
    """The session is over by the peer's fault or silence; ``error`` says which."""

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
    # Messages and receipts that were under way when we said farewell still arrive.
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
    # What the client asked before its farewell, in the same breath, is still confirmed.
    State.DISCONNECTING: {Command.RECEIPT: State.DISCONNECTING},
}


def after_sending(table: Table, state: State, command: Command) -> State:
    """The state that follows our own frame. IllegalAction when the table has none."""
    following = table.get(state, {}).get(command)
    if following is None:
        raise IllegalAction(f"{command} can't be sent while {state.name}")
    return following


def after_receiving(table: Table, state: State, command: Command) -> State:
    """The state that follows the peer's frame. UnexpectedFrame when the table has none."""
    following = table.get(state, {}).get(command)
    if following is None:
        raise UnexpectedFrame(f"{command} came while {state.name}")
    return following
