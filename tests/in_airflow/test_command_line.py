"""The README's way on the command line: add the Connection, test it, and run the smallest example Dag."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "example_dags" / "publish_list_prices.py"


def airflow(*arguments: str) -> str:
    env = {**os.environ, "AIRFLOW__CORE__TEST_CONNECTION": "Enabled"}
    command = [sys.executable, "-m", "airflow", *arguments]
    ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    return ran.stdout + ran.stderr


def test_a_connection_of_airflows_database_serves_worker_and_trigger(sandbox, database):
    fields = sandbox.connection()
    told = ["--conn-type", "zilliant", "--conn-host", fields["host"], "--conn-password", fields["password"]]
    airflow("connections", "add", "zilliant_default", *told, "--conn-extra", json.dumps(fields["extra"]))
    try:
        assert "Connection success" in airflow("connections", "test", "zilliant_default")
        shutil.copy(EXAMPLE, database / "dags")
        airflow("dags", "test", "publish_list_prices")
    finally:
        airflow("connections", "delete", "zilliant_default")
        (database / "dags" / EXAMPLE.name).unlink(missing_ok=True)
    (job,) = sandbox.zilliant.job_records()
    assert job["closeStatus"] == "COMPLETED"
    assert any(
        seen["method"] == "GET" and seen["path"].endswith(f"{job['jobId']}/Status")
        for seen in sandbox.zilliant.requests
    )
