"""Outgoing connections and code execution are limited to an allow-list of files."""

import ast
import re

from tests.architecture.source import imports, python_files, tree

PACKAGES = ("trading", "webapp", "workers", "relayer", "push_gateway")
# Modules that can open a connection, and the only files that may use them: the HTTP client of
# PortOne and Toss, whose hosts are restricted settings, and the relayer's two connections to Toss.
CALLERS = {
    "trading/http_client.py",
    "trading/payments/portone/transport.py",
    "trading/stocks/toss/client.py",
    "relayer/feed/guest_token.py",
    "relayer/feed/stomp_feed.py",
}
OPENERS = re.compile(
    r"(requests|urllib3|httpx|http\.client|urllib\.request|aiohttp\.(Client\w*|request)|websockets\.\w+\.client\.connect|smtplib|ftplib|telnetlib)\b"
)
# Runs the database's own programs for an operator's command, without a shell. No request leads
# there.
DUMPS = "trading/operations/backups/mysql.py"
# Calls that run code or a process.
RUNNERS = re.compile(
    r"(pickle|marshal|shelve|dill|cloudpickle|yaml|subprocess|code|pty|xml|lxml|jinja2)\b"
)
BUILT_IN = {"eval", "exec", "compile", "__import__", "render_template_string"}


def test_only_integrations_and_the_relayer_open_connections() -> None:
    """A view that fetched an address could be made to fetch another one (SSRF)."""
    found = {
        str(path)
        for path in python_files(*PACKAGES)
        for _, module in imports(path)
        if OPENERS.match(module)
    }
    assert found == CALLERS


def test_input_is_never_executed() -> None:
    """No serializer except JSON, no text templates, no code from text, no processes."""
    found = [
        f"{path}:{line}: {module}"
        for path in python_files(*PACKAGES)
        for line, module in imports(path)
        if RUNNERS.match(module) and str(path) != DUMPS
    ]
    found += [
        f"{path}:{node.lineno}: {node.func.id}"
        for path in python_files(*PACKAGES)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in BUILT_IN
    ]
    assert found == []
