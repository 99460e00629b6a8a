"""Exchange one HTTP request with an external service, within bounds of time and size.

Redirects are not followed, cookies not kept, compressed answers not unpacked. Nothing is retried:
only the caller knows whether a request may be sent again. Messages of errors are safe to log: they
repeat nothing of a request or an answer.
"""

import os
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import msgspec
import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

CHUNK_OCTETS = 16 * 1024
RETRY_AFTER_S_MAX = 3_600
USER_AGENT = "stocking"
_DELTA_SECONDS = re.compile(r"[0-9]{1,9}")


class NoResponse(Exception):
    """No whole answer came. The message names what happened to the connection."""


class OversizedResponse(Exception):
    """An answer beyond its bound. ``status`` is its own."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds to connect to one address, for each read, and from the request to the body's end.

    ``total_s`` is checked before each read of the body, so the last read may exceed it by
    ``read_s``. Resolving a name and a head that comes octet by octet are not bounded by it.
    """

    connect_s: float
    read_s: float
    total_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """An answer that came whole, of any status."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The JSON value of the body. ValueError when it is none, or does not call itself so."""
        if (
            self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            != "application/json"
        ):
            raise ValueError("not JSON by its type")
        try:
            return msgspec.json.decode(self.body)
        except RecursionError:
            raise ValueError("absurdly deep JSON") from None

    @property
    def retry_after_s(self) -> int | None:
        """Return the requested wait in seconds, at most an hour; None if absent or a date."""
        text = self.headers.get("Retry-After", "")
        return min(int(text), RETRY_AFTER_S_MAX) if _DELTA_SECONDS.fullmatch(text) else None


class HttpService:
    """Client of one service. Threads and forked processes may share it; each has its session."""

    def __init__(
        self,
        url: str,
        *,
        timeouts: Timeouts,
        body_octets_max: int,
        authorization: AuthBase | None = None,
    ) -> None:
        """Raise ValueError for an invalid address."""
        address = urlsplit(url)
        if address.scheme not in {"https", "http"} or not address.hostname or "@" in address.netloc:
            raise ValueError("A service's address is an http or https URL without credentials.")
        if address.query or address.fragment:
            raise ValueError("A service's address has no query and no fragment.")
        self._url = url.rstrip("/")
        self._timeouts = timeouts
        self._body_octets_max = body_octets_max
        self._authorization = authorization
        self._own = threading.local()

    def close(self) -> None:
        """Close the calling thread's connections. Those of another close with it."""
        session = self._own.__dict__.pop("session", None)
        if session is not None:
            session.close()

    def exchange(self, method: str, path: str, **request: Any) -> HttpResponse:
        """Send a request, with arguments named as in `requests`. Raises NoResponse and
        OversizedResponse.
        """
        deadline = time.monotonic() + self._timeouts.total_s
        try:
            with self._session().request(
                method,
                self._url + path,
                timeout=(self._timeouts.connect_s, self._timeouts.read_s),
                allow_redirects=False,
                stream=True,
                **request,
            ) as response:
                body = self._body(response, deadline)
                return HttpResponse(
                    status=response.status_code, headers=response.headers, body=body
                )
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            fault = type(error).__name__
        # Raised outside the handler: the handled error refers to the request, which may hold a
        # secret.
        raise NoResponse(fault)

    def _body(self, response: requests.Response, deadline: float) -> bytes:
        """Read the whole body, undecoded. Raise TimeoutError and OversizedAnswer."""
        body = bytearray()
        while time.monotonic() < deadline:
            chunk = response.raw.read1(CHUNK_OCTETS, decode_content=False)
            if not chunk:
                return bytes(body)
            body += chunk
            if len(body) > self._body_octets_max:
                raise OversizedResponse(response.status_code)
        raise TimeoutError

    def _session(self) -> requests.Session:
        # A forked process shares its parent's sockets, and would receive the parent's answers.
        if getattr(self._own, "process", None) != os.getpid() or not hasattr(self._own, "session"):
            self._own.session, self._own.process = _Session(self._authorization), os.getpid()
        session: requests.Session = self._own.session
        return session


class _Session(requests.Session):
    def __init__(self, authorization: AuthBase | None) -> None:
        super().__init__()
        # As `auth`, because a .netrc file would replace a header.
        self.auth = authorization
        # No compressed answers: a small one could fill the memory when unpacked.
        self.headers.update(
            {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": USER_AGENT}
        )
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def close(self) -> None:
        """Close the connections now; requests only releases them, for later garbage collection."""
        for adapter in self.adapters.values():
            if isinstance(adapter, HTTPAdapter):
                pools = adapter.poolmanager.pools
                for key in pools.keys():  # noqa: SIM118 - a container of urllib3's own, which can't be iterated
                    pools[key].close()
        super().close()

    def get_redirect_target(self, _: requests.Response) -> None:
        """Return None: requests would read the whole body even of an ignored redirect."""
