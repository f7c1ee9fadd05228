"""A whole, private Airflow on SQLite: api-server, scheduler, triggerer and dag-processor, each a process of its own."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import requests

from tests.harness.processes import Processes, free_ports, stop_recorded


class PrivateAirflow:
    """An Airflow 3 that nobody else knows of; for an Airflow 2 see :mod:`tests.harness.private_airflow_2`.

    :param home: its folder; emptied at the start.
    :param dags: the folder of the Dag files.
    :param connections: Airflow Connections as JSON fields, by id.
    :param config: further configuration, as environment variables.
    :param interpreter: the Python of the environment that it is installed in.
    """

    components: ClassVar[tuple[str, ...]] = ("api-server", "scheduler", "dag-processor", "triggerer")

    def __init__(
        self,
        home: Path,
        dags: Path,
        *,
        connections: Mapping[str, Mapping[str, Any]],
        config: Mapping[str, str] | None = None,
        interpreter: Path | str = sys.executable,
    ) -> None:
        self.home = home
        self.interpreter = str(interpreter)
        self._token: dict[str, str] = {}
        self.port, log_port, trigger_port = free_ports(3)
        self.url = f"http://localhost:{self.port}"
        self.processes = Processes(home)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        self.env = {
            **kept,
            "PATH": f"{Path(interpreter).parent}:{os.environ.get('PATH', '')}",
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self._database(patience=60),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "10",
            "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(log_port),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_port),
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "NO_COLOR": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            **{f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps(told) for conn_id, told in connections.items()},
            **(config or {}),
        }

    def __enter__(self) -> PrivateAirflow:
        try:
            self.start()
        except BaseException:
            self.processes.stop()  # what started before the failure must not outlive it
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.processes.stop()

    def start(self, tell: Callable[[str], None] = lambda _: None) -> None:
        """Makes the database, starts every component, and waits until all are healthy."""
        stop_recorded(self.home)
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        tell("making Airflow's database")
        self.command("db", "migrate")
        for component in self.components:
            tell(f"starting the {component}")
            self.start_component(component)
        tell("waiting until all of them are healthy")
        self.wait_until(self.is_healthy, "Airflow is healthy", 120)

    def command(self, *arguments: str) -> str:
        """Runs ``airflow ...`` and returns what it printed."""
        done = subprocess.run(
            [self.interpreter, "-m", "airflow", *arguments], env=self.env, capture_output=True, text=True, timeout=180
        )
        if done.returncode != 0:
            told = f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
            raise RuntimeError(f"airflow {' '.join(arguments[:2])} failed:\n{told}")
        return done.stdout

    def start_component(self, component: str, name: str | None = None) -> None:
        """Starts a component; ``name`` tells a second one of a kind from the first."""
        # The api-server can lock itself out of SQLite: a request waits in its event loop for another one's
        # write, which waits for that loop. Who waits less recovers sooner, and its clients ask again.
        patience = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self._database(5)} if component == "api-server" else {}
        command = [self.interpreter, "-m", "airflow", component]
        self.processes.start(name or component, command, self.env | patience)

    def _database(self, patience: int) -> str:
        """Four components write to one SQLite file; a write that waits for longer than this ends its component."""
        return f"sqlite:///{self.home}/airflow.db?timeout={patience}"

    def is_healthy(self) -> bool:
        health = self.get("/api/v2/monitor/health")
        parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        return all(health[part]["status"] == "healthy" for part in parts)

    def get(self, path: str, **params: Any) -> Any:
        """GETs from Airflow's REST API; a connection error counts as an empty answer."""
        answer = self._ask("GET", path, params=params)
        answer.raise_for_status()
        return answer.json()

    def send(self, method: str, path: str, body: Any) -> Any:
        for remaining in range(5, -1, -1):
            answer = self._ask(method, path, json=body)
            if answer.ok:
                break
            # SQLite lets one write at a time, and on a busy machine the api-server does not wait for long.
            if answer.status_code == 500 and "Database error" in answer.text and remaining:
                time.sleep(1)
                continue
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json() if answer.content else None

    def _ask(self, method: str, path: str, **how: Any) -> requests.Response:
        answer = requests.request(method, f"{self.url}{path}", headers=self._token, timeout=20, **how)
        if answer.status_code == 401 and not self._token:  # Airflow 3.1 wants a token of its all-admins, too
            given = requests.get(f"{self.url}/auth/token", timeout=20).json()
            self._token = {"Authorization": f"Bearer {given['access_token']}"}
            return self._ask(method, path, **how)
        return answer

    def wait_until(self, holds: Callable[[], Any], what: str, seconds: float) -> Any:
        """Waits until the condition holds and returns its value."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            with contextlib.suppress(requests.RequestException):
                value = holds()
                if value:
                    return value
            if dead := self.processes.dead():
                raise RuntimeError(f"The {', '.join(dead)} ended by itself:\n{self.last_words(dead[0])}")
            time.sleep(0.2)
        raise TimeoutError(f"{what}: not so after {seconds:.0f} s")

    def last_words(self, name: str) -> str:
        return (self.home / f"{name}.log").read_text(errors="replace")[-3000:]

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Starts a run of the Dag, once Airflow knows the Dag, and returns its id."""
        self.wait_until(lambda: self.known(dag_id), f"Airflow knows the Dag {dag_id}", 90)
        run_id = f"test__{uuid.uuid4()}"
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf or {})}
        for patience in (1, 5, None):
            try:
                self.send("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)
            except (requests.RequestException, RuntimeError) as error:
                if " 409 " in str(error):  # the one before did it, although it did not say so
                    break
                if patience is None:
                    raise
                time.sleep(patience)
            else:
                break
        return run_id

    def start_run(self, dag_id: str, run_id: str, conf: Mapping[str, Any]) -> None:
        """Starts a run with that id."""
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf)}
        self.send("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)

    def clear(self, dag_id: str, run_id: str) -> str | None:
        """Clears the run's tasks, in whichever state; returns the first one's, if it took long to get there."""
        body = {"dry_run": False, "dag_run_id": run_id, "only_failed": False}
        self.send("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", body)
        return None

    def known(self, dag_id: str) -> bool:
        return any(dag["dag_id"] == dag_id for dag in self.get("/api/v2/dags", limit=100)["dags"])

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances")[
            "task_instances"
        ]
        return sorted(found, key=lambda task: (task["task_id"], task["map_index"]))

    def run_state(self, dag_id: str, run_id: str) -> str:
        return str(self.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def wait_for_run(self, dag_id: str, run_id: str, seconds: float = 120) -> list[dict[str, Any]]:
        """Waits until the run has ended, and returns its task instances."""
        self.wait_until(
            lambda: self.run_state(dag_id, run_id) in ("success", "failed"), f"the run of {dag_id} ends", seconds
        )
        return self.tasks(dag_id, run_id)

    def xcom(self, task: Mapping[str, Any], key: str) -> Any:
        """The value of one of the task's XComs, or ``None``."""
        path = (
            f"/api/v2/dags/{task['dag_id']}/dagRuns/{task['dag_run_id']}/taskInstances/{task['task_id']}"
            f"/xcomEntries/{key}"
        )
        try:
            return self.get(path, map_index=task["map_index"])["value"]
        except requests.HTTPError:
            return None

    def logs(self) -> Iterator[Path]:
        """Every log file of tasks and components."""
        yield from self.home.glob("*.log")
        yield from (self.home / "logs").rglob("*.log")
