"""Prometheus metrics of a Celery process."""

import requests
from prometheus_client.parser import text_string_to_metric_families

from launcher.ports import free_port
from tests.support.deadlines import DEADLINE_S
from trading.tasks import Task


class ScrapedMetrics:
    """Metrics scraped from a process. A missing sample counts as 0."""

    def __init__(self) -> None:
        self.port = free_port()
        self.environment = {"METRICS_PORT": str(self.port)}

    def samples(self) -> dict[tuple[str, tuple[str, ...]], float]:
        """Return the samples by name and label values, in the order of the label names.

        Empty before the process listens.
        """
        try:
            answer = requests.get(f"http://127.0.0.1:{self.port}/metrics", timeout=DEADLINE_S)
        except requests.RequestException:
            return {}
        assert answer.status_code == 200, answer.text
        return {
            (
                sample.name.removeprefix("stocking_"),
                tuple(sample.labels[name] for name in sorted(sample.labels)),
            ): (sample.value)
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }

    def of(self, sample: str, *labels: str) -> float:
        return self.samples().get((sample, labels), 0.0)

    def tasks(self, outcome: str, task: str = Task.EXECUTE_ORDERS) -> float:
        return self.of("tasks_total", outcome, str(task))
