"""Gunicorn's configuration for the API. Times are in seconds, sizes in bytes.

docs/settings.md lists the environment variables.
"""

import gc
import os
import re
import sys
from itertools import count
from typing import Any

from gunicorn.glogging import Logger

from trading.config.processes import Process, ProcessKind
from trading.observability import logs
from trading.observability.metrics import multiprocess
from trading.redis.running_processes import report_process

# Here and not only in the workers: the arbiter logs first, and invalid settings must end it before
# it starts workers that fail repeatedly.
_settings = logs.setup_logging(Process.API)
loglevel = _settings.log_level.lower()

wsgi_app = "wsgi:app"
bind = f"{os.environ.get('API_HOST', '127.0.0.1')}:{os.environ.get('API_PORT', '8000')}"

# The front door buffers requests and answers, so no thread waits long for a client.
worker_class = "gthread"
workers = int(os.environ.get("WORKERS", "2"))
threads = int(os.environ.get("THREADS", "8"))
# Together with connections to other servers below the usual limit of 1,024 open files.
worker_connections = 700

# A view answers within seconds, so a slower one hangs.
timeout = 60
# As long as the front door's grace_period. The launcher kills after 20 s, so a stop answers
# requests in progress and kills nothing.
graceful_timeout = 3
# Longer than the front door keeps an idle connection (60), so that it never uses a closing one.
keepalive = 75

# Bounds the effect of a memory leak. The jitter keeps workers from ending together.
max_requests = 100_000
max_requests_jitter = 10_000

# The front door limits a request's head. These are gunicorn's largest limits, so that it rejects no
# request with its own texts.
limit_request_line = 0
limit_request_fields = 32_768
limit_request_field_size = 65_536
# No header may change the mount path: the application is at the root.
forwarder_headers = ""

# Heart-beat files must be in memory: on a disk a slow sync looks like a hanging worker.
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: PTH112, S108

control_socket_disable = True  # Signals suffice for control; this closes an entry point.
accesslog = (
    None  # The application logs each request itself, with its request id and without secrets.
)
errorlog = None  # Gunicorn's lines go to the application's log.


_INVALID = re.compile(r"(Invalid request from ip=\S+ [^:'\"]*).*", re.DOTALL)


class _SharedLogs(Logger):  # type: ignore[misc]
    """Passes gunicorn's lines to the root logger's handler, so that all lines have one format."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.propagate = True

    def warning(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Log only the reason for an invalid request: its content may be a secret."""
        super().warning(_INVALID.sub(r"\1", msg), *args, **kwargs)


logger_class = _SharedLogs


def on_starting(_server: Any) -> None:
    """Create the folder for the workers' metrics."""
    multiprocess.create_folder()


def pre_fork(server: Any, worker: Any) -> None:
    """Assign the lowest slot that no running worker has: during a reload old and new workers run
    together.
    """
    taken = {other.slot for other in server.WORKERS.values()}
    worker.slot = next(slot for slot in count() if slot not in taken)


def post_fork(_server: Any, worker: Any) -> None:
    """Let a worker continue its predecessor's counters."""
    multiprocess.clear_in_progress(worker.slot)
    multiprocess.enable(lambda: worker.slot)


def child_exit(_server: Any, worker: Any) -> None:
    """Remove the in-flight requests of an ended worker."""
    multiprocess.clear_in_progress(worker.slot)


def post_worker_init(_worker: Any) -> None:
    """Switch threads after 0.5 ms instead of Python's 5 ms, and freeze the loaded objects.

    An order waits ten times for a server. Behind two computing threads that added up to the slowest
    hundredth of the answers. The garbage collector need not scan what is loaded by now.
    """
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(0.0005)
    report_process(ProcessKind.API, _settings.redis_url.get_secret_value())
