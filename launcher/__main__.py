"""`python -m launcher`: start StocKing on this machine, as `start_services.sh` does."""

import argparse
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from datetime import datetime

from rich.console import Console

from launcher import lock, plan
from launcher.api import Api, ApiError
from launcher.credentials import stored_secret
from launcher.demo.trading_day import DemoError, TradingDay
from launcher.errors import LaunchError
from launcher.health import checks_of, wait_until_healthy
from launcher.setup import bundled_redis, flask, prepare_database, remove_beat_schedule, tail
from launcher.stack import KST, TIME_FORMAT, Stack
from trading.config.installation import write_environment_file

DEMO_EMAIL = "demo@stocking.example"
MIN_WIDTH = 120  # columns, so that no table of the demo is cut off
FINISH_TIMEOUT_S = 15.0


class Launch:
    """One run of the launcher from the first start of a process to the end of the last."""

    def __init__(self, start_plan: plan.Plan, *, demo: bool, echo: bool, deadline_s: float) -> None:
        self._plan = start_plan
        self._demo = demo
        self._echo = echo
        self._deadline_s = deadline_s
        self._started = time.monotonic()
        self._error: str | None = None
        self._console = Console(highlight=False)
        self._console.width = max(self._console.width, MIN_WIDTH)

    def run(self) -> int:
        """Start, supervise and stop everything. Return 0, or 1 after printing the error.

        Raise LaunchError if the preparation fails.
        """
        self._log(f"State is stored in {self._plan.var}, logs in {self._plan.logs}.")
        self._log(f"Database: {plan.displayed_database(self._plan.environment)}")
        with bundled_redis(self._plan):
            if self._plan.valkey_port:
                self._log(f"Redis: bundled Valkey on port {self._plan.valkey_port}")
            written = write_environment_file(self._plan.var, self._plan.environment)
            self._log(f"flask commands in other terminals read {written}.")
            self._log("Migrating the database")
            prepare_database(self._plan)
            remove_beat_schedule(self._plan)
            self._log(f"Starting {', '.join(self._plan.commands)}")
            stack = Stack(self._plan, echo=self._echo, when_started=self._watch)
            stack.loop()
            stack.finish(FINISH_TIMEOUT_S)
        for name in stack.given_up():
            log = self._plan.logs / f"{name}.log"
            self._error = f"The {name} keeps failing. The end of {log}:\n{tail(log)}"
        self._log("All processes have stopped.")
        if self._error:
            print(f"\nStocKing: {self._error}", file=sys.stderr, flush=True)
        return 1 if self._error else 0

    def _watch(self, stack: Stack) -> None:
        """Wait until everything is up, then print the addresses or run the demo."""
        try:
            healthy = wait_until_healthy(
                checks_of(self._plan),
                deadline_s=self._deadline_s,
                logs=self._plan.logs,
                stopping=stack.stopping,
                announce=self._log,
            )
            if healthy:
                self._log(f"Everything is up after {time.monotonic() - self._started:.1f} s.")
                self._show_addresses()
            if self._demo:
                self._run_demo(stack, healthy=healthy)
                stack.terminate()
        except (LaunchError, DemoError) as error:
            self._error = str(error)
            stack.terminate()
        except BaseException as error:
            self._error = f"The launcher itself failed: {error!r}"
            stack.terminate()
            raise

    def _run_demo(self, stack: Stack, *, healthy: bool) -> None:
        if not healthy:
            raise DemoError("Stopped before the demo began.")
        TradingDay(
            self._plan.api_url,
            self._stream_url,
            self._plan.portone_url,
            self._console,
            stack.stopping,
        ).run()
        self._audit()
        self._log("The demo has finished: every sum is right and the audit is clean.")

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
        """Return the metrics URL of each process, one per line."""
        return "\n                  ".join(
            f"{url}  ({name})" for name, url in self._plan.metrics_urls.items()
        )

    @property
    def _stream_url(self) -> str:
        """Return the URL of the event stream."""
        return f"{self._plan.api_url}{plan.API_PREFIX}/trading/realtime/stream"

    def _demo_sign_in(self) -> str:
        """Register or sign in the demo user and return the credentials. Production has no demo
        user.
        """
        if self._plan.production:
            return "none in production"
        password = stored_secret(self._plan.var / "secrets", "demo_password", size=12)
        api = Api(self._plan.api_url)
        try:
            api.sign_in(DEMO_EMAIL, password)
        except ApiError as error:
            try:
                api.post("/users", email=DEMO_EMAIL, password=password, name="Demo")
            except ApiError as existing:
                # Rate-limited sign-in with an existing account: the password may still be right.
                if (error.status, existing.code) != (429, "email-taken"):
                    return f"not available ({existing})"
        finally:
            api.close()
        return f"{DEMO_EMAIL} / {password}"

    def _audit(self) -> None:
        self._console.print("\n[bold cyan]Audit of the whole database[/]")
        if flask(self._plan, "audit") != 0:
            raise DemoError("'flask audit' found a breach.")

    def _log(self, message: str) -> None:
        print(f"{datetime.now(KST):{TIME_FORMAT}} launcher | {message}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and run the launcher. Return the exit status."""
    parser = argparse.ArgumentParser(
        prog="start_services.sh", description="Run all of StocKing on this machine."
    )
    parser.add_argument(
        "--demo", action="store_true", help="run a trading day, check its sums and stop"
    )
    parser.add_argument(
        "--quiet", action="store_true", help="write the processes' output to the log files only"
    )
    parser.add_argument(
        "--deadline", type=float, default=90.0, metavar="SECONDS", help="time limit of the start"
    )
    options = parser.parse_args(arguments)
    multiprocessing.set_start_method(
        "fork"
    )  # honcho's readers must be children of this process, so that they die with it.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        var = plan.state_folder(os.environ)
        with lock.locked(var):
            start_plan = plan.make_plan(os.environ, var)
            echo = not (options.demo or options.quiet)
            return Launch(
                start_plan, demo=options.demo, echo=echo, deadline_s=options.deadline
            ).run()
    except LaunchError as error:
        print(f"StocKing: {error}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        print("Stopped before everything was up.", flush=True)
        return 1 if options.demo else 0


if __name__ == "__main__":
    sys.exit(main())
