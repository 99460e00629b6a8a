"""Claims of access tokens, shared by the signer and the verifiers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from trading.errors import Unauthorized

ALGORITHM = "HS256"
ISSUER = "stocking"
SESSION_CLAIM = "sid"
TYPE_CLAIM = "type"
ACCESS = "access"


@dataclass(frozen=True, slots=True)
class Bearer:
    """The user and session of an access token, and its expiry."""

    user_id: UUID
    session_id: UUID
    expires_at: datetime


def bearer_of(claims: Mapping[str, Any]) -> Bearer:
    """Return the bearer of verified claims (signature, issuer, times). Raises Unauthorized."""
    if claims.get(TYPE_CLAIM) != ACCESS:
        raise Unauthorized
    try:
        return Bearer(
            user_id=UUID(claims["sub"]),
            session_id=UUID(claims[SESSION_CLAIM]),
            expires_at=datetime.fromtimestamp(claims["exp"], UTC),
        )
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError, OSError):
        raise Unauthorized from None
