"""Every numbered scenario has a test."""

import re
from pathlib import Path

SCENARIOS = 29


def test_every_scenario_has_a_test() -> None:
    """By its number."""
    source = "".join(
        path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py")
    )
    names = re.findall(r"def test_(\d\d)_(?:and_(\d\d)_)?", source)
    assert {int(number) for numbers in names for number in numbers if number} == set(
        range(1, SCENARIOS + 1)
    )
