"""Settings of the HTTP edge: trusted proxies, allowed origins and rate limits.

Part of the settings of every process (``trading.config.settings``).
"""

import re
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, field_validator

_ORIGIN = re.compile(r"https?://[a-z0-9.\-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")

# One limit in the notation of the ``limits`` library, restricted to units that suit requests.
_RATE_LIMIT = re.compile(
    r"[1-9][0-9]{0,5} ?(/|per) ?([1-9][0-9]{0,2} )?(second|minute|hour)s?", re.ASCII
)


def _single_limit(value: str) -> str:
    if not _RATE_LIMIT.fullmatch(value):
        raise ValueError("must be one limit such as 10 per second, 100/minute or 5 per 15 minutes")
    return value


RateLimit = Annotated[str, AfterValidator(_single_limit)]


class HttpSettings(BaseModel):
    """HTTP settings. Durations carry their unit in the name; limits use the ``limits`` notation."""

    trusted_proxies: str | None = "127.0.0.1"
    api_allowed_origins: str | None = None

    rate_limits: bool = True
    request_count_timeout_ms: int = Field(default=500, ge=10, le=10_000)
    rate_limit_sign_in_account: RateLimit = "5 per minute"
    rate_limit_sign_in_address: RateLimit = "5 per minute"
    rate_limit_registration: RateLimit = "5 per minute"
    rate_limit_password_change: RateLimit = "5 per 15 minutes"  # noqa: S105 - none
    rate_limit_refresh: RateLimit = "10 per minute"
    rate_limit_orders: RateLimit = "10 per second"
    rate_limit_money: RateLimit = "30 per minute"
    rate_limit_writes: RateLimit = "50 per 10 seconds"
    rate_limit_reads: RateLimit = "200 per 10 seconds"
    rate_limit_strangers: RateLimit = "200 per 10 seconds"
    rate_limit_webhook: RateLimit = "500 per 10 seconds"
    sign_in_failures_max: int = Field(default=5, ge=1, le=100)
    sign_in_lock_s: int = Field(default=60, ge=1, le=3_600)
    sign_in_lock_max_s: int = Field(default=900, ge=1, le=86_400)

    gateway_connects_per_minute: int = Field(default=60, ge=1, le=10_000)
    gateway_allowed_origins: str | None = None

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: str | None) -> str | None:
        for network in split_csv(value):
            try:
                trusts_all = ip_network(network).prefixlen == 0
            except ValueError:
                raise ValueError(
                    "must be addresses or networks such as 10.0.0.0/8, separated by commas"
                ) from None
            if trusts_all:
                raise ValueError(
                    "must not trust all addresses: any client could then forge its address"
                )
        return value

    @field_validator("api_allowed_origins", "gateway_allowed_origins")
    @classmethod
    def _origins(cls, value: str | None) -> str | None:
        for origin in split_csv(value):
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    "must be origins such as https://example.com, separated by commas and no path"
                )
        return value

    @cached_property
    def trusted_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """Networks whose forwarding headers are trusted; empty if none are."""
        return tuple(ip_network(network) for network in split_csv(self.trusted_proxies))

    @cached_property
    def allowed_origins(self) -> frozenset[str]:
        """Web origins that may use the API in addition to its own."""
        return frozenset(split_csv(self.api_allowed_origins))

    @cached_property
    def gateway_origins(self) -> frozenset[str]:
        """Web origins that may use the gateway in addition to its own; the API's unless set."""
        return (
            self.allowed_origins
            if self.gateway_allowed_origins is None
            else frozenset(split_csv(self.gateway_allowed_origins))
        )


def split_csv(listed: str | None) -> list[str]:
    """Split a comma-separated list; ignore empty parts and surrounding spaces."""
    return [word for part in (listed or "").split(",") if (word := part.strip())]
