"""The programs of the product, and what of the settings that is secret each of them reads and needs: what is not its business it is not given."""

from collections.abc import Mapping
from enum import Enum

# What a laptop gets by default and production never, with what is said where it is missing or unfit there.
PRODUCTION_NEEDS: Mapping[str, str] = {
    "jwt_secret_key": "production needs a secret of its own of at least 32 characters",
    "portone_api_secret": "production needs the store's own V2 API secret",
    "portone_webhook_secrets": "production needs the store's own webhook secret",
    "portone_store_id": "production needs a store of its own",
    "portone_channel_keys": "production needs channels of its own",
}
# Without these PortOne can't be asked.
ASKING_PORTONE = frozenset({"portone_api_secret", "portone_store_id"})

_GUARDED = frozenset(
    {"database_uri", "portone_v1_api_key", "portone_v1_api_secret", *PRODUCTION_NEEDS}
)
_NOTHING: frozenset[str] = frozenset()


class Process(Enum):
    """The fields of the settings that a program reads of those that are guarded, and those of them without which it does not start in production."""

    API = (_GUARDED, frozenset(PRODUCTION_NEEDS))
    # Also beat and flower. Which of the workers ask PortOne is a matter of their queues, which are not known when settings are read.
    WORKER = (ASKING_PORTONE | {"database_uri"}, _NOTHING)
    # What a command needs and was not given it says itself.
    COMMAND = (_GUARDED, _NOTHING)
    GATEWAY = (frozenset({"jwt_secret_key"}), frozenset({"jwt_secret_key"}))
    RELAYER = (_NOTHING, _NOTHING)

    def __init__(self, reads: frozenset[str], needs: frozenset[str]) -> None:
        self.unread = _GUARDED - reads
        self.needs = needs
