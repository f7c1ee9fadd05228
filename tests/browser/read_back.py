"""What a hook makes of a saved Connection, printed as JSON; run by the Airflow that saved it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def read_back(interpreter: str | Path, env: Mapping[str, str], conn_id: str) -> dict[str, Any]:
    """Asks a fresh process of that Airflow."""
    # Airflow 3 hands Connections to tasks through their supervisor; this process has none and reads the database.
    told = {**env, "_AIRFLOW_PROCESS_CONTEXT": "server", "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    command = [str(interpreter), "-m", "tests.browser.read_back", conn_id]
    done = subprocess.run(command, env=told, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def _main(conn_id: str) -> None:
    from airflow_provider_zilliant.hooks.zilliant import ZilliantHook

    hook = ZilliantHook(conn_id)
    session = hook.get_conn()
    found = {
        "verdict": hook.test_connection()[0],
        "url": hook.base_url,
        "oauth_host": session.headers.get("X-Forwarded-Host"),
        "verify": session.verify,
        "proxies": dict(session.proxies),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    _main(sys.argv[1])
