"""Processes that count together: what they count only grows, whoever is killed or recycled, and takes no more files than there are processes."""

import fcntl
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from launcher.plan import ROOT
from tests.support.servers import wait_until
from trading.observability.metrics import multiprocess

# Makes a folder and forks children one after another and side by side, each with a slot; some are killed amid their work.
FAMILY = """
    import os, signal, sys
    from pathlib import Path

    from trading.observability.metrics import exposition, instruments, multiprocess

    SLOT = ["main"]
    multiprocess.create_folder()
    multiprocess.enable(lambda: SLOT[0])
    instruments.initialise_series(codes=["a-code"])
    FOLDER = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])

    def child(slot, *, dies):
        pid = os.fork()
        if pid:
            return pid
        SLOT[0] = slot
        multiprocess.clear_in_progress(slot)
        instruments.record(instruments.PROBLEMS, "a-code")
        instruments.record(instruments.TASKS_RUNNING, "a-task")
        instruments.record(instruments.REQUEST_DURATION, "GET", "/", 200, value=0.01)
        if dies:
            os.kill(os.getpid(), signal.SIGKILL)
        instruments.record(instruments.TASKS_RUNNING, "a-task", value=-1)
        os._exit(0)

    def told(sample):
        text = exposition.render(exposition.build_registry(exposition.process_collector())).decode()
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(sample))

    def files():
        return sorted(file.name for file in FOLDER.iterdir())

    rows = []
    for generation in range(6):
        for pid in [child(slot, dies=bool((generation + slot) % 2)) for slot in range(3)]:
            os.waitpid(pid, 0)
        rows.append((told("stocking_problems_total{"), told("stocking_http_request_duration_seconds_count"),
                     told("stocking_tasks_running{"), len(files())))
    print(rows)
    print(files())
    print(FOLDER)
"""


def run(program: str) -> list[str]:
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def test_a_successor_goes_on_where_its_predecessor_ended() -> None:
    """Six generations in three slots, half of which are killed: all that was counted is there, in the files of the first generation.

    What ran in those that were killed is forgotten by their successors, and the folder goes with the process that made it.
    """
    rows, files, folder = run(FAMILY)

    counted = eval(rows)  # noqa: S307 - our own program printed it
    assert [row[0] for row in counted] == [row[1] for row in counted] == [3, 6, 9, 12, 15, 18]
    # In every generation those with an odd sum died, and their tasks "run" until the next takes their slot.
    assert [row[2] for row in counted] == [1, 2, 1, 2, 1, 2]
    assert len({row[3] for row in counted}) == 1
    assert {name.rpartition("_")[2] for name in eval(files)} == {"0.db", "1.db", "2.db", "main.db"}  # noqa: S307
    assert not Path(folder).exists()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for the machine's memory, and an environment that is as before afterwards."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/nowhere")
    return tmp_path


def left_over(place: Path, name: str, *, age_s: float = 3_600) -> Path:
    folder = place / f"stocking-metrics-{name}"
    folder.mkdir()
    (folder / "counter_0.db").write_bytes(b"x")
    os.utime(folder, (time.time() - age_s,) * 2)
    return folder


def test_what_dead_processes_left_is_removed_and_nothing_else(place: Path) -> None:
    """A folder in which somebody lives is locked, one that is being made is young, and others' folders have other names."""
    dead, young, foreign = (
        left_over(place, "dead"),
        left_over(place, "young", age_s=5),
        place / "another",
    )
    foreign.mkdir()
    alive = left_over(place, "alive")
    descriptor = os.open(alive, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        multiprocess.create_folder(place)
    finally:
        os.close(descriptor)

    made = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    assert set(place.iterdir()) == {alive, young, foreign, made}
    assert not dead.exists()
    assert made.stat().st_mode & 0o077 == 0


def test_a_folder_lives_as_long_as_any_of_its_processes(place: Path) -> None:
    """Its maker was killed and a child of it lives on: another process that starts leaves the folder alone, until the child is gone too."""
    program = f"""
        import os, sys, time
        from pathlib import Path
        from trading.observability.metrics import multiprocess
        multiprocess.create_folder(Path({str(place)!r}))
        if not os.fork():
            time.sleep(60)
        print(os.environ["PROMETHEUS_MULTIPROC_DIR"], flush=True)
        time.sleep(60)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as maker:
        try:
            assert maker.stdout is not None
            folder = Path(maker.stdout.readline().strip())
            children = Path(f"/proc/{maker.pid}/task/{maker.pid}/children").read_text().split()
            maker.kill()
            maker.wait()
            os.utime(folder, (0, 0))

            multiprocess.remove_stale_files(place)
            assert folder.exists()
        finally:
            os.killpg(maker.pid, signal.SIGKILL)
    assert children

    def is_removed() -> bool:
        multiprocess.remove_stale_files(place)
        return not folder.exists()

    wait_until(is_removed, what="the folder is removed")


def test_without_a_place_each_process_counts_for_itself(place: Path) -> None:
    """A machine that can't be written to serves all the same."""
    (file := place / "no-folder").touch()

    multiprocess.create_folder(file)

    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ
    assert multiprocess.is_enabled() is None
