"""Which of several matchers a stock belongs to."""

from zlib import crc32


def shard_of(code: str, shards: int) -> int:
    """The number (0 … shards − 1) of the matcher that a stock's orders are matched by; the same in every process."""
    return crc32(code.encode("ascii")) % shards
