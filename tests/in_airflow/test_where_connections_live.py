"""A Connection of each flow in each place where Airflow keeps Connections, read by worker and triggerer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_zilliant.sandbox import Sandbox

FLOWS = {"by_client_credentials": "client credentials", "by_jwt": "JWT bearer", "by_password": "user and password"}
PROJECT = Path(__file__).resolve().parents[2]
BACKEND = "airflow.secrets.local_filesystem.LocalFilesystemBackend"


def python(*arguments: str, **env: str) -> str:
    # Airflow 3 hands Connections to tasks through their supervisor; these processes have none.
    told = {**os.environ, "_AIRFLOW_PROCESS_CONTEXT": "server", "PYTHONPATH": str(PROJECT), **env}
    ran = subprocess.run([sys.executable, *arguments], env=told, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    assert "PRIVATE KEY" not in ran.stdout + ran.stderr
    return ran.stdout


def in_environment(connections: dict[str, dict[str, Any]], folder: Path) -> dict[str, str]:
    return {f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps(fields) for conn_id, fields in connections.items()}


def in_json_file(connections: dict[str, dict[str, Any]], folder: Path) -> dict[str, str]:
    (folder / "connections.json").write_text(json.dumps(connections))
    return backend(folder / "connections.json")


def in_yaml_file(connections: dict[str, dict[str, Any]], folder: Path) -> dict[str, str]:
    """As people write it, the key in a block of lines."""
    lines: list[str] = []
    for conn_id, fields in connections.items():
        lines.append(f"{conn_id}:")
        lines += [f"  {name}: {json.dumps(value)}" for name, value in fields.items() if name != "extra"]
        lines.append("  extra:")
        for name, value in fields["extra"].items():
            if "\n" in value:
                lines += [f"    {name}: |", *(f"      {line}" for line in value.splitlines())]
            else:
                lines.append(f"    {name}: {json.dumps(value)}")
    (folder / "connections.yaml").write_text("\n".join(lines) + "\n")
    return backend(folder / "connections.yaml")


def backend(path: Path) -> dict[str, str]:
    arguments = json.dumps({"connections_file_path": str(path)})
    return {"AIRFLOW__SECRETS__BACKEND": BACKEND, "AIRFLOW__SECRETS__BACKEND_KWARGS": arguments}


def in_database(connections: dict[str, dict[str, Any]], folder: Path) -> dict[str, str]:
    (folder / "imported.json").write_text(json.dumps(connections))
    python("-m", "airflow", "connections", "import", "--overwrite", str(folder / "imported.json"))
    return {}


@pytest.mark.parametrize("place", [in_environment, in_json_file, in_yaml_file, in_database])
def test_each_flow_logs_in_from_there_on_worker_and_triggerer(database, sandbox: Sandbox, tmp_path, place):
    connections = {conn_id: sandbox.login_connection(flow) for conn_id, flow in FLOWS.items()}
    env = place(connections, tmp_path)
    try:
        printed = python("-m", "tests.in_airflow.log_in", *connections, **env)
    finally:
        if place is in_database:
            for conn_id in connections:
                python("-m", "airflow", "connections", "delete", conn_id)
    told = json.loads(printed.strip().splitlines()[-1])
    assert told == {conn_id: ["logged in", "logged in"] for conn_id in connections}
    assert len(sandbox.zilliant.requests) == 4 * len(connections), "a login and a poll each"
