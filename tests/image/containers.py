"""Containers without an engine: namespaces of Linux and the file system of an image.

The caller must be root in network, mount and process namespaces of its own, whose end removes
everything that is made here (``scripts/check-image``).
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

# Of the addresses that Docker gives to networks, which TRUSTED_PROXIES of compose names.
_SUBNETS = IPv4Network("172.20.0.0/14").subnets(new_prefix=24)

# Docker's view of a container: the root read-only, a /dev of its own, a writable /tmp.
_ENTER = """
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


# A program of this machine in the container's network: only its host names are replaced.
_BORROW = 'set -e; mount --bind "$1" /etc/hosts; shift; exec "$@"'


@dataclass(frozen=True)
class Image:
    """An image of buildah's store: the folder of its files and what its configuration says."""

    root: Path
    environment: Mapping[str, str]
    user: str
    folder: str
    command: Sequence[str]
    health_check: Sequence[str]
    labels: Mapping[str, str]

    @classmethod
    def mounted(cls, buildah: Sequence[str], name: str) -> Self:
        """Mount the image of this name; its files are a copy that may be changed."""
        described = json.loads(_output([*buildah, "inspect", "--type", "image", name]))
        configuration = described["Docker"]["config"]
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
    """A bridge and the addresses on it. Nothing leads out of it."""

    _numbers = count(1)

    def __init__(self) -> None:
        self.bridge = f"bridge{next(self._numbers)}"
        self._subnet = next(_SUBNETS)
        self._free = self._subnet.hosts()
        self.addresses: dict[str, list[IPv4Address]] = {}
        _run("ip", "link", "add", self.bridge, "type", "bridge")
        _run("ip", "link", "set", self.bridge, "up")

    def join(self, name: str, space: str, interface: str) -> None:
        """Give the network namespace ``space`` an address here, which ``name`` resolves to."""
        address = next(self._free)
        outside = f"{self.bridge}-{len(list(self._all()))}"
        _run(
            *("ip", "link", "add", outside, "type", "veth"),
            *("peer", "name", interface, "netns", space),
        )
        _run("ip", "link", "set", outside, "master", self.bridge, "up")
        _run("ip", "-n", space, "address", "add", f"{address}/24", "dev", interface)
        _run("ip", "-n", space, "link", "set", interface, "up")
        self.addresses.setdefault(name, []).append(address)

    def _all(self) -> Iterable[IPv4Address]:
        return (address for some in self.addresses.values() for address in some)


def make_namespace(name: str, host_names: Sequence[str], networks: Sequence[Network]) -> None:
    """Make a network namespace with an address in each of ``networks`` under each host name."""
    _run("ip", "netns", "add", name)
    _run("ip", "-n", name, "link", "set", "lo", "up")
    for number, network in enumerate(networks):
        network.join(host_names[0], name, f"eth{number}")
        for other in host_names[1:]:
            network.addresses.setdefault(other, []).append(network.addresses[host_names[0]][-1])


class Container:
    """A process in a network namespace, on the host's files or, confined, on an image's."""

    def __init__(
        self,
        name: str,
        *,
        space: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        hosts: Path,
        image: Image | None = None,
        folder: Path | None = None,
        overlaid: Mapping[Path, str] | None = None,
    ) -> None:
        """``overlaid`` are files of the host with the place that each takes in the image."""
        self.name = name
        self.log = log
        self._space = space
        self._image = image
        self._environment = {**(image.environment if image else {}), **environment}
        self._folder = folder
        shell = ["unshare", "--mount", "sh", "-c"]
        if image:
            started = [*shell, _ENTER, "sh", str(image.root), str(hosts), *self._confined(command)]
        else:
            started = [*shell, _BORROW, "sh", str(hosts), *self._command(command)]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                ["ip", "netns", "exec", space, *started],
                cwd=folder,
                env={
                    "PATH": os.environ["PATH"],
                    "OVERLAID": " ".join(f"{a}:{b}" for a, b in (overlaid or {}).items()),
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
        """Run another command in the container: its exit status, -1 at the timeout; its output."""
        entered = [*("ip", "netns", "exec", self._space), *self._command(command)]
        if self._image:
            namespaces = ["--mount", "--net", "--root"]
            entered = ["nsenter", f"--target={self._process.pid}", *namespaces]
            entered += self._confined(command)
        try:
            ended = subprocess.run(
                entered,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return -1, f"no answer within {timeout_s:g} s"
        return ended.returncode, (ended.stdout + ended.stderr).decode(errors="replace")

    @property
    def status(self) -> int | None:
        """The exit status of the process; None while it runs."""
        return self._process.poll()

    def wait(self, timeout_s: float) -> int | None:
        """Return the exit status; None at the timeout."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
