"""The floors of the house: the import contracts hold, and they would notice if they did not."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.plan import ROOT
from tests.architecture.source import NOT_OURS, imports, python_files

ROOMS = ("trading", "webapp", "workers", "relayer", "sandbox", "launcher")

# Where the violation is planted, what is planted, and the words by which the report must name it.
PLANTED = (
    ("trading/rules/planted.py", "import webapp", "trading.rules.planted -> webapp"),
    ("trading/rules/planted_clock.py", "import time", "trading.rules.planted_clock -> time"),
    (
        "trading/market/planted.py",
        "import trading.services",
        "trading.market.planted -> trading.services",
    ),
    ("trading/services/planted.py", "import celery", "trading.services.planted -> celery"),
    ("trading/queries/planted.py", "import flask", "trading.queries.planted -> flask"),
    (
        "trading/database/planted.py",
        "import trading.queries",
        "trading.database.planted -> trading.queries",
    ),
    (
        "trading/gateways/planted.py",
        "import trading.database",
        "trading.gateways.planted -> trading.database",
    ),
    (
        "trading/services/planted_count.py",
        "import trading.metrics",
        "trading.services.planted_count -> trading.metrics",
    ),
    ("webapp/planted.py", "import workers", "webapp.planted -> workers"),
    ("workers/planted.py", "import webapp", "workers.planted -> webapp"),
    ("relayer/planted.py", "import sqlalchemy", "relayer.planted -> sqlalchemy"),
    (
        "relayer/planted_order.py",
        "import trading.services",
        "relayer.planted_order -> trading.services",
    ),
    ("relayer/stomp/planted.py", "import websockets", "relayer.stomp.planted -> websockets"),
    ("trading/planted.py", "", "planted"),  # A module that stands on no floor.
)


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=root,
        text=True,
        capture_output=True,
        check=False,
    )


def copy_of_the_house(place: Path) -> Path:
    for room in ROOMS:
        shutil.copytree(ROOT / room, place / room, ignore=shutil.ignore_patterns(*NOT_OURS))
    shutil.copy(ROOT / "pyproject.toml", place)
    return place


def test_every_arrow_points_down() -> None:
    """A higher floor that leaks into a lower one cannot be taken out, tested or replaced by itself any more."""
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("room", "allowed"),
    [
        ("webapp", ("trading", "webapp")),
        ("workers", ("trading", "workers")),
        (
            "relayer",
            (
                "trading.market",
                "trading.rules",
                "trading.settings",
                "trading.processes",
                "trading.logs",
                "trading.metrics",
                "relayer",
            ),
        ),
        (
            "sandbox",
            (
                "trading.market",
                "trading.rules",
                "trading.settings",
                "trading.logs",
                "relayer.stomp",
                "sandbox",
            ),
        ),
        ("launcher", ("trading.settings", "launcher")),
    ],
)
def test_the_rooms_of_the_top_floor_know_nothing_of_each_other(
    room: str, allowed: tuple[str, ...]
) -> None:
    """Processes that share code across rooms have to be changed, released and restarted together.

    The sandbox plays the other side of the relayer's STOMP and shares its codec, which no contract of layers can say.
    """
    found = [
        f"{path}:{line}: {module}"
        for path in python_files(room)
        for line, module in imports(path)
        if module.partition(".")[0] in ROOMS
        and not f"{module}.".startswith(tuple(f"{name}." for name in allowed))
    ]
    assert found == []


def test_planted_violations_are_noticed(tmp_path: Path) -> None:
    """A contract that never fails may be looking at nothing."""
    house = copy_of_the_house(tmp_path)
    for place, line, _ in PLANTED:
        (house / place).write_text(f"{line}\n")
    done = lint_imports(house)
    assert done.returncode == 1
    assert "0 kept" in done.stdout, "each contract has a violation planted against it"
    for place, _, named in PLANTED:
        assert named in done.stdout, f"the report does not name the violation in {place}"
