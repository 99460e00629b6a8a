"""Who may speak to the world outside and where to: no address that a user gives is ever asked, and nothing that could run code is read."""

import ast
import re

from tests.architecture.source import imports, python_files, tree

PACKAGES = ("trading", "webapp", "workers", "relayer", "push_gateway")
# Of the modules that can open a connection these are used, and by these files alone: the one HTTP client behind PortOne and Toss, whose addresses are
# settings (a test of settings bounds their hosts), and the relayer's two ways to Toss.
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
# An operator's command has the database's own programs write a backup and read it again; no request leads there, and no shell.
DUMPS = "trading/operations/backups/mysql.py"
# What makes code or a process of what it reads.
RUNNERS = re.compile(
    r"(pickle|marshal|shelve|dill|cloudpickle|yaml|subprocess|code|pty|xml|lxml|jinja2)\b"
)
BUILT_IN = {"eval", "exec", "compile", "__import__", "render_template_string"}


def test_only_the_gateways_and_the_relayer_speak_to_the_world() -> None:
    """A view or a service that could ask an address would be one that somebody can make ask another."""
    found = {
        str(path)
        for path in python_files(*PACKAGES)
        for _, module in imports(path)
        if OPENERS.match(module)
    }
    assert found == CALLERS


def test_nothing_that_is_read_is_run() -> None:
    """No serializer but JSON, no template of text, no code from text, no process."""
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
