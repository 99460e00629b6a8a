"""Account events depend on the token alone: no other input opens another user's account."""

from typing import Any

import pytest

from tests.push_gateway.harness import SAMSUNG, User, gateway
from trading.redis import keys

ALICE = User()
# Input besides the own token, in a query or message, by a user who has all of Alice's ids.
EXTRA_INPUT: list[dict[str, Any]] = [
    {"user_id": str(ALICE.id)},
    {"sub": str(ALICE.id), "sid": ALICE.session_id.hex},
    {"account": str(ALICE.id), "channel": keys.account_channel(ALICE.id)},
    {"last_event_id": 1},
    {"Authorization": f"Bearer {ALICE.token(sub='x')}"},
]


@pytest.mark.parametrize("extra", EXTRA_INPUT, ids=lambda extra: next(iter(extra)))
async def test_no_input_opens_another_users_account(valkey_url: str, extra: dict[str, Any]) -> None:
    """By SSE and WebSocket: a user receives their own events and prices, none of another user's.

    A query with parameters that the stream does not read is refused.
    """

    async with gateway(valkey_url) as server:
        bob = User()
        server.market.events(ALICE, [1, 2, 3], data={"of": "alice"})
        server.market.events(bob, [1])
        query = {name: str(value) for name, value in extra.items()}
        if "last_event_id" not in query:
            async with server.stream(bob, SAMSUNG, query=query, status=422):
                pass
            query = {}
        async with server.stream(bob, SAMSUNG, query=query) as stream:
            assert (await stream.next()).type == "ready"
            async with server.websocket() as websocket:
                await websocket.send(
                    **{**extra, "type": "auth", "token": bob.token(), "stock_codes": [SAMSUNG]}
                )
                assert (await websocket.next()).type == "ready"
                server.market.events(ALICE, [4], data={"of": "alice"})
                server.market.events(bob, [2], data={"of": "bob"})
                for each in (await stream.next(), await websocket.next()):
                    assert (each.id, each.data["data"]) == (2, {"of": "bob"})


@pytest.mark.parametrize(
    "code",
    [
        f"account_updates:{ALICE.id}",
        f"A005930\r\nSUBSCRIBE account_updates:{ALICE.id}",
        f"../account_updates:{ALICE.id}",
        "*",
        "A00593?",
        "[A]005930",
        "A005930\x00",
        "revoked_sessions",
    ],
    ids=lambda code: code[:12].encode("unicode_escape").decode(),
)
async def test_channel_names_and_patterns_are_no_stock_codes(valkey_url: str, code: str) -> None:
    """They are refused before they reach Redis."""

    async with gateway(valkey_url) as server:
        bob = User()
        async with server.stream(bob, code, status=422):
            pass
        async with server.authenticated(bob) as websocket:
            assert (await websocket.next()).type == "ready"
            await websocket.send(type="subscribe", stock_codes=[code])
            message = await websocket.next()
            assert (message.type, message.data["code"]) == ("error", "validation-failed")
