"""What the containers of docker-compose.yml run and how they are asked for their health, by the programs that will read these lines."""

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
from tests.architecture.compose import OURS, SANDBOX, SERVICES, filled
from tests.support.trading_harness import settings_for
from tests.workers.processes import environment_of
from trading.config.settings import Settings, load
from webapp.cli.commands import seed
from webapp.cli.database import database

WORKERS = [name for name in OURS if name.startswith("worker-")]


def options_of(words: list[str]) -> dict[str, Any]:
    """The options of a ``celery -A workers worker|beat``, as Celery's own command line understands them."""
    words = [word for word in words if word != "--quiet"]
    assert words[:3] == ["celery", "-A", "workers"]
    command = {"worker": worker, "beat": beat}[words[3]]
    bare = CLIContext(app=Celery(set_as_current=False), no_color=True, workdir=None, quiet=True)
    return dict(command.make_context(words[3], words[4:], obj=bare).params)


def queues_of(name: str, *, shards: int) -> set[str]:
    """The queues that a service's worker consumes while there are so many matchers."""
    known = set(celery_config.worker(Settings(matcher_shards=shards))["task_queues"])
    options = options_of(OURS[name]["command"])
    named = {*(options["queues"] or ()), *(options["exclude_queues"] or ())}
    assert named <= known, "a queue that nobody sends to"
    return set(options["queues"]) if options["queues"] else known - set(options["exclude_queues"])


@pytest.mark.parametrize("shards", [1, 4])
def test_every_queue_is_consumed_by_exactly_one_kind_of_worker(shards: int) -> None:
    """A queue that nobody consumes fills up in silence; one that two consume lets slow work into the way of orders."""
    consumed = {name: queues_of(name, shards=shards) for name in WORKERS}

    assert sorted(queue for queues in consumed.values() for queue in queues) == sorted(
        celery_config.worker(Settings(matcher_shards=shards))["task_queues"]
    )
    assert all(queue.startswith("orders.") for queue in consumed["worker-orders"])
    assert all(queue.startswith("payments.") for queue in consumed["worker-payments"])
    assert not any(
        queue.startswith(("orders.", "payments.")) for queue in consumed["worker-maintenance"]
    )


def test_a_stop_waits_for_the_longest_task() -> None:
    """A worker that is told to stop finishes its task first; Docker must not lose its patience before the task's own limit."""
    program = (
        "import json; from workers import app; app.loader.import_default_modules()\n"
        "print(json.dumps({name: task.time_limit or app.conf.task_time_limit for name, task in app.tasks.items()}))"
    )
    environment = environment_of(settings_for("sqlite:///no.db", "redis://127.0.0.1:1/0"))
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, check=True
    )
    limits_s = json.loads(told.stdout)

    for name in WORKERS:
        queues = queues_of(name, shards=1)
        longest_s = max(
            limits_s[task] for task, queue in celery_config.QUEUES.items() if queue in queues
        )
        assert int(OURS[name]["stop_grace_period"].removesuffix("s")) > longest_s


def test_beat_writes_where_it_may() -> None:
    """Its file system is read-only but for /tmp."""
    options = options_of(OURS["beat"]["command"])

    assert Path(options["schedule"]).parent == Path("/tmp")  # noqa: S108 - the container's own
    assert options["pidfile"] is None


def test_flower_listens_where_its_port_is_published() -> None:
    """The options are Flower's, and no page of it is shown without the password."""
    from flower import options as _defines  # noqa: F401
    from tornado.options import options

    words = OURS["flower"]["command"]
    assert words[:4] == ["celery", "-A", "workers", "flower"]
    given = dict(word.removeprefix("--").split("=") for word in words[4:])
    assert {name for name in given if name in options} == set(given)
    assert (given["address"], given["port"], given["logging"]) == ("0.0.0.0", "5555", "none")  # noqa: S104 - inside its container
    assert {"name", "uuid", "state", "args", "result"} < set(given["tasks-columns"].split(","))


def test_every_other_command_names_what_is_there() -> None:
    """A module, an application, commands of flask: a slip would be a container that starts again and again."""
    assert OURS["api"]["command"] == ["gunicorn", "-c", "deploy/gunicorn.conf.py", "wsgi:app"]
    assert "\napp = " in (ROOT / "wsgi.py").read_text()
    for name in ("relayer", "gateway"):
        python, option, module = OURS[name]["command"]
        assert (python, option) == ("python", "-m")
        assert find_spec(f"{module}.__main__") is not None
    assert OURS["migrate"]["command"] == [
        "sh",
        "-c",
        "flask db upgrade && flask seed && flask database grant stocking_rows",
    ]
    assert "upgrade" in db.commands
    assert "grant" in database.commands
    assert seed.name == "seed"


def check_of(service: dict[str, Any]) -> list[str]:
    """A health check as an argument list, with compose's ``$$`` for a dollar."""
    kind, *words = service["healthcheck"]["test"]
    words = [word.replace("$$", "$") for word in words]
    return ["sh", "-c", *words] if kind == "CMD-SHELL" else words


@pytest.mark.parametrize(("age_s", "is_healthy"), [(5, True), (45, False), (None, False)])
@pytest.mark.parametrize("name", [*WORKERS, "beat"])
def test_an_old_sign_of_life_is_none(
    tmp_path: Path, name: str, *, age_s: int | None, is_healthy: bool
) -> None:
    """The line itself is run, on a file of each age and on none."""
    file = tmp_path / "sign-of-life"
    if age_s is not None:
        file.touch()
        os.utime(file, (time.time() - age_s,) * 2)
    place = OURS[name]["environment"]["SIGN_OF_LIFE_FILE"]
    shell = [word.replace(place, str(file)) for word in check_of(OURS[name])]
    assert shell != check_of(OURS[name])

    assert (
        subprocess.run(shell, check=False, stderr=subprocess.DEVNULL).returncode == 0
    ) is is_healthy


@pytest.mark.parametrize(
    ("name", "port", "path"),
    [("api", 8000, "/readyz"), ("gateway", 8001, "/healthz"), ("flower", 5555, "/healthcheck")],
)
def test_servers_are_asked_what_they_answer(name: str, port: int, path: str) -> None:
    """At the port where they listen, with a deadline; nobody listens here, and so nobody is healthy."""
    python, option, program = check_of(OURS[name])

    assert (python, option) == ("python", "-c")
    assert re.search(rf"urlopen\('http://127\.0\.0\.1:{port}{path}', timeout=\d\)", program)
    elsewhere = program.replace(f":{port}/", ":1/")
    assert (
        subprocess.run(
            [sys.executable, "-c", elsewhere], check=False, capture_output=True
        ).returncode
        != 0
    )


def test_the_relayers_are_asked_for_the_feed() -> None:
    """The probe exits with 1 while the feed is not healthy."""
    assert check_of(OURS["relayer"]) == ["python", "-m", "relayer.probe", "--once"]


def test_the_sandbox_runs_what_production_runs() -> None:
    """Each process by the same command, but for the worker, which there is one of, with all queues."""
    for name in ("beat", "relayer", "gateway", "flower"):
        assert SANDBOX[name]["command"] == OURS[name]["command"]
    *gunicorn, application = OURS["api"]["command"]
    assert SANDBOX["api"]["command"] == [*gunicorn, "--bind", "127.0.0.1:8002", application]
    # There its one user of the database may do everything.
    assert (
        f"{SANDBOX['migrate']['command'][-1]} && flask database grant stocking_rows"
        == OURS["migrate"]["command"][-1]
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


def test_the_sandbox_needs_no_secret_and_is_for_this_machine_alone() -> None:
    """Its passwords are known to everybody, so nobody else may reach it; production's settings refuse to be run so."""
    ports = [port for service in SANDBOX.values() for port in service.get("ports", ())]
    assert sorted(ports) == [f"127.0.0.1:{port}:{port}" for port in (5555, 8000, 8092)]
    for service in (service for service in SANDBOX.values() if "build" in service):
        environment = service.get("environment", {})
        assert load(filled(environment, {})).environment == "development"
        assert "network_mode" in service or service["ports"]


def test_the_stand_ins_listen_where_the_settings_look_for_them() -> None:
    """In one network with all the others, at the addresses that are the settings' defaults."""
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
