"""The benchmarks run: small and short, as what they measure here says nothing."""

import json
import subprocess
import sys

from launcher.plan import ROOT
from tests.servers import require_mariadb


def run(benchmark: str, size: str) -> tuple[list[str], dict[str, float]]:
    """Run a benchmark to its end: the lines that it told, and its last one, which is the result."""
    ended = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{benchmark}", *size.split()],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    *told, last = ended.stdout.splitlines()
    return told, json.loads(last)


def test_order_entry_measures_orders_against_trivial_requests() -> None:
    """Before the result every order was found again, the books were audited, and the time was taken apart."""
    require_mariadb()
    told, result = run(
        "order_entry", "--users 20 --connections 4 --rounds 1 --seconds 0.6 --sample 50"
    )

    assert list(result) == ["orders_per_s", "trivial_per_s", "ratio", "p99_ms"]
    assert 1 < result["orders_per_s"] < result["trivial_per_s"]
    assert 0.02 < result["ratio"] < 1
    assert 0 < result["p99_ms"] < 10_000
    assert any("each of them is a row, and the audit finds nothing" in line for line in told)
    assert {"COMMIT", "INSERT INTO orders", "UPDATE virtual_balances"} <= {
        line[10:] for line in told
    }


def test_matching_looks_at_two_books_and_fills_from_live_ticks() -> None:
    """Before the result every look has found what it should, each trade that met an order was a fill, and the audit was clean."""
    require_mariadb()
    books = "--resting 1000 --few 200 --stocks 100 --crossed 20 --users 30"
    told, result = run("matching", f"{books} --rounds 2 --seconds 4 --fills 10")

    assert list(result) == [
        "scan_ms_10k",
        "scan_ms_1m",
        "ratio",
        "idle_scan_ms",
        "tick_to_fill_p99_ms",
    ]
    assert all(0 < value < 60_000 for value in result.values())
    assert any("30 met an order" in line for line in told)
    assert "the audit finds nothing in either book" in told


def test_pipeline_measures_market_and_limit_orders_against_commits() -> None:
    """Fills came about in each way: at the last trade, and in the book."""
    require_mariadb()
    told, result = run("pipeline", "--orders 80 --rounds 1")

    assert list(result) == ["fills_per_s", "commits_per_s", "ratio", "statements_per_fill"]
    assert all(value > 0 for value in result.values())
    assert any("'resting-at-limit': 20" in line for line in told)


def test_relayer_measures_trades_from_socket_to_redis() -> None:
    """Nothing was lost, and what does nothing is the fastest."""
    told, result = run("relayer", "--rounds 1 --seconds 2 --paced 2")

    assert list(result) == [
        "ticks_per_s",
        "bare_per_s",
        "awaiting_per_s",
        "ratio_bare",
        "ratio_awaiting",
        "p99_ms",
        "lost",
    ]
    # Which of the two is faster within a second is the machine's business, when others use it.
    assert 0 < result["awaiting_per_s"] < result["bare_per_s"]
    assert 0 < result["ticks_per_s"] < result["bare_per_s"]
    assert 0 < result["p99_ms"] < 10_000
    assert result["lost"] == 0
    assert any("MiB at the end" in line for line in told)


def test_gateway_serves_readers_beside_clients_that_never_read() -> None:
    """Each client had the last tick of each of its stocks, and its account events once and in order, or the run had failed."""
    size = "--clients 20 --processes 1 --stocks 20 --ticks-per-s 100 --events-per-s 10 --seconds 2 --dead 2"
    told, result = run("gateway", size)

    assert list(result)[:5] == ["clients", "p50_ms", "p99_ms", "messages_per_s", "cpu"]
    assert all(value > 0 for value in result.values())
    assert sum("every client has all that it must" in line for line in told) == 2


def test_stock_search_measures_memory_against_sql() -> None:
    """Both find the same where SQL can."""
    require_mariadb()
    told, result = run("stock_search", "--stocks 300 --rounds 2")

    assert list(result) == [
        "memory_p50_ms",
        "memory_p99_ms",
        "sql_p50_ms",
        "sql_p99_ms",
        "look_p50_ms",
        "read_all_p50_ms",
    ]
    assert all(0 < value < 60_000 for value in result.values())
    assert "삼성전자: 1 stocks in memory, 1 by SQL" in told


def test_price_alerts_look_at_few_and_at_many() -> None:
    """Each look fired what it should, a crash fired the rest, and the audit was clean."""
    require_mariadb()
    told, result = run("price_alerts", "--alerts 1000 --few 100 --ticks 50 --met 20 --rounds 1")

    assert list(result) == [
        "idle_ms", "idle_ratio", "read_again_ms", "firing_ms", "firing_ratio", "crash_alerts_per_s",
    ]  # fmt: skip
    assert all(0 < value < 60_000 for value in result.values())
    assert any(line.startswith("500 alerts fired by a crash") for line in told)
    assert "the audit finds nothing" in told


def test_candles_counts_every_trade() -> None:
    """What is only read is read faster; no share is missing in the candles."""
    require_mariadb()
    told, result = run("candles", "--ticks 2000 --stocks 50 --rounds 1")

    assert list(result) == ["ticks_per_s", "read_per_s", "ratio"]
    assert 0 < result["ticks_per_s"] < result["read_per_s"]
    assert 0 < result["ratio"] < 1
    assert len(told) == 1


def test_reads_asks_for_everything_that_a_user_may_read() -> None:
    """A read by primary key is the yardstick, and every endpoint answered."""
    require_mariadb()
    told, result = run("reads", "--fills 40 --holdings 5 --closed 2 --rounds 2")

    assert list(result) == ["endpoints", "slowest", "p50_ms", "p95_ms", "primary_key_ms", "ratio"]
    assert result["endpoints"] > 30
    assert result["primary_key_ms"] > 0
    assert 0 < result["p50_ms"] <= result["p95_ms"]
    assert any(str(line).startswith("/portfolio/history") for line in told)


def test_table_sizes_asks_the_server_for_every_table_that_grows() -> None:
    """No row is smaller than what is in it, and an order leaves more behind than its own row."""
    require_mariadb()
    told, result = run("table_sizes", "--orders 400")

    *tables, filled_order = result
    assert [line.partition(":")[0] for line in told] == tables
    assert {"orders", "order_executions", "transactions", "account_events", "candles"} <= set(
        tables
    )
    assert all(result[table] > 100 for table in tables)
    assert filled_order == "filled_order"
    assert (
        result["filled_order"]
        > result["orders"] + result["order_executions"] + result["transactions"]
    )


def test_account_audits_looks_at_every_account() -> None:
    """Each round audited all of them, and the whole audit is its yardstick."""
    require_mariadb()
    told, result = run("account_audits", "--orders 400 --users 100 --rounds 1")

    assert list(result) == ["orders_per_s", "accounts_per_s", "largest_batch_ms", "ratio_whole"]
    assert all(value > 0 for value in result.values())
    assert len(told) == 1


def test_counting_is_measured_in_files_that_processes_share() -> None:
    """And the text holds what all of them have counted."""
    told, result = run("counting", "--rounds 2")

    assert list(result) == ["tick_batch_us", "order_us", "task_us", "text_ms"]
    assert all(value > 0 for value in result.values())
    assert any("series from 4 processes" in line for line in told)
