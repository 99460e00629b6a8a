"""A client of the gateway who comes back, however often he is cut off, and lacks nothing in the end."""

import json
import threading
from contextlib import suppress

import requests

from tests.faults.load import Client

AGAIN_S = 0.2


class Listener:
    """Hears one user's account events on a thread of its own, from ``begin`` to ``end``. ``heard`` are their ids in the order in which they came."""

    def __init__(self, url: str, user: Client) -> None:
        self.heard: list[int] = [0]
        self.connections = 0
        self._url = f"{url}/api/v1/trading/realtime/stream"
        self.user = user
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="listener", daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Leave; the stream's next message, which comes within 15 s, ends the thread."""
        self._leaving.set()

    def _listen(self) -> None:
        while not self._leaving.is_set():
            with suppress(requests.RequestException):
                self._listen_once()
            self._leaving.wait(AGAIN_S)

    def _listen_once(self) -> None:
        headers = {
            "Authorization": f"Bearer {self.user.token}",
            "Last-Event-ID": str(self.heard[-1]),
        }
        with requests.get(self._url, headers=headers, stream=True, timeout=(5, 30)) as answer:
            if answer.status_code != 200:
                return
            self.connections += 1
            kind = ""
            for line in answer.iter_lines():
                if self._leaving.is_set():
                    return
                name, _, value = line.decode().partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    self._take(kind, json.loads(value))

    def _take(self, kind: str, data: dict[str, object]) -> None:
        if kind == "resync":
            self._fetch(int(str(data["after"])))
        elif "kind" in data and int(str(data["id"])) > self.heard[-1]:
            self.heard.append(int(str(data["id"])))

    def _fetch(self, after: int) -> None:
        """What the stream can't tell any more, from the database."""
        page = self.user.get(f"/trading/events?limit=100&after={after}")
        self.heard += [event["id"] for event in page["items"] if event["id"] > self.heard[-1]]
        if page["next_cursor"]:
            self._fetch(int(page["next_cursor"]))
