"""The families keep Prometheus' conventions, so that whoever reads a name knows what it counts and in what."""

import re

import pytest

from trading.observability.metrics.families import FAMILIES, Family, Kind

by_name = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)

_UNITS = ("seconds", "rows", "messages", "total")


@by_name
def test_a_name_says_whose_it_is_and_in_what_it_counts(family: Family) -> None:
    """Ours by its first word; counters and nothing else end with total; times are seconds, never fractions of them."""
    assert re.fullmatch(r"stocking(_[a-z]+)+", family.name)
    assert family.name.endswith("_total") == (family.kind is Kind.COUNTER)
    assert not re.search(
        r"_(ms|milliseconds|minutes|hours|percent|bytes|count|sum|bucket)\b", family.name
    )
    if re.search("_(age|duration|lag|silent|behind|timestamp)(_|$)", family.name):
        assert family.name.endswith("_seconds")


@by_name
def test_a_family_is_told_by_somebody_and_means_something(family: Family) -> None:
    """One sentence, few labels that are words of ours, and bounds for histograms alone, ascending."""
    assert family.exposed_by
    assert family.help.endswith(".")
    assert "\n" not in family.help
    assert len(family.labels) <= 3
    assert all(re.fullmatch("[a-z_]+", label) for label in family.labels)
    assert not {"instance", "job", "le", "pid", "path", "user", "id"} & set(family.labels)
    assert bool(family.buckets) == (family.kind is Kind.HISTOGRAM)
    assert list(family.buckets) == sorted(set(family.buckets))


def test_every_name_is_there_once() -> None:
    """Two families of one name could not be told together."""
    names = [family.name for family in FAMILIES]
    assert len(names) == len(set(names))
