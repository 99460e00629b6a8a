"""Client addresses behind trusted proxies."""

from collections.abc import Iterator
from contextlib import contextmanager

from werkzeug.test import TestResponse

from tests.support.trading_harness import opened, settings_for
from tests.webapp.client import Api, api_on, problem_of

PROXY = "10.0.0.1"


@contextmanager
def behind(uri: str, redis_url: str, trusted: str | None, **changed: object) -> Iterator[Api]:
    with opened(settings_for(uri, redis_url, trusted_proxies=trusted, **changed)) as harness:
        yield api_on(harness)


def clock(api: Api, peer: str, forwarded: str) -> TestResponse:
    return api.get(
        "/market/clock",
        environ_overrides={"REMOTE_ADDR": peer},
        headers={"X-Forwarded-For": forwarded},
    )


def test_clients_behind_a_trusted_proxy_have_separate_limits(
    migrated_sqlite: str, valkey_url: str
) -> None:
    """A forged entry of the client does not change its address."""
    limit = {"rate_limits": True, "rate_limit_strangers": "1 per hour"}
    with behind(migrated_sqlite, valkey_url, "10.0.0.0/8", **limit) as api:
        assert clock(api, PROXY, "198.51.100.1").status_code == 200
        assert clock(api, PROXY, "198.51.100.2").status_code == 200
        assert clock(api, "10.0.0.2", "198.51.100.1").status_code == 429
        assert clock(api, PROXY, "203.0.113.5, 198.51.100.1").status_code == 429


def test_untrusted_forwarded_header_is_ignored(migrated_sqlite: str, valkey_url: str) -> None:
    limit = {"rate_limits": True, "rate_limit_strangers": "1 per hour"}
    with behind(migrated_sqlite, valkey_url, "10.0.0.0/8", **limit) as api:
        assert clock(api, "198.51.100.7", "198.51.100.8").status_code == 200
        assert clock(api, "198.51.100.7", "198.51.100.9").status_code == 429
    with behind(migrated_sqlite, valkey_url, None, **limit) as api:
        assert clock(api, PROXY, "198.51.100.21").status_code == 200
        assert clock(api, PROXY, "198.51.100.22").status_code == 429


def test_webhook_address_list_uses_the_forwarded_address(
    migrated_sqlite: str, valkey_url: str
) -> None:
    """Only the trusted proxy's entry counts."""
    listed = {"portone_webhook_allowed_ips": "52.78.100.19"}
    with behind(migrated_sqlite, valkey_url, PROXY, **listed) as api:

        def post_webhook(peer: str, forwarded: str) -> TestResponse:
            return api.post(
                "/payments/portone/webhook",
                json={},
                environ_overrides={"REMOTE_ADDR": peer},
                headers={"X-Forwarded-For": forwarded},
            )

        problem_of(post_webhook(PROXY, "52.78.100.19"), "webhook-refused")
        problem_of(post_webhook(PROXY, "52.78.100.19, 198.51.100.7"), "forbidden")
        problem_of(post_webhook("198.51.100.7", "52.78.100.19"), "forbidden")
