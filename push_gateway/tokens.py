"""Verification of access tokens without the application that signs them."""

from collections.abc import Mapping

import jwt

from trading.access_tokens import ALGORITHM, ISSUER, Bearer, bearer_of
from trading.config.settings import Settings
from trading.errors import Unauthorized

_SCHEME = "bearer "
_TOKEN_LENGTH_MAX = 4_096


class Tokens:
    """Verifies tokens signed with the configured secret."""

    def __init__(self, settings: Settings) -> None:
        self._secret = settings.jwt_secret

    def bearer(self, token: object) -> Bearer:
        """Return the token's bearer, or raise Unauthorized without a reason."""
        if not isinstance(token, str) or len(token) > _TOKEN_LENGTH_MAX:
            raise Unauthorized
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                options={"require": ["exp", "sub", "iss"]},
            )
        except (jwt.InvalidTokenError, ValueError):
            raise Unauthorized from None
        return bearer_of(claims)

    def from_headers(self, headers: Mapping[str, str]) -> Bearer:
        """Return the bearer of a request's Authorization header, or raise Unauthorized."""
        header = headers.get("Authorization", "")
        if not header.lower().startswith(_SCHEME):
            raise Unauthorized
        return self.bearer(header[len(_SCHEME) :].strip())
