"""The guest token that Toss issues to everyone and requires for each connection."""

import asyncio
import json
import re
import time
from contextlib import suppress
from threading import Thread

import requests

TOKEN_PATH = "/api/v1/refresh-utk"  # noqa: S105 - a path, no secret
TOKEN_LENGTH_MAX = 2_048
BODY_OCTETS_MAX = 4 * 1024
CHUNK_OCTETS = 64
# Timeouts to connect and between two bytes, then the limit for the whole request.
TIMEOUT_S = (3.0, 3.0)
TOTAL_TIMEOUT_S = 10.0

WEB_ORIGIN = "https://www.tossinvest.com"
USER_AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/140.0.0.0 Safari/537.36"
)
_VISIBLE = re.compile(rf"[!-~]{{1,{TOKEN_LENGTH_MAX}}}")
_HEADERS = {
    "Accept": "application/json",
    "Origin": WEB_ORIGIN,
    "Referer": f"{WEB_ORIGIN}/",
    "User-Agent": USER_AGENT,
}


class TokenUnavailable(Exception):
    """No token could be fetched. The message says why and never repeats what the server sent."""


class _Session(requests.Session):
    def get_redirect_target(self, _response: requests.Response) -> None:
        """Return None: otherwise requests reads the whole body of a redirect."""


async def fetch_guest_token(api_url: str) -> str:
    """Return a new guest token from ``api_url`` within ten seconds, or raise TokenUnavailable.

    The request runs in a daemon thread: with the default executor a shutdown would wait for it.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str | TokenUnavailable] = loop.create_future()

    def resolve(outcome: str | TokenUnavailable) -> None:
        if not answer.done():
            answer.set_result(outcome)

    def fetch() -> None:
        outcome: str | TokenUnavailable = TokenUnavailable("the token request failed")
        try:
            outcome = request_guest_token(api_url)
        except TokenUnavailable as error:
            outcome = error
        finally:
            # After a shutdown the loop is closed and takes no callbacks.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(resolve, outcome)

    Thread(target=fetch, name="guest-token", daemon=True).start()
    try:
        async with asyncio.timeout(TOTAL_TIMEOUT_S):
            outcome = await answer
    except TimeoutError:
        raise TokenUnavailable("the token endpoint answers too slowly") from None
    if isinstance(outcome, TokenUnavailable):
        raise outcome
    return outcome


def request_guest_token(api_url: str) -> str:
    """Fetch a token, blocking.

    Redirects are not followed: a token comes from the configured host or not at all.
    """
    body = bytearray()
    deadline = time.monotonic() + TOTAL_TIMEOUT_S
    try:
        with (
            _Session() as session,
            session.get(
                api_url.rstrip("/") + TOKEN_PATH, headers=_HEADERS, timeout=TIMEOUT_S, stream=True
            ) as response,
        ):
            if response.status_code != requests.codes.ok:
                raise TokenUnavailable(f"the token endpoint answered {response.status_code}")
            for chunk in response.iter_content(CHUNK_OCTETS):
                body += chunk
                # The timeouts above bound each wait for a byte; these two bound the total.
                if len(body) > BODY_OCTETS_MAX or time.monotonic() > deadline:
                    raise TokenUnavailable(
                        f"the token endpoint answers with more than {BODY_OCTETS_MAX} octets"
                        " or too slowly"
                    )
    except (requests.RequestException, OSError) as error:
        raise TokenUnavailable(
            f"the token endpoint can't be reached: {type(error).__name__}"
        ) from None
    return _token(bytes(body))


def _token(body: bytes) -> str:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise TokenUnavailable("the token endpoint answered no JSON") from None
    token = answer.get("result") if isinstance(answer, dict) else None
    # The token goes into a header without escapes, so only visible ASCII is accepted.
    if not isinstance(token, str) or not _VISIBLE.fullmatch(token):
        raise TokenUnavailable("the token endpoint answered no token")
    return token
