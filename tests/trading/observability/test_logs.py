"""Log lines: one per event, whatever the event contains."""

import json
import logging
import subprocess
import sys
import unicodedata
import warnings

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from launcher.plan import ROOT
from tests.support.log_lines import FORMATS, HOSTILE, UNSAFE_CATEGORIES, events, json_lines, logs_of
from trading.config.settings import Settings
from trading.observability.logs.lines import TEXT_LENGTH_MAX, visible

# With surrogates, which Hypothesis excludes by default.
TEXTS = st.text(st.characters(), max_size=60) | st.just(HOSTILE)


def _fail(text: str) -> None:
    raise ValueError(text)


def _log_everywhere(text: str) -> int:
    """Log ``text`` in every part of an event; return the number of events."""
    log = structlog.get_logger("product")
    log.info("as_value", value=text, values=[text, {text: text}], nothing=None, number=7)
    log.info("bound", fact_reason=text)
    logging.getLogger("library").warning(text.replace("%", ""))
    logging.getLogger("library").warning("%s and %r", text, text)
    logging.getLogger("library").warning("too few %s %s", text)  # noqa: PLE1206 - a library may be wrong
    try:
        _fail(text)
    except ValueError:
        log.exception("as_fault")
        logging.getLogger("library").exception("as a library's fault", stack_info=True)
    warnings.warn_explicit(text, UserWarning, text, 1)
    return 8


@pytest.mark.parametrize("log_format", FORMATS)
@given(text=TEXTS)
def test_no_text_breaks_or_forges_a_line(log_format: str, text: str) -> None:
    with logs_of(Settings(log_format=log_format)) as written, warnings.catch_warnings():  # type: ignore[arg-type]
        warnings.simplefilter("always")
        count = _log_everywhere(text)

    found = events(written.getvalue(), log_format)
    assert len(found) == count
    assert found[0] == "as_value"
    if log_format == "json":
        (line,) = [line for line in json_lines(written.getvalue()) if line["event"] == "as_value"]
        assert line["value"] == text
        assert line["values"] == [text, {text: text}]


def test_all_harmful_characters_are_escaped() -> None:
    """Compared with Unicode's categories; other text, such as Korean, is unchanged."""
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        category = unicodedata.category(character)
        # Unassigned characters may become either.
        assert category == "Cn" or (visible(character) != character) == (
            category in UNSAFE_CATEGORIES
        ), hex(code)


@pytest.mark.parametrize("log_format", FORMATS)
def test_long_text_is_cut(log_format: str) -> None:
    """The line states the original length."""
    with logs_of(Settings(log_format=log_format)) as written:  # type: ignore[arg-type]
        structlog.get_logger("product").info("long", value="x" * 1_000_000)

    assert len(written.getvalue()) < TEXT_LENGTH_MAX + 400
    assert "(1,000,000 characters)" in written.getvalue()


@pytest.mark.parametrize("log_format", FORMATS)
def test_secrets_are_hidden_in_all_messages(log_format: str) -> None:
    """Passwords in URLs of libraries; tokens, hashes and webhook secrets by pattern."""
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlLXRoYXQtaXMtbG9uZw"
    settings = Settings.model_validate(
        {
            "log_format": log_format,
            "database_uri": "mysql+pymysql://stocking:data%22base-pass@db/stocking",
            "redis_url": "redis://:redis-password@cache/0",
            "jwt_secret_key": "a signing key of some length",
            "portone_webhook_secrets": (
                "whsec_b25lIHNlY3JldCBvZiB0d28hISE=,whsec_YW5vdGhlciBzZWNyZXQgb2Ygb3Vycw=="
            ),
        }
    )
    secrets = [
        "redis-password",
        "a signing key of some length",
        "b25lIHNlY3JldCBvZiB0d28hISE=",
        token.split(".")[2],
    ]
    secrets += ["base-pass", "$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA", "elsewhere-password"]
    secrets += ["dXNlcjpwYXNzd29yZA", "c29tZWJvZHkncyBzZWNyZXQ", "a-word-alone"]
    with logs_of(settings) as written:
        log = logging.getLogger("library")
        log.error(
            "Error 111 connecting to redis://:redis-password@cache/0 and %s",
            settings.database_uri.get_secret_value(),
        )
        log.error('tried data"base-pass and %r', 'data"base-pass')
        log.error("Authorization: Bearer %s", token)
        log.error("Invalid header: %r", b"Authorization: Basic dXNlcjpwYXNzd29yZA==\x00")
        log.error("%r", {"authorization": "PortOne c29tZWJvZHkncyBzZWNyZXQ="})
        log.error('{"Authorization": "a-word-alone"}')
        log.error("https://me:elsewhere-password@proxy.example/x %s", secrets[5])
        log.error("signed with a signing key of some length, b25lIHNlY3JldCBvZiB0d28hISE=")
        try:
            _fail("redis-password")
        except ValueError:
            structlog.get_logger("product").exception("fault", given={"key": ["redis-password"]})

    assert [secret for secret in secrets if secret in written.getvalue()] == []
    assert len(events(written.getvalue(), log_format)) == 9


# An uncaught exception in each place where Python would print it.
_UNCAUGHT = """
import sys, threading, warnings
from trading.observability.logs import setup_logging
from trading.config.processes import Process
setup_logging(Process.API)
hostile = sys.argv[1]
class RaisesInFinalizer:
    def __del__(self):
        raise ValueError(hostile)
warnings.warn(hostile)
RaisesInFinalizer()
def fail():
    raise ValueError(hostile)
thread = threading.Thread(target=fail, name="a-thread")
thread.start()
thread.join()
raise KeyError(hostile)
"""


@pytest.mark.parametrize("log_format", FORMATS)
def test_uncaught_exceptions_are_log_lines(log_format: str) -> None:
    """Warnings, unraisable exceptions, exceptions in threads and in the main thread."""
    hostile = (
        HOSTILE.replace("\0", "").encode(errors="replace").decode()
    )  # Characters that an argument cannot contain.
    completed = subprocess.run(
        [sys.executable, "-c", _UNCAUGHT, hostile],
        cwd=ROOT,
        env={"LOG_FORMAT": log_format, "PYTHONUTF8": "1"},
        capture_output=True,
        check=False,
    )

    assert (completed.returncode, completed.stdout) == (1, b"")
    found = events(completed.stderr.decode(), log_format)
    assert found == [
        "python_warning",
        "exception_ignored",
        "uncaught_exception",
        "uncaught_exception",
    ]
    if log_format == "json":
        assert [line["level"] for line in json_lines(completed.stderr.decode())] == [
            "warning",
            "error",
            "critical",
            "critical",
        ]


def test_invalid_settings_are_reported_in_the_requested_format() -> None:
    """As one line of JSON, or as one line per fault, without values."""
    environment = {"STARTING_CASH": "much", "LOG_LEVEL": "LOUD"}
    results = {
        log_format: subprocess.run(
            [
                sys.executable,
                "-c",
                (
                    "from trading.observability.logs import setup_logging;"
                    "from trading.config.processes import Process; setup_logging(Process.API)"
                ),
            ],
            cwd=ROOT,
            env={**environment, "LOG_FORMAT": log_format},
            capture_output=True,
            text=True,
            check=False,
        )
        for log_format in FORMATS
    }

    assert {ran.returncode for ran in results.values()} == {2}
    assert results["console"].stderr.splitlines()[0] == "The settings have faults:"
    line = json.loads(results["json"].stderr)
    assert line["event"] == "settings_invalid"
    assert [fault.partition(":")[0] for fault in line["faults"]] == ["LOG_LEVEL", "STARTING_CASH"]
    assert "much" not in results["console"].stderr + results["json"].stderr
