"""Write STOMP frames as WebSocket messages, and reset TCP connections."""

import socket
import struct
from asyncio import WriteTransport
from collections.abc import Iterable, Iterator

from relayer.stomp.session_core import BEAT
from sandbox.faults import Faults

_LINGER_NOT_AT_ALL = struct.pack("ii", 1, 0)


def write_frames(frames: Iterable[bytes], faults: Faults) -> Iterator[bytes]:
    """Yield messages with these frames and heart-beats: one each, or cut after every
    `message_octets`.
    """
    if not faults.beats:
        frames = [frame for frame in frames if frame != BEAT]
    if faults.crlf:
        frames = [_with_crlf(frame) for frame in frames]
    if faults.message_octets is None:
        yield from frames
        return
    stream = b"".join(frames)
    for start in range(0, len(stream), faults.message_octets):
        yield stream[start : start + faults.message_octets]


def _with_crlf(frame: bytes) -> bytes:
    head, blank_line, body = frame.partition(b"\n\n")
    return (head + blank_line).replace(b"\n", b"\r\n") + body


def reset(transport: WriteTransport) -> None:
    """End a TCP connection by RST: data in flight is lost. Do nothing if it is already closing."""
    if transport.is_closing():
        return
    connection: socket.socket = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT_AT_ALL)
    transport.abort()
