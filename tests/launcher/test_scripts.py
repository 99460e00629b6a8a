"""start_services.sh before the launcher: what it says when the machine lacks something, on a copy in a folder with a space."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.plan import ROOT

TOOLS = ("bash", "env", "dirname", "mkdir", "rm", "flock", "cat")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The script with its parts, no packages to install, and a launcher that only says that it was reached."""
    root = tmp_path / "a clone"
    (root / "launcher").mkdir(parents=True)
    shutil.copy(ROOT / "start_services.sh", root)
    shutil.copy(ROOT / "launcher" / "venv.sh", root / "launcher")
    (root / "launcher" / "__init__.py").touch()
    (root / "launcher" / "__main__.py").write_text(
        "import sys; print('launched with', sys.argv[1:])"
    )
    (root / "requirements.txt").write_text("# nothing\n")
    return root


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A folder for PATH with the tools of any machine, and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found
        (folder / tool).symlink_to(found)
    return folder


PYTHON = shlex.quote(sys.executable)


def add_python(path: Path, body: str = f'exec {PYTHON} "$@"', name: str = "python3") -> None:
    program = path / name
    program.write_text(f"#!/bin/bash\n{body}\n")
    program.chmod(0o755)


def add_quick_python(path: Path, pip: str = "") -> None:
    """A Python whose new environments hold a pip of one line instead of the real one, which takes seconds to put in."""
    make = f"{PYTHON} -m venv --without-pip"
    place = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages/pip"
    body = f'''[[ $1 == -m && $2 == venv ]] || exec {PYTHON} "$@"
        {make} "$3" && mkdir "$3/{place}" && : >"$3/{place}/__init__.py" && echo "{pip}" >"$3/{place}/__main__.py"'''
    add_python(path, body)


def start(root: Path, path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(path), "HOME": os.environ.get("HOME", "/")}
    return subprocess.run(
        [str(root / "start_services.sh"), *arguments],
        cwd="/",
        env=environment,
        text=True,
        capture_output=True,
        check=False,
    )


def test_a_missing_python_is_one_sentence(copy: Path, path: Path) -> None:
    done = start(copy, path)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "StocKing: Python 3.11 or newer is needed and none was found (looked for python3.13, python3.12, python3.11, python3)."
    ]


def test_an_old_python_is_none(copy: Path, path: Path) -> None:
    add_python(path, "exit 1")
    assert "Python 3.11 or newer is needed" in start(copy, path).stderr


def test_a_python_without_venv_is_one_sentence(copy: Path, path: Path) -> None:
    add_python(path, "[[ $2 == *ensurepip* ]] && exit 1\nexit 0")
    done = start(copy, path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "cannot make virtual environments" in done.stderr


def test_the_first_start_installs_for_real_and_the_second_does_not(copy: Path, path: Path) -> None:
    add_python(path)
    first = start(copy, path, "--demo")
    assert first.returncode == 0, first.stderr
    assert "Making the virtual environment" in first.stdout
    assert "Installing the packages" in first.stdout
    assert first.stdout.endswith("launched with ['--demo']\n")
    assert start(copy, path).stdout == "launched with []\n"


def test_changed_pins_are_installed(copy: Path, path: Path) -> None:
    add_quick_python(path)
    start(copy, path)
    (copy / "requirements.txt").write_text("# other pins\n")
    assert start(copy, path).stdout.startswith("Installing the packages that requirements.txt pins")
    assert start(copy, path).stdout == "launched with []\n"


def test_an_interrupted_installation_is_noticed_and_repaired(copy: Path, path: Path) -> None:
    add_quick_python(path)
    start(copy, path)
    (copy / ".venv" / "installing").touch()
    repaired = start(copy, path)
    assert repaired.stdout.startswith(
        "The .venv is half installed, an earlier run was interrupted: making it anew\n"
    )
    assert repaired.stdout.endswith("launched with []\n")


def test_a_venv_without_its_packages_is_noticed_and_repaired(copy: Path, path: Path) -> None:
    add_quick_python(path)
    start(copy, path)
    shutil.rmtree(copy / ".venv" / "lib")
    repaired = start(copy, path)
    assert repaired.stdout.startswith(
        "The .venv is half installed, its Python or its pip does not work: making it anew\n"
    )
    assert repaired.stdout.endswith("launched with []\n")


def test_a_moved_clone_gets_a_venv_of_its_new_place(copy: Path, path: Path) -> None:
    add_quick_python(path)
    start(copy, path)
    moved = start(copy.rename(copy.with_name("another place")), path)
    assert moved.stdout.startswith("The .venv was made in another folder")
    assert moved.stdout.endswith("launched with []\n")


def test_a_failed_installation_is_said_and_noticed_next_time(copy: Path, path: Path) -> None:
    add_quick_python(path, pip="raise SystemExit(1)")
    failed = start(copy, path)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith(
        "StocKing: The packages could not be installed"
    )

    add_quick_python(path)
    repaired = start(copy, path)
    assert repaired.returncode == 0
    assert "half installed, an earlier run was interrupted" in repaired.stdout
