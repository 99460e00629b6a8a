"""start_services.sh up to the start of the launcher, on a copy in a folder with a space in its
name.
"""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from uv import find_uv_bin

from launcher.plan import ROOT

TOOLS = ("bash", "env", "dirname", "mkdir", "rm", "flock", "cat")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The script and its parts, with no packages to install and a launcher that prints its
    arguments.
    """
    root = tmp_path / "a clone"
    (root / "launcher").mkdir(parents=True)
    shutil.copy(ROOT / "start_services.sh", root)
    for part in ("venv.sh", "install.py"):
        shutil.copy(ROOT / "launcher" / part, root / "launcher")
    (root / "launcher" / "__init__.py").touch()
    (root / "launcher" / "__main__.py").write_text(
        "import sys; print('launched with', sys.argv[1:])"
    )
    (root / "requirements.txt").write_text("# nothing\n")
    return root


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A folder for PATH with common tools and no Python."""
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
    """Add a Python whose new environments have a fake pip, since the real one takes seconds."""
    create = f"{PYTHON} -m venv --without-pip"
    folder = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages/pip"
    body = f'''[[ $1 == -m && $2 == venv ]] || exec {PYTHON} "$@"
        {create} "$3" && mkdir "$3/{folder}" &&
            : >"$3/{folder}/__init__.py" && echo "{pip}" >"$3/{folder}/__main__.py"'''
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


def test_missing_python_is_reported_in_one_sentence(copy: Path, path: Path) -> None:
    done = start(copy, path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("StocKing: Python 3.11 or newer is needed and none was found")


def test_old_python_is_not_used(copy: Path, path: Path) -> None:
    add_python(path, "exit 1")
    assert "Python 3.11 or newer is needed" in start(copy, path).stderr


def test_python_without_venv_is_reported_in_one_sentence(copy: Path, path: Path) -> None:
    add_python(path, "[[ $2 == *ensurepip* ]] && exit 1\nexit 0")
    done = start(copy, path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "cannot create virtual environments" in done.stderr
    assert "python3-venv" in done.stderr


def test_first_start_installs_and_second_start_does_not(copy: Path, path: Path) -> None:
    add_python(path)
    first = start(copy, path, "--demo")
    assert first.returncode == 0, first.stderr
    assert "Creating the virtual environment" in first.stdout
    assert "Installing the packages" in first.stdout
    assert first.stdout.endswith("launched with ['--demo']\n")
    assert start(copy, path).stdout == "launched with []\n"


def test_uv_is_used_where_it_is_installed(copy: Path, path: Path) -> None:
    add_python(path)
    (path / "uv").symlink_to(find_uv_bin())
    first = start(copy, path)
    assert first.stdout.endswith("launched with []\n"), first.stderr
    assert not list((copy / ".venv").glob("lib/*/site-packages/pip"))
    assert start(copy, path).stdout == "launched with []\n"


def test_pip_installs_where_uv_fails(copy: Path, path: Path) -> None:
    add_python(path)
    uv = find_uv_bin()
    (path / "uv").write_text(f'#!/bin/bash\n[[ $1 == pip ]] && exit 1\nexec "{uv}" "$@"')
    (path / "uv").chmod(0o755)
    first = start(copy, path)
    assert "uv could not install the packages: trying pip\n" in first.stdout
    assert first.stdout.endswith("launched with []\n"), first.stderr


def test_progress_of_pip_is_shown(copy: Path, path: Path) -> None:
    (copy / "requirements.txt").write_text("a==1\nb==1\nc==1 ; sys_platform == 'win32'\n")
    output = ("Ignoring c: markers", "Collecting a==1", "Collecting b==1")
    add_quick_python(path, pip=f"print(*{output}, sep=chr(10))")
    assert "\nDownloaded 2 of 2 packages\n" in start(copy, path).stdout


def test_changed_pins_are_installed(copy: Path, path: Path) -> None:
    add_quick_python(path)
    start(copy, path)
    (copy / "requirements.txt").write_text("# other pins\n")
    assert start(copy, path).stdout.startswith("Installing the packages that requirements.txt pins")
    assert start(copy, path).stdout == "launched with []\n"


def mark_as_interrupted(root: Path) -> None:
    (root / ".venv" / "installing").touch()


def remove_python(root: Path) -> None:
    (root / ".venv" / "bin" / "python").unlink()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (mark_as_interrupted, "its installation was interrupted"),
        (remove_python, "its Python does not work or is older than 3.11"),
    ],
)
def test_damaged_venv_is_recreated(
    copy: Path, path: Path, damage: Callable[[Path], None], reason: str
) -> None:
    add_quick_python(path)
    start(copy, path)
    damage(copy)
    repaired = start(copy, path)
    assert repaired.stdout.startswith(f"Recreating the virtual environment .venv: {reason}\n")
    assert repaired.stdout.endswith("launched with []\n")


def test_removed_packages_are_installed_again(copy: Path, path: Path) -> None:
    add_python(path)
    start(copy, path)
    shutil.rmtree(copy / ".venv" / "lib")
    repaired = start(copy, path)
    assert repaired.stdout.startswith("Installing the packages that requirements.txt pins\n")
    assert repaired.stdout.endswith("launched with []\n")
    assert start(copy, path).stdout == "launched with []\n"


def test_moved_clone_gets_a_new_venv(copy: Path, path: Path) -> None:
    add_quick_python(path)
    start(copy, path)
    moved = start(copy.rename(copy.with_name("another place")), path)
    assert moved.stdout.startswith("Recreating the virtual environment .venv: it was created in")
    assert moved.stdout.endswith("launched with []\n")


def test_failed_installation_is_reported_and_repeated(copy: Path, path: Path) -> None:
    add_quick_python(path, pip="raise SystemExit(1)")
    failed = start(copy, path)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith(
        "StocKing: The packages could not be installed"
    )

    add_quick_python(path)
    repaired = start(copy, path)
    assert repaired.returncode == 0
    assert "its installation was interrupted" in repaired.stdout
