"""Backups: a complete copy of one database state, or no file."""

import gzip
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from benchmarks.mysql import unpacked_mysql
from launcher.plan import ROOT
from tests.support.deadlines import DEADLINE_S
from tests.support.servers import DatabaseServer, MySQL, require_dump, require_server, wait_until
from tests.support.trading_harness import TradingHarness, opened, settings_for
from trading import bootstrap as trading_core
from trading.audit.checks import audit
from trading.db.declarative import Base
from trading.exchange.order_types import Side
from trading.operations import backups
from trading.operations.backups import Backup, BackupFailed
from trading.operations.backups.files import new_file
from webapp.cli.migrations import this_release

NO_REDIS = "redis://127.0.0.1:1/0"


RELEASE = this_release()


def write_backup(uri: str, file: Path) -> Backup:
    return backups.write_backup(uri, file, release=RELEASE)


def restore_backup(uri: str, file: Path) -> Backup:
    return backups.restore_backup(uri, file, release=RELEASE)


DUMPS = {"mariadb": "mariadb-dump", "mysql": "mysqldump"}


@pytest.fixture
def source(database_uri: str, database_kind: str, first_on_path: Callable[[Path], None]) -> str:
    """Each kind of database, with its own dump program and client on the PATH."""
    if database_kind == "mysql":
        first_on_path(unpacked_mysql() / "bin")
    elif database_kind == "mariadb":
        require_dump()
    return database_uri


@pytest.fixture
def dump(server_kind: str, first_on_path: Callable[[Path], None]) -> str:
    """Name of the server's own dump program, which is on the PATH."""
    if server_kind == "mysql":
        require_server(MySQL)
        first_on_path(unpacked_mysql() / "bin")
    else:
        require_dump()
    return DUMPS[server_kind]


@pytest.fixture
def source_harness(source: str, valkey_url: str) -> Iterator[TradingHarness]:
    with opened(settings_for(source, valkey_url)) as harness:
        yield harness


def traded(harness: TradingHarness) -> None:
    """Run a user's purchase and sale through all stages."""
    user = harness.user()
    harness.tick(70_000)
    harness.place(user, Side.BUY, 3)
    harness.run_all()
    harness.place(user, Side.SELL, 1)
    harness.run_all()


def content(uri: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table."""
    engine = create_engine(uri)
    try:
        with engine.connect() as connection:
            return {
                table.name: sorted(map(tuple, connection.execute(table.select())), key=repr)
                for table in Base.metadata.sorted_tables
            }
    finally:
        engine.dispose()


@contextmanager
def trading_all_the_while(harness: TradingHarness) -> Iterator[Callable[[], int]]:
    """Trade in another thread while the block runs.

    Yield a function that returns the number of orders so far.
    """
    stop, traded_so_far, faults = threading.Event(), [0], []

    def trade() -> None:
        try:
            while not stop.is_set():
                traded(harness)
                traded_so_far[0] += 2
        except Exception as fault:  # noqa: BLE001 - shown to the test's own thread
            faults.append(fault)

    thread = threading.Thread(target=trade)
    thread.start()
    try:
        wait_until(lambda: traded_so_far[0] >= 4 or faults, what="trading has begun")
        yield lambda: traded_so_far[0]
    finally:
        stop.set()
        thread.join()
    assert faults == []


@pytest.mark.every_database
def test_restored_database_equals_the_source(
    source_harness: TradingHarness, source: str, empty_uri: str, tmp_path: Path
) -> None:
    """Only the current user may read the backup."""
    traded(source_harness)
    file = tmp_path / "backup.gz"

    written = write_backup(source, file)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert written.size_bytes == file.stat().st_size
    assert written.tables == len(Base.metadata.tables) + 1
    read = restore_backup(empty_uri, file)
    assert read == written
    assert read.revision is not None
    assert content(empty_uri) == content(source)


@pytest.mark.full
def test_mariadb_programs_back_up_and_restore_mysql(
    migrated_mysql: str, mysql_server: MySQL, valkey_url: str, tmp_path: Path
) -> None:
    """Debian has only MariaDB's programs."""
    require_dump()
    with opened(settings_for(migrated_mysql, valkey_url)) as harness:
        traded(harness)
        file = tmp_path / "backup.gz"
        write_backup(migrated_mysql, file)
        restored = mysql_server.create_database("restored_by_mariadb")
        restore_backup(restored, file)
        assert content(restored) == content(migrated_mysql)


def test_backup_during_trading_is_consistent(
    source_harness: TradingHarness, source: str, empty_uri: str, tmp_path: Path
) -> None:
    """The backup blocks nobody and violates no invariant."""
    with trading_all_the_while(source_harness) as so_far:
        before = so_far()
        for number in range(3):
            write_backup(source, tmp_path / f"{number}.gz")
            wait_until(lambda before=before: so_far() > before, what="trading goes on")
            before = so_far()
        orders = so_far()

    restore_backup(empty_uri, tmp_path / "2.gz")
    core = trading_core.build(settings_for(empty_uri, NO_REDIS))
    try:
        findings = core.snapshot(audit)
        restored = (
            core.database.read(lambda session: session.scalar(text("SELECT COUNT(*) FROM orders")))
            or 0
        )
    finally:
        core.close()
    assert [finding for finding in findings if finding.breaches] == []
    assert 4 <= restored <= orders + 2


def _write_late(file: Path) -> None:
    """Write the file that another process creates meanwhile."""
    with new_file(file) as part:
        part.write_text("a backup")
        file.write_text("precious")


def test_backup_never_replaces_a_file(source: str, tmp_path: Path) -> None:
    """Also if the file is created while the backup runs."""
    file = tmp_path / "backup.gz"
    file.write_text("precious")

    with pytest.raises(BackupFailed, match="not overwritten"):
        write_backup(source, file)
    file.unlink()
    with pytest.raises(BackupFailed, match="not overwritten"):
        _write_late(file)

    assert file.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [file]


def test_restore_needs_an_empty_database(
    source_harness: TradingHarness, source: str, tmp_path: Path
) -> None:
    traded(source_harness)
    before = content(source)
    file = tmp_path / "backup.gz"
    write_backup(source, file)

    with pytest.raises(BackupFailed, match="not empty"):
        restore_backup(source, file)

    assert content(source) == before


def test_damaged_backup_restores_nothing(
    source_harness: TradingHarness, source: str, empty_uri: str, tmp_path: Path
) -> None:
    """Truncated, with a changed byte, compressed again without its end, or a different file."""
    traded(source_harness)
    file, bad = tmp_path / "backup.gz", tmp_path / "bad.gz"
    write_backup(source, file)
    octets = file.read_bytes()
    inside = gzip.decompress(octets)
    middle = len(octets) // 2
    cuts = [octets[:size] for size in (0, 1, 10, 20, middle, len(octets) - 9, len(octets) - 1)]
    turned = [
        octets[:place] + bytes([octets[place] ^ 0xFF]) + octets[place + 1 :]
        for place in (40, middle, len(octets) - 3)
    ]
    others = [
        b"",
        b"no backup",
        gzip.compress(b""),
        gzip.compress(b"CREATE TABLE x (y TEXT);"),
        gzip.compress(inside[:-4_096]),
    ]
    for content_of_bad in [*cuts, *turned, *others]:
        bad.write_bytes(content_of_bad)
        with pytest.raises(BackupFailed):
            restore_backup(empty_uri, bad)

    with pytest.raises(BackupFailed, match="cannot be read"):
        restore_backup(empty_uri, tmp_path / "nothing.gz")
    assert restore_backup(empty_uri, file).tables == len(Base.metadata.tables) + 1


def test_backup_of_another_database_kind_is_refused(
    migrated_sqlite: str, server_uri: str, empty_server_uri: str, tmp_path: Path
) -> None:
    require_dump()
    lite, maria = tmp_path / "lite.gz", tmp_path / "maria.gz"
    write_backup(migrated_sqlite, lite)
    write_backup(server_uri, maria)

    with pytest.raises(BackupFailed, match="not a backup of MySQL"):
        restore_backup(empty_server_uri, lite)
    with pytest.raises(BackupFailed, match="not a backup of SQLite"):
        restore_backup(f"sqlite:///{tmp_path}/x.db", maria)


def test_damaged_database_is_not_backed_up(tmp_path: Path, migrated_sqlite: str) -> None:
    """Else a damaged backup could replace the last good one."""
    database = tmp_path / "damaged.db"
    write_backup(migrated_sqlite, tmp_path / "whole.gz")
    restore_backup(f"sqlite:///{database}", tmp_path / "whole.gz")
    octets = bytearray(database.read_bytes())
    for page in range(4_096 * 5, len(octets), 4_096):
        octets[page : page + 64] = b"\xff" * 64
    database.write_bytes(octets)

    with pytest.raises(BackupFailed):
        write_backup(f"sqlite:///{database}", tmp_path / "damaged.gz")

    assert not (tmp_path / "damaged.gz").exists()


def stand_in(folder: Path, dump: str, script: str) -> Path:
    """Put a script in front of the real dump program, which it can run as $REAL."""
    folder.mkdir(exist_ok=True)
    program = folder / dump
    program.write_text(f"#!/bin/sh\nREAL={shutil.which(dump)}\n{script}\n")
    program.chmod(0o755)
    return folder


@pytest.fixture
def first_on_path(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    return lambda folder: monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def run_instead_of_dump(
    dump: str, tmp_path: Path, first_on_path: Callable[[Path], None]
) -> Callable[[str], None]:
    """Return a function that runs a shell script instead of the server's dump program."""
    return lambda script: first_on_path(stand_in(tmp_path / "bin", dump, script))


def test_password_is_on_no_command_line_and_in_no_file(
    database_server: DatabaseServer,
    empty_server_uri: str,
    server_uri: str,
    tmp_path: Path,
    run_instead_of_dump: Callable[[str], None],
) -> None:
    """A password with every character that is special in an option file or a shell."""
    password = "p\"a'\\s#s $w;o=r`d%"
    name = server_uri.rpartition("/")[2].partition("?")[0]
    for statement in (
        "DROP USER IF EXISTS backup_user@'127.0.0.1'",
        "CREATE USER backup_user@'127.0.0.1' IDENTIFIED BY '"
        + password.replace("\\", "\\\\").replace("'", "''")
        + "'",
        "GRANT ALL ON *.* TO backup_user@'127.0.0.1'",
    ):
        database_server.execute(statement)
    record = tmp_path / "record"
    run_instead_of_dump(f'echo "$0" "$@" > {record}; env >> {record}; exec "$REAL" "$@"')
    files = set(Path(tempfile.gettempdir()).iterdir())

    def uri_of(database: str) -> str:
        secret = "".join(f"%{octet:02X}" for octet in password.encode())
        return f"mysql+pymysql://backup_user:{secret}@127.0.0.1:{database_server.port}/{database}?charset=utf8mb4"

    write_backup(uri_of(name), tmp_path / "backup.gz")
    restored = restore_backup(
        uri_of(empty_server_uri.rpartition("/")[2].partition("?")[0]), tmp_path / "backup.gz"
    )

    assert restored.revision is not None
    assert "--single-transaction" in record.read_text()
    assert password not in record.read_text()
    left = [
        path
        for path in set(Path(tempfile.gettempdir()).iterdir()) - files
        if path.is_file() and password in path.read_text(errors="replace")
    ]
    assert left == []


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            '"$REAL" "$@" | head -c 3000; echo "Lost connection\033[31m to server" >&2; exit 2',
            r"failed: Lost connection\\x1b",
        ),
        ('"$REAL" "$@" | head -c 3000', "its end is missing"),
        (
            '"$REAL" "$@" | sed "/Table structure for table .orders./,/^-- Table/d"',
            "lacks tables: orders",
        ),
        ("exit 3", "exit status 3"),
        (":", "not a complete backup"),
    ],
)
def test_incomplete_dump_leaves_no_file(
    server_uri: str,
    tmp_path: Path,
    run_instead_of_dump: Callable[[str], None],
    script: str,
    message: str,
) -> None:
    """Whether the program reports the failure or not."""
    run_instead_of_dump(script)
    place = tmp_path / "backups"
    place.mkdir()

    with pytest.raises(BackupFailed, match=message):
        write_backup(server_uri, place / "backup.gz")

    assert list(place.iterdir()) == []


def test_missing_program_is_named(
    server_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(
        BackupFailed,
        match=r"(mariadb-dump|mysqldump) or (mariadb-dump|mysqldump) must be installed"
        r" \(Debian: mariadb-client\)",
    ):
        write_backup(server_uri, tmp_path / "backup.gz")


def test_unreachable_server_is_reported_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(
        BackupFailed, match=r"The database x on 127\.0\.0\.1 cannot be reached"
    ) as failed:
        write_backup("mysql+pymysql://me:a-secret@127.0.0.1:1/x", tmp_path / "backup.gz")

    assert "a-secret" not in str(failed.value)


def test_full_disk_leaves_no_file(source_harness: TradingHarness, tmp_path: Path) -> None:
    """The size of files is limited to some kilobytes."""
    uri = source_harness.settings.database_uri.get_secret_value()
    place = tmp_path / "backups"
    place.mkdir()
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from trading.operations.backups import BackupFailed, write_backup\n"
        "from webapp.cli.migrations import this_release\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, 4_096))\n"
        "try:\n    write_backup(sys.argv[1], Path(sys.argv[2]), release=this_release())\n"
        "except BackupFailed as failed:\n    sys.exit(f'refused: {failed}')"
    )

    ran = subprocess.run(
        [sys.executable, "-c", program, uri, str(place / "backup.gz")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.stderr.startswith("refused: "), ran.stderr
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_stopped_backup_leaves_no_backup(
    server_uri: str, dump: str, tmp_path: Path, number: signal.Signals
) -> None:
    """SIGTERM cleans up; SIGKILL leaves a file that ends in ``.part``."""
    folder = stand_in(
        tmp_path / "bin", dump, f'"$REAL" "$@" | head -c 3000; touch {tmp_path}/amid; exec sleep 60'
    )
    place = tmp_path / "backups"
    place.mkdir()
    environment = {
        **os.environ,
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "DATABASE_URI": server_uri,
        "REDIS_URL": NO_REDIS,
    }
    with subprocess.Popen(
        [sys.executable, "-m", "flask", "backup", str(place / "backup.gz")],
        cwd=ROOT,
        env=environment,
        start_new_session=True,
    ) as backing_up:
        wait_until((tmp_path / "amid").exists, what="the dump is under way")
        os.kill(backing_up.pid, number)
        backing_up.wait(DEADLINE_S)
        # Its child process does not receive the signal.
        os.killpg(backing_up.pid, signal.SIGKILL) if number == signal.SIGKILL else None

    left = [path.name for path in place.iterdir()]
    if number == signal.SIGTERM:
        assert left == []
    else:
        assert [name.endswith(".part") for name in left] == [True]
