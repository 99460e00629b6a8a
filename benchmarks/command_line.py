"""Options of a benchmark, and the figures that it prints."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import TypeVar

PlanType = TypeVar("PlanType")


def plan_from_command_line(plan: type[PlanType], description: str | None) -> PlanType:
    """Build a plan from the command line: each field of the dataclass is an option of its type.

    ``description`` is the module's docstring, which also explains the options.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for field in fields(plan):  # type: ignore[arg-type]
        name, default = f"--{field.name.replace('_', '-')}", field.default
        parser.add_argument(name, type=type(default), default=default, help=f"default {default}")
    return plan(**vars(parser.parse_args(sys.argv[1:])))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that the given share (0 to 1) of the values does not exceed."""
    return sorted(values)[max(0, -int(-share * len(values) // 1) - 1)]
