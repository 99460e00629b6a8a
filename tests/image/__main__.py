"""``python -m tests.image STORE WORK``: check the images in buildah's storage folder STORE.

Start production's compose file, with stand-ins for Toss and PortOne under their real host names and
TLS, then the sandbox's compose file, with the whole demo. Run the audit at the end of both. Exit
with status 0, or print the first failure and exit with 1. Files go to the folder WORK. Run it in
separate network, mount and process namespaces, as ``scripts/check-image`` does.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from launcher.plan import ROOT
from tests.architecture.compose import FILE, SANDBOX_FILE, SECRETS
from tests.image.containers import Container, Image
from tests.image.stack import CHECK_TIMEOUT_S, HEALTHY_WITHIN_S, CheckError, Stack, compose
from trading.config.settings import CERT_HOST, INFO_HOST, MARKET_DATA_HOSTS

STAND_INS = "stand-ins"
PORTONE_HOST = "api.portone.io"

_CADDYFILE = """
{
    admin off
    local_certs
    skip_install_trust
}
%(feed)s {
    reverse_proxy 127.0.0.1:8090 {
        header_up Host {upstream_hostport}
    }
}
%(rest)s {
    reverse_proxy 127.0.0.1:8093 {
        header_up Host {upstream_hostport}
    }
}
https://%(portone)s {
    reverse_proxy 127.0.0.1:8092
}
"""

# Register and sign in through Caddy, as a client does.
_REGISTER = """
import sys
import requests
session = requests.Session()
session.verify = sys.argv[1]
def post(path, **body):
    response = session.post("https://localhost/api/v1" + path, json=body, timeout=30)
    response.raise_for_status()
    return response.json()["data"]
credentials = {"email": "admin@example.com", "password": "a long one of the image's check"}
post("/users", **credentials, name="Administrator")
assert post("/users/login", **credentials)["access_token"]
"""

_DEMO = """
import threading
from rich.console import Console
from launcher.demo.trading_day import TradingDay
url = "http://127.0.0.1:8000"
TradingDay(
    url, url + "/api/v1/trading/realtime/stream", "http://127.0.0.1:8092",
    Console(width=120, highlight=False), threading.Event(),
).run()
"""

_CHECK_FILES = """
import importlib.util as util, pathlib, shutil
for program in ("pip", "pip3", "gcc", "cc", "caddy", "valkey-server"):
    assert shutil.which(program) is None, program
for package in ("pip", "launcher", "tests", "benchmarks"):
    assert util.find_spec(package) is None, package
for file in ("/etc/pip.conf", "/build", "/pip"):
    assert not pathlib.Path(file).exists(), file
uncompiled = [
    str(file) for top in ("/app", "/venv") for file in pathlib.Path(top).rglob("*.py")
    if not pathlib.Path(util.cache_from_source(file)).exists()
    and not {"tests", "migrations"} & set(file.parts)
]
assert not uncompiled, uncompiled
"""


def main() -> int:
    """Run all checks and return the process's exit status."""
    store, work = sys.argv[1:]
    buildah = ["buildah", "--root", store, "--runroot", f"{work}/run"]
    names = ("stocking:local", "stocking-sandbox:local")
    images = {name: Image.mount(buildah, name) for name in names}
    try:
        for check in (_check_production, _check_sandbox):
            check(images, Path(work))
    except CheckError as error:
        sys.stderr.write(f"The image's check failed: {error}\n")
        return 1
    return 0


def _check_production(images: Mapping[str, Image], work: Path) -> None:
    work = work / "production"
    (work / "caddy").mkdir(parents=True)
    image = images["stocking:local"]
    bundle = work / "certificates.crt"
    certifi_paths = [str(f.relative_to(image.root)) for f in image.root.glob("venv/**/cacert.pem")]

    def overlays(_image: Image) -> dict[Path, str]:
        return dict.fromkeys([bundle], "/etc/ssl/certs/ca-certificates.crt") | {
            bundle.with_suffix(f".{number}"): f"/{path}"
            for number, path in enumerate(certifi_paths)
        }

    extra_host_names = (*MARKET_DATA_HOSTS, INFO_HOST, CERT_HOST, PORTONE_HOST)
    content = compose(FILE, SECRETS)
    stack = Stack(
        content,
        images,
        work,
        stand_ins=STAND_INS,
        extra_host_names=extra_host_names,
        overlays=overlays,
    )
    root = _start_stand_ins(images["stocking-sandbox:local"], work)
    bundle.write_text(root)
    bundle.chmod(0o644)
    for number in range(len(certifi_paths)):
        copy = bundle.with_suffix(f".{number}")
        copy.write_text(root)
        copy.chmod(0o644)

    started_at = time.monotonic()
    stack.start()
    _log(f"All services of {FILE.name} are healthy after {time.monotonic() - started_at:.0f} s")
    [api] = stack.containers["api"]
    _log(f"The image contains what it should: {_last_line(api, ['python', '-c', _CHECK_FILES])}")
    authority = work / "front-door.files/caddy/pki/authorities/local/root.crt"
    _run_inside(stack.namespace("front-door"), _REGISTER, str(authority))
    _log("A user has registered and signed in through the front door")
    for command in ("users promote admin@example.com", "status", "audit"):
        _log(f"flask {command}: {_last_line(api, ['flask', *command.split()])}")
    stack.stop()
    _log("All services stopped in order")


def _start_stand_ins(image: Image, work: Path) -> str:
    """Start stand-ins for Toss and PortOne behind TLS and return the CA certificate to trust."""
    sandbox = ["python", "-m", "sandbox", "--port", "8090", "--rest-port", "8093"]
    hosts = work / "stand-ins.hosts"
    hosts.write_text("127.0.0.1 localhost\n")
    Container(
        "sandbox",
        namespace=STAND_INS,
        command=[*sandbox, "--portone-port", "8092"],
        environment={},
        log=work / "stand-ins-sandbox.log",
        image=image,
        hosts=hosts,
    )
    names = {
        "feed": ", ".join(f"https://{host}" for host in sorted(MARKET_DATA_HOSTS)),
        "rest": f"https://{INFO_HOST}, https://{CERT_HOST}",
        "portone": PORTONE_HOST,
    }
    (work / "caddy/Caddyfile").write_text(_CADDYFILE % names)
    caddy = Container(
        "caddy",
        namespace=STAND_INS,
        command=[str(Path(sys.executable).with_name("caddy")), "run"],
        environment={"HOME": str(work / "caddy"), "XDG_DATA_HOME": str(work / "caddy")},
        log=work / "stand-ins-caddy.log",
        folder=work / "caddy",
        hosts=hosts,
    )
    root = work / "caddy/caddy/pki/authorities/local/root.crt"
    deadline = time.monotonic() + HEALTHY_WITHIN_S
    while not root.exists():
        if time.monotonic() > deadline or caddy.status is not None:
            raise CheckError(f"Caddy did not start: {caddy.log.read_text()[-2000:]}")
        time.sleep(0.1)
    return root.read_text()


def _check_sandbox(images: Mapping[str, Image], work: Path) -> None:
    work = work / "sandbox"
    work.mkdir()
    stack = Stack(compose(SANDBOX_FILE, {}), images, work)
    started_at = time.monotonic()
    stack.start()
    _log(f"All services of {SANDBOX_FILE.name} are up after {time.monotonic() - started_at:.0f} s")
    [api] = stack.containers["api"]
    _await_readiness(api)
    _run_inside(stack.namespace("api"), _DEMO)
    _log(f"flask audit: {_last_line(api, ['flask', 'audit'])}")
    stack.stop()
    _log("All services stopped in order")


def _await_readiness(api: Container) -> None:
    """Wait until the API and the feed are healthy; the sandbox has no health checks for them."""
    probe = (
        "import urllib.request as r\n"
        "r.urlopen('http://127.0.0.1:8000/healthz', timeout=5)\n"
        "r.urlopen('http://127.0.0.1:8001/healthz', timeout=5)\n"
        "r.urlopen('http://127.0.0.1:8000/api/v1/trading/realtime/daemon/health', timeout=5)"
    )
    deadline = time.monotonic() + HEALTHY_WITHIN_S
    while (result := api.execute(["python", "-c", probe], timeout_s=CHECK_TIMEOUT_S))[0] != 0:
        if time.monotonic() > deadline:
            raise CheckError(f"The API does not become ready: {result[1][-500:]}")
        time.sleep(0.5)


def _run_inside(namespace: str, program: str, *arguments: str) -> None:
    """Run a Python program of the host in a container's network."""
    result = subprocess.run(
        ["ip", "netns", "exec", namespace, sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        # Without the host's settings for certificates and proxies.
        env={"PATH": os.environ["PATH"]},
        timeout=HEALTHY_WITHIN_S,
        check=False,
    )
    if result.returncode != 0:
        raise CheckError("A client's program failed")


def _last_line(container: Container, command: list[str]) -> str:
    status, output = container.execute(command, timeout_s=CHECK_TIMEOUT_S)
    if status != 0:
        raise CheckError(f"{' '.join(command[:3])} ended with {status}: {output[-3000:]}")
    return (output.strip().splitlines() or ["done"])[-1]


def _log(message: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {message}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
