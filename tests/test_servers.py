"""The servers that other tests use."""

import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import NullPool, create_engine, text

from tests.support.fork_server import fork_server
from tests.support.servers import DatabaseServer, Valkey, wait_until


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_restarted_valkey_is_empty_and_keeps_its_port(tmp_path: Path) -> None:
    with Valkey(tmp_path) as server:
        client = redis.Redis(port=server.port)
        client.set("key", "value")
        first = server.pid
        server.stop()
        server.start()
        assert server.pid != first
        assert client.get("key") is None
        client.close()


def test_durable_valkey_keeps_its_data(tmp_path: Path) -> None:
    with Valkey(tmp_path, durable=True) as server:
        client = redis.Redis(port=server.port)
        client.set("key", "value")
        server.stop()
        server.start()
        assert client.get("key") == b"value"
        client.close()


def test_killed_valkey_restores_its_append_only_file(tmp_path: Path) -> None:
    with Valkey(tmp_path, durable=True) as server:
        client = redis.Redis(port=server.port)
        client.config_set("appendfsync", "always")
        client.set("key", "value")
        server.kill()
        server.start()
        assert client.get("key") == b"value"
        client.close()


def test_paused_valkey_is_silent_and_works_after_resume(tmp_path: Path) -> None:
    with Valkey(tmp_path) as server:
        client = redis.Redis(port=server.port, socket_timeout=0.2, retry=Retry(NoBackoff(), 0))
        server.pause()
        with pytest.raises(redis.TimeoutError):
            client.ping()
        server.resume()
        assert redis.Redis(port=server.port).ping()
        client.close()


def test_paused_valkey_can_be_stopped(tmp_path: Path) -> None:
    server = Valkey(tmp_path)
    server.start()
    pid = server.pid
    assert pid is not None
    server.pause()
    server.stop()
    wait_until(lambda: not is_alive(pid), what="the paused server is gone")


@pytest.mark.parametrize("run", [1, 2])
def test_valkey_url_starts_empty(valkey_url: str, run: int) -> None:
    with redis.Redis.from_url(valkey_url) as client:
        assert client.dbsize() == 0
        client.set("left behind by run", run)


@pytest.mark.parametrize("run", [1, 2])
def test_server_uri_is_a_new_database_with_full_unicode(empty_server_uri: str, run: int) -> None:
    engine = create_engine(empty_server_uri)
    with engine.begin() as connection:
        assert connection.execute(text("SHOW TABLES")).all() == []
        connection.execute(text("CREATE TABLE names (name VARCHAR(20))"))
        connection.execute(text("INSERT INTO names VALUES ('삼성전자 📈')"))
        assert connection.execute(text("SELECT name FROM names")).scalar_one() == "삼성전자 📈"
    engine.dispose()


def test_servers_can_start_concurrently(server_class: type[DatabaseServer]) -> None:
    """Each needs its own folder for temporary tables, because a starting server deletes all that it
    finds.
    """

    def database(number: int) -> str:
        with server_class() as server:
            return server.create_database(f"one_{number}")

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(database, range(6)))) == 6


def test_killed_server_keeps_committed_rows(server_class: type[DatabaseServer]) -> None:
    """The server is also paused before it is killed."""
    with server_class() as server:
        engine = create_engine(server.create_database("killed"), poolclass=NullPool)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE kept (number INT)"))
            connection.execute(text("INSERT INTO kept VALUES (7)"))
        server.pause()
        server.end(signal.SIGKILL)
        server.start_again()
        with engine.begin() as connection:
            assert connection.execute(text("SELECT number FROM kept")).scalar_one() == 7


def test_invalid_database_name_is_rejected(database_server: DatabaseServer) -> None:
    with pytest.raises(ValueError, match="plain name"):
        database_server.create_database("a`; DROP DATABASE mysql; --")


def test_forked_process_has_its_own_environment_arguments_and_output(tmp_path: Path) -> None:
    (tmp_path / "shown.py").write_text(
        "import os, sys\nprint(__name__, sys.argv[1:], dict(os.environ), os.getcwd(), flush=True)\n"
        "print('last', file=sys.stderr)\nsys.exit(3)\n"
    )
    with (tmp_path / "log").open("ab") as log:
        started = fork_server().start(
            "shown", "--one", env={"ONLY": "this"}, cwd=tmp_path, output=log, new_session=True
        )
        assert started.wait(60) == 3
    shown, last = (tmp_path / "log").read_text().splitlines()
    assert shown == f"__main__ ['--one'] {{'ONLY': 'this'}} {tmp_path}"
    assert last == "last"


def test_forked_process_can_be_terminated(tmp_path: Path) -> None:
    server = fork_server()
    sleeping = server.start(
        "timeit",
        *("-n", "1", "import time; time.sleep(600)"),
        env={},
        cwd=tmp_path,
        output=subprocess.DEVNULL,
    )
    assert sleeping.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        sleeping.wait(0.01)
    sleeping.terminate()
    assert sleeping.wait(60) == -signal.SIGTERM
    assert not is_alive(sleeping.pid)
