"""Series and labels that a PromQL expression refers to, found with a PromQL parser."""

from dataclasses import dataclass, field

import promql_parser as promql

from trading.observability.metrics.families import FAMILIES, Family, Kind

# Labels added to every series by Prometheus and by prometheus.yml.
ADDED_LABELS = frozenset({"job", "instance", "service"})
# Series of Prometheus itself, and of the client library's process collector.
FOREIGN_SERIES = frozenset({"up", "process_resident_memory_bytes"})

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
class References:
    """References of an expression: selectors with their matched labels, and grouping labels."""

    selectors: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    grouped_by: set[str] = field(default_factory=set)


def read(expression: str) -> References:
    """Parse an expression. Raises ValueError if it is invalid."""
    references = References()

    def visit(node: promql.Expr) -> None:
        selector = node.vector_selector if isinstance(node, promql.MatrixSelector) else node
        if isinstance(selector, promql.VectorSelector):
            references.selectors.append(
                (selector.name or "", {one.name: one.value for one in selector.matchers.matchers})
            )
        modifier = getattr(node, "modifier", None)
        matching = getattr(modifier, "matching", modifier)
        references.grouped_by.update(getattr(matching, "labels", ()))

    promql.walk(promql.parse(expression), pre_visit=visit)
    return references


def faults_of(expression: str) -> list[str]:
    """Return references of an expression to series or labels that no process exports."""
    references, faults, known = read(expression), [], set(ADDED_LABELS)
    for name, matched in references.selectors:
        if name in FOREIGN_SERIES:
            labels = frozenset[str]()
        elif name in _SERIES:
            labels = _SERIES[name][1]
        else:
            faults.append(f"no series {name}")
            continue
        known |= labels
        faults += [
            f"{name} has no label {label}"
            for label in matched
            if label not in labels | ADDED_LABELS
        ]
    return faults + [
        f"nothing has a label {label}" for label in references.grouped_by if label not in known
    ]
