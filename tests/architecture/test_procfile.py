"""Commands of the Procfile."""

import shlex
from importlib.util import find_spec

import pytest
from honcho.environ import parse_procfile

from launcher.plan import ROOT

COMMANDS = parse_procfile((ROOT / "Procfile").read_text()).processes

DOOR = ["run", "--config", "deploy/Caddyfile", "--adapter", "caddyfile"]


def module_of(words: list[str]) -> str:
    if words[:3] == ["exec", "env", "-i"]:
        # Not a Python program: it starts with the variables set before it.
        program = next(number for number, word in enumerate(words[3:], 3) if "=" not in word)
        assert words[program:] == ["caddy", *DOOR]
        return "launcher.__main__"
    if words[:2] == ["exec", "env"]:
        # A variable for this process only.
        words = ["exec", *words[3:]]
    match words:
        case ["exec", "gunicorn", "-c", _, "--bind", _, target]:
            return target.partition(":")[0]
        case ["exec", "celery", "-A", application, "worker" | "flower", *_]:
            return application
        case ["exec", "celery", "-A", application, "--quiet", "beat", *_]:
            return application
        case ["exec", "python", "-m", module, *_]:
            return f"{module}.__main__"
    raise AssertionError(f"a line of an unknown form: {shlex.join(words)}")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_line_names_an_existing_module(name: str) -> None:
    module = module_of(shlex.split(COMMANDS[name]))
    assert find_spec(module.partition(".")[0]) is not None
    assert find_spec(module) is not None


def test_every_process_has_a_line() -> None:
    """The launcher's health checks refer to these names."""
    assert set(COMMANDS) == {
        "front_door",
        "api",
        "worker",
        "beat",
        "relayer",
        "gateway",
        "flower",
        "sandbox",
    }
