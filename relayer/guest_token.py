"""The guest token that Toss gives to everyone and asks for at each connection."""

import asyncio
import json
import re
from threading import Thread

import requests

TOKEN_PATH = "/api/v1/refresh-utk"  # noqa: S105 - a path, no secret
TOKEN_LENGTH_MAX = 2_048
BODY_OCTETS_MAX = 4 * 1024
TIMEOUT_S = (3.0, 3.0)

WEB_ORIGIN = "https://www.tossinvest.com"
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
_VISIBLE = re.compile(rf"[!-~]{{1,{TOKEN_LENGTH_MAX}}}")
_HEADERS = {
    "Accept": "application/json",
    "Origin": WEB_ORIGIN,
    "Referer": f"{WEB_ORIGIN}/",
    "User-Agent": USER_AGENT,
}


class TokenUnavailable(Exception):
    """No token could be had. The message says why and never repeats what the server sent."""


async def fetch_guest_token(api_url: str) -> str:
    """A new guest token from ``api_url``; TokenUnavailable otherwise. Takes a few seconds at most.

    The request runs in a daemon thread of its own: a default executor would make a shutdown wait for the answer.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[str] = loop.create_future()

    def settle(token: str | None, fault: TokenUnavailable | None) -> None:
        if outcome.done():
            return
        if fault is not None:
            outcome.set_exception(fault)
        elif token is not None:
            outcome.set_result(token)

    def work() -> None:
        token, fault = None, None
        try:
            token = request_guest_token(api_url)
        except TokenUnavailable as unavailable:
            fault = unavailable
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, token, fault)

    Thread(target=work, name="guest-token", daemon=True).start()
    return await outcome


def request_guest_token(api_url: str) -> str:
    """The same, blocking. Redirects are not followed: a token comes from the configured host or not at all."""
    try:
        with requests.get(
            api_url.rstrip("/") + TOKEN_PATH, headers=_HEADERS, timeout=TIMEOUT_S, allow_redirects=False, stream=True
        ) as response:
            if response.status_code != requests.codes.ok:
                raise TokenUnavailable(f"the token endpoint answered {response.status_code}")
            body = response.raw.read(BODY_OCTETS_MAX + 1, decode_content=True)
    except (requests.RequestException, OSError) as fault:
        raise TokenUnavailable(f"the token endpoint can't be reached: {type(fault).__name__}") from None
    return _token(body)


def _token(body: bytes) -> str:
    if len(body) > BODY_OCTETS_MAX:
        raise TokenUnavailable(f"the token endpoint answered more than {BODY_OCTETS_MAX} octets")
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise TokenUnavailable("the token endpoint answered no JSON") from None
    token = answer.get("result") if isinstance(answer, dict) else None
    # The token goes into a header that knows no escapes, so only visible ASCII can pass.
    if not isinstance(token, str) or not _VISIBLE.fullmatch(token):
        raise TokenUnavailable("the token endpoint answered no token")
    return token
