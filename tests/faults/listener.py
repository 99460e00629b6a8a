"""Client of the push gateway that reconnects after every disconnect and must miss no event."""

import json
import threading
from contextlib import suppress

import requests

from tests.faults.load import Client

RECONNECT_DELAY_S = 0.2


class Listener:
    """Receive one user's account events on a thread between `begin` and `end`.

    `received` holds the event ids in order of arrival.
    """

    def __init__(self, url: str, user: Client) -> None:
        self.received: list[int] = [0]
        self.connections = 0
        self._url = f"{url}/api/v1/trading/realtime/stream"
        self.user = user
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="listener", daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Stop listening. The thread ends at the next message of the stream, which comes within 15
        s.
        """
        self._stopping.set()

    def _listen(self) -> None:
        while not self._stopping.is_set():
            with suppress(requests.RequestException):
                self._listen_once()
            self._stopping.wait(RECONNECT_DELAY_S)

    def _listen_once(self) -> None:
        headers = {
            "Authorization": f"Bearer {self.user.token}",
            "Last-Event-ID": str(self.received[-1]),
        }
        with requests.get(self._url, headers=headers, stream=True, timeout=(5, 30)) as answer:
            if answer.status_code != 200:
                return
            self.connections += 1
            kind = ""
            for line in answer.iter_lines():
                if self._stopping.is_set():
                    return
                name, _, value = line.decode().partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    self._take(kind, json.loads(value))

    def _take(self, kind: str, data: dict[str, object]) -> None:
        if kind == "resync":
            self._fetch(int(str(data["after"])))
        elif "kind" in data and int(str(data["id"])) > self.received[-1]:
            self.received.append(int(str(data["id"])))

    def _fetch(self, after: int) -> None:
        """Fetch events from the API that are no longer in the stream."""
        page = self.user.get(f"/trading/events?limit=100&after={after}")
        self.received += [event["id"] for event in page["items"] if event["id"] > self.received[-1]]
        if page["next_cursor"]:
            self._fetch(int(page["next_cursor"]))
