"""Commands and health checks of docker-compose.yml, parsed by the programs that run them."""

import json
import os
import re
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.bin.base import CLIContext
from celery.bin.beat import beat
from celery.bin.worker import worker
from flask_migrate.cli import db

import celery_config
from launcher.plan import ROOT
from sandbox.__main__ import _arguments
from tests.architecture.compose import PRODUCT_SERVICES, SANDBOX, SERVICES, filled
from tests.support.trading_harness import settings_for
from tests.workers.processes import environment_of
from trading.config.settings import Settings, load
from webapp.cli.commands import seed
from webapp.cli.database import database

WORKERS = [name for name in PRODUCT_SERVICES if name.startswith("worker-")]


def options_of(words: list[str]) -> dict[str, Any]:
    """Parse the options of ``celery -A workers worker|beat`` as Celery does."""
    words = [word for word in words if word != "--quiet"]
    assert words[:3] == ["celery", "-A", "workers"]
    command = {"worker": worker, "beat": beat}[words[3]]
    bare = CLIContext(app=Celery(set_as_current=False), no_color=True, workdir=None, quiet=True)
    return dict(command.make_context(words[3], words[4:], obj=bare).params)


def queues_of(name: str, *, shards: int) -> set[str]:
    """Return the queues that a service's worker consumes with this number of shards."""
    known = set(celery_config.queue_names(Settings(matcher_shards=shards)))
    options = options_of(PRODUCT_SERVICES[name]["command"])
    named = {*(options["queues"] or ()), *(options["exclude_queues"] or ())}
    assert named <= known, "a queue that nobody sends to"
    return set(options["queues"]) if options["queues"] else known - set(options["exclude_queues"])


@pytest.mark.parametrize("shards", [1, 4])
def test_every_queue_is_consumed_by_exactly_one_kind_of_worker(shards: int) -> None:
    """Messages without a consumer pile up; with two kinds, slow work delays orders."""
    consumed = {name: queues_of(name, shards=shards) for name in WORKERS}

    assert sorted(queue for queues in consumed.values() for queue in queues) == sorted(
        celery_config.queue_names(Settings(matcher_shards=shards))
    )
    assert all(queue.startswith("orders.") for queue in consumed["worker-orders"])
    assert all(queue.startswith("payments.") for queue in consumed["worker-payments"])
    assert not any(
        queue.startswith(("orders.", "payments.")) for queue in consumed["worker-maintenance"]
    )


def test_stop_grace_period_exceeds_the_longest_task() -> None:
    """A worker finishes its task on SIGTERM, within the task's time limit."""
    program = (
        "import json; from workers import app; app.loader.import_default_modules()\n"
        "limits = {name: task.time_limit or app.conf.task_time_limit"
        " for name, task in app.tasks.items()}\n"
        "print(json.dumps(limits))"
    )
    environment = environment_of(settings_for("sqlite:///no.db", "redis://127.0.0.1:1/0"))
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, check=True
    )
    limits_s = json.loads(result.stdout)

    for name in WORKERS:
        queues = queues_of(name, shards=1)
        longest_s = max(
            limits_s[task] for task, queue in celery_config.QUEUES.items() if queue in queues
        )
        assert int(PRODUCT_SERVICES[name]["stop_grace_period"].removesuffix("s")) > longest_s


def test_beat_writes_to_tmp_only() -> None:
    """The rest of its file system is read-only."""
    options = options_of(PRODUCT_SERVICES["beat"]["command"])

    assert Path(options["schedule"]).parent == Path("/tmp")  # noqa: S108 - the container's own
    assert options["pidfile"] is None


def test_flower_listens_at_its_published_port() -> None:
    """No page is shown without the password."""
    from flower import options as _defines  # noqa: F401
    from tornado.options import options

    words = PRODUCT_SERVICES["flower"]["command"]
    assert words[:4] == ["celery", "-A", "workers", "flower"]
    given = dict(word.removeprefix("--").split("=") for word in words[4:])
    assert {name for name in given if name in options} == set(given)
    assert (given["address"], given["port"], given["logging"]) == ("0.0.0.0", "5555", "none")  # noqa: S104 - inside its container
    assert {"name", "uuid", "state", "args", "result"} < set(given["tasks-columns"].split(","))


def test_every_other_command_names_an_existing_module() -> None:
    assert PRODUCT_SERVICES["api"]["command"] == [
        "gunicorn",
        "-c",
        "deploy/gunicorn.conf.py",
        "wsgi:app",
    ]
    assert "\napp = " in (ROOT / "wsgi.py").read_text()
    for name in ("relayer", "gateway"):
        python, option, module = PRODUCT_SERVICES[name]["command"]
        assert (python, option) == ("python", "-m")
        assert find_spec(f"{module}.__main__") is not None
    assert PRODUCT_SERVICES["migrate"]["command"] == [
        "sh",
        "-c",
        "flask db upgrade && flask seed && flask database grant stocking_rows",
    ]
    assert "upgrade" in db.commands
    assert "grant" in database.commands
    assert seed.name == "seed"


def check_of(service: dict[str, Any]) -> list[str]:
    """Return a health check as arguments, with ``$`` for compose's ``$$``."""
    kind, *words = service["healthcheck"]["test"]
    words = [word.replace("$$", "$") for word in words]
    return ["sh", "-c", *words] if kind == "CMD-SHELL" else words


@pytest.mark.parametrize(("age_s", "is_healthy"), [(5, True), (45, False), (None, False)])
@pytest.mark.parametrize("name", [*WORKERS, "beat"])
def test_old_liveness_file_is_unhealthy(
    tmp_path: Path, name: str, *, age_s: int | None, is_healthy: bool
) -> None:
    """The check itself runs on a file of each age and without a file."""
    file = tmp_path / "sign-of-life"
    if age_s is not None:
        file.touch()
        os.utime(file, (time.time() - age_s,) * 2)
    place = PRODUCT_SERVICES[name]["environment"]["LIVENESS_FILE"]
    shell = [word.replace(place, str(file)) for word in check_of(PRODUCT_SERVICES[name])]
    assert shell != check_of(PRODUCT_SERVICES[name])

    assert (
        subprocess.run(shell, check=False, stderr=subprocess.DEVNULL).returncode == 0
    ) is is_healthy


@pytest.mark.parametrize(
    ("name", "port", "path"),
    [("api", 8000, "/readyz"), ("gateway", 8001, "/healthz"), ("flower", 5555, "/healthcheck")],
)
def test_http_checks_ask_the_listening_port(name: str, port: int, path: str) -> None:
    """With a deadline; nothing listens here, so the check fails."""
    python, option, program = check_of(PRODUCT_SERVICES[name])

    assert (python, option) == ("python", "-c")
    assert re.search(rf"urlopen\('http://127\.0\.0\.1:{port}{path}', timeout=\d\)", program)
    elsewhere = program.replace(f":{port}/", ":1/")
    assert (
        subprocess.run(
            [sys.executable, "-c", elsewhere], check=False, capture_output=True
        ).returncode
        != 0
    )


def test_relayers_health_check_probes_the_feed() -> None:
    """The probe exits with 1 while the feed is unhealthy."""
    assert check_of(PRODUCT_SERVICES["relayer"]) == ["python", "-m", "relayer.probe", "--once"]


def test_sandbox_runs_productions_commands() -> None:
    """Except for the worker: one consumes all queues."""
    for name in ("beat", "relayer", "gateway", "flower"):
        assert SANDBOX[name]["command"] == PRODUCT_SERVICES[name]["command"]
    *gunicorn, application = PRODUCT_SERVICES["api"]["command"]
    assert SANDBOX["api"]["command"] == [*gunicorn, "--bind", "127.0.0.1:8002", application]
    # Its single database user has all rights.
    assert (
        f"{SANDBOX['migrate']['command'][-1]} && flask database grant stocking_rows"
        == PRODUCT_SERVICES["migrate"]["command"][-1]
    )
    assert set(SANDBOX) == {*SERVICES, "sandbox", "worker"} - set(WORKERS)
    options = options_of(SANDBOX["worker"]["command"])
    assert (options["queues"], options["exclude_queues"]) == (None, None)
    assert {service["image"] for service in SANDBOX.values()} == {
        "mysql:8.4",
        "valkey/valkey:9.1.2",
        "caddy:2.11",
        "stocking-sandbox:local",
    }


def test_sandbox_needs_no_secret_and_is_local() -> None:
    """Its passwords are public, so it is published on this machine only."""
    ports = [port for service in SANDBOX.values() for port in service.get("ports", ())]
    assert sorted(ports) == [f"127.0.0.1:{port}:{port}" for port in (5555, 8000, 8092)]
    for service in (service for service in SANDBOX.values() if "build" in service):
        environment = service.get("environment", {})
        assert load(filled(environment, {})).environment == "development"
        assert "network_mode" in service or service["ports"]


def test_stand_ins_listen_at_the_settings_defaults() -> None:
    """In one network with all other services."""
    python, option, module, *arguments = SANDBOX["sandbox"]["command"]
    assert (python, option, module) == ("python", "-m", "sandbox")
    options, settings = _arguments().parse_args(arguments), Settings()

    assert settings.toss_api_url == f"http://127.0.0.1:{options.port}"
    assert settings.toss_websocket_url == f"ws://127.0.0.1:{options.port}/ws"
    assert settings.info_url == settings.cert_url == f"http://127.0.0.1:{options.rest_port}"
    assert settings.portone_api_base_url == f"http://127.0.0.1:{options.portone_port}"
    assert options.portone_host == "0.0.0.0"  # noqa: S104 - inside its container
    assert options.portone_webhook_url == "http://127.0.0.1:8000/api/v1/payments/portone/webhook"
    assert f"127.0.0.1:{options.portone_port}:{options.portone_port}" in SANDBOX["sandbox"]["ports"]
    assert {
        service["network_mode"] for service in SANDBOX.values() if "network_mode" in service
    } == {"service:sandbox"}
