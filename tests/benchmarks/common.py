"""What the parts share: the peers' environment, child processes, and where results are kept."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from tests.harness.environments import AIRFLOWS, PROJECT, Environment

Result: TypeAlias = "dict[str, Any]"

#: Each part's latest results, so that parts can be run on their own and reported together.
RESULTS = PROJECT / ".benchmarks"

PEERS = Environment(
    "benchmarks",
    (
        *AIRFLOWS["3.3"],
        "--editable",
        f"{PROJECT}[test]",
        "apache-airflow-providers-databricks",
        "apache-airflow-providers-dbt-cloud",
        "apache-airflow-providers-http",
        "matplotlib",
    ),
)

_STARTED = time.monotonic()


def tell(what: str) -> None:
    """One line of progress."""
    print(f"[{time.monotonic() - _STARTED:5.0f} s] {what}", flush=True)


def median(values: list[float]) -> float:
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def keep(part: str, results: list[Result]) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{part}.json").write_text(json.dumps(results, indent=1))


def kept(part: str) -> list[Result]:
    """The part's latest results; none, if it never ran."""
    file = RESULTS / f"{part}.json"
    results: list[Result] = json.loads(file.read_text()) if file.exists() else []
    return results


@contextmanager
def airflow_home() -> Iterator[dict[str, str]]:
    """Environment variables for child processes: an Airflow of their own, quiet, on loopback."""
    home = tempfile.mkdtemp(prefix="zilliant-benchmarks-")
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "SSL_CERT"))}
    try:
        yield own | {
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            # Peers log every poll at INFO. Writing that is the triggerer's cost, not the trigger's.
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "NO_PROXY": "127.0.0.1,localhost",
        }
    finally:
        shutil.rmtree(home, ignore_errors=True)


def child(module: str, *arguments: str, env: dict[str, str]) -> subprocess.Popen[str]:
    """A fresh process that runs ``tests.benchmarks.<module>``, with pipes to talk through."""
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", *arguments]
    return subprocess.Popen(command, cwd=PROJECT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def result_of(process: subprocess.Popen[str]) -> Any:
    """What the child printed last, as JSON; Airflow and its providers may print before it."""
    told, _ = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{process.args!r} ended with {process.returncode}:\n{told}")
    return json.loads(told.strip().splitlines()[-1])
