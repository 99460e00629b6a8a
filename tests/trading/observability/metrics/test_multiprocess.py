"""Metrics shared by several processes: counters only grow, and files are reused."""

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

# Creates a folder and forks children, one after another and in parallel, each with a slot; some are
# killed.
PROGRAM = """
    import os, signal, sys
    from pathlib import Path

    from trading.observability.metrics import exposition, instruments, multiprocess

    SLOT = ["main"]
    multiprocess.create_folder()
    multiprocess.enable(lambda: SLOT[0])
    instruments.initialise_series(codes=["a-code"])
    FOLDER = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])

    def child(slot, *, is_killed):
        pid = os.fork()
        if pid:
            return pid
        SLOT[0] = slot
        multiprocess.clear_in_progress(slot)
        instruments.record(instruments.PROBLEMS, "a-code")
        instruments.record(instruments.TASKS_RUNNING, "a-task")
        instruments.record(instruments.REQUEST_DURATION, "GET", "/", 200, value=0.01)
        if is_killed:
            os.kill(os.getpid(), signal.SIGKILL)
        instruments.record(instruments.TASKS_RUNNING, "a-task", value=-1)
        os._exit(0)

    def total(sample):
        text = exposition.render(exposition.build_registry(exposition.process_collector())).decode()
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(sample))

    def files():
        return sorted(file.name for file in FOLDER.iterdir())

    rows = []
    for generation in range(6):
        for pid in [child(slot, is_killed=bool((generation + slot) % 2)) for slot in range(3)]:
            os.waitpid(pid, 0)
        rows.append((total("stocking_problems_total{"),
                     total("stocking_http_request_duration_seconds_count"),
                     total("stocking_tasks_running{"), len(files())))
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


def test_successor_continues_the_counters_of_its_slot() -> None:
    """Six generations in three slots use the files of the first one, although half are killed.

    Successors clear the tasks in progress of killed processes, and the folder is removed with the
    process that created it.
    """
    rows, files, folder = run(PROGRAM)

    counted = eval(rows)  # noqa: S307 - printed by the program above
    assert [row[0] for row in counted] == [row[1] for row in counted] == [3, 6, 9, 12, 15, 18]
    # Children with an odd sum are killed, and their tasks count as running until the next child
    # takes the slot.
    assert [row[2] for row in counted] == [1, 2, 1, 2, 1, 2]
    assert len({row[3] for row in counted}) == 1
    assert {name.rpartition("_")[2] for name in eval(files)} == {"0.db", "1.db", "2.db", "main.db"}  # noqa: S307
    assert not Path(folder).exists()


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of shared memory; restores the environment afterwards."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/nowhere")
    return tmp_path


def stale_folder(parent: Path, name: str, *, age_s: float = 3_600) -> Path:
    folder = parent / f"stocking-metrics-{name}"
    folder.mkdir()
    (folder / "counter_0.db").write_bytes(b"x")
    os.utime(folder, (time.time() - age_s,) * 2)
    return folder


def test_only_folders_of_dead_processes_are_removed(parent: Path) -> None:
    """A locked folder is in use, a young one may not be locked yet, and other names are foreign."""
    dead, young, foreign = (
        stale_folder(parent, "dead"),
        stale_folder(parent, "young", age_s=5),
        parent / "another",
    )
    foreign.mkdir()
    alive = stale_folder(parent, "alive")
    descriptor = os.open(alive, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        multiprocess.create_folder(parent)
    finally:
        os.close(descriptor)

    created = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    assert set(parent.iterdir()) == {alive, young, foreign, created}
    assert not dead.exists()
    assert created.stat().st_mode & 0o077 == 0


def test_folder_is_kept_while_any_process_uses_it(parent: Path) -> None:
    """Also after its creator was killed, until the last child exits."""
    program = f"""
        import os, sys, time
        from pathlib import Path
        from trading.observability.metrics import multiprocess
        multiprocess.create_folder(Path({str(parent)!r}))
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
    ) as creator:
        try:
            assert creator.stdout is not None
            folder = Path(creator.stdout.readline().strip())
            children = Path(f"/proc/{creator.pid}/task/{creator.pid}/children").read_text().split()
            creator.kill()
            creator.wait()
            os.utime(folder, (0, 0))

            multiprocess.remove_stale_files(parent)
            assert folder.exists()
        finally:
            os.killpg(creator.pid, signal.SIGKILL)
    assert children

    def is_removed() -> bool:
        multiprocess.remove_stale_files(parent)
        return not folder.exists()

    wait_until(is_removed, what="the folder is removed")


def test_without_shared_folder_each_process_counts_alone(parent: Path) -> None:
    (file := parent / "no-folder").touch()

    multiprocess.create_folder(file)

    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ
    assert multiprocess.shared_collector() is None


# Serves the metrics of a folder with files that another process has just created, removed or
# damaged, while a further one is created and removed all the time.
UNREADABLE = """
    import os, threading
    from pathlib import Path

    import requests

    from prometheus_client import start_http_server

    from trading.observability.metrics import exposition, instruments, multiprocess

    multiprocess.create_folder()
    multiprocess.enable(lambda: "main")
    instruments.record(instruments.PROBLEMS, "a-code")
    FOLDER = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    whole = (FOLDER / "counter_main.db").read_bytes()

    (FOLDER / "counter_empty.db").touch()
    (FOLDER / "gauge_livesum_empty.db").touch()
    (FOLDER / "counter_removed.db").symlink_to(FOLDER / "nothing")
    (FOLDER / "counter_short.db").write_bytes(whole[:3])
    (FOLDER / "counter_cut.db").write_bytes(whole[:24])
    (FOLDER / "counter_garbage.db").write_bytes(whole[:8] + bytes([255]) * 100)
    (FOLDER / "counter_new.db").write_bytes(bytes(1 << 16))
    (FOLDER / "counter_other.db").write_bytes(whole)

    stop = threading.Event()

    def create_and_remove():
        while not stop.is_set():
            (FOLDER / "counter_brief.db").write_bytes(bytes(1 << 16))
            (FOLDER / "counter_brief.db").unlink()

    changing = threading.Thread(target=create_and_remove)
    changing.start()
    server, thread = start_http_server(
        0, "127.0.0.1", exposition.build_registry(exposition.process_collector())
    )
    try:
        for _ in range(200):
            answer = requests.get(f"http://127.0.0.1:{server.server_port}/metrics")
            counted = [line for line in answer.text.splitlines() if "_problems_total{" in line]
            print(answer.status_code, counted)
    finally:
        stop.set()
        changing.join()
        server.shutdown()
        thread.join()
"""


def test_unreadable_files_do_not_fail_a_scrape() -> None:
    """Every scrape counts the other files."""
    lines = run(UNREADABLE)

    assert len([line for line in lines if not line.startswith("{")]) >= 200
    answers = {line for line in lines if line.startswith(("200", "500"))}
    assert answers == {"""200 ['stocking_problems_total{code="a-code"} 2.0']"""}
