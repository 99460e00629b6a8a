"""Plan of a start: folders, ports, URLs and the environment of all processes."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from urllib.parse import urlsplit

from honcho.environ import parse_procfile

from launcher.credentials import stored_secret
from launcher.errors import LaunchError
from launcher.ports import LOOPBACK, free_port, is_free
from launcher.valkey import url_of
from trading.config import installation
from trading.config.settings import SettingsError, load

ROOT = Path(__file__).resolve().parent.parent
API_PREFIX = "/api/v1"
PORTONE_PORT = 8092
# The port of REDIS_URL's default, so that commands in another terminal find the bundled Redis.
VALKEY_PORT = 6379
# Metrics ports of processes that serve no other port.
METRICS_PORTS = {
    "WORKER_METRICS_PORT": 9101,
    "BEAT_METRICS_PORT": 9102,
    "RELAYER_METRICS_PORT": 9103,
}
# Ports behind the front door, on loopback. Free ports are used if these are taken.
UPSTREAM_PORTS = {"GUNICORN_PORT": 8002, "GATEWAY_PORT": 8001}
CLAIMED = ("API_PORT", "FLOWER_PORT", *UPSTREAM_PORTS, *METRICS_PORTS)
METRICS_PATH = "/metrics"


@dataclass(frozen=True)
class Plan:
    """Decisions for one start. `environment` contains everything that a process needs.

    `api_url` is the front door's URL for clients. `gunicorn_url` and `gateway_url` are those of the
    processes behind it, for health checks and metrics.
    """

    var: Path
    environment: Mapping[str, str]
    commands: Mapping[str, str]
    api_port: int
    api_url: str
    gunicorn_url: str
    flower_url: str
    gateway_url: str
    metrics_urls: Mapping[str, str]
    sandbox_url: str | None
    portone_url: str | None
    valkey_port: int | None
    production: bool

    @property
    def logs(self) -> Path:
        """Folder of the processes' log files."""
        return self.var / "log"


def state_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder for all files of this installation. Create it for this user only."""
    try:
        folder = installation.state_folder(environment)
    except SettingsError as fault:
        raise LaunchError(str(fault)) from None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise LaunchError(
            f"The state folder {folder} cannot be created: {error.strerror}."
        ) from None
    return folder


def make_plan(given: Mapping[str, str], var: Path) -> Plan:
    """Decide what the environment `given` leaves open. Raise LaunchError for busy ports or bad
    settings.

    `REDIS_URL` replaces the bundled Valkey, `TOSS_WEBSOCKET_URL` and `PORTONE_API_BASE_URL` the
    stand-ins of the sandbox, and `DATABASE_URI` the SQLite file.
    """
    environment = {**given, "STOCKING_VAR": str(var), "PYTHONUNBUFFERED": "1"}
    environment["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), given.get("PATH", os.defpath)]
    )
    (var / "log").mkdir(exist_ok=True)

    api_host = environment.setdefault("API_HOST", LOOPBACK)
    flower_host = environment.setdefault("FLOWER_HOST", LOOPBACK)
    api_port = _claim("API_PORT", 8000, api_host, environment)
    environment["GATEWAY_HOST"] = LOOPBACK
    flower_port = _claim("FLOWER_PORT", 5555, flower_host, environment)
    gunicorn_url, gateway_url = (
        _address(LOOPBACK, _claim_default_or_free(variable, default, LOOPBACK, environment))
        for variable, default in UPSTREAM_PORTS.items()
    )
    metrics_addresses = {
        "api": gunicorn_url,
        "gateway": gateway_url,
        **_claim_metrics_ports(environment),
    }
    _require_distinct({name: int(environment[name]) for name in CLAIMED})

    if not environment.get("JWT_SECRET_KEY"):
        environment["JWT_SECRET_KEY"] = stored_secret(var / "secrets", "jwt_secret_key")
    if not environment.get("DATABASE_URI"):
        environment["DATABASE_URI"] = f"sqlite:///{var / 'stocking.db'}"
    valkey_port = None
    if not environment.get("REDIS_URL"):
        valkey_port = _claim_default_or_free("VALKEY_PORT", VALKEY_PORT, LOOPBACK, environment)
        _require_distinct({name: int(environment[name]) for name in (*CLAIMED, "VALKEY_PORT")})
        environment["REDIS_URL"] = url_of(valkey_port)

    # The front door also serves this address besides a named site, for the launcher's checks.
    plain = f"http://:{api_port}"
    given_site = environment.get("SITE_ADDRESS")
    environment["SITE_ADDRESS"] = f"{plain}, {given_site}" if given_site else plain

    commands = parse_procfile((ROOT / "Procfile").read_text()).processes
    sandbox_url = _configure_sandbox(environment, _address(api_host, api_port))
    if sandbox_url is None:
        del commands["sandbox"]

    try:
        settings = load(environment)
    except SettingsError as faults:
        raise LaunchError(str(faults)) from None
    return Plan(
        var=var,
        environment=environment,
        commands=commands,
        api_port=api_port,
        api_url=_address(api_host, api_port),
        gunicorn_url=gunicorn_url,
        flower_url=_address(flower_host, flower_port),
        gateway_url=gateway_url,
        metrics_urls={
            name: f"{address}{METRICS_PATH}" for name, address in metrics_addresses.items()
        },
        sandbox_url=sandbox_url,
        portone_url=None if given.get("PORTONE_API_BASE_URL") else settings.portone_api_base_url,
        valkey_port=valkey_port,
        production=settings.environment == "production",
    )


def _claim_metrics_ports(environment: dict[str, str]) -> dict[str, str]:
    """Return the metrics URLs by process."""
    host = environment.get("METRICS_HOST") or LOOPBACK
    addresses = {}
    for variable, default in METRICS_PORTS.items():
        process = variable.partition("_")[0].lower()
        addresses[process] = _address(
            host, _claim_default_or_free(variable, default, host, environment)
        )
    return addresses


def _configure_sandbox(environment: dict[str, str], api_url: str) -> str | None:
    """Use the sandbox for services that `environment` does not name. Return its URL, or None if
    unused.
    """
    needs_toss = not environment.get("TOSS_WEBSOCKET_URL")
    needs_portone = not environment.get("PORTONE_API_BASE_URL")
    if not (needs_toss or needs_portone):
        return None
    port = free_port()
    url = f"http://{LOOPBACK}:{port}"
    environment["SANDBOX_PORT"] = str(port)
    if needs_toss:
        environment["TOSS_API_URL"] = url
        environment["TOSS_WEBSOCKET_URL"] = f"ws://{LOOPBACK}:{port}/ws"
        rest_port = free_port()
        environment["SANDBOX_REST_PORT"] = str(rest_port)
        for name in ("TOSS_INFO_URL", "TOSS_CERT_URL"):
            environment[name] = environment.get(name) or f"http://{LOOPBACK}:{rest_port}"
    else:
        environment["SANDBOX_REST_PORT"] = "0"  # Any port: it is not used.
    if needs_portone:
        _claim_default_or_free("PORTONE_PORT", PORTONE_PORT, LOOPBACK, environment)
        _require_distinct({name: int(environment[name]) for name in (*CLAIMED, "PORTONE_PORT")})
        environment["PORTONE_API_BASE_URL"] = f"http://{LOOPBACK}:{environment['PORTONE_PORT']}"
        environment["PORTONE_WEBHOOK_URL"] = f"{api_url}{API_PREFIX}/payments/portone/webhook"
    else:
        environment["PORTONE_PORT"] = "0"  # Any port: it is not used.
    return url


def _claim_default_or_free(
    variable: str, default: int, host: str, environment: dict[str, str]
) -> int:
    """Return the variable's port. If unset, set it to the default port, or to a free one if that is
    busy.
    """
    existing = {environment.get(name) for name in CLAIMED}
    if not environment.get(variable) and (str(default) in existing or not is_free(default, host)):
        environment[variable] = str(free_port(host))
    return _claim(variable, default, host, environment)


def _claim(variable: str, default: int, host: str, environment: dict[str, str]) -> int:
    """Return the variable's port and store it. Raise LaunchError if it is invalid or busy."""
    text = environment.get(variable) or str(default)
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= 65_535:
        raise LaunchError(f"{variable} is {text!r}: it must be a port number from 1 to 65535.")
    port = int(text)
    if not is_free(port, host):
        raise LaunchError(
            f"Port {port} is busy: stop the program that listens there or choose another port, "
            f"for example {variable}={port % 65_000 + 1} ./start_services.sh."
        )
    environment[variable] = text
    return port


def _require_distinct(ports: Mapping[str, int]) -> None:
    """Raise LaunchError if two variables name the same port."""
    for one, other in combinations(ports, 2):
        if ports[one] == ports[other]:
            raise LaunchError(f"{one} and {other} are both {ports[one]}: each needs its own port.")


def _address(host: str, port: int) -> str:
    """Return the URL at which programs on this machine reach a server that listens on `host`."""
    reachable = LOOPBACK if host in {"0.0.0.0", ""} else host  # noqa: S104 - compared, not listened on
    return f"http://{reachable}:{port}"


def displayed_database(environment: Mapping[str, str]) -> str:
    """Return the database's address without credentials, for display."""
    url = urlsplit(environment["DATABASE_URI"])
    address = f"{url.hostname}:{url.port or 3306}" if url.hostname else ""
    return f"{url.scheme}://{address}{url.path}"
