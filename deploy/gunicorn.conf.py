"""How gunicorn serves the API. Times are seconds, sizes bytes; docs/settings.md lists what the environment changes."""

import gc
import os
import re
import sys
from itertools import count
from typing import Any

from gunicorn.glogging import Logger

from trading.config.processes import Process
from trading.observability import logs
from trading.observability.metrics import multiprocess

# Here and not in the workers alone: the first lines are the arbiter's, and faults of the settings end it before it starts workers that fail for ever.
loglevel = logs.setup_logging(Process.API).log_level.lower()

wsgi_app = "wsgi:app"
bind = f"{os.environ.get('API_HOST', '127.0.0.1')}:{os.environ.get('API_PORT', '8000')}"

# Behind the front door, which sends whole requests and takes whole answers, no thread waits long.
worker_class = "gthread"
workers = int(os.environ.get("WORKERS", "2"))
threads = int(os.environ.get("THREADS", "8"))
# With those to the servers behind, below the 1,024 files that a process may usually open.
worker_connections = 700

# A view answers within seconds: whatever outlives these limits is stuck, not slow.
timeout = 60
# As long as the front door's grace_period. The launcher kills after 20 s, so a stop answers
# requests in progress and kills nothing.
graceful_timeout = 3
# Longer than the front door keeps an idle connection (60), or it would send into a closing one.
keepalive = 75

# A leak anywhere in the process ends with the process; the jitter keeps workers from ending together.
max_requests = 100_000
max_requests_jitter = 10_000

# The front door bounds a request's head. These are gunicorn's largest, so that it refuses none
# in words of its own.
limit_request_line = 0
limit_request_fields = 32_768
limit_request_field_size = 65_536
# No header of a request says where the application is mounted: it is at the root.
forwarder_headers = ""

# Heart-beat files belong in memory: on a disk a slow sync looks like a stuck worker.
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: PTH112, S108

control_socket_disable = True  # Signals are enough to steer it; one way in less.
accesslog = (
    None  # The application logs each request itself, with its request id and without secrets.
)
errorlog = None  # Its own lines go where those of the application go.


_INVALID = re.compile(r"(Invalid request from ip=\S+ [^:'\"]*).*", re.DOTALL)


class _SharedLogs(Logger):  # type: ignore[misc]
    """Leaves gunicorn's lines to the root logger's handler, in the shape of all others."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.propagate = True

    def warning(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Of an invalid request only what was wrong with it: what was sent may be a header of authorization."""
        super().warning(_INVALID.sub(r"\1", msg), *args, **kwargs)


logger_class = _SharedLogs


def on_starting(_server: Any) -> None:
    """Make the folder in which all workers count what they do."""
    multiprocess.create_folder()


def pre_fork(server: Any, worker: Any) -> None:
    """Give a worker the lowest slot that no living one has: at a reload the old ones live on beside the new."""
    taken = {other.slot for other in server.WORKERS.values()}
    worker.slot = next(slot for slot in count() if slot not in taken)


def post_fork(_server: Any, worker: Any) -> None:
    """Let a worker go on counting where its predecessor ended."""
    multiprocess.clear_in_progress(worker.slot)
    multiprocess.enable(lambda: worker.slot)


def child_exit(_server: Any, worker: Any) -> None:
    """Forget the requests that a worker took with it."""
    multiprocess.clear_in_progress(worker.slot)


def post_worker_init(_worker: Any) -> None:
    """Let threads whose answer from the database has come in wait 0.5 ms, not Python's 5 ms.

    An order waits ten times for a server; behind two computing threads that added up to the slowest
    hundredth of the answers. What is loaded by now stays, so the garbage collector need not visit it.
    """
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(0.0005)
