"""Every branch of the codec is reached by the codec's own tests."""

import subprocess
import sys
from pathlib import Path

from launcher.plan import ROOT

TESTS = "tests/relayer/stomp"


def coverage(data: Path, command: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Coverage.py over the codec alone, from the project's folder."""
    return subprocess.run(
        [sys.executable, "-m", "coverage", command, f"--data-file={data}", *arguments],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
    )


def test_the_codecs_tests_reach_every_branch(tmp_path: Path) -> None:
    """Protocol code that no test reaches is found out by a server. A branch that can't be reached is to be removed."""
    data = tmp_path / "coverage"
    pytest_alone = (
        "-m",
        "pytest",
        TESTS,
        "--confcutdir",
        TESTS,
        "--hypothesis-profile",
        "coverage",
    )

    run = coverage(
        data, "run", "--branch", "--source=relayer/stomp", *pytest_alone, "-p", "no:cacheprovider"
    )
    assert run.returncode == 0, run.stdout
    report = coverage(data, "report", "--show-missing", "--skip-covered", "--fail-under=100")

    assert report.returncode == 0, report.stdout
