"""``make chaos``: everything dies and every call may fail, and still no job is doubled and no task green without one.

A whole Airflow runs many submissions against a sandbox that answers badly at random, through a secrets
backend that stumbles. Workers are killed at chosen points of a submission, triggerers are killed,
stopped and continued, triggers fail, the api-server is restarted, tasks are cleared in every state, and
their Dag is edited. Then the sandbox's books are compared with Airflow's.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from airflow_provider_zilliant.sandbox import Sandbox
from tests.harness.environments import AIRFLOWS, with_airflow
from tests.harness.private_airflow import PrivateAirflow
from tests.harness.private_airflow_2 import PrivateAirflow2
from tools.chaos_audit import is_unknown, without_consent
from tools.chaos_histories import HISTORIES, People

POINTS = ("before the POST", "during the POST", "between acceptance and record", "after the record")
AMBIGUOUS = frozenset(POINTS[:3])
TYPED = ("Zilliant", "AirflowTaskTimeout")
DAGS = ("chaos_fail_wait", "chaos_fail_submit", "chaos_resubmit_wait", "chaos_resubmit_submit")
CONFIG = {
    "AIRFLOW__CORE__PARALLELISM": "12",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    # A worker that meets a dead api-server leaves its task queued; by default Airflow looks after ten minutes.
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "5",
    # Airflow 2.11 has other names for the first two.
    "AIRFLOW__SCHEDULER__SCHEDULER_ZOMBIE_TASK_THRESHOLD": "20",
    "AIRFLOW__SCHEDULER__ZOMBIE_DETECTION_INTERVAL": "5",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "8",
}


@dataclass(frozen=True)
class Plan:
    """One run: which Dag, where its worker dies, and what people do to it."""

    run_id: str
    dag_id: str
    conf: dict[str, Any]
    history: str = ""


def plans(seed: int, count: int) -> list[Plan]:
    """The runs of a seed. Every point of death and every history comes up; a tenth consents to sending again."""
    dice = random.Random(seed)
    made = []
    for number in range(count):
        conf: dict[str, Any] = {"scope": f"scope-{number % max(1, count // 4)}", "seconds": dice.choice([0, 1, 3, 8])}
        if number % 2 == 0:
            conf |= {"dies": POINTS[(number // 2) % len(POINTS)], "whole": dice.random() < 0.7}
            conf["worker_too"] = number in (4, 6, 14)  # few: each costs Airflow half a minute to notice
        history = ""
        if number % 2 == 1:
            history = HISTORIES[(number // 2) % len(HISTORIES)] if number % 4 == 1 or dice.random() < 0.5 else ""
            conf["broken_trigger"] = not history and dice.random() < 0.5
        elif number % 8 == 2:
            history = dice.choice(["clear ended", "edit running", "clear ended, clear ended"])
        conf["result"] = "FAILED" if dice.random() < 0.1 else "COMPLETED"
        consent = "resubmit" if number % 10 == 9 else "fail"
        dag_id = f"chaos_{consent}_{dice.choice(['wait', 'wait', 'submit'])}"
        made.append(Plan(f"chaos-{seed}-{number}", dag_id, conf, history))
    return made


def order_faults(zilliant: Sandbox) -> None:
    """Random trouble for every call."""
    post = {"method": "POST", "path": "/v1/JobWorkflow", "times": None}
    get = {"method": "GET", "path": "/v1/JobWorkflow", "times": None}
    for chance, fault in [
        (0.02, {"fault": "status", "status": 500}),
        (0.02, {"fault": "status", "status": 503}),
        (0.02, {"fault": "status", "status": 429, "headers": {"Retry-After": "2"}}),
        (0.02, {"fault": "drop"}),
        (0.03, {"fault": "lose_reply"}),
        (0.02, {"fault": "cut"}),
        (0.02, {"fault": "garbage"}),
        (0.01, {"fault": "hang", "seconds": 4}),
        (0.01, {"fault": "process_and_hang", "seconds": 4}),
        (0.05, {"fault": "delay", "seconds": 1.5}),
    ]:
        zilliant.zilliant.order_fault({**post, **fault, "probability": chance})
    for chance, fault in [
        (0.05, {"fault": "status", "status": 503}),
        (0.03, {"fault": "status", "status": 500}),
        (0.02, {"fault": "status", "status": 429, "headers": {"Retry-After": "1"}}),
        (0.01, {"fault": "status", "status": 401}),
        (0.05, {"fault": "drop"}),
        (0.04, {"fault": "cut"}),
        (0.04, {"fault": "garbage"}),
        (0.04, {"fault": "delay", "seconds": 2}),
    ]:
        zilliant.zilliant.order_fault({**get, **fault, "probability": chance})


class Agitator(threading.Thread):
    """Kills, stops and restarts components, until it is told to end."""

    def __init__(self, airflow: PrivateAirflow, seed: int, tell: Callable[[str], None]) -> None:
        super().__init__(daemon=True)
        self.airflow, self.tell = airflow, tell
        self.dice = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.at_work = threading.Lock()
        self._end = threading.Event()

    def run(self) -> None:
        actions = [
            ("kill -9 of a triggerer", self.kill_triggerer),
            ("a triggerer stopped and continued", self.freeze_triggerer),
            ("kill -9 of a triggerer", self.kill_triggerer),
        ]
        if "api-server" in self.airflow.components:
            actions.append(("restart of the api-server", self.restart_api_server))
        round_number = 0
        while not self._end.wait(self.dice.uniform(5, 12)):
            name, act = actions[round_number % len(actions)]
            self.tell(name)
            with self.at_work:
                act()
            self.done[name] += 1
            round_number += 1

    def revive(self) -> None:
        """Restarts what has ended by itself, as a service manager would."""
        for name in self.airflow.processes.dead():
            with self.at_work:
                if name in self.airflow.processes.dead():
                    self.airflow.start_component(name.removesuffix("-2"), name)
                    self.done[f"{name} that ended by itself"] += 1

    def end(self) -> None:
        self._end.set()
        self.join()

    def kill_triggerer(self) -> None:
        name = self.dice.choice(["triggerer", "triggerer-2"])
        self.airflow.processes.kill(name)
        self._end.wait(self.dice.uniform(0, 4))
        self.airflow.start_component("triggerer", name)

    def freeze_triggerer(self) -> None:
        """Longer than Airflow takes it for alive, so that the other one runs its triggers too."""
        name = self.dice.choice(["triggerer", "triggerer-2"])
        self.airflow.processes.kill(name, signal.SIGSTOP)
        self._end.wait(self.dice.uniform(9, 14))
        self.airflow.processes.kill(name, signal.SIGCONT)

    def restart_api_server(self) -> None:
        self.airflow.processes.kill("api-server")
        self.airflow.start_component("api-server")
        for _ in range(60):
            with contextlib.suppress(requests.RequestException, KeyError):
                if self.airflow.get("/api/v2/monitor/health"):
                    return
            time.sleep(0.5)


@dataclass
class Count:
    """What the books say."""

    seed: int
    runs: int = 0
    tasks: int = 0
    accepted: int = 0
    duplicates: list[str] = field(default_factory=list)
    submitted_again: int = 0
    lost_records: int = 0
    overwritten: int = 0
    failed_by_airflow: int = 0
    false_greens: list[str] = field(default_factory=list)
    untyped: list[str] = field(default_factory=list)
    broken_rules: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)
    deaths: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    agitations: Counter[str] = field(default_factory=Counter)
    people: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        return not (self.duplicates or self.false_greens or self.untyped or self.broken_rules or self.unfinished)

    def table(self) -> str:
        """What ``make chaos`` prints."""

        def several(counted: Counter[str]) -> str:
            return ", ".join(f"{count} x {name}" for name, count in sorted(counted.items())) or "none"

        rows = [
            ("seed", self.seed),
            ("runs", self.runs),
            ("tasks", self.tasks),
            ("jobs accepted", self.accepted),
            ("duplicates", len(self.duplicates)),
            ("green without a COMPLETED job", len(self.false_greens)),
            ("failures without a typed error", len(self.untyped)),
            ("ambiguous cases that broke rule 2", len(self.broken_rules)),
            ("runs that did not end", len(self.unfinished)),
            ("sent again with a consent", self.submitted_again),
            ("stopped, as Airflow lost the record", self.lost_records),
            ("ended, but overwritten by Airflow", self.overwritten),
            ("failed by Airflow itself, no error", self.failed_by_airflow),
            ("ends", several(self.states)),
            ("deaths of workers", several(self.deaths)),
            ("faults that struck", several(self.faults)),
            ("components", several(self.agitations)),
            ("people", several(self.people)),
            ("seconds", round(self.seconds)),
        ]
        lines = [f"{name:36}{value}" for name, value in rows]
        for name in ("duplicates", "false_greens", "untyped", "broken_rules", "unfinished"):
            lines += [f"  {name}: {what}" for what in getattr(self, name)]
        return "\n".join(lines)


def audit(
    airflow: PrivateAirflow,
    zilliant: Sandbox,
    planned: list[Plan],
    failures: list[dict[str, Any]],
    deaths: list[dict[str, Any]],
    people: People,
    count: Count,
    *,
    record_ends_with_task: bool,
) -> None:
    """Compares Airflow's books with Zilliant's."""
    jobs = zilliant.zilliant.job_records()
    posts = [request for request in zilliant.zilliant.requests if request["method"] == "POST"]
    for plan in planned:
        count.runs += 1
        (task,) = airflow.tasks(plan.dag_id, plan.run_id)
        count.tasks += 1
        state = str(task["state"])
        if state not in ("success", "failed"):
            # Of two triggerers, the slower one's late write can stand over the state of a task that has ended
            # (seen: "scheduled" in a run that Airflow had marked as success). The run tells how it ended.
            count.overwritten += 1
            state = airflow.run_state(plan.dag_id, plan.run_id)
        count.states[state] += 1
        own_jobs = {job["jobId"]: job for job in jobs if job["parameters"]["run"] == plan.run_id}
        own_posts = [post for post in posts if post["body"]["parameters"]["run"] == plan.run_id]
        noted = [line for line in failures if line["run_id"] == plan.run_id]
        died = [line for line in deaths if line["run_id"] == plan.run_id]
        done = people.lives[plan.run_id].done
        what = (
            f"{plan.dag_id} {plan.run_id}: {state}, dies={[line['point'] for line in died]}, "
            f"people={[(step.what, step.state) for step in done]}, "
            f"posts={[(post['status'], post['fault']) for post in own_posts]}"
        )
        count.accepted += len(own_jobs)
        may_resubmit = "resubmit" in plan.dag_id
        unfounded = without_consent(
            own_posts,
            list(own_jobs.values()),
            [line["at"] for line in noted if "clear" in line["text"]],
            done,
            [line["at"] for line in died if line["point"] in AMBIGUOUS],
            may_resubmit=may_resubmit,
            record_ends_with_task=record_ends_with_task,
        )
        if unfounded and len(own_jobs) > 1:
            count.duplicates.append(f"{what}: {unfounded}")
        elif unfounded:
            count.broken_rules.append(f"{what}: {unfounded}")
        elif len(own_jobs) > 1:
            count.submitted_again += len(own_jobs) - 1
        if state not in ("success", "failed"):
            count.unfinished.append(what)
        if state == "success":
            job = own_jobs.get(airflow.xcom(task, "return_value"))
            was_edited_while_it_ended = bool(done) and done[-1].what == "edit"
            is_right = job is not None and (
                was_edited_while_it_ended or job["parameters"]["edition"] == people.edition(plan.run_id)
            )
            if not is_right or ("wait" in plan.dag_id and job is not None and job["closeStatus"] != "COMPLETED"):
                count.false_greens.append(f"{what}, green with {job}")
        kinds = noted[-1]["kinds"] if noted else []
        if state == "failed" and kinds[:1] == ["NoneType"]:
            # Its scheduler called the callback, and no task: a late report, where an api-server was restarted.
            count.failed_by_airflow += 1
        elif state == "failed" and not any(kind.startswith(TYPED) for kind in kinds):
            count.untyped.append(f"{what}, noted={noted[-1:]}")
        if not may_resubmit and not done:
            stopped = "ZilliantSubmissionUnknownError" in kinds and state == "failed"
            ambiguous = any(map(is_unknown, own_posts)) or any(line["point"] in AMBIGUOUS for line in died)
            if ambiguous and not stopped:
                count.broken_rules.append(f"{what}, kinds={kinds[:1]}")
            count.lost_records += stopped and not ambiguous


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run(
    seed: int,
    runs: int,
    home: Path,
    tell: Callable[[str], None] = print,
    patience: float = 900,
    version: str | None = None,
) -> Count:
    """Runs the suite in a folder of its own and counts.

    :param version: another Airflow than the one installed here, such as "2.11".
    """
    began = time.monotonic()
    count = Count(seed)
    home.mkdir(parents=True, exist_ok=True)
    failures, deaths, dags = home / "failures.jsonl", home / "deaths.jsonl", home / "dags"
    edited, modules = home / "edited.json", home / "modules"
    dags.mkdir()
    modules.mkdir()
    shutil.copy(Path(__file__).parent / "dags" / "chaos.py", dags)
    shutil.copy(Path(__file__).parent / "dags" / "stumbling.py", modules)
    planned = plans(seed, runs)
    interpreter = with_airflow(version).make() if version is not None else Path(sys.executable)
    kind = PrivateAirflow2 if version is not None and version.startswith("2.") else PrivateAirflow
    with Sandbox(seed=seed) as zilliant:
        order_faults(zilliant)
        told = {"conn_type": "zilliant", **zilliant.connection()}
        config = {
            **CONFIG,
            "NOTED_FAILURES": str(failures),
            "NOTED_DEATHS": str(deaths),
            "EDITED": str(edited),
            "PYTHONPATH": str(modules),
            "STUMBLING_CONNECTION": json.dumps(told),
            "AIRFLOW__SECRETS__BACKEND": "stumbling.Stumbling",
            "AIRFLOW__WORKERS__SECRETS_BACKEND": "stumbling.Stumbling",
        }
        with kind(home / "airflow", dags, connections={}, config=config, interpreter=interpreter) as airflow:
            airflow.start_component("triggerer", "triggerer-2")
            for dag_id in DAGS:
                airflow.wait_until(lambda dag_id=dag_id: airflow.known(dag_id), f"Airflow knows {dag_id}", 90)
            people = People(airflow, edited)
            for plan in planned:
                people.follow(plan.dag_id, plan.run_id, plan.history)
            agitator = Agitator(airflow, seed, tell)
            agitator.start()
            waiting_for, ends = list(planned), time.monotonic() + patience
            started: set[str] = set()
            while waiting_for and time.monotonic() < ends:
                for plan in waiting_for[:14]:  # in waves: two cores have only so much to give
                    with contextlib.suppress(requests.RequestException, RuntimeError):
                        if plan.run_id not in started:
                            airflow.start_run(plan.dag_id, plan.run_id, plan.conf)
                            started.add(plan.run_id)
                        elif people.look(plan.run_id):
                            waiting_for.remove(plan)
                            if len(waiting_for) % 10 == 0:
                                tell(f"{runs - len(waiting_for)} of {runs} runs have ended")
                time.sleep(0.5)
                agitator.revive()
            agitator.end()
            agitator.revive()
            if waiting_for:
                tell(f"{len(waiting_for)} runs have not ended: {[plan.run_id for plan in waiting_for]}")
            airflow.wait_until(airflow.is_healthy, "Airflow is healthy again", 60)
            zilliant.zilliant.faults.clear()
            died = read_lines(deaths)
            audit(
                airflow,
                zilliant,
                planned,
                read_lines(failures),
                died,
                people,
                count,
                record_ends_with_task=version is not None and version != "3.3",
            )
            count.deaths = Counter(line["point"] for line in died)
            count.faults = Counter(seen["fault"] for seen in zilliant.zilliant.requests if seen["fault"])
            count.agitations, count.people = agitator.done, people.counted
    count.seconds = time.monotonic() - began
    return count


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=None, help="default: a new one, which is printed")
    parser.add_argument("--airflow", choices=list(AIRFLOWS)[:-1], help="an older one than the one installed here")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.randrange(1_000_000)
    print(f"seed {seed}, {given.runs} runs{f', Airflow {given.airflow}' if given.airflow else ''}", flush=True)
    began = time.monotonic()
    home = Path(tempfile.mkdtemp(prefix="zilliant-chaos-"))

    def tell(what: str) -> None:
        print(f"[{time.monotonic() - began:5.0f} s] {what}", flush=True)

    count = run(seed, given.runs, home, tell, patience=300 + 10 * given.runs, version=given.airflow)
    print(f"\n{count.table()}", flush=True)
    if count.is_good:
        shutil.rmtree(home, ignore_errors=True)
        return 0
    print(f"The logs are in {home}.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
