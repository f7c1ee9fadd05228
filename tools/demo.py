"""``make demo``: publishes prices through an embedded Zilliant, in a private Airflow that it starts and stops."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import requests

from airflow_provider_zilliant.sandbox import connection_to
from tests.harness.private_airflow import PrivateAirflow
from tests.harness.processes import Processes, free_ports, stop_recorded

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".demo"
DAGS = ("publish_list_prices", "publish_regions")
STARTED = time.monotonic()


def tell(what: str) -> None:
    """One line of progress."""
    print(f"[{time.monotonic() - STARTED:4.0f} s] {what}", flush=True)


class Sandbox:
    """The embedded Zilliant as a process of its own."""

    def __init__(self) -> None:
        FOLDER.mkdir(exist_ok=True)
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = FOLDER / "sandbox"
        self.folder.mkdir(exist_ok=True)
        self.processes = Processes(self.folder)

    def start(self) -> None:
        command = [sys.executable, "-m", "airflow_provider_zilliant.sandbox", "--port", str(self.port)]
        self.processes.start("sandbox", command, {"ZILLIANT_DEMO": str(self.folder), "PYTHONPATH": str(ROOT)})
        for _ in range(100):
            try:
                requests.get(f"{self.url}/sandbox/jobs", timeout=1)
            except requests.RequestException:
                time.sleep(0.1)
            else:
                return
        raise RuntimeError("the sandbox did not start; see .demo/sandbox/sandbox.log")

    def get(self, what: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = requests.get(f"{self.url}/sandbox/{what}", timeout=5).json()
        return found


def stop_earlier() -> bool:
    """Ends what an earlier demo left running, on purpose or not."""
    stopped = [stop_recorded(folder) for folder in (FOLDER / "airflow", FOLDER / "sandbox")]
    return any(stopped)


def run_examples(airflow: PrivateAirflow) -> list[dict[str, Any]]:
    """Runs the example Dags, telling every change of a task's state, and returns their task instances."""
    runs = {}
    for dag_id in DAGS:
        tell(f"waiting until Airflow has read {dag_id}")
        runs[dag_id] = airflow.trigger(dag_id)
    seen: dict[str, str] = {}

    def ended() -> bool:
        for dag_id, run_id in runs.items():
            for task in airflow.tasks(dag_id, run_id):
                name, state = name_of(task), str(task["state"])
                if state != "None" and seen.get(name) != state:
                    told = "deferred: it waits in the triggerer, and holds no worker slot"
                    tell(f"{name}: {told if state == 'deferred' else state}")
                    seen[name] = state
        return all(airflow.run_state(*run) in ("success", "failed") for run in runs.items())

    airflow.wait_until(ended, "the examples end", 240)
    return [task for run in runs.items() for task in airflow.tasks(*run)]


def name_of(task: dict[str, Any]) -> str:
    index = f"[{task['map_index']}]" if task["map_index"] >= 0 else ""
    return f"{task['dag_id']}.{task['task_id']}{index}"


def report(airflow: PrivateAirflow, sandbox: Sandbox, tasks: list[dict[str, Any]]) -> list[str]:
    """Prints the table, and returns what did not go as it should."""
    jobs = {job["jobId"]: job for job in sandbox.get("jobs")}
    posts = [request for request in sandbox.get("requests") if request["method"] == "POST"]
    wrong = []
    rows = [("task", "state", "jobId", "job", "refused", "waited for the scope")]
    claimed = []
    for task in tasks:
        job_id = airflow.xcom(task, "job_id")
        job = jobs.get(job_id)
        if job is None or airflow.xcom(task, "return_value") != job_id:
            wrong.append(f"{name_of(task)}: XCom has {job_id!r}, which is no job of the sandbox, or not its result")
            rows.append((name_of(task), str(task["state"]), str(job_id), "-", "-", "-"))
            continue
        claimed.append(job_id)
        own = [post for post in posts if post["body"]["parameters"] == job["parameters"]]
        own = [post for post in own if post["body"].get("scope") == job["scope"]]
        refused = [post for post in own if post["status"] == 409]
        waited = (_at(job["queuedTimeStamp"]) - _at(own[0]["at"])).total_seconds()
        rows.append(
            (
                name_of(task),
                str(task["state"]),
                job_id,
                str(job["closeStatus"]),
                str(len(refused)),
                f"{waited:.1f} s" if refused else "-",
            )
        )
        if task["state"] != "success" or job["closeStatus"] != "COMPLETED":
            wrong.append(f"{name_of(task)}: the task is {task['state']}, its job {job['closeStatus']}")
    if sorted(claimed) != sorted(jobs):
        wrong.append(f"{len(tasks)} tasks, but {len(jobs)} jobs in Zilliant: each task must have exactly one")
    if not any(post["status"] == 409 for post in posts):
        wrong.append("no submission was refused, so nothing was shown of a busy scope")
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print()
    for number, row in enumerate(rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))
    print(
        f"\n{len(tasks)} tasks, {len(jobs)} jobs, {sum(post['status'] == 409 for post in posts)} refusals.", flush=True
    )
    return wrong


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--ui", action="store_true", help="leave everything running and print the addresses")
    parser.add_argument("--stop", action="store_true", help="only end what an earlier demo left running")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if stop_earlier():
        tell("stopped what an earlier demo had left running")
    elif given.stop:
        tell("nothing was running")
    if given.stop:
        return 0
    sandbox = Sandbox()
    airflow = PrivateAirflow(
        FOLDER / "airflow",
        ROOT / "example_dags",
        connections={"zilliant_default": connection_to(sandbox.url)},
        config={"PYTHONPATH": str(ROOT)},
    )
    leave_running = False
    try:
        tell("starting the embedded Zilliant")
        sandbox.start()
        airflow.start(tell)
        wrong = report(airflow, sandbox, run_examples(airflow))
        for line in wrong:
            print(f"WRONG: {line}", flush=True)
        if not wrong:
            print("Every task has published once, and waited for its scope without a worker slot.")
        if given.ui:
            leave_running = True
            print(f"\nAirflow:  {airflow.url}   (no login; see the runs of publish_list_prices and publish_regions)")
            print(f"Zilliant: {sandbox.url}\nEnd both with: make demo-stop", flush=True)
        return 1 if wrong else 0
    except KeyboardInterrupt:
        print("\nInterrupted.", flush=True)
        return 130
    except (RuntimeError, TimeoutError, requests.RequestException) as error:
        print(f"FAILED: {error}\nThe logs are in .demo/airflow and .demo/sandbox.", flush=True)
        return 1
    finally:
        if not leave_running:
            tell("stopping all that was started (up to 15 s)")
            airflow.processes.stop()
            sandbox.processes.stop()


if __name__ == "__main__":
    sys.exit(main())
