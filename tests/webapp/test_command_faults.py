"""Every command against every kind of fault: one sentence on standard error, exit code 1.

The commands are found in the Click tree. Each needs an entry in COMMANDS.
"""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import click
import pytest
import redis
from click.testing import CliRunner, Result
from flask import Flask
from flask.cli import FlaskGroup
from flask_migrate import upgrade
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from launcher.plan import ROOT
from launcher.ports import LOOPBACK, free_port
from tests.support.servers import DatabaseServer, Valkey
from tests.support.trading_harness import settings_for
from trading import bootstrap as trading_core
from trading.operations.backups import write_backup
from webapp import create_app
from webapp.cli.faults import guard_commands
from webapp.cli.migrations import MIGRATIONS, this_release
from webapp.context import get_core

PASSWORD = "a-secret-password"
ID = str(UUID(int=1))
DAY = "2026-12-24"
NO_REDIS = f"redis://{LOOPBACK}:1/0"

# What a command cannot work with: an unavailable server, a broken or missing SQLite file, a
# database without tables or of another release, no Redis.
NOTHING: frozenset[str] = frozenset()
ANY = frozenset({"away", "broken"})
ROWS = ANY | {"absent", "unmigrated", "older", "newer"}
ALEMBIC = ANY | {"absent", "newer"}

COMMANDS: dict[str, tuple[list[str], frozenset[str]]] = {
    "admin-log": ([], ROWS),
    "audit": ([], ROWS),
    "backup": (["{new}"], ANY | {"absent", "unmigrated", "newer"}),
    "calendar close": ([DAY, "--note", "눈"], ROWS),
    "calendar forget": ([DAY], ROWS),
    "calendar late": ([DAY, "--minutes", "60", "--note", "눈"], ROWS),
    "calendar open": ([DAY, "--note", "눈"], ROWS),
    "calendar show": ([], ROWS),
    "database describe": ([], NOTHING),
    "database grant": (["nobody"], frozenset({"away"})),
    "db branches": ([], NOTHING),
    "db check": ([], ALEMBIC | {"unmigrated", "older"}),
    "db current": ([], ALEMBIC),
    "db downgrade": ([], ALEMBIC | {"unmigrated"}),
    "db edit": (["-d", "{migrations}", "head"], NOTHING),
    "db heads": ([], NOTHING),
    "db history": ([], NOTHING),
    "db init": (["-d", "{new}"], NOTHING),
    "db list-templates": ([], NOTHING),
    "db merge": (["-d", "{migrations}", "heads"], NOTHING),
    "db migrate": (["-d", "{migrations}"], ALEMBIC | {"unmigrated", "older"}),
    "db revision": (["-d", "{migrations}"], NOTHING),
    "db show": ([], NOTHING),
    "db stamp": ([], ANY | {"absent"}),
    "db upgrade": ([], ANY | {"newer"}),
    "index import": (["{closes}"], ROWS),
    "index show": ([], ROWS),
    "openapi list-config-prefixes": ([], NOTHING),
    "openapi print": ([], NOTHING),
    "openapi write": (["{new}"], NOTHING),
    "payments alerts": ([], ROWS),
    "payments give-up": ([ID, "--note", "x"], ROWS),
    "payments check": ([UUID(ID).hex], ROWS),
    "payments resolve": ([UUID(ID).hex, "--note", "x"], ROWS),
    "payments show": ([UUID(ID).hex], ROWS),
    "restore": (["{backup}"], ANY | {"older", "newer"}),
    "seed": ([], ROWS),
    "status": ([], ROWS | {"redis"}),
    "stocks aliases add": (["005930", "x"], ROWS),
    "stocks aliases list": ([], ROWS),
    "stocks aliases remove": (["005930", "x"], ROWS),
    "stocks delist": (["005930"], ROWS),
    "stocks halt": (["005930"], ROWS),
    "stocks import": (["{listing}"], ROWS),
    "stocks liquidate": (["005930"], ROWS),
    "stocks resume": (["005930"], ROWS),
    "stocks set-leverage": (["005930", "2"], ROWS),
    "stocks write-off": (["005930"], ROWS),
    "users demote": (["nobody@example.com"], ROWS),
    "users halt": ([ID, "--reason", "x"], ROWS),
    "users halted": ([], ROWS),
    "users list": ([], ROWS),
    "users show": ([ID], ROWS),
    "users promote": (["nobody@example.com"], ROWS),
    "users resume": ([ID, "--note", "x"], ROWS),
}

_numbers = count(1)


def leaves(group: click.Group, *path: str) -> Iterator[str]:
    """Yield the full name of every command below `group`."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, *path, name)
        else:
            yield " ".join((*path, name))


@pytest.fixture
def files(tmp_path: Path, migrated_sqlite: str) -> dict[str, str]:
    """Return the files that commands need, by their placeholder in COMMANDS."""
    (tmp_path / "closes.csv").write_text("Date,Close\n2026-11-19,2500.00\n")
    (tmp_path / "listing.csv").write_text("Code,Name,Market\n000020,동화약품,KOSPI\n")
    write_backup(migrated_sqlite, tmp_path / "backup.gz", release=this_release())
    return {
        "{closes}": str(tmp_path / "closes.csv"),
        "{listing}": str(tmp_path / "listing.csv"),
        "{backup}": str(tmp_path / "backup.gz"),
        "{new}": str(tmp_path / "new"),
    }


def remove(database: Path) -> None:
    for file in database.parent.glob(f"{database.name}*"):
        file.unlink()


def copy_database(uri: str, file: Path) -> None:
    """Copy a SQLite database that may be open, including its write-ahead log."""
    path = uri.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(file)) as target:
        source.backup(target)


@contextmanager
def app_on(database_uri: str, redis_url: str) -> Iterator[Flask]:
    core = trading_core.build(settings_for(database_uri, redis_url))
    try:
        yield create_app(core)
    finally:
        core.close()


def run(app: Flask, words: str, files: dict[str, str]) -> Result:
    new = f"{files['{new}']}-{next(_numbers)}"
    names = files | {"{new}": new, "{migrations}": new}
    if "{migrations}" in COMMANDS[words][0]:
        shutil.copytree(MIGRATIONS, new)
    arguments = [names.get(word, word) for word in COMMANDS[words][0]]
    environment = {"EDITOR": "true"}
    group = FlaskGroup(create_app=lambda: app)
    return CliRunner(env=environment).invoke(group, [*words.split(), *arguments])


def faulty(words: str, result: Result, *, named: str) -> list[str]:
    """Return what is wrong with the output of a command that cannot work."""
    lines = result.stderr.splitlines()
    found = {
        "exit code": result.exit_code != 1,
        "exception": not isinstance(result.exception, SystemExit),
        "lines": len(lines) != 1 or not lines[0].startswith("Error: "),
        "ending": not result.stderr.endswith(".\n"),
        "name": named not in result.stderr,
        "secret": PASSWORD in result.output,
        "output": bool(result.stdout) and words != "status",
    }
    return [f"{words}: {name}: {result.output[:500]}" for name, wrong in found.items() if wrong]


def walk(
    uri: str,
    files: dict[str, str],
    fault: str,
    *,
    named: str,
    renew: Callable[[], object] = lambda: None,
    redis_url: str = NO_REDIS,
    only: frozenset[str] = NOTHING,
) -> dict[str, int]:
    """Run every command and require a sentence from those that cannot work; return the exit codes.

    `renew` prepares the database before each command. `only` selects commands.
    """
    wrong: list[str] = []
    codes = {}
    with app_on(uri, redis_url) as app:
        for words in leaves(app.cli):
            if not only <= COMMANDS[words][1]:
                continue
            app.extensions["stocking"].database.close()
            renew()
            result = run(app, words, files)
            codes[words] = result.exit_code
            needs = COMMANDS[words][1]
            if fault in needs:
                wrong += faulty(words, result, named=named)
            elif not isinstance(result.exception, SystemExit | None):
                wrong.append(f"{words}: {result.exception!r}")
            elif not needs and (result.exit_code, result.stderr) != (0, ""):
                wrong.append(f"{words}: exit code {result.exit_code}: {result.output[:500]}")
    assert wrong == []
    return codes


def test_every_command_has_an_entry(tmp_path: Path) -> None:
    with app_on(f"sqlite:///{tmp_path}/x.db", NO_REDIS) as app:
        assert set(leaves(app.cli)) == set(COMMANDS)


def test_unavailable_server(files: dict[str, str]) -> None:
    port = free_port()
    uri = f"mysql+pymysql://me:{PASSWORD}@{LOOPBACK}:{port}/stocking"
    walk(uri, files, "away", named=f"{LOOPBACK}:{port} ")


@pytest.mark.parametrize("user", ["root", f"root:{PASSWORD}"], ids=["no database", "password"])
def test_server_that_refuses_the_login(
    database_server: DatabaseServer, files: dict[str, str], user: str
) -> None:
    address = f"{LOOPBACK}:{database_server.port}"
    walk(f"mysql+pymysql://{user}@{address}/missing", files, "away", named=f"{address} ")


@pytest.mark.parametrize("fault", ["no folder", "not writable", "no database", "folder"])
def test_unusable_sqlite_file(tmp_path: Path, files: dict[str, str], fault: str) -> None:
    file = tmp_path / "file.db"
    if fault == "no folder":
        file = tmp_path / "missing" / "file.db"
    elif fault == "not writable":
        file = Path("/proc/file.db")  # Not writable even by root.
    elif fault == "no database":
        file.write_text("words, no database" * 100)
    else:
        file.mkdir()
    named = str(file.parent if fault in ("no folder", "not writable") else file)
    walk(f"sqlite:///{file}", files, "broken", named=named)


def test_only_upgrade_and_restore_create_a_sqlite_file(
    tmp_path: Path, files: dict[str, str]
) -> None:
    file, found = tmp_path / "file.db", []

    def renew() -> None:
        found.append(file.exists())
        remove(file)

    codes = walk(f"sqlite:///{file}", files, "absent", named=str(file), renew=renew)
    created = zip(codes, [*found[1:], file.exists()], strict=True)
    assert [words for words, exists in created if exists] == ["db upgrade", "restore"]


@pytest.mark.parametrize("fault", ["unmigrated", "older", "newer"])
def test_database_of_another_revision(
    tmp_path: Path, files: dict[str, str], migrated_sqlite: str, fault: str
) -> None:
    file, template = tmp_path / "file.db", tmp_path / "template.db"
    if fault == "unmigrated":
        template.touch()
    elif fault == "older":
        with app_on(f"sqlite:///{template}", NO_REDIS) as app, app.app_context():
            upgrade(revision="0009")
    else:
        copy_database(migrated_sqlite, template)
        engine = create_engine(f"sqlite:///{template}")
        with engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        engine.dispose()

    def renew() -> None:
        remove(file)
        copy_database(f"sqlite:///{template}", file)

    walk(f"sqlite:///{file}", files, fault, named="", renew=renew)


def test_server_database_without_tables(empty_server_uri: str, files: dict[str, str]) -> None:
    walk(empty_server_uri, files, "unmigrated", named="", only=frozenset({"unmigrated"}))


class Interrupted(BaseException):
    """The end of a process in the middle of a migration."""


@contextmanager
def interrupted_after(statements: int) -> Iterator[None]:
    """Interrupt after so many statements that change something."""
    numbers = count()

    def count_or_interrupt(
        _connection: Any, _cursor: Any, sql: str, _parameters: Any, _context: Any, _many: Any
    ) -> None:
        is_change = sql.split(maxsplit=1)[0] not in ("SELECT", "SHOW", "SET")
        if is_change and next(numbers) == statements:
            raise Interrupted

    event.listen(Engine, "before_cursor_execute", count_or_interrupt)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", count_or_interrupt)


@pytest.mark.every_database
@pytest.mark.parametrize("statements", [2, 40, 70])
def test_upgrade_after_an_interrupted_one(
    empty_server_uri: str, files: dict[str, str], statements: int
) -> None:
    """It completes, or ends with a sentence that says what to do."""
    url = make_url(empty_server_uri)
    with app_on(empty_server_uri, NO_REDIS) as app:
        with pytest.raises(Interrupted), interrupted_after(statements):
            run(app, "db upgrade", files)
        again = run(app, "db upgrade", files)
    if again.exit_code:
        assert faulty("db upgrade", again, named=f"{url.host}:{url.port}") == []
        assert str(url.database) in again.stderr
        assert "restore the backup" in again.stderr


@pytest.mark.every_database
def test_upgrade_of_tables_without_a_revision(empty_uri: str, files: dict[str, str]) -> None:
    """One table of the first revision exists already, and keeps its rows."""
    engine = create_engine(empty_uri)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE stocks (code VARCHAR(9))"))
        connection.execute(text("INSERT INTO stocks VALUES ('A005930')"))
    with app_on(empty_uri, NO_REDIS) as app:
        result = run(app, "db upgrade", files)
    assert faulty("db upgrade", result, named="already exists") == []
    assert "for the first time" in result.stderr
    with engine.begin() as connection:
        assert connection.execute(text("SELECT code FROM stocks")).scalar_one() == "A005930"
    engine.dispose()


def test_commands_work_without_redis(
    tmp_path: Path, files: dict[str, str], migrated_sqlite: str
) -> None:
    """All except `flask status`, whether Redis refuses, needs another password, or hangs."""
    file = tmp_path / "file.db"

    def codes(redis_url: str) -> dict[str, int]:
        remove(file)
        copy_database(migrated_sqlite, file)
        fault = "" if redis_url == server.url else "redis"
        found = walk(
            f"sqlite:///{file}", files, fault, named="Redis", redis_url=redis_url, only=ROWS
        )
        return found | {"status": 0}

    with Valkey(tmp_path / "valkey") as server:
        expected = codes(server.url)
        assert codes(NO_REDIS) == expected
        with redis.Redis.from_url(server.url) as client:
            client.config_set("requirepass", "another")
        assert codes(f"redis://:{PASSWORD}@{LOOPBACK}:{server.port}/0") == expected
        server.pause()
        assert codes(f"redis://{LOOPBACK}:{server.port}/0") == expected


@pytest.mark.parametrize("words", ["audit", "db current", "status"])
@pytest.mark.parametrize("is_full", [False, True], ids=["frozen", "black hole"])
def test_silent_server_times_out(files: dict[str, str], words: str, is_full: bool) -> None:
    """It accepts the connection and never answers, or does not accept it."""
    with socket.socket() as server, ExitStack() as stack:
        server.bind((LOOPBACK, 0))
        server.listen(0 if is_full else 64)
        address = server.getsockname()
        for _ in range(4 if is_full else 0):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(address)
        with app_on(f"mysql+pymysql://me:{PASSWORD}@{LOOPBACK}:{address[1]}/x", NO_REDIS) as app:
            assert faulty(words, run(app, words, files), named=str(address[1])) == []


def flask_process(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "flask", *arguments],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "STOCKING_VAR": os.environ["STOCKING_VAR"],
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_process_prints_one_sentence_and_exits_with_1() -> None:
    uri = f"mysql+pymysql://me:{PASSWORD}@{LOOPBACK}:{free_port()}/x"
    ran = flask_process("seed", DATABASE_URI=uri)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == (
        f"Error: The database server {uri.rpartition('@')[2].removesuffix('/x')} can't be reached"
        " (Connection refused): start it, or correct DATABASE_URI.\n"
    )


def test_faults_of_settings_are_one_sentence() -> None:
    uri = f"mysql+pymysql://me:{PASSWORD}@{LOOPBACK}:{PASSWORD}/x"
    ran = flask_process("audit", DATABASE_URI=uri, REDIS_URL="redis://127.0.0.1:port")
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    assert "DATABASE_URI" in ran.stderr
    assert "REDIS_URL" in ran.stderr
    assert PASSWORD not in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["users", "list", "caf\udce9"], "is not UTF-8 text"),
        (["users", "show", "\udcff"], "is not UTF-8 text"),
        (["users", "promote", "\udcff"], "is not UTF-8 text"),
        (["users", "halt", ID, "--reason", "\udcff"], "is not UTF-8 text"),
        (["backup", "x" * 300], "File name too long"),
        (["backup", "x" * 300 + "/y.gz"], "File name too long"),
    ],
)
def test_unusable_arguments(migrated_sqlite: str, arguments: list[str], named: str) -> None:
    with app_on(migrated_sqlite, NO_REDIS) as app:
        result = CliRunner().invoke(FlaskGroup(create_app=lambda: app), arguments)
    assert faulty(arguments[0], result, named=named) == []


def test_bug_keeps_its_traceback(migrated_sqlite: str, files: dict[str, str]) -> None:
    """A wrong SQL statement is not a fault of the database."""
    with app_on(migrated_sqlite, NO_REDIS) as app:

        @app.cli.command("wrong")
        def wrong() -> None:
            get_core().database.read(lambda session: session.execute(text("SELEC 1")))

        guard_commands(app.cli.commands)
        result = CliRunner().invoke(FlaskGroup(create_app=lambda: app), ["wrong"])
    assert isinstance(result.exception, OperationalError)
