"""Expressions of Prometheus, read by its own grammar: which series they ask for, and by which labels."""

from dataclasses import dataclass, field

import promql_parser as promql

from trading.observability.metrics.families import FAMILIES, Family, Kind

# What Prometheus itself adds to every series, and prometheus.yml.
ADDED = frozenset({"job", "instance", "service"})
# What comes from elsewhere: Prometheus' own, and the library's of a process.
OTHERS = frozenset({"up", "process_resident_memory_bytes"})

_SERIES: dict[str, tuple[Family, frozenset[str]]] = {
    f"{family.name}{suffix}": (family, frozenset({*family.labels, *more}))
    for family in FAMILIES
    for suffix, more in (
        {"_bucket": ("le",), "_sum": (), "_count": ()}
        if family.kind is Kind.HISTOGRAM
        else {"": ()}
    ).items()
}


@dataclass
class Asked:
    """What an expression asks for: selectors by name with the labels that they match, and the labels by which it groups or joins."""

    selectors: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    grouped_by: set[str] = field(default_factory=set)


def read(expression: str) -> Asked:
    """Raises ValueError for what is no expression."""
    asked = Asked()

    def visit(node: promql.Expr) -> None:
        selector = node.vector_selector if isinstance(node, promql.MatrixSelector) else node
        if isinstance(selector, promql.VectorSelector):
            asked.selectors.append(
                (selector.name or "", {one.name: one.value for one in selector.matchers.matchers})
            )
        modifier = getattr(node, "modifier", None)
        matching = getattr(modifier, "matching", modifier)
        asked.grouped_by.update(getattr(matching, "labels", ()))

    promql.walk(promql.parse(expression), pre_visit=visit)
    return asked


def faults_of(expression: str) -> list[str]:
    """What an expression asks for that nobody tells."""
    asked, faults, known = read(expression), [], set(ADDED)
    for name, matched in asked.selectors:
        if name in OTHERS:
            labels = frozenset[str]()
        elif name in _SERIES:
            labels = _SERIES[name][1]
        else:
            faults.append(f"no series {name}")
            continue
        known |= labels
        faults += [
            f"{name} has no label {label}" for label in matched if label not in labels | ADDED
        ]
    return faults + [
        f"nothing has a label {label}" for label in asked.grouped_by if label not in known
    ]
