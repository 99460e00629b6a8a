"""One HTTP exchange with PortOne, within bounds: of time, of size, and of what may be believed.

Nothing is retried here: whether a request may be sent again, only its caller knows.
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

from trading.gateways.portone.errors import PortoneApiError, PortoneProtocolError, PortoneTransportError

BODY_OCTETS_MAX = 1024 * 1024
CHUNK_OCTETS = 16 * 1024
RETRY_AFTER_S_MAX = 3_600
_ERROR_TYPE = re.compile(r"[A-Z][A-Z0-9_]{1,63}")
_IDEMPOTENCY_KEY = re.compile(r"[A-Za-z0-9_-]{16,256}")
_SECRET = re.compile(r"[!-~]{1,512}")
_DELTA_SECONDS = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """To connect, for each wait for octets, and from the request until the body has ended, in seconds.

    PortOne asks for a minute of patience: the payment gateways behind it are slow, and it goes on when nobody listens any more. A head
    that comes octet by octet is bounded in its size alone, so whoever calls has a time limit of his own, as a worker's task has.
    """

    connect_s: float = 5.0
    read_s: float = 65.0
    total_s: float = 75.0


class Transport:
    """Sends requests with the secret to one address. Threads and forked processes may share it: each has a session of its own."""

    def __init__(self, *, api_url: str, api_secret: str, timeouts: Timeouts) -> None:
        """ValueError for an address or a secret that can't be one; the message does not repeat the secret."""
        address = urlsplit(api_url)
        if address.scheme not in {"https", "http"} or not address.hostname or "@" in address.netloc:
            raise ValueError("PortOne's address is an http or https URL without credentials.")
        if address.query or address.fragment:
            raise ValueError("PortOne's address has no query and no fragment.")
        if not _SECRET.fullmatch(api_secret):
            raise ValueError("PortOne's API secret is visible ASCII.")
        self._api_url = api_url.rstrip("/")
        self._authorization = _Authorization(api_secret)
        self._timeouts = timeouts
        self._own = threading.local()

    def close(self) -> None:
        """Close the calling thread's connections. Those of another close with it."""
        session = self._own.__dict__.pop("session", None)
        if session is not None:
            session.close()

    def get(self, path: str, *, query: Mapping[str, str]) -> dict[str, Any]:
        """The JSON object of a 200. Raises PortoneError."""
        return self._exchange("GET", path, params=query)

    def post(self, path: str, *, members: Mapping[str, Any], idempotency_key: str | None = None) -> dict[str, Any]:
        """The same. Equal members in equal order are equal octets, as a request that is sent again under one key must be."""
        headers = {"Content-Type": "application/json"}
        if idempotency_key is not None:
            if not _IDEMPOTENCY_KEY.fullmatch(idempotency_key):
                raise ValueError("An idempotency key is 16 to 256 letters, digits, hyphens and underscores.")
            # A structured field (RFC 8941), so a string in quotes.
            headers["Idempotency-Key"] = f'"{idempotency_key}"'
        return self._exchange("POST", path, data=msgspec.json.encode(members), headers=headers)

    def _exchange(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        status, headers, body = self._send(method, path, **request)
        document = _json_object(headers, body)
        if status == requests.codes.ok:
            if document is None:
                raise PortoneProtocolError("PortOne answered no JSON object", status)
            return document
        kind = None if document is None else document.get("type")
        if status < 400 or not isinstance(kind, str) or not _ERROR_TYPE.fullmatch(kind):
            raise PortoneProtocolError("not an answer of PortOne's API", status)
        raise PortoneApiError(status, kind, _retry_after(headers))

    def _send(self, method: str, path: str, **request: Any) -> tuple[int, Mapping[str, str], bytes]:
        give_up_at = time.monotonic() + self._timeouts.total_s
        try:
            with self._session().request(
                method,
                self._api_url + path,
                timeout=(self._timeouts.connect_s, self._timeouts.read_s),
                allow_redirects=False,
                stream=True,
                **request,
            ) as response:
                return response.status_code, response.headers, _body(response, give_up_at)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            fault = type(error).__name__
        # Raised out here, for the error that was handled holds the request, and the request the secret.
        raise PortoneTransportError(f"no answer from PortOne: {fault}")

    def _session(self) -> requests.Session:
        # A process that was forked shares its parent's sockets, and two that speak on one socket hear each other's answers.
        if getattr(self._own, "process", None) != os.getpid() or not hasattr(self._own, "session"):
            self._own.session, self._own.process = _Session(self._authorization), os.getpid()
        session: requests.Session = self._own.session
        return session


class _Session(requests.Session):
    def __init__(self, authorization: "_Authorization") -> None:
        super().__init__()
        # As ``auth`` and not as a header: a .netrc of this machine would replace the header.
        self.auth = authorization
        # Compressed answers are not asked for, and not unpacked: a small one could fill the memory.
        self.headers.update({"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "stocking"})
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def close(self) -> None:
        """Close the connections now: requests only lets go of them, and what an error still refers to is collected much later."""
        for adapter in self.adapters.values():
            if isinstance(adapter, HTTPAdapter):
                pools = adapter.poolmanager.pools
                for key in pools.keys():  # noqa: SIM118 - a container of urllib3's own, which can't be iterated
                    pools[key].close()
        super().close()

    def get_redirect_target(self, _: requests.Response) -> None:
        """Nowhere: even when it does not follow a redirect, requests would read its whole body, however long."""


class _Authorization(AuthBase):
    def __init__(self, secret: str) -> None:
        self._credentials = f"PortOne {secret}"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._credentials
        return request


def _body(response: requests.Response, give_up_at: float) -> bytes:
    """All octets of the answer's body, as they came."""
    body = bytearray()
    while chunk := response.raw.read1(CHUNK_OCTETS, decode_content=False):
        body += chunk
        if len(body) > BODY_OCTETS_MAX:
            raise PortoneProtocolError(f"an answer of more than {BODY_OCTETS_MAX} octets", response.status_code)
        # The read timeout bounds each wait for octets, this the sum of all.
        if time.monotonic() > give_up_at:
            raise PortoneTransportError("no answer from PortOne: its body comes too slowly")
    return bytes(body)


def _json_object(headers: Mapping[str, str], body: bytes) -> dict[str, Any] | None:
    if headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
        return None
    try:
        document = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _retry_after(headers: Mapping[str, str]) -> int | None:
    text = headers.get("Retry-After", "")
    return min(int(text), RETRY_AFTER_S_MAX) if _DELTA_SECONDS.fullmatch(text) else None
