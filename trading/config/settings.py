"""Settings of every process, read once from the environment and frozen.

All faults are reported together. The environment variable is the field's name in capitals:
``DATABASE_URI``, ``REDIS_URL``, ``TICK_FRESHNESS_MS`` … ``docs/settings.md`` lists them all; a test
compares it with this file.

A process names itself and receives only the secrets that it uses (``trading.config.processes``).
"""

import base64
import os
import re
from collections.abc import Mapping
from functools import cached_property
from ipaddress import ip_address
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from trading.config.http_settings import HttpSettings, split_csv
from trading.config.processes import PORTONE_REQUIRED, PRODUCTION_NEEDS, Process

DEVELOPMENT_SECRET = "development-only-secret-never-used-in-production"  # noqa: S105 - production refuses it by name
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})

# Defaults of the PortOne stand-in and of development installations. They are public, so production
# rejects them.
PORTONE_DEVELOPMENT_API_SECRET = "sandbox-portone-secret"  # noqa: S105
PORTONE_DEVELOPMENT_WEBHOOK_SECRET = "whsec_c2FuZGJveC1wb3J0b25lLXdlYmhvb2stc2VjcmV0LTE="  # noqa: S105
PORTONE_DEVELOPMENT_STORE_ID = "store-00000000-0000-4000-8000-000000000001"
PORTONE_DEVELOPMENT_CHANNEL_KEY = "channel-key-00000000-0000-4000-8000-000000000001"

# The only Toss hosts that the relayer may connect to: guest token and market-data feed. Neither
# accepts orders.
MARKET_DATA_HOSTS = frozenset({"wts-api.tossinvest.com", "realtime-socket.tossinvest.com"})
# The only hosts of Toss's REST API for market data, one per setting.
INFO_HOST = "wts-info-api.tossinvest.com"
CERT_HOST = "wts-cert-api.tossinvest.com"
SANDBOX_REST_URL = "http://127.0.0.1:8093"

PORTONE_API_URL = "https://api.portone.io"

_PORTONE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_REST_HOSTS = {"toss_info_url": frozenset({INFO_HOST}), "toss_cert_url": frozenset({CERT_HOST})}

Won = Annotated[int, Field(gt=0, le=10**15)]


class SettingsError(Exception):
    """Faults in the environment; the message lists each on its own line and shows no values."""


class Settings(HttpSettings, BaseSettings):
    """Settings of one process: money in won, rates in ppm or bp, durations named by unit."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    environment: Literal["development", "production"] = "development"
    log_format: Literal["console", "json"] = "console"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    liveness_file: str | None = None
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = Field(default=None, ge=1, le=65_535)

    database_uri: SecretStr = SecretStr("sqlite:///var/stocking.db")
    database_pool_size: int = Field(default=10, ge=1, le=200)
    database_timeout_s: int = Field(default=30, ge=1, le=86_400)
    api_database_timeout_s: int = Field(default=5, ge=1, le=60)
    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    celery_broker_url: SecretStr | None = None

    jwt_secret_key: SecretStr | None = SecretStr(DEVELOPMENT_SECRET)
    access_token_minutes: int = Field(default=15, ge=1, le=24 * 60)
    refresh_token_days: int = Field(default=14, ge=1, le=365)
    session_keep_days: int = Field(default=30, ge=1, le=3_650)
    argon2_time_cost: int = Field(default=3, ge=1, le=20)
    argon2_memory_kib: int = Field(default=65_536, ge=8, le=4_194_304)
    argon2_parallelism: int = Field(default=4, ge=1, le=64)
    password_length_min: int = Field(default=10, ge=8, le=64)

    starting_cash: Won = 10_000_000
    deposit_max: Won = 100_000_000
    cash_max: Won = 10**13
    order_quantity_max: int = Field(default=1_000_000, ge=1, le=10**9)

    commission_ppm: int = Field(default=150, ge=0, le=100_000)
    fill_profile: Literal["simple", "volume"] = "simple"
    market_slippage_ticks: int = Field(default=1, ge=0, le=10)
    market_buy_collar_bp: int = Field(default=200, ge=0, le=10_000)
    tick_freshness_ms: int = Field(default=10_000, ge=100, le=3_600_000)

    risk_free_rate_bp: int = Field(default=250, ge=0, le=10_000)

    idempotency_key_hours: int = Field(default=24, ge=1, le=24 * 30)
    wake_grace_ms: int = Field(default=2_000, ge=100, le=600_000)
    sweep_period_s: int = Field(default=5, ge=1, le=3_600)
    # A batch is one IN list. From 1,000 values on, MariaDB before 10.5 converts it to a subquery,
    # and that version has no setting to prevent it.
    stage_batch_size: int = Field(default=500, ge=1, le=999)
    match_period_ms: int = Field(default=500, ge=100, le=60_000)
    matcher_shards: int = Field(default=1, ge=1, le=64)
    expire_period_s: int = Field(default=30, ge=1, le=3_600)
    account_days_period_s: int = Field(default=300, ge=1, le=3_600)
    index_closes_period_s: int = Field(default=600, ge=1, le=86_400)
    candle_period_s: int = Field(default=5, ge=1, le=3_600)
    candle_minute_days: int = Field(default=30, ge=1, le=3_650)
    audit_period_s: int = Field(default=60, ge=1, le=3_600)
    audit_halts: bool = True

    watchlist_directories_max: int = Field(default=20, ge=1, le=100)
    watchlist_items_max: int = Field(default=100, ge=1, le=1_000)
    alert_period_ms: int = Field(default=1_000, ge=100, le=60_000)

    portone_api_secret: SecretStr | None = SecretStr(PORTONE_DEVELOPMENT_API_SECRET)
    portone_webhook_secrets: SecretStr | None = SecretStr(PORTONE_DEVELOPMENT_WEBHOOK_SECRET)
    portone_store_id: str | None = PORTONE_DEVELOPMENT_STORE_ID
    portone_channel_keys: str | None = PORTONE_DEVELOPMENT_CHANNEL_KEY
    portone_api_base_url: str = "http://127.0.0.1:8092"
    portone_allow_test_channel: bool = False
    portone_webhook_allowed_ips: str | None = None
    portone_v1_api_key: SecretStr | None = None
    portone_v1_api_secret: SecretStr | None = None
    payment_amount_min: Won = 1_000
    payment_amount_max: Won = 1_000_000
    payment_expiry_minutes: int = Field(default=30, ge=1, le=24 * 60)

    feed: Literal["toss-web"] = "toss-web"
    feed_destination_style: Literal["slashes", "dots", "percent"] = "slashes"
    toss_api_url: str = "http://127.0.0.1:8090"
    toss_websocket_url: str = "ws://127.0.0.1:8090/ws"
    toss_info_url: str | None = None
    toss_cert_url: str | None = None
    toss_requests_per_s: int = Field(default=10, ge=1, le=10_000)
    market_hours: Literal["krx", "always"] | None = None
    relayer_subscription_budget: int = Field(default=100, ge=1, le=1_000)
    relayer_heartbeat_ms: int = Field(default=5_000, ge=0, le=120_000)

    stream_stall_s: int = Field(default=20, ge=1, le=600)
    gateway_host: str = "127.0.0.1"
    gateway_port: int = Field(default=8_001, ge=1, le=65_535)
    gateway_clients_max: int = Field(default=5_000, ge=1, le=100_000)
    gateway_clients_per_user: int = Field(default=10, ge=1, le=1_000)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic-settings'
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Accept explicit values only: ``load`` alone reads the environment."""
        return (init_settings,)

    @field_validator("database_uri")
    @classmethod
    def _known_database(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(("sqlite:///", "mysql+pymysql://")):
            raise ValueError("must begin with sqlite:/// or mysql+pymysql://")
        if value.get_secret_value() in {"sqlite:///", "sqlite:///:memory:"}:
            raise ValueError("must name a file after sqlite:///")
        # A password may contain any character; the server and its port follow it.
        _require_address("//" + value.get_secret_value().rpartition("@")[2].rpartition("//")[2])
        return value

    @field_validator("redis_url", "celery_broker_url")
    @classmethod
    def _known_redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(
            ("redis://", "rediss://", "unix://", "redis+socket://")
        ):
            raise ValueError("must begin with redis://, rediss:// or unix://")
        if value is not None:
            _require_address(value.get_secret_value())
        return value

    @field_validator("portone_api_base_url")
    @classmethod
    def _without_trailing_slash(cls, value: str) -> str:
        try:
            url = urlsplit(value)
        except ValueError:
            raise ValueError("is not a valid address") from None
        if value.rstrip("/") != PORTONE_API_URL and (
            url.hostname not in LOOPBACK_HOSTS or url.scheme != "http"
        ):
            raise ValueError(f"must be {PORTONE_API_URL}, or http on loopback for the stand-in")
        return value.rstrip("/")

    @field_validator("portone_webhook_secrets")
    @classmethod
    def _webhook_secrets(cls, value: SecretStr | None) -> SecretStr | None:
        secrets = split_csv(_reveal(value))
        if len(secrets) > 2 or not all(map(_is_webhook_secret, secrets)):
            raise ValueError(
                "must be one secret of the form whsec_ and base64, or two separated by a comma"
            )
        return value

    @field_validator("portone_store_id", "portone_channel_keys")
    @classmethod
    def _portone_names(cls, value: str | None) -> str | None:
        if value is None:
            return None
        names = split_csv(value)
        if not 1 <= len(names) <= 10 or not all(map(_PORTONE_NAME.fullmatch, names)):
            raise ValueError(
                "must be as shown in PortOne's console; up to ten channel keys, separated by commas"
            )
        return value

    @field_validator("portone_webhook_allowed_ips")
    @classmethod
    def _addresses(cls, value: str | None) -> str | None:
        for address in split_csv(value):
            try:
                ip_address(address)
            except ValueError:
                raise ValueError("must be IP addresses, separated by commas") from None
        return value

    @field_validator("toss_api_url", "toss_websocket_url", "toss_info_url", "toss_cert_url")
    @classmethod
    def _market_data_only(cls, value: str | None, field: ValidationInfo) -> str | None:
        if value is None:
            return None
        try:
            url = urlsplit(value)
        except ValueError:
            # The library's message repeats part of the address, which may contain a password.
            raise ValueError("is not a valid address") from None
        hosts = _REST_HOSTS.get(field.field_name or "", MARKET_DATA_HOSTS) | LOOPBACK_HOSTS
        if url.hostname not in hosts:
            raise ValueError(f"must name one of {', '.join(sorted(hosts))}")
        if url.scheme not in {"https", "wss"} and url.hostname not in LOOPBACK_HOSTS:
            raise ValueError("must be encrypted (https or wss)")
        if field.field_name in _REST_HOSTS and (
            url.scheme not in {"https", "http"} or "@" in url.netloc or url.query
        ):
            raise ValueError("must be an http or https address without credentials and query")
        return value

    @model_validator(mode="before")
    @classmethod
    def _drop_development_defaults_in_production(
        cls, values: dict[str, object]
    ) -> dict[str, object]:
        return (
            {**dict.fromkeys(PRODUCTION_NEEDS), **values}
            if values.get("environment") == "production"
            else values
        )

    @model_validator(mode="after")
    def _refuse_development_in_production(self) -> Self:
        if self.environment != "production":
            return self
        faults = []
        secret = _reveal(self.jwt_secret_key)
        if secret is not None and (secret == DEVELOPMENT_SECRET or len(secret) < 32):
            faults.append(f"JWT_SECRET_KEY: {PRODUCTION_NEEDS['jwt_secret_key']}")
        if self.argon2_memory_kib < 19_456 or self.argon2_time_cost < 2:
            faults.append(
                "ARGON2_*: production needs at least 19456 KiB and a time cost of 2 (OWASP)"
            )
        faults.extend(
            f"{name.upper()}: production needs the real feed, not the sandbox on loopback"
            for name in ("toss_api_url", "toss_websocket_url", "toss_info_url", "toss_cert_url")
            if urlsplit(getattr(self, name) or "").hostname in LOOPBACK_HOSTS
        )
        if not self.rate_limits:
            faults.append(
                "RATE_LIMITS: production requires them; raise single limits for a load test"
            )
        faults += self._payment_faults()
        if faults:
            raise ValueError("\n  ".join(faults))
        return self

    def _payment_faults(self) -> list[str]:
        """Return faults of PortOne settings that are only fit for development; ignore missing ones.

        With these defaults anyone could forge a payment.
        """
        faults = []
        secret, secrets = _reveal(self.portone_api_secret), self.webhook_secrets
        if secret is not None and self.portone_api_base_url != PORTONE_API_URL:
            faults.append(
                f"PORTONE_API_BASE_URL: production needs {PORTONE_API_URL}, not the stand-in"
            )
        unfit = {
            "portone_api_secret": secret is not None
            and (len(secret) < 32 or secret == PORTONE_DEVELOPMENT_API_SECRET),
            "portone_webhook_secrets": PORTONE_DEVELOPMENT_WEBHOOK_SECRET in secrets
            or (self.portone_webhook_secrets is not None and not secrets),
            "portone_store_id": self.portone_store_id == PORTONE_DEVELOPMENT_STORE_ID,
            "portone_channel_keys": PORTONE_DEVELOPMENT_CHANNEL_KEY in self.channel_keys,
        }
        faults += [
            f"{name.upper()}: {PRODUCTION_NEEDS[name]}"
            for name, is_unfit in unfit.items()
            if is_unfit
        ]
        if self.portone_allow_test_channel:
            faults.append(
                "PORTONE_ALLOW_TEST_CHANNEL: a test channel reports PAID without a payment"
            )
        return faults

    @model_validator(mode="after")
    def _check_payment_amounts(self) -> Self:
        if self.payment_amount_min > self.payment_amount_max:
            raise ValueError("PAYMENT_AMOUNT_MIN: must not be above PAYMENT_AMOUNT_MAX")
        return self

    @cached_property
    def jwt_secret(self) -> str:
        """Signing key of access tokens. Raises SettingsError in a process without it."""
        if self.jwt_secret_key is None:
            raise SettingsError("JWT_SECRET_KEY: not set in this process")
        return self.jwt_secret_key.get_secret_value()

    @cached_property
    def portone_secret(self) -> str | None:
        """PortOne API secret; None in a process that does not call PortOne."""
        return _reveal(self.portone_api_secret)

    @cached_property
    def missing_for_payments(self) -> tuple[str, ...]:
        """Environment variables that are missing for requests to PortOne."""
        return tuple(
            name.upper() for name in sorted(PORTONE_REQUIRED) if getattr(self, name) is None
        )

    @cached_property
    def webhook_secrets(self) -> tuple[str, ...]:
        """Active webhook secrets of PortOne; without any, no webhook is accepted."""
        return tuple(split_csv(_reveal(self.portone_webhook_secrets)))

    @cached_property
    def channel_keys(self) -> tuple[str, ...]:
        """PortOne channels for payments; the browser receives the first."""
        return tuple(split_csv(self.portone_channel_keys))

    @cached_property
    def webhook_addresses(self) -> frozenset[str]:
        """Addresses from which webhooks are accepted; empty accepts all."""
        return frozenset(split_csv(self.portone_webhook_allowed_ips))

    @cached_property
    def broker_url(self) -> str:
        """Celery's broker: its own Redis if set, else the Redis of market data."""
        return (self.celery_broker_url or self.redis_url).get_secret_value()

    @cached_property
    def info_url(self) -> str:
        """Toss REST API for prices: Toss's host if the feed is real, else the sandbox."""
        return self.toss_info_url or self._rest_url(INFO_HOST)

    @cached_property
    def cert_url(self) -> str:
        """Toss REST API for rankings."""
        return self.toss_cert_url or self._rest_url(CERT_HOST)

    def _rest_url(self, host: str) -> str:
        return SANDBOX_REST_URL if self._is_on_loopback else f"https://{host}"

    @cached_property
    def _is_on_loopback(self) -> bool:
        return urlsplit(self.toss_websocket_url).hostname in LOOPBACK_HOSTS

    @cached_property
    def hours_rule(self) -> Literal["krx", "always"]:
        """Market hours: those of KRX, or always open for the sandbox market."""
        if self.market_hours is not None:
            return self.market_hours
        return "always" if self._is_on_loopback else "krx"


def is_production(environment: Mapping[str, str] | None = None) -> bool:
    """Return True if the environment is production, even if other settings are invalid."""
    environ = os.environ if environment is None else environment
    return environ.get("ENVIRONMENT", "").lower() == "production"


def is_json_logging(environment: Mapping[str, str] | None = None) -> bool:
    """Return True if logs must be JSON, even if the settings are invalid, to report that."""
    environ = os.environ if environment is None else environment
    return environ.get("LOG_FORMAT") == "json"


def load(
    environment: Mapping[str, str] | None = None, *, process: Process | None = None
) -> Settings:
    """Read the settings of ``process`` from ``environment``, by default the process environment.

    Without a process, return the settings of a machine that runs all of them. Raises SettingsError
    with all faults.
    """
    environ = os.environ if environment is None else environment
    unread, needed = (
        (process.unread, process.needs) if process else (frozenset[str](), Process.API.needs)
    )
    fields: dict[str, str | None] = {
        name.lower(): value
        for name, value in environ.items()
        if value != "" and name.lower() not in unread
    }
    lines = []
    if is_production(environ):
        lines = [
            f"  {name.upper()}: {PRODUCTION_NEEDS[name]}" for name in sorted(needed - fields.keys())
        ]
    else:
        fields |= dict.fromkeys(unread - {"database_uri"})
    try:
        settings = Settings.model_validate(fields)
    except ValidationError as invalid:
        lines += _lines(invalid)
        unreadable = {str(fault["loc"][0]) for fault in invalid.errors() if fault["loc"]}
    else:
        if not lines:
            return settings
        unreadable = set()
    if unreadable:
        # Production checks run only if every field is readable, so validate again without the
        # unreadable ones.
        try:
            Settings.model_validate(
                {name: value for name, value in fields.items() if name not in unreadable}
            )
        except ValidationError as refused:
            lines += _lines(refused)
    raise SettingsError("The settings have faults:\n" + "\n".join(lines))


def _reveal(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _require_address(url: str) -> None:
    """Raise ValueError for an invalid URL, without the library's text, which may hold a secret."""
    try:
        _ = urlsplit(url).port
    except ValueError:
        raise ValueError("is not a valid address") from None


def _is_webhook_secret(secret: str) -> bool:
    text = secret.removeprefix("whsec_").rstrip("=")
    try:
        return len(base64.b64decode(text + "=" * (-len(text) % 4), validate=True)) >= 16
    except ValueError:
        return False


def _lines(invalid: ValidationError) -> list[str]:
    return [
        _line(fault["loc"], fault["msg"])
        for fault in invalid.errors(include_input=False, include_url=False)
    ]


def _line(location: tuple[int | str, ...], message: str) -> str:
    message = message.removeprefix("Value error, ")
    return "  " + (f"{str(location[0]).upper()}: {message}" if location else message)
