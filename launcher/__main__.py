"""``python -m launcher``: start StocKing on this machine. ``start_services.sh`` calls it when everything is installed."""

import argparse
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence

from rich.console import Console

from launcher import lock, plan
from launcher.api import Api, ApiError
from launcher.credentials import kept_secret
from launcher.demo import DemoError, TradingDay
from launcher.errors import LaunchError
from launcher.health import checks_of, wait_until_healthy
from launcher.setup import bundled_redis, flask, forget_beat_schedule, prepare_database, tail
from launcher.stack import Stack

DEMO_EMAIL = "demo@stocking.example"
NARROWEST = 120  # columns: a table that is cut off would hide the figures it is there to show
FINISH_TIMEOUT_S = 15.0


class Launch:
    """One run from the first process to the last. Its exit status is 0, or 1 with the reason printed."""

    def __init__(self, decided: plan.Plan, *, demo: bool, echo: bool, deadline_s: float) -> None:
        self._plan = decided
        self._demo = demo
        self._echo = echo
        self._deadline_s = deadline_s
        self._started = time.monotonic()
        self._fault: str | None = None
        self._console = Console(highlight=False)
        self._console.width = max(self._console.width, NARROWEST)

    def run(self) -> int:
        """Start, watch, and stop everything again. LaunchError when the preparation fails."""
        self._say(f"State is kept in {self._plan.var}, the logs in {self._plan.logs}.")
        self._say(f"Database: {plan.database_of(self._plan.environment)}")
        with bundled_redis(self._plan):
            if self._plan.valkey_port:
                self._say(f"Redis: bundled Valkey on port {self._plan.valkey_port}{self._hint}")
            self._say("Bringing the database up to date")
            prepare_database(self._plan)
            forget_beat_schedule(self._plan)
            self._say(f"Starting {', '.join(self._plan.commands)}")
            stack = Stack(self._plan, echo=self._echo, when_started=self._watch)
            stack.loop()
            stack.finish(FINISH_TIMEOUT_S)
        for name in stack.given_up():
            log = self._plan.logs / f"{name}.log"
            self._fault = f"The {name} cannot be kept running. The end of {log}:\n{tail(log)}"
        self._say("Everything is stopped.")
        if self._fault:
            print(f"\nStocKing: {self._fault}", file=sys.stderr, flush=True)
        return 1 if self._fault else 0

    def _watch(self, stack: Stack) -> None:
        """What happens beside the running stack: wait, tell the addresses or run the demo. A fault stops everything."""
        try:
            healthy = wait_until_healthy(
                checks_of(self._plan),
                deadline_s=self._deadline_s,
                logs=self._plan.logs,
                stopping=stack.stopping,
                announce=self._say,
            )
            if healthy:
                self._say(f"Everything is up after {time.monotonic() - self._started:.1f} s.")
                self._show_addresses()
            if self._demo:
                self._trade_for_a_day(stack, healthy=healthy)
                stack.terminate()
        except (LaunchError, DemoError) as fault:
            self._fault = str(fault)
            stack.terminate()
        except BaseException as fault:
            self._fault = f"The launcher itself failed: {fault!r}"
            stack.terminate()
            raise

    def _trade_for_a_day(self, stack: Stack, *, healthy: bool) -> None:
        if not healthy:
            raise DemoError("Stopped before the trading day began.")
        TradingDay(
            self._plan.api_url,
            self._stream_url,
            self._plan.portone_url,
            self._console,
            stack.stopping,
        ).run()
        self._audit()
        self._say("The trading day is over, every sum is right and the audit is clean.")

    def _show_addresses(self) -> None:
        api = self._plan.api_url
        self._console.print(f"""
  Web             {api}/
  API             {api}{plan.API_PREFIX}
  Payment page    {"none in production" if self._plan.production else f"{api}/demo/payment"}
  Swagger UI      {api}/docs
  Live push       {self._stream_url}
  WebSocket       {api.replace("http", "ws", 1)}/ws
  Flower          {self._plan.flower_url}
  Health          {api}/healthz
  Relayer health  {api}{plan.API_PREFIX}/trading/realtime/daemon/health
  Metrics         {self._metrics()}
  Demo sign-in    {self._demo_sign_in()}
""")

    def _metrics(self) -> str:
        """Where each process tells of itself, a line each."""
        return "\n                  ".join(
            f"{url}  ({name})" for name, url in self._plan.metrics_urls.items()
        )

    @property
    def _hint(self) -> str:
        """What commands in another terminal have to be told, where that is not what they take for granted."""
        if self._plan.valkey_port == plan.VALKEY_PORT:
            return ""
        return f"; flask commands need REDIS_URL={self._plan.environment['REDIS_URL']}"

    @property
    def _stream_url(self) -> str:
        """Where clients are pushed what happens."""
        return f"{self._plan.api_url}{plan.API_PREFIX}/trading/realtime/stream"

    def _demo_sign_in(self) -> str:
        """Make sure that the demo user can sign in, and say how. Production has no such user."""
        if self._plan.production:
            return "none in production"
        password = kept_secret(self._plan.var / "secrets", "demo_password", size=12)
        api = Api(self._plan.api_url)
        try:
            api.sign_in(DEMO_EMAIL, password)
        except ApiError as refused:
            try:
                api.post("/users", email=DEMO_EMAIL, password=password, name="Demo")
            except ApiError as taken:
                # Who has signed in too often of late may be right all the same.
                if (refused.status, taken.code) != (429, "email-taken"):
                    return f"not available ({taken})"
        finally:
            api.close()
        return f"{DEMO_EMAIL} / {password}"

    def _audit(self) -> None:
        self._console.print("\n[bold cyan]The audit of the whole database[/]")
        if flask(self._plan, "audit") != 0:
            raise DemoError("'flask audit' found a breach.")

    def _say(self, sentence: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} launcher | {sentence}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and launch; the process's exit status."""
    parser = argparse.ArgumentParser(
        prog="start_services.sh", description="Run all of StocKing on this machine."
    )
    parser.add_argument(
        "--demo", action="store_true", help="run a whole trading day, check its sums, stop"
    )
    parser.add_argument(
        "--quiet", action="store_true", help="keep the processes' output to the log files"
    )
    parser.add_argument(
        "--deadline", type=float, default=90.0, metavar="SECONDS", help="for everything to come up"
    )
    options = parser.parse_args(arguments)
    multiprocessing.set_start_method(
        "fork"
    )  # honcho's readers must be children of this process to die with it.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        var = plan.state_folder(os.environ)
        with lock.held(var):
            decided = plan.make(os.environ, var)
            echo = not (options.demo or options.quiet)
            return Launch(decided, demo=options.demo, echo=echo, deadline_s=options.deadline).run()
    except LaunchError as fault:
        print(f"StocKing: {fault}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        print("Stopped before everything was up.", flush=True)
        return 1 if options.demo else 0


if __name__ == "__main__":
    sys.exit(main())
