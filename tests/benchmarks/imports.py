"""What a Dag file pays for importing an operator, beyond Airflow's own ``BaseOperator``, in fresh processes."""

from __future__ import annotations

import subprocess
import sys

from tests.benchmarks.common import Result, median

OPERATORS = {
    "zilliant": "airflow_provider_zilliant.operators.zilliant",
    "databricks": "airflow.providers.databricks.operators.databricks",
    "dbt_cloud": "airflow.providers.dbt.cloud.operators.dbt",
    "http": "airflow.providers.http.operators.http",
}
_PROGRAM = """
import sys, time
from airflow.sdk import BaseOperator
began = time.perf_counter()
import {module}
print(time.perf_counter() - began, *(name for name in ("requests", "aiohttp") if name in sys.modules))
"""


def run(env: dict[str, str], operators: dict[str, str] = OPERATORS, times: int = 5) -> list[Result]:
    """The median of so many imports, after one that only writes the compiled files."""
    taken: dict[str, list[list[str]]] = {who: [] for who in operators}
    for _ in range(times + 1):
        for who, module in operators.items():
            command = [sys.executable, "-c", _PROGRAM.format(module=module)]
            told = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
            taken[who].append(told.strip().splitlines()[-1].split())
    return [
        {"who": who, "ms": median([float(words[0]) for words in told[1:]]) * 1000, "loaded": told[-1][1:]}
        for who, told in taken.items()
    ]
