"""State of the installation, collected per section so that one failure hides no other section."""

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from redis import Redis, RedisError
from sqlalchemy import func, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

import celery_config
from trading import __version__
from trading.audit.queries import audit_state
from trading.config.settings import Settings
from trading.db.faults import explain
from trading.db.transactions import Database, DatabaseUnavailable
from trading.exchange.hours import AlwaysOpen, KrxHours, MarketHours
from trading.exchange.market_hours_provider import get_day_changes
from trading.halts.queries import ACCOUNT_IS_HALTED, IS_RUNNING, halts_where
from trading.halts.tables import ACCOUNT_HALTS
from trading.marketdata.quotes import MarketUnavailable
from trading.operations.alert_rules import Problem, Severity, alert, find_problems
from trading.operations.row_counts import row_counts
from trading.operations.system_status import (
    DatabaseStatus,
    MarketStatus,
    SystemStatus,
    database_status,
    market_status,
    queues_status,
)
from trading.payments.queries import count_open_alerts, list_open_alerts
from trading.redis import keys
from trading.redis.client import explain as explain_redis
from trading.redis.running_processes import Processes, read_processes
from webapp.cli.migrations import UnfitDatabase, require_file, scripts

_PACKAGES = ("flask", "celery", "sqlalchemy", "pymysql", "redis", "gunicorn", "aiohttp", "flower")

# Sections that the database answers once it is migrated.
_OF_DATABASE = ("database", "rows", "due", "payments", "audit", "trading")

UPGRADE_PAGE = "docs/deployment.md#upgrade"

Facts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Section:
    """Facts of one section, or in `missing` the reason why there are none."""

    facts: Facts = field(default_factory=dict)
    missing: str | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """All sections by name, and the problems: servers that do not answer, pending migrations, and
    broken alert rules.
    """

    at: datetime
    sections: Mapping[str, Section]
    problems: tuple[Problem, ...]


class Inspection:
    """Collects every section once.

    A server that failed to answer one query is not asked again, so that the whole takes seconds at
    most. `broker` is the same client as `redis` if one server serves both.
    """

    def __init__(
        self, settings: Settings, database: Database, redis: Redis, broker: Redis, *, now: datetime
    ) -> None:
        self._settings = settings
        self._database = database
        self._redis = redis
        self._broker = broker
        self._now = now
        self._uri = settings.database_uri.get_secret_value()
        # Servers that failed: the short reason and the sentence for the operator.
        self._failed: dict[object, tuple[str, str]] = {}
        self._rows: DatabaseStatus | None = None
        self._market: MarketStatus | None = None
        self._processes: Processes | None = None

    def status(self) -> Status:
        """Return every section. Never raises for a server that does not answer."""
        sections = {"versions": Section(_versions())}
        for name, query in self._database_queries().items():
            sections[name] = self._of_database(query)
        hours = self._hours(sections["calendar"])
        sections["trading"] = self._of_database(lambda session: self._trading(session, hours))
        del sections["calendar"]
        sections["redis"] = self._of(
            self._redis,
            lambda: _server_of(self._redis, self._settings.redis_url.get_secret_value()),
        )
        if self._broker is not self._redis:
            sections["broker"] = self._of(
                self._broker, lambda: _server_of(self._broker, self._settings.broker_url)
            )
        sections["queues"] = self._of(
            self._broker, lambda: {**queues_status(self._broker, self._queues()).depths}
        )
        sections["beat"] = self._of(self._broker, self._beat)
        sections["feed"] = self._of(self._redis, lambda: self._feed(hours))
        sections["processes"] = self._of(self._redis, self._read_processes)
        sections["settings"] = Section(self._important_settings())
        problems = [*self._faults(sections), *self._broken_rules(sections)]
        return Status(self._now, sections, tuple(problems))

    def _database_queries(self) -> dict[str, Callable[[Session], Facts]]:
        return {
            "database": _server,
            "migrations": _migrations,
            "calendar": lambda session: {"changes": get_day_changes(session)},
            "rows": lambda session: {
                name: _members(count) for name, count in row_counts(session).items()
            },
            "due": self._due,
            "payments": _payments,
            "audit": self._audit,
        }

    def _due(self, session: Session) -> Facts:
        self._rows = database_status(session, settings=self._settings, now=self._now)
        return {stage: _members(due) for stage, due in self._rows.due.items()}

    def _of_database(self, query: Callable[[Session], Facts]) -> Section:
        if self._database in self._failed:
            return Section(missing=self._failed[self._database][0])
        try:
            require_file(self._uri)
            return Section(self._database.read(query))
        except UnfitDatabase as unfit:
            self._failed[self._database] = ("the database does not exist", str(unfit))
        except (DatabaseUnavailable, SQLAlchemyError) as fault:
            sentence = explain(fault, self._uri)
            if sentence is None:
                # The server answers, but the tables may be missing: see the section `migrations`.
                return Section(missing=f"the query failed: {type(fault).__name__}")
            self._failed[self._database] = ("the database does not answer", sentence)
        return Section(missing=self._failed[self._database][0])

    def _of(self, server: Redis, query: Callable[[], Facts]) -> Section:
        if server in self._failed:
            return Section(missing=self._failed[server][0])
        try:
            return Section(query())
        except (RedisError, MarketUnavailable, OSError) as fault:
            cause = fault.__cause__ if isinstance(fault, MarketUnavailable) else fault
            self._failed[server] = self._redis_away(server, cause)
        return Section(missing=self._failed[server][0])

    def _redis_away(self, server: Redis, cause: BaseException | None) -> tuple[str, str]:
        is_market = server is self._redis
        url = (
            self._settings.redis_url.get_secret_value() if is_market else self._settings.broker_url
        )
        setting = "REDIS_URL" if is_market else "CELERY_BROKER_URL"
        short = f"{'Redis' if is_market else 'the broker'} does not answer"
        fault = cause if isinstance(cause, RedisError) else RedisError()
        sentence = explain_redis(fault, url, name=setting)
        return short, sentence or f"{short[0].upper()}{short[1:]}."

    def _queues(self) -> list[str]:
        return sorted(celery_config.queue_names(self._settings))

    def _hours(self, calendar: Section) -> MarketHours:
        """Return the market hours, without corrections if the database does not answer."""
        return (
            AlwaysOpen()
            if self._settings.hours_rule == "always"
            else KrxHours(calendar.facts.get("changes", {}))
        )

    def _feed(self, hours: MarketHours) -> Facts:
        market = self._market = market_status(self._redis, hours=hours, now=self._now)
        facts: Facts = {
            "status": market.diagnosis.status,
            "reasons": list(market.diagnosis.reasons),
        }
        names = ("last_tick_at", "subscriptions", "reconnects", "why_disconnected")
        return facts | (
            {} if market.health is None else {name: getattr(market.health, name) for name in names}
        )

    def _read_processes(self) -> Facts:
        self._processes = read_processes(self._redis)
        return {"running": [_members(process) for process in self._processes.running]}

    def _beat(self) -> Facts:
        holder = self._broker.get(keys.BEAT_LOCK)
        # Host and process id, without the suffix that makes the lock's value unique.
        return {"holder": None if holder is None else str(holder).rpartition(":")[0] or str(holder)}

    def _trading(self, session: Session, hours: MarketHours) -> Facts:
        span, halts = hours.span_at(self._now), halts_where(session, IS_RUNNING)
        halted_accounts = select(func.count()).select_from(ACCOUNT_HALTS).where(ACCOUNT_IS_HALTED)
        return {
            "session": None if span is None else span.session,
            "halted_since": halts[0].halted_at if halts else None,
            "halt_reason": halts[0].reason if halts else None,
            "halted_accounts": session.scalar(halted_accounts),
        }

    def _audit(self, session: Session) -> Facts:
        state = audit_state(session, now=self._now)
        return {
            "run_at": state.run_at,
            "changed": state.changed,
            "unaudited": state.unaudited,
            "breaches": state.breaches_total,
        }

    def _important_settings(self) -> Facts:
        settings = self._settings
        return {
            "environment": settings.environment,
            "market_hours": settings.hours_rule,
            "fill_profile": settings.fill_profile,
            "matcher_shards": settings.matcher_shards,
            "tick_freshness_ms": settings.tick_freshness_ms,
            "toss": urlsplit(settings.toss_websocket_url).hostname,
            "portone": urlsplit(settings.portone_api_base_url).hostname,
            "log_format": settings.log_format,
        }

    def _faults(self, sections: Mapping[str, Section]) -> list[Problem]:
        """Return servers that do not answer, and migrations that do not fit."""
        faults = [alert("MetricsSourceDown", sentence) for _, sentence in self._failed.values()]
        if self._database not in self._failed:
            migrations = sections["migrations"]
            if migrations.facts.get("unknown"):
                faults.append(
                    _migration_fault(
                        "The database belongs to another release with unknown migrations."
                    )
                )
            elif migrations.missing or migrations.facts["pending"]:
                faults.append(_migration_fault("Migrations are pending: flask db upgrade."))
            elif failed := [name for name in _OF_DATABASE if sections[name].missing]:
                # Their alert rules were not evaluated, so they may be broken.
                reason = sections[failed[0]].missing
                text = f"The tables do not show {', '.join(failed)}: {reason}."
                faults.append(alert("MetricsSourceDown", text))
        return faults

    def _broken_rules(self, sections: Mapping[str, Section]) -> list[Problem]:
        beat = sections["beat"]
        status = SystemStatus(
            taken_at=self._now, database=self._rows, queues=None, market=self._market
        )
        is_beat_active = None if beat.missing else beat.facts["holder"] is not None
        return find_problems(status, self._processes, is_beat_active=is_beat_active)


def _migration_fault(sentence: str) -> Problem:
    return Problem("Migrations", Severity.CRITICAL, sentence, UPGRADE_PAGE)


def _members(record: Any) -> Facts:
    return {name: getattr(record, name) for name in record.__slots__}


def _versions() -> Facts:
    return {
        "stocking": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
    }


def _server(session: Session) -> Facts:
    bind = session.get_bind()
    url, on_sqlite = bind.engine.url, bind.dialect.name == "sqlite"
    version_text = session.scalar(
        text("SELECT sqlite_version()" if on_sqlite else "SELECT VERSION()")
    )
    return {
        "server": f"SQLite {version_text}" if on_sqlite else str(version_text),
        "address": url.database if on_sqlite else f"{url.host}:{url.port or 3306}/{url.database}",
    }


def _migrations(session: Session) -> Facts:
    """Return the current and the newest revision and those in between.

    `current` is None for a database without tables.
    """
    migrations = scripts()
    head = migrations.get_current_head()
    current = None
    if inspect(session.connection()).has_table("alembic_version"):
        current = session.scalar(text("SELECT version_num FROM alembic_version"))
    known = {script.revision for script in migrations.walk_revisions()}
    if current is not None and current not in known:
        # The database belongs to a newer release, so nothing is pending.
        return {"current": current, "head": head, "pending": [], "unknown": True}
    pending = [script.revision for script in migrations.iterate_revisions(head, current or "base")]
    return {"current": current, "head": head, "pending": pending[::-1], "unknown": False}


def _payments(session: Session) -> Facts:
    oldest = list_open_alerts(session, limit=1)
    return {
        "open_alerts": count_open_alerts(session),
        "oldest_alert_at": oldest[0].raised_at if oldest else None,
    }


def _server_of(client: Redis, url: str) -> Facts:
    version_text: Any = client.info("server")
    name = str(version_text.get("server_name", "redis")).capitalize()
    number = version_text.get("valkey_version") or version_text.get("redis_version")
    parts = urlsplit(url)
    address = f"{parts.hostname}:{parts.port or 6379}{parts.path}" if parts.hostname else parts.path
    return {"server": f"{name} {number}", "address": address}
