"""One HTTP exchange with PortOne and the interpretation of its answer.

Nothing is retried here: only the caller can decide whether a request may be repeated.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

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
    """Timeouts that PortOne recommends.

    Payment gateways are slow, and PortOne goes on working after a disconnect.
    """

    connect_s: float = 5.0
    read_s: float = 65.0
    total_s: float = 75.0


class PortoneTransport:
    """Send requests with the API secret; threads and forked processes may share an instance."""

    def __init__(self, *, api_url: str, api_secret: str | None, timeouts: PortoneTimeouts) -> None:
        """Raise ValueError for an invalid address or secret, without repeating the secret."""
        if api_secret is not None and not _SECRET.fullmatch(api_secret):
            raise ValueError("PortOne's API secret is printable ASCII without spaces.")
        self._service = HttpService(
            api_url,
            timeouts=timeouts,
            body_octets_max=BODY_OCTETS_MAX,
            authorization=None if api_secret is None else _Authorization(api_secret),
        )
        self._is_configured = api_secret is not None

    def close(self) -> None:
        """Close the calling thread's connections; other threads' close with the threads."""
        self._service.close()

    def get(self, path: str, *, query: Mapping[str, str]) -> dict[str, object]:
        """Send a GET request and return the JSON object of a 200 answer. Raises PortoneError."""
        return self._exchange("GET", path, params=query)

    def post(
        self,
        path: str,
        *,
        members: Mapping[str, object] | None = None,
        query: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> dict[str, object]:
        """Send a POST request and return the JSON object of a 200 answer. Raises PortoneError.

        Equal members in equal order give equal octets, which repetitions under one idempotency key
        need.
        """
        headers: dict[str, str] = {}
        body = None
        if members is not None:
            body = msgspec.json.encode(members)
            headers["Content-Type"] = "application/json"
        if idempotency_key is not None:
            if not _IDEMPOTENCY_KEY.fullmatch(idempotency_key):
                raise ValueError(
                    "An idempotency key is 16 to 256 letters, digits, hyphens and underscores."
                )
            # A structured field (RFC 8941), so a quoted string.
            headers["Idempotency-Key"] = f'"{idempotency_key}"'
        return self._exchange("POST", path, params=query, headers=headers, data=body)

    def _exchange(self, method: str, path: str, **request: object) -> dict[str, object]:
        if not self._is_configured:
            raise PortoneNotConfigured("this process has no secret for PortOne")
        answer = self._send(method, path, **request)
        document = _json_object(answer)
        if answer.status == requests.codes.ok:
            if document is None:
                raise PortoneProtocolError("PortOne's answer is not a JSON object", answer.status)
            return document
        kind = None if document is None else document.get("type")
        if answer.status < 400 or not isinstance(kind, str) or not _ERROR_TYPE.fullmatch(kind):
            raise PortoneProtocolError(
                "the answer does not conform to PortOne's API", answer.status
            )
        raise PortoneApiError(answer.status, kind, answer.retry_after_s)

    def _send(self, method: str, path: str, **request: object) -> HttpResponse:
        fault: PortoneError
        try:
            return self._service.exchange(method, path, **request)
        except NoResponse as error:
            fault = PortoneTransportError(f"no answer from PortOne: {error}")
        except OversizedResponse as error:
            fault = PortoneProtocolError(
                f"an answer of more than {BODY_OCTETS_MAX} octets", error.status
            )
        # Raised outside the except blocks, so that the exception does not reference the original
        # one.
        raise fault


class _Authorization(AuthBase):
    def __init__(self, secret: str) -> None:
        self._credentials = f"PortOne {secret}"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._credentials
        return request


def _json_object(answer: HttpResponse) -> dict[str, object] | None:
    try:
        document = answer.json()
    except ValueError:
        return None
    return document if isinstance(document, dict) else None
