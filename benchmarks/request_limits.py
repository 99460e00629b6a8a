"""What it costs to count requests: ``python -m benchmarks.request_limits``.

Two applications in this process share a MariaDB and a Valkey; one counts each request against its limit, the other does not. They are asked for
``GET /api/v1/users/me`` in turn, a hundred times each in a round, so that whatever else the machine does hits both alike.

The last line is one JSON object: the medians over the rounds, in ms a request, by the clock and by this process's processor time.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from flask.testing import FlaskClient
from flask_migrate import upgrade

from benchmarks.mariadb import MariaDB
from benchmarks.order_parts import quietly
from benchmarks.processes import GENEROUS
from launcher.valkey import Valkey
from trading import core as trading_core
from trading.settings import Settings
from webapp import create_app

PREFIX = "/api/v1"
REQUESTS = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument(
        "--rounds", type=int, default=40, help="of a hundred requests to each (default 40)"
    )
    rounds: int = parser.parse_args().rounds
    with (
        tempfile.TemporaryDirectory() as folder,
        MariaDB(innodb_flush_log_at_trx_commit=1) as mariadb,
        Valkey(Path(folder) / "valkey") as valkey,
    ):
        shared: dict[str, Any] = {
            "database_uri": mariadb.create_database("limits"),
            "redis_url": valkey.url,
            **GENEROUS,
        }
        settings = [
            Settings.model_validate(shared | {"rate_limits": counted}) for counted in (True, False)
        ]
        cores = [trading_core.build(one) for one in settings]
        with quietly(settings[0]):
            clients = [create_app(core).test_client() for core in cores]
            with clients[0].application.app_context():
                upgrade()
            found = _measure(clients, _token(clients[0]), rounds=rounds)
        for core in cores:
            core.close()
    print(json.dumps(found))


def _token(client: FlaskClient) -> str:
    person = {"email": "counted@example.com", "password": "counted and counted"}
    client.post(f"{PREFIX}/users", json={**person, "name": "셈"})
    token: str = client.post(f"{PREFIX}/users/login", json=person).get_json()["data"][
        "access_token"
    ]
    return token


def _measure(clients: list[FlaskClient], token: str, *, rounds: int) -> dict[str, float]:
    spans_ms: dict[str, list[float]] = {}
    for _ in range(rounds + 1):
        for name, client in zip(("counted", "uncounted"), clients, strict=True):
            began, began_cpu = time.perf_counter(), time.process_time()
            for _ in range(REQUESTS):
                answer = client.get(
                    f"{PREFIX}/users/me", headers={"Authorization": f"Bearer {token}"}
                )
                assert answer.status_code == 200, answer.get_data(as_text=True)
            spans_ms.setdefault(f"{name}_ms", []).append(
                1_000 * (time.perf_counter() - began) / REQUESTS
            )
            spans_ms.setdefault(f"{name}_cpu_ms", []).append(
                1_000 * (time.process_time() - began_cpu) / REQUESTS
            )
    # The first round has warmed everything up.
    return {name: round(median(spans[1:]), 3) for name, spans in spans_ms.items()}


if __name__ == "__main__":
    main()
