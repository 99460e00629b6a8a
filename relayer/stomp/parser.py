"""Incremental parser: however a stream is split, the frames and errors are the same."""

import re
from collections.abc import Sequence

from relayer.stomp.errors import LimitExceeded, MalformedFrame, ProtocolError
from relayer.stomp.frames import UNESCAPED, Frame, Header, StompCommand, content_length
from relayer.stomp.limits import DEFAULT_LIMITS, Limits
from relayer.stomp.versions import Version, unescape

# Possessive: with backtracking, a flood of heart-beats would use a hundred bytes of memory each.
_LINE_ENDS = re.compile(rb"(?:\r?\n)*+")
_HEAD_END = re.compile(rb"\n\r?\n|\0")
_PLAIN_HEADER = re.compile(r"\n([^:\n\r\\]+):([^\n\r\\]*)(?![^\n])")
_LINE_END_OCTETS = frozenset(b"\r\n")
_COMMANDS = {command.value: command for command in StompCommand}


class Parser:
    """Receives bytes by ``receive`` and returns frames by ``next_frame``.

    Line ends between frames are heart-beats and are skipped. After an error the stream is
    meaningless, so every later call raises the same error. ``version`` applies to the frames that
    follow: set it before taking the next frame.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.version = Version.V1_2
        self._limits = limits
        self._buffer = bytearray()
        self._searched = 0
        self._head: tuple[StompCommand, tuple[Header, ...], int | None] | None = None
        self._error: ProtocolError | None = None

    def receive(self, data: bytes) -> None:
        """Add bytes. Call ``next_frame`` until it returns None before the next call.

        Then at most one incomplete frame is buffered.
        """
        if self._error is None:
            self._buffer += data

    def next_frame(self) -> Frame | None:
        """Return the next complete frame, or None if more bytes are needed.

        Raises MalformedFrame or LimitExceeded, which ends the stream.
        """
        if self._error is not None:
            raise self._error
        if not self._buffer:
            return None
        try:
            if self._head is None:
                self._head = self._read_head()
            return None if self._head is None else self._read_body(*self._head)
        except ProtocolError as error:
            self._error = error
            self._buffer.clear()
            raise

    def _read_head(self) -> tuple[StompCommand, tuple[Header, ...], int | None] | None:
        if self._buffer[0] in _LINE_END_OCTETS:
            self._skip_line_ends()
        found = _HEAD_END.search(self._buffer, self._searched)
        octets = len(self._buffer) if found is None else found.end()
        if octets > self._limits.head_octets:
            raise LimitExceeded("the head is too long")
        if found is None:
            # The blank line may be split: up to two of its bytes are buffered already.
            self._searched = max(0, octets - 2)
            return None
        if found[0] == b"\0":
            raise MalformedFrame("the head contains a NUL")
        text = self._head_text(found.start())
        self._consume(found.end())
        return self._parse_head(text)

    def _skip_line_ends(self) -> None:
        found = _LINE_ENDS.match(self._buffer)
        if found is not None and found.end():
            self._consume(found.end())

    def _head_text(self, end: int) -> str:
        try:
            text = self._buffer[:end].decode()
        except UnicodeDecodeError:
            raise MalformedFrame("the head is not UTF-8") from None
        return text

    def _parse_head(self, text: str) -> tuple[StompCommand, tuple[Header, ...], int | None]:
        # Fast path for nearly every head: no CR, no escape, and too short for any line to exceed
        # its limit, as a character has at most four bytes.
        plain = _PLAIN_HEADER.findall(text)
        if (
            len(plain) == text.count("\n") <= self._limits.header_count
            and 4 * len(text) <= self._limits.header_line_octets
        ):
            return self._command(text.partition("\n")[0]), tuple(plain), self._length(plain)
        lines = text.split("\n")
        if "\r" in text:
            lines = [line.removesuffix("\r") for line in lines]
            # Only 1.2 treats CR specially; before it, a CR that ends no line is an ordinary
            # character.
            if self.version is Version.V1_2 and any("\r" in line for line in lines):
                raise MalformedFrame("a CR is not followed by LF")
        command = self._command(lines[0])
        if len(lines) - 1 > self._limits.header_count:
            raise LimitExceeded("there are too many headers")
        if any(len(line.encode()) > self._limits.header_line_octets for line in lines):
            raise LimitExceeded("a header is too long")
        escaped = "\\" in text and command not in UNESCAPED
        headers = tuple([self._parse_header(line, escaped=escaped) for line in lines[1:]])
        return command, headers, self._length(headers)

    def _command(self, name: str) -> StompCommand:
        command = _COMMANDS.get(name)
        if command is None:
            raise MalformedFrame("the command is unknown")
        return command

    def _length(self, headers: Sequence[Header]) -> int | None:
        length = content_length(headers)
        if length is not None and length > self._limits.body_octets:
            raise LimitExceeded("the body is too large")
        return length

    def _parse_header(self, line: str, *, escaped: bool) -> Header:
        # Only the first colon separates. Since 1.1 other colons must be escaped, but many servers
        # do not.
        name, colon, value = line.partition(":")
        if not colon:
            raise MalformedFrame("a header has no colon")
        if not name:
            raise MalformedFrame("a header has no name")
        return (
            (unescape(name, self.version), unescape(value, self.version))
            if escaped
            else (name, value)
        )

    def _read_body(
        self, command: StompCommand, headers: tuple[Header, ...], length: int | None
    ) -> Frame | None:
        end = self._body_end() if length is None else length
        if end is None or len(self._buffer) <= end:
            return None
        if self._buffer[end]:
            raise MalformedFrame("the body does not end with NUL at content-length")
        body = bytes(self._buffer[:end])
        self._consume(end + 1)
        self._head = None
        return Frame.parsed(command, headers, body)

    def _body_end(self) -> int | None:
        end = self._buffer.find(b"\0", self._searched)
        octets = len(self._buffer) if end < 0 else end
        if octets > self._limits.body_octets:
            raise LimitExceeded("the body is too large")
        if end < 0:
            self._searched = octets
            return None
        return end

    def _consume(self, octets: int) -> None:
        del self._buffer[:octets]
        self._searched = 0
