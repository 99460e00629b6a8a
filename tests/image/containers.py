"""Containers without a container engine: Linux namespaces on the file system of an image.

The caller must be root in separate network, mount and process namespaces. When these end, the
kernel removes all that this module creates (``scripts/check-image``).
"""

import json
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from itertools import count
from pathlib import Path
from typing import Self

# From the range that Docker assigns to networks and that TRUSTED_PROXIES in compose names.
_SUBNETS = IPv4Network("172.20.0.0/14").subnets(new_prefix=24)

# Mounts as in Docker: a read-only root, a private /dev and a writable /tmp.
_RUN_ON_IMAGE = """
set -e
root=$1 hosts=$2; shift 2
mount --bind "$root" "$root"
for pair in ${OVERLAID:-}; do mount --bind "${pair%%:*}" "$root${pair#*:}"; done
mount --bind "$hosts" "$root/etc/hosts"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm"
mount -t tmpfs -o mode=1777,size=64m tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
exec chroot "$root" "$@"
"""


# Run a program of the host in the container's network, with the container's /etc/hosts.
_RUN_ON_HOST_FILES = 'set -e; mount --bind "$1" /etc/hosts; shift; exec "$@"'


@dataclass(frozen=True)
class Image:
    """Image in buildah's storage: the mounted folder of its files, and its configuration."""

    root: Path
    environment: Mapping[str, str]
    user: str
    folder: str
    command: Sequence[str]
    health_check: Sequence[str]
    labels: Mapping[str, str]

    @classmethod
    def mount(cls, buildah: Sequence[str], name: str) -> Self:
        """Mount a working copy of the named image; its files may be changed."""
        description = json.loads(_output([*buildah, "inspect", "--type", "image", name]))
        configuration = description["Docker"]["config"]
        container = _output([*buildah, "from", "--pull-never", name])
        root = Path(_output([*buildah, "mount", container]))
        (root / "etc/hosts").touch()
        return cls(
            root=root,
            environment=dict(line.split("=", 1) for line in configuration["Env"]),
            user=configuration["User"],
            folder=configuration["WorkingDir"],
            command=configuration["Cmd"],
            health_check=configuration.get("Healthcheck", {}).get("Test", ()),
            labels=configuration["Labels"],
        )


class Network:
    """Linux bridge and the addresses on it, without a route to the outside."""

    _numbers = count(1)

    def __init__(self) -> None:
        self.bridge = f"bridge{next(self._numbers)}"
        self._subnet = next(_SUBNETS)
        self._free = self._subnet.hosts()
        self.addresses: dict[str, list[IPv4Address]] = {}
        _run("ip", "link", "add", self.bridge, "type", "bridge")
        _run("ip", "link", "set", self.bridge, "up")

    def join(self, name: str, namespace: str, interface: str) -> None:
        """Add an interface with an address on this network to a network namespace.

        Containers on the network resolve ``name`` to the address.
        """
        address = next(self._free)
        outside = f"{self.bridge}-{len(list(self._all()))}"
        _run(
            *("ip", "link", "add", outside, "type", "veth"),
            *("peer", "name", interface, "netns", namespace),
        )
        _run("ip", "link", "set", outside, "master", self.bridge, "up")
        _run("ip", "-n", namespace, "address", "add", f"{address}/24", "dev", interface)
        _run("ip", "-n", namespace, "link", "set", interface, "up")
        self.addresses.setdefault(name, []).append(address)

    def _all(self) -> Iterable[IPv4Address]:
        return (address for group in self.addresses.values() for address in group)


def create_namespace(name: str, host_names: Sequence[str], networks: Sequence[Network]) -> None:
    """Create a network namespace with an address in each network, under each of ``host_names``."""
    _run("ip", "netns", "add", name)
    _run("ip", "-n", name, "link", "set", "lo", "up")
    for number, network in enumerate(networks):
        network.join(host_names[0], name, f"eth{number}")
        for other in host_names[1:]:
            network.addresses.setdefault(other, []).append(network.addresses[host_names[0]][-1])


class Container:
    """Process in a network namespace, on the host's files or, confined, on an image's."""

    def __init__(
        self,
        name: str,
        *,
        namespace: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        hosts: Path,
        image: Image | None = None,
        folder: Path | None = None,
        overlays: Mapping[Path, str] | None = None,
    ) -> None:
        """Start the process. ``overlays`` maps host files to paths in the image."""
        self.name = name
        self.log = log
        self._namespace = namespace
        self._image = image
        self._environment = {**(image.environment if image else {}), **environment}
        self._folder = folder
        shell = ["unshare", "--mount", "sh", "-c"]
        if image:
            arguments = [
                *shell,
                _RUN_ON_IMAGE,
                "sh",
                str(image.root),
                str(hosts),
                *self._confined(command),
            ]
        else:
            arguments = [*shell, _RUN_ON_HOST_FILES, "sh", str(hosts), *self._command(command)]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                ["ip", "netns", "exec", namespace, *arguments],
                cwd=folder,
                env={
                    "PATH": os.environ["PATH"],
                    "OVERLAID": " ".join(f"{a}:{b}" for a, b in (overlays or {}).items()),
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def _command(self, command: Sequence[str]) -> list[str]:
        variables = [f"{name}={value}" for name, value in self._environment.items()]
        return ["/usr/bin/env", "-i", *variables, *command]

    def _confined(self, command: Sequence[str]) -> list[str]:
        assert self._image is not None
        user, _, group = self._image.user.partition(":")
        return [
            *("/usr/bin/setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"),
            *("--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--"),
            *("/usr/bin/env", "-C", self._image.folder),
            *self._command(command),
        ]

    def execute(self, command: Sequence[str], *, timeout_s: float) -> tuple[int, str]:
        """Run another command in the container and return its exit status and output.

        The status is -1 after a timeout.
        """
        arguments = [*("ip", "netns", "exec", self._namespace), *self._command(command)]
        if self._image:
            namespaces = ["--mount", "--net", "--root"]
            arguments = ["nsenter", f"--target={self._process.pid}", *namespaces]
            arguments += self._confined(command)
        try:
            result = subprocess.run(
                arguments,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return -1, f"no answer within {timeout_s:g} s"
        return result.returncode, (result.stdout + result.stderr).decode(errors="replace")

    @property
    def status(self) -> int | None:
        """Exit status of the process, or None while it runs."""
        return self._process.poll()

    def wait(self, timeout_s: float) -> int | None:
        """Return the exit status, or None after a timeout."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def terminate(self) -> None:
        self._process.terminate()


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
