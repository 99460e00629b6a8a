"""One HTTP exchange with PortOne, and what its answer means.

Nothing is retried here: whether a request may be sent again, only its caller knows.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import requests
from requests.auth import AuthBase

from trading import http_client
from trading.http_client import HttpResponse, HttpService, NoResponse, OversizedResponse
from trading.payments.portone.errors import (
    PortoneApiError,
    PortoneError,
    PortoneNotConfigured,
    PortoneProtocolError,
    PortoneTransportError,
)

BODY_OCTETS_MAX = 1024 * 1024
_ERROR_TYPE = re.compile(r"[A-Z][A-Z0-9_]{1,63}")
_IDEMPOTENCY_KEY = re.compile(r"[A-Za-z0-9_-]{16,256}")
_SECRET = re.compile(r"[!-~]{1,512}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PortoneTimeouts(http_client.Timeouts):
    """PortOne asks for a minute of patience: the payment gateways behind it are slow, and it goes on when nobody listens any more."""

    connect_s: float = 5.0
    read_s: float = 65.0
    total_s: float = 75.0


class PortoneTransport:
    """Sends requests with the secret to one address; without a secret none. Threads and forked processes may share it."""

    def __init__(self, *, api_url: str, api_secret: str | None, timeouts: PortoneTimeouts) -> None:
        """ValueError for an address or a secret that can't be one; the message does not repeat the secret."""
        if api_secret is not None and not _SECRET.fullmatch(api_secret):
            raise ValueError("PortOne's API secret is visible ASCII.")
        self._service = HttpService(
            api_url,
            timeouts=timeouts,
            body_octets_max=BODY_OCTETS_MAX,
            authorization=None if api_secret is None else _Authorization(api_secret),
        )
        self._is_set_up = api_secret is not None

    def close(self) -> None:
        """Close the calling thread's connections. Those of another close with it."""
        self._service.close()

    def get(self, path: str, *, query: Mapping[str, str]) -> dict[str, Any]:
        """The JSON object of a 200. Raises PortoneError."""
        return self._exchange("GET", path, params=query)

    def post(
        self,
        path: str,
        *,
        members: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> dict[str, Any]:
        """The same. Equal members in equal order are equal octets, as a request that is sent again under one key must be."""
        request: dict[str, Any] = {"headers": {}, "params": query}
        if members is not None:
            request["data"] = msgspec.json.encode(members)
            request["headers"]["Content-Type"] = "application/json"
        if idempotency_key is not None:
            if not _IDEMPOTENCY_KEY.fullmatch(idempotency_key):
                raise ValueError(
                    "An idempotency key is 16 to 256 letters, digits, hyphens and underscores."
                )
            # A structured field (RFC 8941), so a string in quotes.
            request["headers"]["Idempotency-Key"] = f'"{idempotency_key}"'
        return self._exchange("POST", path, **request)

    def _exchange(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        if not self._is_set_up:
            raise PortoneNotConfigured("this process was given no secret for PortOne")
        answer = self._send(method, path, **request)
        document = _json_object(answer)
        if answer.status == requests.codes.ok:
            if document is None:
                raise PortoneProtocolError("PortOne answered no JSON object", answer.status)
            return document
        kind = None if document is None else document.get("type")
        if answer.status < 400 or not isinstance(kind, str) or not _ERROR_TYPE.fullmatch(kind):
            raise PortoneProtocolError("not an answer of PortOne's API", answer.status)
        raise PortoneApiError(answer.status, kind, answer.retry_after_s)

    def _send(self, method: str, path: str, **request: Any) -> HttpResponse:
        fault: PortoneError
        try:
            return self._service.exchange(method, path, **request)
        except NoResponse as error:
            fault = PortoneTransportError(f"no answer from PortOne: {error}")
        except OversizedResponse as error:
            fault = PortoneProtocolError(
                f"an answer of more than {BODY_OCTETS_MAX} octets", error.status
            )
        # Raised out here, so that no error leads to what was being handled.
        raise fault


class _Authorization(AuthBase):
    def __init__(self, secret: str) -> None:
        self._credentials = f"PortOne {secret}"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._credentials
        return request


def _json_object(answer: HttpResponse) -> dict[str, Any] | None:
    try:
        document = answer.json()
    except ValueError:
        return None
    return document if isinstance(document, dict) else None
