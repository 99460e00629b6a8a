"""HTTP client of the API that imports nothing of the product."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import requests

from launcher.plan import API_PREFIX

TIMEOUT_S = 10.0


class ApiError(Exception):
    """Answer that is not a success, or no answer.

    `code` is the problem's stable code, empty without a problem document. `retry_after_s` is the
    seconds to wait before the next attempt, if the answer names them.
    """

    def __init__(
        self, message: str, *, status: int = 0, code: str = "", retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s


class Api:
    """One user's session with the API at `url`. Each call returns the envelope's `data` or raises
    ApiError.

    With `wait`, a rate-limited call is repeated once after `wait(seconds)`.
    """

    def __init__(self, url: str, *, wait: Callable[[int], object] | None = None) -> None:
        self._url = url + API_PREFIX
        self._session = requests.Session()
        self._wait = wait

    def sign_in(self, email: str, password: str) -> None:
        """Sign in and send this user's access token from now on."""
        tokens = self.post("/users/login", email=email, password=password)
        self._session.headers["Authorization"] = f"Bearer {tokens['access_token']}"

    def get(self, path: str, **query: object) -> Any:
        return self._call("GET", path, query=query)

    def post(self, path: str, **body: object) -> Any:
        return self._call("POST", path, body=body)

    def patch(self, path: str, **body: object) -> Any:
        return self._call("PATCH", path, body=body)

    def delete(self, path: str) -> Any:
        return self._call("DELETE", path)

    def items(self, path: str, **query: object) -> list[dict[str, Any]]:
        """Return all items of a list from all its pages."""
        page = self.get(path, **query)
        items = list(page["items"])
        while page.get("next_cursor"):
            page = self.get(path, **query, cursor=page["next_cursor"])
            items.extend(page["items"])
        return items

    def events(self, url: str, *, last: int) -> list[dict[str, Any]]:
        """Return the account's events from the first to the id `last`, from the event stream at
        `url`.
        """
        received: list[dict[str, Any]] = []
        try:
            with self._session.get(
                url, headers={"Last-Event-ID": "0"}, timeout=TIMEOUT_S, stream=True
            ) as answer:
                for line in answer.iter_lines() if answer.ok else ():
                    name, _, value = line.decode().partition(": ")
                    event = json.loads(value) if name == "data" else {}
                    if "kind" in event:
                        received.append(event)
                        if event["id"] >= last:
                            break
                if not received:
                    raise ApiError(
                        f"GET {url} answered {answer.status_code} without events.",
                        status=answer.status_code,
                    )
        except requests.RequestException as failure:
            raise ApiError(f"GET {url} broke off: {type(failure).__name__}.") from None
        return received

    def _call(self, method: str, path: str, **content: Mapping[str, object]) -> Any:
        try:
            return self._send(method, path, **content)
        except ApiError as error:
            if self._wait is None or error.status != 429 or error.retry_after_s is None:
                raise
            self._wait(error.retry_after_s)
        return self._send(method, path, **content)

    def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> Any:
        request = f"{method} {path}"
        try:
            answer = self._session.request(
                method,
                self._url + path,
                params={k: str(v) for k, v in (query or {}).items()},
                json=body,
                timeout=TIMEOUT_S,
            )
            content = answer.json()
        except requests.JSONDecodeError:
            raise ApiError(
                f"{request} answered {answer.status_code} without JSON.", status=answer.status_code
            ) from None
        except requests.RequestException as failure:
            raise ApiError(f"{request} got no answer: {type(failure).__name__}.") from None
        if not answer.ok or content.get("success") is not True:
            detail = content.get("detail") or content.get("title") or content
            raise ApiError(
                f"{request} answered {answer.status_code}: {detail}",
                status=answer.status_code,
                code=str(content.get("code", "")),
                retry_after_s=content.get("retry_after_s"),
            )
        return content["data"]

    def close(self) -> None:
        self._session.close()
