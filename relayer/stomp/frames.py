"""Frames as data: frozen, validated when built, encoded to bytes. An impossible frame cannot exist."""

import re
from dataclasses import dataclass
from enum import StrEnum

from relayer.stomp.errors import MalformedFrame

Header = tuple[str, str]


class Command(StrEnum):
    """Every command of STOMP 1.2, client's and server's."""

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

_ESCAPES = {"\\": "\\\\", "\r": "\\r", "\n": "\\n", ":": "\\c"}
_UNESCAPES = {escape: plain for plain, escape in _ESCAPES.items()}
_NEEDS_ESCAPE = re.compile(r"[\\\r\n:]")
_ESCAPE = re.compile(r"\\.?", re.DOTALL)
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_CONTENT_LENGTH = re.compile(r"[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame. MalformedFrame when its parts do not fit: a header without a name, with a NUL or a lone surrogate, a body where
    none may be, a ``content-length`` that is not the body's, a CR, LF or colon that this command has no escape for."""

    command: Command
    headers: tuple[Header, ...] = ()
    body: bytes = b""

    def __post_init__(self) -> None:
        if self.body and self.command not in WITH_BODY:
            raise MalformedFrame(f"{self.command} has a body")
        for name, value in self.headers:
            if not name:
                raise MalformedFrame("a header has no name")
            if "\0" in name or "\0" in value:
                raise MalformedFrame("a header has a NUL")
            if not (name.isascii() and value.isascii()) and _SURROGATE.search(name + value):
                raise MalformedFrame("a header is not encodable text")
        if self.command in UNESCAPED:
            self._refuse_what_needs_escapes()
        length = self.content_length
        if length is not None and length != len(self.body):
            raise MalformedFrame("content-length is not the body's")

    def _refuse_what_needs_escapes(self) -> None:
        for name, value in self.headers:
            if ":" in name or "\r" in name or "\n" in name or "\r" in value or "\n" in value:
                raise MalformedFrame(f"a header of {self.command} needs an escape, which it can't have")

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

    def encode(self) -> bytes:
        """The frame's bytes, NUL included. A body always travels with its ``content-length``, so that it may hold NUL."""
        headers = self.headers
        if self.body and self.content_length is None:
            headers = (*headers, ("content-length", str(len(self.body))))
        if self.command in UNESCAPED:
            lines = [f"{name}:{value}\n" for name, value in headers]
        else:
            lines = [f"{_escape(name)}:{_escape(value)}\n" for name, value in headers]
        return f"{self.command}\n{''.join(lines)}\n".encode() + self.body + b"\0"


def content_length(headers: tuple[Header, ...]) -> int | None:
    """The first ``content-length`` of the headers in octets, None without one. MalformedFrame when it is no number."""
    for name, value in headers:
        if name == "content-length":
            if not _CONTENT_LENGTH.fullmatch(value):
                raise MalformedFrame("content-length is no number")
            return int(value)
    return None


def unescape(text: str) -> str:
    """A header's name or value as its sender meant it. MalformedFrame for an escape that STOMP 1.2 does not define."""
    return _ESCAPE.sub(_plain, text)


def _plain(found: re.Match[str]) -> str:
    plain = _UNESCAPES.get(found[0])
    if plain is None:
        raise MalformedFrame("a header has an undefined escape")
    return plain


def _escape(text: str) -> str:
    return _NEEDS_ESCAPE.sub(lambda found: _ESCAPES[found[0]], text)
