"""Settings: all faults reported together, no value shown, and rejections in production."""

from pathlib import Path

import limits
import pytest

from trading.config.settings import (
    DEVELOPMENT_SECRET,
    PORTONE_DEVELOPMENT_WEBHOOK_SECRET,
    Settings,
    SettingsError,
    load,
)

SECRET = "an-own-secret-of-more-than-thirty-two-characters"
PRODUCTION = {
    "ENVIRONMENT": "production",
    "JWT_SECRET_KEY": SECRET,
    "TOSS_API_URL": "https://wts-api.tossinvest.com",
    "TOSS_WEBSOCKET_URL": "wss://realtime-socket.tossinvest.com/ws",
    "PORTONE_API_BASE_URL": "https://api.portone.io",
    "PORTONE_API_SECRET": "of-a-store-that-takes-real-money-0123456789",
    "PORTONE_WEBHOOK_SECRETS": "whsec_b3VyLW93bi1zZWNyZXQtb2Ytc29tZS1sZW5ndGg=",
    "PORTONE_STORE_ID": "store-11111111-0000-4000-8000-000000000001",
    "PORTONE_CHANNEL_KEYS": "channel-key-11111111-0000-4000-8000-000000000001",
}


def faults_of(environment: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as raised:
        load(environment)
    return str(raised.value)


def test_defaults_are_valid_for_development() -> None:
    settings = load({})
    assert (settings.environment, settings.starting_cash, settings.commission_ppm) == (
        "development",
        10_000_000,
        150,
    )


def test_all_faults_are_reported_together() -> None:
    faults = faults_of(
        {"LOG_LEVEL": "loud", "STARTING_CASH": "-1", "DATABASE_URI": "oracle://x", "REDIS_URL": "x"}
    )
    lines = faults.splitlines()[1:]
    assert sorted(line.split(":")[0].strip() for line in lines) == [
        "DATABASE_URI",
        "LOG_LEVEL",
        "REDIS_URL",
        "STARTING_CASH",
    ]


def test_production_faults_are_reported_with_the_others() -> None:
    faults = faults_of({**PRODUCTION, "JWT_SECRET_KEY": DEVELOPMENT_SECRET, "LOG_LEVEL": "loud"})
    assert "LOG_LEVEL" in faults
    assert "JWT_SECRET_KEY" in faults


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URI", "postgresql://root:hunter2@db/x"),
        ("REDIS_URL", "http://:hunter2@redis"),
        ("CELERY_BROKER_URL", "amqp://guest:hunter2@rabbit"),
        ("STARTING_CASH", "hunter2"),
        ("LOG_LEVEL", "hunter2"),
        ("TOSS_API_URL", "https://user:hunter2@example.com"),
        ("TOSS_API_URL", "https://user:hunter2@[::1"),
        ("TOSS_API_URL", "https://user:hunter2@℀.example.com"),
        ("PORTONE_API_BASE_URL", "https://user:hunter2@[::1"),
        ("PORTONE_WEBHOOK_SECRETS", "hunter2"),
        ("PORTONE_STORE_ID", "hunter2!"),
        ("PORTONE_WEBHOOK_ALLOWED_IPS", "hunter2"),
        ("TRUSTED_PROXIES", "hunter2"),
        ("API_ALLOWED_ORIGINS", "hunter2"),
        ("RATE_LIMIT_READS", "hunter2"),
    ],
)
def test_fault_does_not_show_the_value(name: str, value: str) -> None:
    """Not even through the error message of a library."""
    faults = faults_of({name: value})
    assert f"{name}:" in faults
    assert "hunter2" not in faults


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"JWT_SECRET_KEY": DEVELOPMENT_SECRET}, "JWT_SECRET_KEY"),
        ({"JWT_SECRET_KEY": ""}, "JWT_SECRET_KEY"),
        ({"JWT_SECRET_KEY": "x" * 31}, "JWT_SECRET_KEY"),
        ({"ARGON2_MEMORY_KIB": "19455"}, "ARGON2_"),
        ({"ARGON2_TIME_COST": "1"}, "ARGON2_"),
        ({"TOSS_API_URL": "http://127.0.0.1:8090"}, "TOSS_API_URL"),
        ({"TOSS_WEBSOCKET_URL": "ws://localhost:8090/ws"}, "TOSS_WEBSOCKET_URL"),
        ({"PORTONE_API_BASE_URL": "http://127.0.0.1:8092"}, "PORTONE_API_BASE_URL"),
        ({"PORTONE_API_SECRET": ""}, "PORTONE_API_SECRET"),
        ({"PORTONE_API_SECRET": "x" * 31}, "PORTONE_API_SECRET"),
        ({"PORTONE_WEBHOOK_SECRETS": ""}, "PORTONE_WEBHOOK_SECRETS"),
        ({"PORTONE_WEBHOOK_SECRETS": " , "}, "PORTONE_WEBHOOK_SECRETS"),
        (
            {
                "PORTONE_WEBHOOK_SECRETS": ",".join(
                    (PRODUCTION["PORTONE_WEBHOOK_SECRETS"], PORTONE_DEVELOPMENT_WEBHOOK_SECRET)
                )
            },
            "PORTONE_WEBHOOK_SECRETS",
        ),
        ({"PORTONE_STORE_ID": ""}, "PORTONE_STORE_ID"),
        ({"PORTONE_CHANNEL_KEYS": ""}, "PORTONE_CHANNEL_KEYS"),
        ({"PORTONE_ALLOW_TEST_CHANNEL": "true"}, "PORTONE_ALLOW_TEST_CHANNEL"),
        ({"RATE_LIMITS": "0"}, "RATE_LIMITS"),
    ],
)
def test_production_rejects_development_values(changed: dict[str, str], named: str) -> None:
    faults = faults_of({**PRODUCTION, **changed})
    assert named in faults
    assert "x" * 31 not in faults


def test_production_accepts_valid_settings() -> None:
    """Their representation contains no secret."""
    settings = load({**PRODUCTION, "DATABASE_URI": "mysql+pymysql://app:hunter2@db/stocking"})
    assert settings.environment == "production"
    assert "hunter2" not in repr(settings)
    assert SECRET not in repr(settings)


@pytest.mark.parametrize("name", ["TOSS_API_URL", "TOSS_WEBSOCKET_URL"])
@pytest.mark.parametrize(
    "url",
    [
        "https://wts-cert-api.tossinvest.com",
        "https://openapi.tossinvest.com",
        "https://wts-api.tossinvest.com.evil.example",
        "https://evil.example/wts-api.tossinvest.com",
        "https://wts-api.tossinvest.com@evil.example",
        "http://wts-api.tossinvest.com",
        "ws://realtime-socket.tossinvest.com",
        "wts-api.tossinvest.com",
    ],
)
def test_only_market_data_hosts_are_accepted(name: str, url: str) -> None:
    """No host that takes orders, no look-alike, no unencrypted remote connection."""
    assert name in faults_of({name: url})


def test_empty_variable_uses_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARTING_CASH", "")
    assert load({"STARTING_CASH": ""}).starting_cash == 10_000_000
    assert load().starting_cash == 10_000_000


def test_dot_env_file_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("STARTING_CASH=5\n")
    monkeypatch.chdir(tmp_path)
    assert load().starting_cash == 10_000_000


def test_load_reads_the_environment_or_the_given_mapping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARTING_CASH", "777")
    assert load().starting_cash == 777
    assert load({}).starting_cash == 10_000_000


def test_settings_are_frozen() -> None:
    settings = load({})
    with pytest.raises(ValueError, match="frozen"):
        settings.starting_cash = 1  # type: ignore[misc]


def test_broker_defaults_to_the_market_data_redis() -> None:
    assert load({"REDIS_URL": "redis://one/0"}).broker_url == "redis://one/0"
    assert (
        load({"REDIS_URL": "redis://one/0", "CELERY_BROKER_URL": "redis://two/0"}).broker_url
        == "redis://two/0"
    )
    assert isinstance(load({}), Settings)


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({}, "always"),
        ({"TOSS_WEBSOCKET_URL": "ws://localhost:9000/ws"}, "always"),
        ({"TOSS_WEBSOCKET_URL": "wss://realtime-socket.tossinvest.com/ws"}, "krx"),
        ({"MARKET_HOURS": "krx"}, "krx"),
        (
            {
                "MARKET_HOURS": "always",
                "TOSS_WEBSOCKET_URL": "wss://realtime-socket.tossinvest.com/ws",
            },
            "always",
        ),
    ],
)
def test_market_hours_follow_the_feed_unless_set(given: dict[str, str], rule: str) -> None:
    """The sandbox market is always open."""
    assert load(given).hours_rule == rule


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORTONE_API_BASE_URL", "https://api.portone.io.evil.example"),
        ("PORTONE_API_BASE_URL", "http://api.portone.io"),
        ("PORTONE_API_BASE_URL", "https://127.0.0.1:8092"),
        ("PORTONE_WEBHOOK_SECRETS", "whsec_AAAA"),
        (
            "PORTONE_WEBHOOK_SECRETS",
            ",".join(["whsec_b3VyLW93bi1zZWNyZXQtb2Ytc29tZS1sZW5ndGg="] * 3),
        ),
        ("PORTONE_CHANNEL_KEYS", ",".join(f"key-{number}" for number in range(11))),
        ("PORTONE_CHANNEL_KEYS", "k" * 65),
        ("PORTONE_WEBHOOK_ALLOWED_IPS", "52.78.5.241,example.com"),
        ("PAYMENT_AMOUNT_MIN", "1000001"),
        ("PAYMENT_EXPIRY_MINUTES", "0"),
    ],
)
def test_invalid_portone_settings_are_rejected(name: str, value: str) -> None:
    """Another host, a malformed secret, or bounds in the wrong order."""
    assert name in faults_of({name: value})


def test_portone_settings_are_parsed() -> None:
    """Lists keep their order, and the URL loses its trailing slash."""
    settings = load(
        {
            "PORTONE_API_BASE_URL": "https://api.portone.io/",
            "PORTONE_CHANNEL_KEYS": "card, easy",
            "PORTONE_WEBHOOK_ALLOWED_IPS": "52.78.5.241",
        }
    )
    assert settings.portone_api_base_url == "https://api.portone.io"
    assert settings.channel_keys == ("card", "easy")
    assert settings.webhook_addresses == {"52.78.5.241"}
    assert settings.webhook_secrets == (PORTONE_DEVELOPMENT_WEBHOOK_SECRET,)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("TOSS_INFO_URL", "https://wts-cert-api.tossinvest.com"),
        ("TOSS_CERT_URL", "https://wts-info-api.tossinvest.com"),
        ("TOSS_CERT_URL", "https://openapi.tossinvest.com"),
        ("TOSS_INFO_URL", "https://wts-info-api.tossinvest.com.evil.example"),
        ("TOSS_INFO_URL", "http://wts-info-api.tossinvest.com"),
        ("TOSS_INFO_URL", "wss://wts-info-api.tossinvest.com"),
        ("TOSS_INFO_URL", "https://user:hunter2@wts-info-api.tossinvest.com"),
        ("TOSS_INFO_URL", "http://127.0.0.1:8093?x=1"),
        ("TOSS_INFO_URL", "ws://127.0.0.1:8093"),
    ],
)
def test_each_rest_url_accepts_only_its_own_host(name: str, url: str) -> None:
    """One host for prices and one for rankings, or the sandbox."""
    faults = faults_of({name: url})
    assert name in faults
    assert "hunter2" not in faults


def test_rest_urls_follow_the_feed_unless_set() -> None:
    development, production = load({}), load(PRODUCTION)
    assert development.info_url == development.cert_url == "http://127.0.0.1:8093"
    assert production.info_url == "https://wts-info-api.tossinvest.com"
    assert production.cert_url == "https://wts-cert-api.tossinvest.com"
    assert load({"TOSS_INFO_URL": "http://localhost:1"}).info_url == "http://localhost:1"
    assert "TOSS_INFO_URL" in faults_of({**PRODUCTION, "TOSS_INFO_URL": "http://localhost:1"})


@pytest.mark.parametrize(
    "text",
    [
        "10 per second",
        "10/second",
        "5 per 15 minutes",
        "1 per hour",
        "999999 per 999 seconds",
        "7 / 2 hours",
    ],
)
def test_rate_limit_is_accepted_by_the_limits_library(text: str) -> None:
    (limit,) = limits.parse_many(load({"RATE_LIMIT_ORDERS": text}).rate_limit_orders)
    assert limit.amount >= 1
    assert limit.get_expiry() >= 1


@pytest.mark.parametrize(
    "text",
    [
        "10",
        "per second",
        "0 per second",
        "-1 per second",
        "10 per 0 seconds",
        "10 per second; 100 per minute",
        "10 per month",
        "１0 per second",
        "10 per second\n",
    ],
)
def test_invalid_rate_limit_is_rejected(text: str) -> None:
    assert "RATE_LIMIT_ORDERS" in faults_of({"RATE_LIMIT_ORDERS": text})


@pytest.mark.parametrize(
    "text", ["0.0.0.0/0", "::/0", "10.0.0.1, 0.0.0.0/0", "10.0.0.1/8", "proxy.example.com"]
)
def test_invalid_or_unbounded_proxy_list_is_rejected(text: str) -> None:
    """Trusting all addresses would let any client forge its own."""
    assert "TRUSTED_PROXIES" in faults_of({"TRUSTED_PROXIES": text})
