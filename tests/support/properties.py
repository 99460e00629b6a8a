"""Number of examples of property tests."""

from hypothesis import settings

QUICK_PERCENT = 25

settings.register_profile("quick", deadline=None, max_examples=QUICK_PERCENT)
settings.register_profile("full", deadline=None, max_examples=100)


def examples(full: int) -> int:
    """Return ``full`` under `pytest --full`, and a quarter of it otherwise, but not below 2."""
    return max(2, full * settings().max_examples // 100)
