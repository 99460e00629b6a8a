"""Immutable frames, validated on creation and encoded to bytes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from relayer.stomp.errors import MalformedFrame
from relayer.stomp.versions import Version, escape, refuse_unwritable

Header = tuple[str, str]


class StompCommand(StrEnum):
    """All commands of STOMP 1.2, of clients and servers."""

    # Every frame is looked up by its command, and Enum's own hash is slow Python code.
    __hash__ = str.__hash__

    CONNECT = "CONNECT"
    STOMP = "STOMP"
    CONNECTED = "CONNECTED"
    SEND = "SEND"
    SUBSCRIBE = "SUBSCRIBE"
    UNSUBSCRIBE = "UNSUBSCRIBE"
    ACK = "ACK"
    NACK = "NACK"
    BEGIN = "BEGIN"
    COMMIT = "COMMIT"
    ABORT = "ABORT"
    DISCONNECT = "DISCONNECT"
    MESSAGE = "MESSAGE"
    RECEIPT = "RECEIPT"
    ERROR = "ERROR"


WITH_BODY = frozenset({StompCommand.SEND, StompCommand.MESSAGE, StompCommand.ERROR})

# These frames are read before a version is agreed, so nothing in them is escaped (STOMP 1.0). STOMP
# is the later name of CONNECT and starts a session of at least 1.1, but the specification exempts
# only these two.
UNESCAPED = frozenset({StompCommand.CONNECT, StompCommand.CONNECTED})

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_CONTENT_LENGTH = re.compile(r"[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame.

    Raises MalformedFrame for a header without a name, or with a NUL or a lone surrogate, for a body
    where none is allowed, for a ``content-length`` that is not the body's, and for a CR, LF or
    colon that cannot be escaped in this command.
    """

    command: StompCommand
    headers: tuple[Header, ...] = ()
    body: bytes = b""

    @classmethod
    def parsed(cls, command: StompCommand, headers: tuple[Header, ...], body: bytes) -> Self:
        """Create a frame from parsed parts without repeating the parser's checks.

        The parser has ensured header names, no NUL and a body of ``content-length``. Checking again
        would take a third of the time per message.
        """
        if command in UNESCAPED:
            return cls(command, headers, body)
        refuse_body(command, body)
        frame = object.__new__(cls)
        object.__setattr__(frame, "command", command)
        object.__setattr__(frame, "headers", headers)
        object.__setattr__(frame, "body", body)
        return frame

    def __post_init__(self) -> None:
        refuse_body(self.command, self.body)
        for name, value in self.headers:
            if not name:
                raise MalformedFrame("a header has no name")
            if "\0" in name or "\0" in value:
                raise MalformedFrame("a header has a NUL")
            if not (name.isascii() and value.isascii()) and _SURROGATE.search(name + value):
                raise MalformedFrame("a header is not encodable text")
            if self.command in UNESCAPED:
                refuse_unwritable(name, value, Version.V1_0)
        length = self.content_length
        if length is not None and length != len(self.body):
            raise MalformedFrame("content-length is not the body's")

    def header(self, name: str) -> str | None:
        """Return the header's first value, or None."""
        for candidate, value in self.headers:
            if candidate == name:
                return value
        return None

    @property
    def content_length(self) -> int | None:
        """Body length in bytes from the header, or None.

        Raises MalformedFrame if it is not a number.
        """
        return content_length(self.headers)

    def encode(self, version: Version = Version.V1_2) -> bytes:
        """Return the frame's bytes including the final NUL.

        A body always has a ``content-length``, so that it may contain NUL. Raises MalformedFrame if
        the version cannot escape a CR, LF or colon in the headers.
        """
        headers = self.headers
        if self.body and self.content_length is None:
            headers = (*headers, ("content-length", str(len(self.body))))
        if self.command in UNESCAPED:
            version = Version.V1_0
        lines = [_line(name, value, version) for name, value in headers]
        return f"{self.command}\n{''.join(lines)}\n".encode() + self.body + b"\0"


def refuse_body(command: StompCommand, body: bytes) -> None:
    """Raise MalformedFrame for a body where none is allowed."""
    if body and command not in WITH_BODY:
        raise MalformedFrame(f"{command} has a body")


def content_length(headers: Sequence[Header]) -> int | None:
    """Return the first ``content-length`` in bytes, or None.

    Raises MalformedFrame if it is not a number.
    """
    for name, value in headers:
        if name == "content-length":
            if not _CONTENT_LENGTH.fullmatch(value):
                raise MalformedFrame("content-length is no number")
            return int(value)
    return None


def _line(name: str, value: str, version: Version) -> str:
    refuse_unwritable(name, value, version)
    return f"{escape(name, version)}:{escape(value, version)}\n"
