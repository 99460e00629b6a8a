"""docker-compose.yml and Dockerfile, read against the product: no engine builds them here, so a slip would show in production only."""

import re
from importlib.util import find_spec
from typing import Any

import pytest
import yaml

from launcher.plan import ROOT
from tests.trading.test_settings import PRODUCTION
from trading.settings import Settings, load

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service.get("build") == "."}
PORTONE = {name: PRODUCTION[name] for name in PRODUCTION if name.startswith("PORTONE_") and "URL" not in name}
SECRETS = {"MYSQL_PASSWORD", "JWT_SECRET_KEY", "FLOWER_BASIC_AUTH", *PORTONE}


def test_every_process_of_the_product_is_there() -> None:
    """The sandbox is not: it never stands in production."""
    assert set(SERVICES) == {"mysql", "redis", "migrate", "api", "worker", "beat", "relayer", "gateway", "flower"}


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_setting(name: str) -> None:
    """A misspelt variable would be ignored in silence."""
    known = {field.upper() for field in Settings.model_fields} | {"FLOWER_BASIC_AUTH"}

    assert set(OURS[name]["environment"]) <= known


@pytest.mark.parametrize("name", OURS)
def test_the_settings_are_accepted_in_production(name: str) -> None:
    """With secrets filled in, each process starts on these settings."""
    secrets = {"MYSQL_PASSWORD": "p" * 20, "JWT_SECRET_KEY": "s" * 40, "FLOWER_BASIC_AUTH": "f", **PORTONE}
    filled = {
        variable: re.sub(r"\$\{(\w+):\?\}", lambda match: secrets[match[1]], str(value))
        for variable, value in OURS[name]["environment"].items()
    }

    assert load(filled).environment == "production"


@pytest.mark.parametrize("name", OURS)
def test_every_command_names_a_module_that_exists(name: str) -> None:
    """The image holds what the command starts."""
    words = OURS[name]["command"]
    module = {"gunicorn": "wsgi", "celery": "workers", "python": words[-1], "sh": "wsgi"}[words[0]]

    assert find_spec(module) is not None
    package = module.partition(".")[0]
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f"COPY {package} " in dockerfile or f"{package}.py" in dockerfile


def test_secrets_are_demanded_and_never_written_down() -> None:
    """Compose refuses to start without them; none has a default."""
    text = (ROOT / "docker-compose.yml").read_text()

    for secret in SECRETS:
        assert f"${{{secret}:?}}" in text
        assert f"${{{secret}}}" not in text
        assert f"${{{secret}:-" not in text


def test_only_the_api_the_gateway_and_flower_are_published() -> None:
    """Nobody outside reaches the database, Redis or the feed."""
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"api", "gateway", "flower"}


def test_everything_waits_for_the_migration_but_what_needs_no_table() -> None:
    """A process on an old schema would fail its first requests."""
    waiting = {name for name, service in OURS.items() if "migrate" in service["depends_on"]}

    assert waiting == set(OURS) - {"migrate", "relayer", "gateway"}


def test_the_image_copies_every_package_that_the_api_and_workers_import() -> None:
    """What the tests import from the working folder must be in the image too."""
    dockerfile = (ROOT / "Dockerfile").read_text()

    for room in ("trading", "webapp", "workers", "relayer", "migrations"):
        assert f"COPY {room} {room}" in dockerfile
        assert f"!{room}" in (ROOT / ".dockerignore").read_text()
