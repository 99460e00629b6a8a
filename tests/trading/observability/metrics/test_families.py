"""Metric families follow the naming conventions of Prometheus."""

import re

import pytest

from trading.observability.metrics.families import FAMILIES, Family, Kind

by_name = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


@by_name
def test_name_follows_the_conventions(family: Family) -> None:
    """Prefix ``stocking_``; only counters end with ``_total``; durations are in seconds."""
    assert re.fullmatch(r"stocking(_[a-z]+)+", family.name)
    assert family.name.endswith("_total") == (family.kind is Kind.COUNTER)
    assert not re.search(
        r"_(ms|milliseconds|minutes|hours|percent|bytes|count|sum|bucket)\b", family.name
    )
    if re.search("_(age|duration|lag|timestamp)(_|$)", family.name):
        assert family.name.endswith("_seconds")


@by_name
def test_family_has_help_labels_and_buckets(family: Family) -> None:
    assert family.exposed_by
    assert family.help.endswith(".")
    assert "\n" not in family.help
    assert len(family.labels) <= 3
    assert all(re.fullmatch("[a-z_]+", label) for label in family.labels)
    assert not {"instance", "job", "le", "pid", "path", "user", "id"} & set(family.labels)
    assert bool(family.buckets) == (family.kind is Kind.HISTOGRAM)
    assert list(family.buckets) == sorted(set(family.buckets))


def test_names_are_unique() -> None:
    names = [family.name for family in FAMILIES]
    assert len(names) == len(set(names))
