"""The client's address is that of its connection, whatever the headers say."""

from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from launcher.ports import LOOPBACK
from tests.front_door.conftest import Stack, stack

FORGED = {"X-Forwarded-For": "198.51.100.7", "X-Real-IP": "198.51.100.7"}


@pytest.fixture(scope="module")
def counting(
    migrated_sqlite: str, module_valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A stack that allows two requests an hour per address and has a proxy at 127.0.0.9."""
    with stack(
        migrated_sqlite,
        module_valkey_url,
        tmp_path_factory.mktemp("front_door"),
        gateway=False,
        RATE_LIMITS="1",
        RATE_LIMIT_STRANGERS="2 per hour",
        OUTER_PROXIES="127.0.0.9",
    ) as running:
        yield running


def request_status(stack: Stack, source: str, **headers: str) -> int:
    """Return the status of a request from this address."""
    connection = HTTPConnection(LOOPBACK, stack.port, timeout=30, source_address=(source, 0))
    connection.request("GET", "/api/v1/market/clock", headers=headers)
    status = connection.getresponse().status
    connection.close()
    return status


def test_each_address_is_a_separate_client(counting: Stack) -> None:
    for source in ("127.0.0.2", "127.0.0.3"):
        assert [request_status(counting, source) for _ in range(3)] == [200, 200, 429]


def test_forged_header_does_not_change_the_client(counting: Stack) -> None:
    assert [request_status(counting, "127.0.0.4", **FORGED) for _ in range(3)] == [200, 200, 429]
    forged = {"X-Forwarded-For": "127.0.0.5"}
    assert request_status(counting, "127.0.0.4", **forged) == 429
    assert request_status(counting, "127.0.0.5") == 200


def test_client_behind_a_proxy_is_taken_from_the_header(counting: Stack) -> None:
    """It is the last entry that is not a proxy. A client may have written the entries before it."""
    named = {"X-Forwarded-For": "203.0.113.1, 203.0.113.2"}
    assert [request_status(counting, "127.0.0.9", **named) for _ in range(3)] == [200, 200, 429]
    assert request_status(counting, "127.0.0.9", **{"X-Forwarded-For": "203.0.113.2"}) == 429
    assert request_status(counting, "127.0.0.9", **{"X-Forwarded-For": "203.0.113.1"}) == 200
