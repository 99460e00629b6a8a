"""Every way in which a session ends is published to the push gateway."""

from collections.abc import Callable

import pytest

from tests.support.servers import Valkey, wait_until
from tests.webapp.client import PASSWORD, Api, Person, data_of, problem_of
from trading.redis import keys


def logout(api: Api, who: Person) -> None:
    assert data_of(api.post("/users/logout", who)) is None


def change_password(api: Api, who: Person) -> None:
    other = api.signed_in(who.email)
    body = {"current_password": PASSWORD, "new_password": "another horse battery"}
    assert data_of(api.post("/users/me/password", other, json=body)) is None


def close_account(api: Api, who: Person) -> None:
    assert data_of(api.close(who)) is None


def reuse_refresh_token(api: Api, who: Person) -> None:
    """Use a refresh token again after 11 s, as after a theft."""
    bearer = {"Authorization": f"Bearer {who.refresh_token}"}
    assert api.post("/users/refresh", headers=bearer).status_code == 200
    api.harness.clock.advance(seconds=11)
    problem_of(api.post("/users/refresh", headers=bearer), "unauthorized")


@pytest.mark.parametrize("end", [logout, change_password, close_account, reuse_refresh_token])
def test_ended_session_is_published_and_marked(
    sqlite_api: Api, end: Callable[[Api, Person], None]
) -> None:
    """Once, while its access tokens may be valid."""
    redis = sqlite_api.harness.core.redis
    alice = sqlite_api.person()
    sqlite_api.person()
    with redis.pubsub(ignore_subscribe_messages=True) as listening:
        listening.subscribe(keys.REVOCATIONS)
        published: list[str] = []

        def received() -> bool:
            message = listening.get_message(timeout=0)
            published.extend([message["data"]] if message else [])
            return bool(published)

        listening.get_message(timeout=10)
        end(sqlite_api, alice)
        wait_until(received, what="the session is published", deadline_s=60)
    marks = list(redis.scan_iter("revoked_session:*"))
    assert len(marks) == len(published) == 1
    assert 0 < redis.ttl(marks[0]) <= 15 * 60


def test_logout_works_without_redis(sqlite_api: Api, valkey_server: Valkey) -> None:
    alice = sqlite_api.person()
    valkey_server.stop()
    try:
        logout(sqlite_api, alice)
        problem_of(sqlite_api.get("/users/me", alice), "unauthorized")
    finally:
        valkey_server.start()
