"""Frames as data: frozen, validated when built, encoded to bytes. An impossible frame cannot exist."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from relayer.stomp.errors import MalformedFrame
from relayer.stomp.versions import Version, escape, refuse_unwritable

Header = tuple[str, str]


class Command(StrEnum):
    """Every command of STOMP 1.2, client's and server's."""

    # Each frame is looked up by its command, and an enum's own hash is Python code.
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


WITH_BODY = frozenset({Command.SEND, Command.MESSAGE, Command.ERROR})

# These frames are read before a version is agreed, so for STOMP 1.0's sake nothing is escaped in them. STOMP is the later name
# of CONNECT and begins a session of version 1.1 at least, but the specification exempts only the two names.
UNESCAPED = frozenset({Command.CONNECT, Command.CONNECTED})

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_CONTENT_LENGTH = re.compile(r"[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame. MalformedFrame when its parts do not fit: a header without a name, with a NUL or a lone surrogate, a body where
    none may be, a ``content-length`` that is not the body's, a CR, LF or colon that this command has no escape for."""

    command: Command
    headers: tuple[Header, ...] = ()
    body: bytes = b""

    @classmethod
    def parsed(cls, command: Command, headers: tuple[Header, ...], body: bytes) -> Self:
        """A frame from the wire, where a parser has found names for all headers, no NUL in them, and a body of its ``content-length``.

        To check all of it again would take a third of the time that a message takes.
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
        """The header's value; the first one when it is repeated, None when it is absent."""
        for candidate, value in self.headers:
            if candidate == name:
                return value
        return None

    @property
    def content_length(self) -> int | None:
        """Octets of the body as the header states them, None without the header. MalformedFrame when it is no number."""
        return content_length(self.headers)

    def encode(self, version: Version = Version.V1_2) -> bytes:
        """The frame's bytes, NUL included. A body always travels with its ``content-length``, so that it may hold NUL.

        MalformedFrame when an older version has no escape for a CR, LF or colon in the headers.
        """
        headers = self.headers
        if self.body and self.content_length is None:
            headers = (*headers, ("content-length", str(len(self.body))))
        if self.command in UNESCAPED:
            version = Version.V1_0
        lines = [_line(name, value, version) for name, value in headers]
        return f"{self.command}\n{''.join(lines)}\n".encode() + self.body + b"\0"


def refuse_body(command: Command, body: bytes) -> None:
    """MalformedFrame for a body where none may be."""
    if body and command not in WITH_BODY:
        raise MalformedFrame(f"{command} has a body")


def content_length(headers: Sequence[Header]) -> int | None:
    """The first ``content-length`` of the headers in octets, None without one. MalformedFrame when it is no number."""
    for name, value in headers:
        if name == "content-length":
            if not _CONTENT_LENGTH.fullmatch(value):
                raise MalformedFrame("content-length is no number")
            return int(value)
    return None


def _line(name: str, value: str, version: Version) -> str:
    refuse_unwritable(name, value, version)
    return f"{escape(name, version)}:{escape(value, version)}\n"
