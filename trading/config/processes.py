"""Processes of the product, with the secret settings that each one reads and requires.

A process does not receive secrets that it does not use.
"""

from collections.abc import Mapping
from enum import Enum, StrEnum

# Settings with a development default that production does not use, with the error text for a
# missing or unfit value.
PRODUCTION_NEEDS: Mapping[str, str] = {
    "jwt_secret_key": "production needs its own secret of at least 32 characters",
    "portone_api_secret": "production needs the store's own V2 API secret",
    "portone_webhook_secrets": "production needs the store's own webhook secret",
    "portone_store_id": "production needs its own store",
    "portone_channel_keys": "production needs its own channels",
}
# Required for requests to PortOne.
PORTONE_REQUIRED = frozenset({"portone_api_secret", "portone_store_id"})

_GUARDED = frozenset(
    {"database_uri", "portone_v1_api_key", "portone_v1_api_secret", *PRODUCTION_NEEDS}
)
_NONE: frozenset[str] = frozenset()


class ProcessKind(StrEnum):
    """Long-running process of the product: it exports metrics and reports that it runs."""

    API = "api"
    WORKER = "worker"
    BEAT = "beat"
    RELAYER = "relayer"
    GATEWAY = "gateway"


class Process(Enum):
    """Guarded settings that a process reads, and those it needs to start in production."""

    API = (_GUARDED, frozenset(PRODUCTION_NEEDS))
    # Also beat and flower. Only some workers need PortOne's secrets; that depends on their queues,
    # which are unknown when settings are read.
    WORKER = (PORTONE_REQUIRED | {"database_uri"}, _NONE)
    # A command reports a missing setting itself.
    COMMAND = (_GUARDED, _NONE)
    GATEWAY = (frozenset({"jwt_secret_key"}), frozenset({"jwt_secret_key"}))
    RELAYER = (_NONE, _NONE)

    def __init__(self, reads: frozenset[str], needs: frozenset[str]) -> None:
        self.unread = _GUARDED - reads
        self.needs = needs
