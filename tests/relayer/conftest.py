"""Fixtures of the relayer's tests."""

from collections.abc import Iterator

import pytest
import redis


@pytest.fixture
def client(valkey_url: str) -> Iterator["redis.Redis"]:
    """Redis client of the test's server with decoded responses."""
    with redis.Redis.from_url(valkey_url, decode_responses=True) as client:
        yield client
