"""Assignment of stocks to matcher shards."""

from zlib import crc32


def shard_of(code: str, shards: int) -> int:
    """Return the shard (0 … shards − 1) that matches a stock's orders; equal in all processes."""
    return crc32(code.encode("ascii")) % shards
