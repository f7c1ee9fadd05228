"""What all layers share: an Airflow home of its own, and a sandbox on a real socket."""

from __future__ import annotations

import atexit
import importlib.metadata
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# An example that takes long says something of the machine's load, not of the rule.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")

# Airflow reads its configuration when it is first imported, so this stands before any such import.
_HOME = Path(tempfile.mkdtemp(prefix="zilliant-airflow-"))
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
(_HOME / "dags").mkdir()
for _name in [name for name in os.environ if name.startswith(("AIRFLOW__", "AIRFLOW_CONN_", "AIRFLOW_VAR_"))]:
    del os.environ[_name]
os.environ |= {
    "AIRFLOW_HOME": str(_HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(_HOME / "dags"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    "NO_PROXY": "127.0.0.1,localhost",
}

#: For what Airflow itself does differently under a test; the package asks for features, in ``compat.py``.
AIRFLOW = tuple(int(part) for part in importlib.metadata.version("apache-airflow").split(".")[:2])

if AIRFLOW == (3, 0):
    # It prints every local variable of every frame with every error of a task, which takes seconds.
    import structlog

    structlog.dev.RichTracebackFormatter = lambda **_: structlog.dev.plain_traceback

from airflow_provider_zilliant.hooks import zilliant as hook_module  # noqa: E402
from airflow_provider_zilliant.hooks.zilliant import ZilliantHook  # noqa: E402
from airflow_provider_zilliant.sandbox import Sandbox  # noqa: E402
from tests.harness import side_by_side  # noqa: E402


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With ``-n``: what shares a whole Airflow or an environment runs in one process."""
    return side_by_side.Scheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With ``-n``: what takes longest begins first."""
    if hasattr(config, "workerinput"):
        items.sort(key=side_by_side.place)


@pytest.fixture(scope="session")
def airflow_home() -> Path:
    """Where the tests' Airflow lives."""
    return _HOME


@pytest.fixture(autouse=True)
def _forget_secrets() -> None:
    """Airflow makes one pattern of all secrets that a process has met, again for each: most of these tests' time."""
    for name, module in list(sys.modules.items()):
        if name.endswith(".secrets_masker") and hasattr(module, "_secrets_masker"):
            masker = module._secrets_masker()
            masker.patterns.clear()
            masker.replacer = None


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """An embedded Zilliant on a free port; the process has logged in nowhere yet."""
    hook_module._logins.clear()
    with Sandbox(seed=0) as running:
        yield running


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Makes an Airflow Connection out of its JSON fields and returns its id."""

    def connect(fields: dict[str, Any], conn_id: str = "zilliant_default") -> str:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({"conn_type": "zilliant", **fields}))
        return conn_id

    return connect


@pytest.fixture
def hook(sandbox: Sandbox, connect: Callable[..., str]) -> Iterator[ZilliantHook]:
    """A hook whose Connection leads to the sandbox."""
    with ZilliantHook(connect(sandbox.connection()), request_timeout=5) as hook:
        yield hook


LOGIN = {
    "login": "publisher@example.com",
    "password": "a b&c+d%e=ü",
    "extra": {
        "client_id": "the-client",
        "client_secret": "the-client-secret",
        "oauth_host": "sandbox.my.salesforce.com",
    },
}


@pytest.fixture
def login_sandbox() -> Iterator[Sandbox]:
    """A sandbox in which one user may log in."""
    hook_module._logins.clear()
    with Sandbox(seed=0, users={LOGIN["login"]: LOGIN["password"]}) as running:
        yield running


@pytest.fixture
def login_hook(login_sandbox: Sandbox, connect: Callable[..., str]) -> Iterator[ZilliantHook]:
    """A hook that logs in itself."""
    extra = {**LOGIN["extra"], "login_url": login_sandbox.url}
    fields = {"host": login_sandbox.url, "login": LOGIN["login"], "password": LOGIN["password"], "extra": extra}
    with ZilliantHook(connect(fields), request_timeout=5) as hook:
        yield hook
