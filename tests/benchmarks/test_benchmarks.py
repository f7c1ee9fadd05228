"""The benchmarks still run: this provider's own rows, in seconds. No time is asserted."""

from __future__ import annotations

import asyncio

from tests.benchmarks import imports, lateness, polls, report
from tests.benchmarks.common import airflow_home
from tests.benchmarks.scope_queue import Contest, begin, collect
from tests.benchmarks.server import make_certificate, serving
from tests.benchmarks.submissions import measure
from tests.benchmarks.waits import Cell, run


def test_waits(tmp_path):
    certificate = make_certificate(tmp_path)
    cells = [Cell(row, 10, scheme, interval=0.3) for row in ("floor", "zilliant") for scheme in ("http", "https")]
    with airflow_home() as env:
        results = run(cells, certificate, env)
    assert [(result["row"], result["scheme"]) for result in results] == [(cell.row, cell.scheme) for cell in cells]
    assert all(result["polls_per_second"] > 0 and report.connections(result) > 0 for result in results)
    assert not any(result["ended"] or result["ended_together"] for result in results)
    assert "this provider" in report.waits_table(results, 10, "https")


def test_queue():
    short = {"job_seconds": (0.1, 0.2), "retry_delay": 0.2, "poll_interval": 0.3}
    with airflow_home() as env:
        results = collect(begin([Contest(who, 3, **short) for who in ("zilliant", "alternative")], env))
    assert [result["jobs"] for result in results] == [3, 3]
    assert all(result["posts"] == result["jobs"] + result["refusals"] for result in results)


def test_lateness():
    assert all(0 < result["seconds"] < 66 for result in lateness.run(20))


def test_polls(tmp_path, monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_ZILLIANT", raising=False)
    with airflow_home() as env, serving(make_certificate(tmp_path), env) as address:
        results = asyncio.run(polls.measure(address, "https", batches=1, batch=3))
    assert [result["who"] for result in results] == ["bare", "zilliant"]
    assert all(result["cpu_ms"] > 0 for result in results)


def test_submissions(tmp_path, monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_ZILLIANT", raising=False)  # and so restored behind the measurement
    with airflow_home() as env, serving(make_certificate(tmp_path), env) as address:
        results = measure(address, "https", batches=1, batch=3)
    assert [result["who"] for result in results] == ["bare", "zilliant"]


def test_imports():
    with airflow_home() as env:
        (result,) = imports.run(env, {"zilliant": imports.OPERATORS["zilliant"]}, times=1)
    assert result["ms"] > 0


def test_a_bar():
    assert report.Bar("lag", 50, 50).is_met
    assert not report.Bar("lag", 50.1, 50).is_met
    assert not report.Bar("memory", -5.3, 2).is_met
    assert "NOT met" in report.bars_table([report.Bar("lag", 51, 50, " ms")])


def test_the_server_counts_connections_only_when_they_are_used(tmp_path):
    from tests.benchmarks.server import Counts, counts_at

    with airflow_home() as env, serving(make_certificate(tmp_path), env) as address:
        assert asyncio.run(counts_at(address)) == Counts()
