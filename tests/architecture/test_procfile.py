"""The Procfile's lines against the modules that they name."""

import shlex
from importlib.util import find_spec

import pytest
from honcho.environ import parse_procfile

from launcher.plan import ROOT

COMMANDS = parse_procfile((ROOT / "Procfile").read_text()).processes

DOOR = ["run", "--config", "deploy/Caddyfile", "--adapter", "caddyfile"]


def module_of(words: list[str]) -> str:
    if words[:3] == ["exec", "env", "-i"]:
        # No Python: it starts with the variables that it is given here and no others.
        program = next(number for number, word in enumerate(words[3:], 3) if "=" not in word)
        assert words[program:] == ["caddy", *DOOR]
        return "launcher.__main__"
    if words[:2] == ["exec", "env"]:
        # A variable that this process alone is given.
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
def test_every_line_names_a_module_that_exists(name: str) -> None:
    """A line that names nothing is found out only by the machine that starts it."""
    module = module_of(shlex.split(COMMANDS[name]))
    assert find_spec(module.partition(".")[0]) is not None
    assert find_spec(module) is not None


def test_every_process_has_its_line() -> None:
    """The launcher's health checks ask for these by name."""
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
