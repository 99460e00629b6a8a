"""A feed that costs its reader little processor time: `python -m benchmarks.trade_feed`.

For the relayer's benchmark. It issues tokens, accepts STOMP subscriptions, and then sends Toss's
trades as prebuilt WebSocket messages in large pieces, so that the reader on the other core is
measured. On `/ws` trades start with the last subscription, on `/bare` at once. Prints its port
first, and after each client's trades their number.
"""

import argparse
import asyncio
import json
import struct
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from relayer.feed.guest_token import TOKEN_PATH
from relayer.feed.stomp_feed import SUBPROTOCOL
from relayer.stomp import ConnectRequested, HeartBeat, ServerSession, SubscribeRequested
from trading.marketdata.topics import trade_topic

# Trades in one piece of bytes. The feed waits while more than this is unsent.
_TRADES_A_PIECE = 64
_UNSENT_OCTETS_MAX = 512 * 1024
_STEP_S = 0.005

_BODY = (
    b'{"code":"%s","dt":"%s","session":"REGULAR","exchange":"KRX","currency":"KRW",'
    b'"base":70000,"close":70100,"volume":7,"tradeType":"BUY","changeType":"UP",'
    b'"tradingStrength":104.31,"cumulativeVolume":%d,"cumulativeAmount":%d}'
)
_FRAME = (
    b"MESSAGE\nsubscription:%s\nmessage-id:%d\ncontent-type:application/json;charset=utf-8\n"
    b"content-length:%d\n\n%s\0"
)


def code_of(number: int) -> str:
    """Return the product code of the `number`-th stock."""
    return f"A{number:06}"


def trades(subscriptions: list[tuple[str, str]]) -> Iterator[bytes]:
    """Yield endless WebSocket messages with one MESSAGE of the next stock each and its creation
    time.
    """
    number = 0
    while True:
        number += 1
        code, subscription = subscriptions[number % len(subscriptions)]
        now = datetime.now(UTC).isoformat(timespec="microseconds").encode()
        body = _BODY % (code.encode(), now, 7 * number, 490_700 * number)
        frame = _FRAME % (subscription.encode(), number, len(body), body)
        # An unmasked text message of 126 to 65,535 bytes (RFC 6455, 5.2).
        yield struct.pack("!BBH", 0x81, 126, len(frame)) + frame


class Feed:
    """Sends `rate` trades per second for `seconds`; 0 is unlimited."""

    def __init__(self, *, stocks: int, rate: int, seconds: float) -> None:
        self._stocks = stocks
        self._rate = rate
        self._seconds = seconds

    async def serve(self, socket: ServerConnection) -> None:
        """Serve one client to its end."""
        request = socket.request
        bare = request is not None and request.path == "/bare"
        try:
            subscriptions = (
                [(code_of(number), f"sub-{number}") for number in range(self._stocks)]
                if bare
                else await self._handshake(socket)
            )
            sent = await self._send(socket, trades(subscriptions))
            print(f"sent {sent}", flush=True)
            async for _ in socket:
                pass
        except ConnectionClosed:
            pass

    async def _handshake(self, socket: ServerConnection) -> list[tuple[str, str]]:
        """Accept the client and its subscriptions. Return (code, id) of each."""
        session = ServerSession(heart_beat=HeartBeat(send_ms=0, want_ms=0), now=time.monotonic())
        codes = {trade_topic(code_of(number)): code_of(number) for number in range(self._stocks)}
        subscriptions: list[tuple[str, str]] = []
        while len(subscriptions) < self._stocks:
            session.receive(await socket.recv(decode=False), time.monotonic())
            for event in session.events():
                match event:
                    case ConnectRequested():
                        session.accept(now=time.monotonic())
                    case SubscribeRequested():
                        session.acknowledge(event.receipt, now=time.monotonic())
                        subscriptions.append((codes[event.destination], event.subscription))
            for data in session.data_to_send():
                await socket.send(data, text=True)
        return subscriptions

    async def _send(self, socket: ServerConnection, messages: Iterator[bytes]) -> int:
        began, sent = time.monotonic(), 0
        while (
            elapsed_s := time.monotonic() - began
        ) < self._seconds and not socket.transport.is_closing():
            due = int(elapsed_s * self._rate) - sent if self._rate else _TRADES_A_PIECE
            socket.transport.write(b"".join(next(messages) for _ in range(due)))
            sent += due
            await asyncio.sleep(_STEP_S if self._rate else 0)
            while socket.transport.get_write_buffer_size() > _UNSENT_OCTETS_MAX:
                await asyncio.sleep(0.0005)
        return sent


def answer(_: ServerConnection, request: Request) -> Response | None:
    """Return a guest token, or None to accept a WebSocket."""
    if request.path != TOKEN_PATH:
        return None
    body = json.dumps({"result": "a-token"}).encode()
    headers = Headers(
        {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
    )
    return Response(HTTPStatus.OK, "OK", headers, body)


async def run(feed: Feed) -> None:
    async with serve(
        feed.serve,
        "127.0.0.1",
        0,
        process_request=answer,
        select_subprotocol=lambda _socket, _offered: SUBPROTOCOL if _offered else None,
        compression=None,
        ping_interval=None,
    ) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--stocks", type=int, default=100)
    parser.add_argument(
        "--rate",
        type=int,
        default=0,
        help="trades a second; 0 sends as many as are taken (default)",
    )
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    asyncio.run(run(Feed(stocks=options.stocks, rate=options.rate, seconds=options.seconds)))


if __name__ == "__main__":
    main()
