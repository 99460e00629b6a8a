"""A line of the log: one event, whatever is in it."""

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
from tests.support.log_lines import FORMATS, HARMFUL, HOSTILE, events, json_lines, logs_of
from trading.config.settings import Settings
from trading.observability.logs.lines import TEXT_LENGTH_MAX, visible

# With half characters, which Hypothesis leaves out of texts by itself.
TEXTS = st.text(st.characters(), max_size=60) | st.just(HOSTILE)


def _fail(text: str) -> None:
    raise ValueError(text)


def _write_everywhere(text: str) -> int:
    """Log the text in every place that an event has; how many events that were."""
    log = structlog.get_logger("ours")
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
    """Whatever came from outside, and wherever it got into an event: one line each, that shows what was there."""
    with logs_of(Settings(log_format=log_format)) as written, warnings.catch_warnings():  # type: ignore[arg-type]
        warnings.simplefilter("always")
        count = _write_everywhere(text)

    found = events(written.getvalue(), log_format)
    assert len(found) == count
    assert found[0] == "as_value"
    if log_format == "json":
        (line,) = [line for line in json_lines(written.getvalue()) if line["event"] == "as_value"]
        assert line["value"] == text
        assert line["values"] == [text, {text: text}]


def test_every_character_that_can_do_harm_is_spelled_out() -> None:
    """By Unicode's own table; nothing that anybody may write is touched, Korean least of all."""
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        category = unicodedata.category(character)
        # What is not assigned yet may become either.
        assert category == "Cn" or (visible(character) != character) == (category in HARMFUL), hex(
            code
        )


@pytest.mark.parametrize("log_format", FORMATS)
def test_a_long_text_is_cut(log_format: str) -> None:
    """A peer's answer of a megabyte is no line that anybody reads; the line says how long it was."""
    with logs_of(Settings(log_format=log_format)) as written:  # type: ignore[arg-type]
        structlog.get_logger("ours").info("long", value="x" * 1_000_000)

    assert len(written.getvalue()) < TEXT_LENGTH_MAX + 400
    assert "(1,000,000 characters)" in written.getvalue()


@pytest.mark.parametrize("log_format", FORMATS)
def test_secrets_are_hidden_whoever_wrote_them(log_format: str) -> None:
    """A library's message may hold an address with its password; a token, a hash and a webhook's secret are known by their form."""
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlLXRoYXQtaXMtbG9uZw"
    settings = Settings.model_validate(
        {
            "log_format": log_format,
            "database_uri": "mysql+pymysql://stocking:data%22base-pass@db/stocking",
            "redis_url": "redis://:redis-password@cache/0",
            "jwt_secret_key": "a signing key of some length",
            "portone_webhook_secrets": "whsec_b25lIHNlY3JldCBvZiB0d28hISE=,whsec_YW5vdGhlciBzZWNyZXQgb2Ygb3Vycw==",
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
            structlog.get_logger("ours").exception("fault", given={"key": ["redis-password"]})

    assert [secret for secret in secrets if secret in written.getvalue()] == []
    assert len(events(written.getvalue(), log_format)) == 9


# What nobody catches, in each place where Python would write of it by itself.
_DYING = """
import sys, threading, warnings
from trading.observability.logs import setup_logging
from trading.config.processes import Process
setup_logging(Process.API)
hostile = sys.argv[1]
class Clumsy:
    def __del__(self):
        raise ValueError(hostile)
warnings.warn(hostile)
Clumsy()
def die():
    raise ValueError(hostile)
thread = threading.Thread(target=die, name="a-thread")
thread.start()
thread.join()
raise KeyError(hostile)
"""


@pytest.mark.parametrize("log_format", FORMATS)
def test_what_nobody_catches_is_a_line_too(log_format: str) -> None:
    """A process that dies says why in the shape of all its other lines: warnings, lost exceptions, dead threads, its own end."""
    hostile = (
        HOSTILE.replace("\0", "").encode(errors="replace").decode()
    )  # What an argument can't be.
    ran = subprocess.run(
        [sys.executable, "-c", _DYING, hostile],
        cwd=ROOT,
        env={"LOG_FORMAT": log_format, "PYTHONUTF8": "1"},
        capture_output=True,
        check=False,
    )

    assert (ran.returncode, ran.stdout) == (1, b"")
    found = events(ran.stderr.decode(), log_format)
    assert found == [
        "python_warning",
        "exception_ignored",
        "uncaught_exception",
        "uncaught_exception",
    ]
    if log_format == "json":
        assert [line["level"] for line in json_lines(ran.stderr.decode())] == [
            "warning",
            "error",
            "critical",
            "critical",
        ]


def test_faulty_settings_are_told_in_the_shape_that_was_asked_for() -> None:
    """Before anything is set up, and without showing a value: in JSON as one line, else as a sentence each."""
    environment = {"STARTING_CASH": "much", "LOG_LEVEL": "LOUD"}
    told = {
        log_format: subprocess.run(
            [
                sys.executable,
                "-c",
                "from trading.observability.logs import setup_logging; from trading.config.processes import Process; setup_logging(Process.API)",
            ],
            cwd=ROOT,
            env={**environment, "LOG_FORMAT": log_format},
            capture_output=True,
            text=True,
            check=False,
        )
        for log_format in FORMATS
    }

    assert {ran.returncode for ran in told.values()} == {2}
    assert told["console"].stderr.splitlines()[0] == "The settings have faults:"
    line = json.loads(told["json"].stderr)
    assert line["event"] == "settings_invalid"
    assert [fault.partition(":")[0] for fault in line["faults"]] == ["LOG_LEVEL", "STARTING_CASH"]
    assert "much" not in told["console"].stderr + told["json"].stderr
