"""How late a job's end is noticed: the real wait, taken through thousands of jobs by a simulated clock."""

from __future__ import annotations

import json
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

from airflow_provider_zilliant.api.client import Client
from airflow_provider_zilliant.api.environment import Environment
from airflow_provider_zilliant.api.http import Reply, Request
from airflow_provider_zilliant.api.transport import T
from airflow_provider_zilliant.api.transport import run as run_call
from airflow_provider_zilliant.waits import intervals, watching
from airflow_provider_zilliant.waits.events import Closed
from tests.benchmarks.common import Result

#: Classes of run times, in seconds.
CLASSES = ((1.0, 10.0), (10.0, 50.0), (50.0, 600.0), (600.0, 3600.0), (3600.0, 21600.0))
JOBS = 2000
#: The bar: a tenth of the run time, but these many seconds at least and at most. The promised jitter
#: lengthens every wait by up to a tenth, which the upper limit of 66 s (60 s and a tenth) has in it already.
LEAST, MOST, SHARE = 5.0, 60.0, 0.1
BEGAN = 1_800_000_000.0


def allowed(run_time: float) -> float:
    in_time = min(max(SHARE * run_time, LEAST), MOST) * (1 + intervals.JITTER)
    # Nothing resumes a task sooner than this after its deferral; Airflow's LocalExecutor would fail it.
    return max(in_time, intervals.EARLIEST_RESUMPTION * (1 + intervals.JITTER) - run_time)


class Clock:
    """A transport whose time passes only where somebody sleeps, with one job that runs for ``run_time`` seconds."""

    def __init__(self, run_time: float) -> None:
        self.time = BEGAN
        self._end = BEGAN + run_time

    def now(self) -> float:
        return self.time

    async def send(self, request: Request) -> Reply:
        status = {"executionStatus": "OPEN"}
        if self.time >= self._end:
            status = {"executionStatus": "CLOSED", "closeStatus": "COMPLETED"}
        return Reply(200, body=json.dumps(status).encode())

    async def sleep(self, seconds: float, /) -> None:
        self.time += seconds

    async def finish(self, call: Awaitable[T], by: float | None) -> T:
        return await call

    async def read_connection(self) -> Environment:
        return Environment("https://zilliant.example")

    async def compute(self, function: Callable[[], T], /) -> T:
        return function()

    async def mask(self, secrets: Iterable[str], /) -> None:
        raise AssertionError("there is no secret")

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        yield


def lateness(run_time: float) -> float:
    """Seconds from the end of a job that ran that long to the poll that notices it; replies take no time."""
    clock = Clock(run_time)
    event = run_call(
        watching.watch(
            Client(clock, {}),
            "job",
            began=BEGAN,
            accepted_time=BEGAN,
            poll_interval=None,
            deadline=None,
            first_pause=intervals.first_pause(BEGAN, began=BEGAN, deferred_time=BEGAN, poll_interval=None),
        )
    )
    assert isinstance(event, Closed), event
    return clock.time - BEGAN - run_time


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
