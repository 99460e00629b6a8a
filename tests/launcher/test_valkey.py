"""Choice of the server program for the bundled Redis."""

from pathlib import Path

import pytest

from launcher.valkey import server_program


def install(folder: Path, *names: str) -> None:
    for name in names:
        program = folder / name
        program.touch()
        program.chmod(0o755)


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        (("valkey-server", "redis-server"), "valkey-server"),
        (("redis-server",), "redis-server"),
    ],
)
def test_server_on_the_path_is_preferred(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: tuple[str, ...], expected: str
) -> None:
    install(tmp_path, *installed)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert server_program() == str(tmp_path / expected)


def test_bundled_server_is_used_without_one_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Path(server_program()).is_file()
