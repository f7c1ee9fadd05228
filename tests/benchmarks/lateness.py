"""How late a job's end is noticed: the real wait, driven through thousands of jobs by a clock of its own."""

from __future__ import annotations

import json
import math
import random
from typing import Any

from airflow_provider_zilliant import waiting
from airflow_provider_zilliant.api.client import Alone, Client, Flow, Mask, Now, ReadConnection, Send, Sleep
from airflow_provider_zilliant.api.environment import Environment
from airflow_provider_zilliant.api.http import Reply
from tests.benchmarks.common import Result

#: Classes of run times, in seconds.
CLASSES = ((1.0, 10.0), (10.0, 50.0), (50.0, 600.0), (600.0, 3600.0), (3600.0, 21600.0))
JOBS = 2000
#: The bar: a tenth of the run time, but these many seconds at least and at most. The promised jitter
#: lengthens every wait by up to a tenth, which the upper limit of 66 s (60 s and a tenth) has in it already.
LEAST, MOST, SHARE = 5.0, 60.0, 0.1


def allowed(run_time: float) -> float:
    in_time = min(max(SHARE * run_time, LEAST), MOST) * (1 + waiting.JITTER)
    # Nothing resumes a task sooner than this after its deferral; Airflow's LocalExecutor would fail it.
    return max(in_time, waiting.EARLIEST_RESUMPTION * (1 + waiting.JITTER) - run_time)


def lateness(run_time: float) -> float:
    """Seconds from the end of a job that ran that long to the look that notices it; answers take no time."""
    began = 1_800_000_000.0
    now = began

    def perform(effect: object) -> Any:
        nonlocal now
        match effect:
            case Send():
                status = {"executionStatus": "OPEN"}
                if now >= began + run_time:
                    status = {"executionStatus": "CLOSED", "closeStatus": "COMPLETED"}
                return Reply(200, body=json.dumps(status).encode())
            case Now():
                return now
            case Sleep(seconds):
                now += seconds
                return None
            case ReadConnection():
                return Environment("https://zilliant.example")
            case Mask():
                return None
            case Alone(flow):
                return drive(flow)
        raise AssertionError(f"unknown effect {effect!r}")

    def drive(flow: Flow[Any]) -> Any:
        result = None
        while True:
            try:
                effect = flow.send(result)
            except StopIteration as stop:
                return stop.value
            result = perform(effect)

    event = drive(
        waiting.watch(
            Client({}),
            "job",
            began=began,
            accepted_at=began,
            poll_interval=None,
            end_time=None,
            before_first_look=waiting.first_pause(now, began=began, deferred_at=began, poll_interval=None),
        )
    )
    assert event["status"] == "closed", event
    return now - began - run_time


def run(jobs: int = JOBS) -> list[Result]:
    """The largest lateness by class of run times, in seconds, as a share, and against what is allowed."""
    dice = random.Random(4)
    results = []
    for shortest, longest in CLASSES:
        # As many between 1 and 2 hours as between 2 and 4: lateness is a matter of proportions.
        runs = [math.exp(dice.uniform(math.log(shortest), math.log(longest))) for _ in range(jobs)]
        late = [(lateness(run_time), run_time) for run_time in runs]
        results.append(
            {
                "shortest": shortest,
                "longest": longest,
                "jobs": jobs,
                "seconds": max(seconds for seconds, _ in late),
                "mean_seconds": sum(seconds for seconds, _ in late) / jobs,
                "share": max(seconds / run_time for seconds, run_time in late),
                "of_allowed": max(seconds / allowed(run_time) for seconds, run_time in late),
            }
        )
    return results
