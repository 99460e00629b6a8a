"""Hypothesis profile for measuring coverage: few examples, always the same ones."""

from hypothesis import settings

settings.register_profile(
    "coverage",
    deadline=None,
    max_examples=3,
    stateful_step_count=5,
    derandomize=True,
    database=None,
)
