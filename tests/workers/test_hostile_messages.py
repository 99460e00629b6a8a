"""Hostile broker messages: none is executed, and the worker continues."""

import base64
import json
import os
import pickle
from datetime import timedelta
from pathlib import Path
from typing import Any

from redis import Redis
from sqlalchemy import func, insert, select

import celery_config
from tests.support.servers import wait_until
from tests.webapp.client import Api
from tests.workers.processes import worker
from tests.workers.test_live import _send
from trading.accounts.tables import SIGN_IN_SESSIONS
from trading.config.settings import Settings
from trading.db.clock import utc_now
from trading.db.ids import new_id
from trading.tasks import Task

QUEUE = celery_config.QUEUES[Task.PURGE_SESSIONS]
OLD = 1_203


class Payload:
    """Creates a file when unpickled."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._file),)


def message(content_type: str, body: bytes, *, task: str, encoding: str = "utf-8") -> str:
    """Return a message in Celery's Redis format with any body."""
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-encoding": encoding,
            "content-type": content_type,
            "headers": {
                "lang": "py",
                "task": task,
                "id": str(new_id()),
                "argsrepr": "()",
                "kwargsrepr": "{}",
            },
            "properties": {
                "correlation_id": str(new_id()),
                "delivery_mode": 2,
                "delivery_info": {"exchange": QUEUE, "routing_key": QUEUE},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": str(new_id()),
            },
        }
    )


def test_only_json_messages_and_known_tasks_are_run(
    live_api: Api, live_settings: Settings, tmp_path: Path
) -> None:
    """Pickle and YAML are refused unread, unknown tasks dropped, invalid arguments fail alone."""
    harness, sessions = live_api.harness, SIGN_IN_SESSIONS
    user, now = harness.user(), utc_now()
    old = [
        {
            "id": new_id(), "user_id": user, "refresh_token_id": new_id(), "created_at": now,
            "expires_at": now - timedelta(days=31),
            "revoked_at": None, "revoked_reason": None,
        }
        for _ in range(OLD)
    ]  # fmt: skip
    harness.do(lambda session: session.execute(insert(sessions), old))
    made = tmp_path / "made"
    pickled = pickle.dumps(((Payload(made),), {}, {}))
    nothing = json.dumps([[], {}, {}]).encode()
    hostile = [
        message(
            "application/x-python-serialize", pickled, task=Task.PURGE_SESSIONS, encoding="binary"
        ),
        message(
            "application/x-yaml",
            f"!!python/object/apply:os.mkdir ['{made}']".encode(),
            task=Task.PURGE_SESSIONS,
        ),
        message("application/json", pickled, task=Task.PURGE_SESSIONS, encoding="binary"),
        message("application/json", nothing, task="os.system"),
        message("application/json", b'[["x"], {"y": 1}, {}]', task=Task.PURGE_SESSIONS),
        message(
            "application/json",
            json.dumps([[["' OR 1=1 --"]], {}, {}]).encode(),
            task=Task.VERIFY_PAYMENT,
        ),
    ]

    with worker(tmp_path / "worker.log", live_settings, queues=QUEUE) as process:
        with Redis.from_url(live_settings.broker_url) as broker:
            for each in hostile:
                broker.lpush(QUEUE, each)
        _send(live_settings, Task.PURGE_SESSIONS)
        left = select(func.count()).select_from(sessions)
        wait_until(
            lambda: harness.core.database.read(lambda session: session.scalar(left)) == 0,
            what="the old sign-ins are gone",
        )
        output = process.output

    assert not made.exists()
    assert output.count("Refusing to deserialize") >= 2, output
    assert "os.system" in output
