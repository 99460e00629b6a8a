"""Secrets that each process reads and needs."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from launcher.plan import ROOT
from tests.support.deadlines import DEADLINE_S
from tests.trading.config.test_settings import PRODUCTION
from trading.config.processes import PRODUCTION_NEEDS, Process
from trading.config.settings import DEVELOPMENT_SECRET, SettingsError, load
from trading.payments.portone.client import PortoneClient
from trading.payments.portone.errors import PortoneNotConfigured

ALL_SETTINGS = {**PRODUCTION, "DATABASE_URI": "mysql+pymysql://app:hunter2@db/stocking"}
WITHOUT_SECRETS = {
    name: value for name, value in PRODUCTION.items() if name.lower() not in PRODUCTION_NEEDS
}


@pytest.mark.parametrize("environment", ["production", "development"])
@pytest.mark.parametrize("process", Process)
def test_process_reads_only_the_secrets_it_uses(process: Process, environment: str) -> None:
    settings = load({**ALL_SETTINGS, "ENVIRONMENT": environment}, process=process)

    known = {name for name in PRODUCTION_NEEDS if getattr(settings, name) is not None}
    assert known == PRODUCTION_NEEDS.keys() - process.unread
    assert ("hunter2" in settings.database_uri.get_secret_value()) is (
        "database_uri" not in process.unread
    )


@pytest.mark.parametrize("process", Process)
def test_production_requires_exactly_the_secrets_of_a_process(process: Process) -> None:
    """All missing secrets are reported together; development defaults do not replace them."""
    needed = {name.upper(): PRODUCTION[name.upper()] for name in process.needs}
    assert load({**WITHOUT_SECRETS, **needed}, process=process).environment == "production"

    if not needed:
        return
    with pytest.raises(SettingsError) as raised:
        load(WITHOUT_SECRETS, process=process)
    assert {line.split(":")[0].strip() for line in str(raised.value).splitlines()[1:]} == set(
        needed
    )
    for name in needed:
        with pytest.raises(SettingsError, match=name):
            load({**WITHOUT_SECRETS, **needed, name: ""}, process=process)


def test_development_secret_is_rejected_wherever_it_is_read() -> None:
    """Also in processes that do not require the secret."""
    for process in (Process.API, Process.GATEWAY, Process.COMMAND):
        with pytest.raises(SettingsError, match="JWT_SECRET_KEY"):
            load({**PRODUCTION, "JWT_SECRET_KEY": DEVELOPMENT_SECRET}, process=process)
    with pytest.raises(SettingsError, match="PORTONE_API_BASE_URL"):
        load(
            {**PRODUCTION, "PORTONE_API_BASE_URL": "http://127.0.0.1:8092"}, process=Process.WORKER
        )


def test_signing_without_a_key_raises() -> None:
    """An absent key must not be an empty key, with which anyone could sign."""
    settings = load(WITHOUT_SECRETS, process=Process.COMMAND)
    assert settings.jwt_secret_key is None
    with pytest.raises(SettingsError, match="JWT_SECRET_KEY"):
        _ = settings.jwt_secret


def test_portone_client_without_secret_sends_nothing() -> None:
    """The outcome counts as unknown, so a process with the secret can retry."""
    for secret, store in ((None, "store"), ("secret", None)):
        with PortoneClient(
            api_url="http://127.0.0.1:1", api_secret=secret, store_id=store
        ) as portone:
            with pytest.raises(PortoneNotConfigured) as raised:
                portone.get_payment("0" * 32)
            assert raised.value.outcome_is_unknown


COMMANDS = {
    "api": [sys.executable, "-c", "import wsgi; print(wsgi.app.config['JWT_SECRET_KEY'])"],
    "flask": [sys.executable, "-m", "flask", "database", "describe"],
}


def run(command: Sequence[str], tmp_path: Path, **given: str) -> subprocess.CompletedProcess[str]:
    """Run a program in production with these secrets only, and unreachable servers."""
    environment = {
        **WITHOUT_SECRETS,
        "PATH": os.environ["PATH"],
        "DATABASE_URI": f"sqlite:///{tmp_path / 'none.db'}",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        **given,
    }
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def test_entry_points_declare_their_process(tmp_path: Path) -> None:
    """The API needs all its secrets; a command of the same application starts without any."""
    refused = run(COMMANDS["api"], tmp_path)
    assert refused.returncode != 0
    for name in Process.API.needs:
        assert name.upper() in refused.stderr
    started = run(COMMANDS["flask"], tmp_path)
    assert started.returncode == 0, started.stderr

    secrets = {name.upper(): PRODUCTION[name.upper()] for name in Process.API.needs}
    started = run(COMMANDS["api"], tmp_path, **secrets)
    assert (started.returncode, started.stdout) == (0, PRODUCTION["JWT_SECRET_KEY"] + "\n"), (
        started.stderr
    )


def test_worker_on_payment_queues_needs_portone_secret(tmp_path: Path) -> None:
    """Consuming one of the payment queues is enough."""
    worker = [sys.executable, "-m", "celery", "-A", "workers", "worker", "-c", "1"]
    refused = run([*worker, "-X", "payments.verify"], tmp_path)
    assert refused.returncode != 0
    assert "'PORTONE_API_SECRET: a worker on the queues of payments needs it" in refused.stderr, (
        refused.stderr
    )
