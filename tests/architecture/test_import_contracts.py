"""Import contracts: they hold, and each fails for a planted violation."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.plan import ROOT
from tests.architecture.source import EXCLUDED_FOLDERS, imports, python_files

PACKAGES = ("trading", "webapp", "workers", "relayer", "push_gateway", "sandbox", "launcher")

# File of the violation, its line, and the text that the report must contain.
PLANTED = (
    ("trading/orders/planted.py", "import webapp", "trading.orders.planted -> webapp"),
    (
        "trading/exchange/price_grid.py",
        "import time",
        "trading.exchange.price_grid -> time",
    ),
    (
        "trading/marketdata/planted.py",
        "import trading.orders",
        "trading.marketdata.planted -> trading.orders",
    ),
    (
        "trading/ledger/planted.py",
        "import trading.portfolio",
        "trading.ledger.planted -> trading.portfolio",
    ),
    ("trading/db/planted.py", "import trading.stocks", "trading.db.planted -> trading.stocks"),
    ("trading/orders/planted_task.py", "import celery", "trading.orders.planted_task -> celery"),
    ("trading/portfolio/planted.py", "import flask", "trading.portfolio.planted -> flask"),
    (
        "trading/orders/planted_metric.py",
        "import trading.observability.metrics",
        "trading.orders.planted_metric -> trading.observability.metrics",
    ),
    (
        "trading/orders/planted_event.py",
        "import trading.account_events.record",
        "trading.orders.planted_event -> trading.account_events.record",
    ),
    ("webapp/planted.py", "import workers", "webapp.planted -> workers"),
    ("workers/planted.py", "import webapp", "workers.planted -> webapp"),
    ("push_gateway/planted.py", "import relayer", "push_gateway.planted -> relayer"),
    ("relayer/planted.py", "import sqlalchemy", "relayer.planted -> sqlalchemy"),
    (
        "push_gateway/planted_order.py",
        "import trading.orders",
        "push_gateway.planted_order -> trading.orders",
    ),
    ("relayer/stomp/planted.py", "import websockets", "relayer.stomp.planted -> websockets"),
    ("trading/planted.py", "", "planted"),  # A module that is in no layer.
    ("trading/money.py", "import webapp", "trading.money -> webapp"),
)


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on a checkout."""
    return subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=root,
        text=True,
        capture_output=True,
        check=False,
    )


def test_every_import_contract_holds() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("webapp", ("trading", "webapp")),
        ("workers", ("trading", "workers")),
        ("sandbox", ("trading", "relayer.stomp", "sandbox")),
        ("launcher", ("trading.config", "launcher")),
    ],
)
def test_processes_import_only_the_product(package: str, allowed: tuple[str, ...]) -> None:
    """The sandbox shares the relayer's STOMP codec, which a layers contract cannot express."""
    found = [
        f"{path}:{line}: {module}"
        for path in python_files(package)
        for line, module in imports(path)
        if module.partition(".")[0] in PACKAGES
        and not f"{module}.".startswith(tuple(f"{name}." for name in allowed))
    ]
    assert found == []


def test_planted_violations_are_reported(tmp_path: Path) -> None:
    """A contract that never fails may check nothing."""
    for package in PACKAGES:
        ignored = shutil.ignore_patterns(*EXCLUDED_FOLDERS)
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for place, line, _ in PLANTED:
        with (tmp_path / place).open("a") as module:
            module.write(f"{line}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1
    assert "0 kept" in done.stdout, "a contract has no planted violation"
    for place, _, named in PLANTED:
        assert named in done.stdout, f"the report does not name the violation in {place}"
