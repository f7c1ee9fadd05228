"""The protocol imports neither a transport nor Airflow."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.harness import keys
from tests.harness.modules import modules_after

PACKAGE = Path(__file__).resolve().parents[2] / "airflow_provider_zilliant"


def test_the_protocol_knows_no_transport_and_no_airflow():
    modules = [f"api.{path.stem}" for path in (PACKAGE / "api").glob("*.py")] + ["connection.fields"]
    loaded = modules_after("; ".join(f"import airflow_provider_zilliant.{name}" for name in modules))
    assert not loaded & {"requests", "aiohttp", "airflow", "httpx", "urllib3"}


def test_the_waits_and_the_ledger_know_no_transport_and_no_airflow():
    loaded = modules_after(
        "from airflow_provider_zilliant.waits import intervals, watching, events, scope_queue; "
        "from airflow_provider_zilliant.operators import ledger"
    )
    assert not loaded & {"requests", "aiohttp", "airflow", "httpx", "urllib3"}


def test_only_a_login_with_a_key_imports_what_signs():
    read = (
        "from airflow_provider_zilliant.connection.fields import parse_environment as read; "
        "extra = {'client_id': 'c', 'client_secret': 's', 'oauth_host': 'a.example'}; "
        "[read(host='z.example', **them, extra=extra).login_request(0.0) for them in "
        "({}, {'login': 'me', 'password': 'p'})]"
    )
    signs = {"jwt", "cryptography"}
    assert not modules_after(read) & signs
    sign = f"extra = {{'client_id': 'c', 'private_key': {keys.pem()!r}}}"
    signed = "read(host='z.example', login='me', extra=extra).login_request(0.0)"
    assert modules_after(f"{read}; {sign}; {signed}") >= signs


def test_provider_info_imports_nothing_heavy():
    loaded = modules_after("from airflow_provider_zilliant.get_provider_info import get_provider_info")
    assert not loaded & {"requests", "aiohttp", "airflow", "pendulum"}


#: What every supported Airflow has; whatever else is imported, or asked for, belongs into ``compat.py``.
EVERYWHERE = {"airflow.providers.common.compat.sdk", "airflow.triggers.base"}


def test_what_differs_between_airflows_is_in_one_module():
    found = set()
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] == "airflow" and name not in EVERYWHERE for name in names):
                found.add(path.relative_to(PACKAGE).as_posix())
        if "hasattr(" in text or "task_state_store" in text:
            found.add(path.relative_to(PACKAGE).as_posix())
    # What only older or newer Airflows or other providers have, and is imported on demand, has modules of its own.
    assert found == {"compat.py", "observability/lineage.py", "retry_policy.py", "variables.py"}
