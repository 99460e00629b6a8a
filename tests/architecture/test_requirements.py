"""The pinned packages: each by version and hashes, all that the project asks for, and the same in production as in the tests."""

import re
import tomllib

import pytest

from launcher.plan import ROOT

FILES = ("requirements.txt", "requirements-dev.txt")
PIN = re.compile(r"([a-z0-9](?:[a-z0-9._-]*[a-z0-9])?)==([^\s;\\]+)(?: ; [^\\]+)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")
NEED = re.compile(r"[A-Za-z0-9._-]+")


def normalized(name: str) -> str:
    """A package's name as an index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(file: str) -> dict[str, tuple[str, list[str]]]:
    """Version and hashes of each package; fails for a line that is none of a pin's."""
    found: dict[str, tuple[str, list[str]]] = {}
    hashes: list[str] = []
    for number, line in enumerate((ROOT / file).read_text().splitlines(), start=1):
        if pin := PIN.fullmatch(line):
            hashes = []
            found[normalized(pin[1])] = (pin[2], hashes)
        elif HASH.fullmatch(line):
            hashes.append(line.strip().removesuffix(" \\"))
        else:
            assert not line.strip() or line.lstrip().startswith("#"), f"{file}:{number}: {line}"
    return found


def needs(*, dev: bool) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = project["dependencies"] + (project["optional-dependencies"]["dev"] if dev else [])
    return {normalized(NEED.match(each)[0]) for each in listed}  # type: ignore[index]  # each begins with a name


@pytest.mark.parametrize("file", FILES)
def test_everything_is_pinned_by_its_hashes(file: str) -> None:
    """A pin without hashes stops every installation, and an address or an option in the file would lead pip elsewhere."""
    found = pins(file)
    assert len(found) > 80
    assert [name for name, (_, hashes) in found.items() if not hashes] == []


@pytest.mark.parametrize(("file", "dev"), [(FILES[0], False), (FILES[1], True)])
def test_everything_that_is_needed_is_pinned(file: str, dev: bool) -> None:
    """A package that somebody added to the project alone would be missing on the next machine."""
    assert needs(dev=dev) - pins(file).keys() == set()


def test_the_tests_run_on_what_production_runs_on() -> None:
    """The same version of the same files."""
    production, development = pins(FILES[0]), pins(FILES[1])
    assert {name: development.get(name) for name in production} == production


def test_nothing_of_the_tests_is_shipped() -> None:
    """What only tests and tools need is not in the image."""
    assert (needs(dev=True) - needs(dev=False)) & pins(FILES[0]).keys() == set()


def test_the_page_renews_pins_as_the_project_says() -> None:
    """One recipe in two places."""
    recipe = re.findall(r"pip-compile (--generate[^\n]+)", (ROOT / "pyproject.toml").read_text())
    page = (ROOT / "docs" / "operations" / "dependencies.md").read_text()
    assert len(recipe) == 2
    for line in recipe:
        assert f"pip-compile --upgrade {line}" in page
    for file in FILES:
        assert f"--strict --disable-pip --require-hashes -r {file}" in page
