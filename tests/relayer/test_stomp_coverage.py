"""The codec's own tests cover all of its branches."""

import subprocess
import sys
from pathlib import Path

from launcher.plan import ROOT

TESTS = "tests/relayer/stomp"


def coverage(data: Path, command: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run coverage.py on the codec alone, from the project's folder."""
    return subprocess.run(
        [sys.executable, "-m", "coverage", command, f"--data-file={data}", *arguments],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
    )


def test_codec_tests_cover_every_branch(tmp_path: Path) -> None:
    """Untested protocol code would be found by a server. Remove branches that cannot be reached."""
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
