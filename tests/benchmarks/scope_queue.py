"""The scope's queue: N tasks of one scope, in real time, against the embedded Zilliant.

Triggers, event loop, submissions and server are the real ones. What stands for Airflow around them
is a coroutine per task: a worker takes ``WORKER_START`` seconds to start or to resume, and the
triggerer ``PICK_UP`` seconds to begin a trigger. The usual alternative posts, fails on a 409, and
is retried after ``RETRY_DELAY``.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from tests.benchmarks.common import Result, child, median, result_of

WORKER_START = (0.5, 1.0)
PICK_UP = (0.2, 1.0)
#: Airflow's own default is five minutes: fewer requests, and scopes that stand idle for minutes.
RETRY_DELAY = 5.0
#: Jobs so short that fifty of them fit into a benchmark; this provider polls every 5 s at most.
JOB_SECONDS = (3.0, 4.8)
SCOPE = "list-prices"
TASKS = (2, 10, 50)


@dataclass(frozen=True)
class Contest:
    """One process's work."""

    who: str
    tasks: int
    job_seconds: tuple[float, float] = JOB_SECONDS
    retry_delay: float = RETRY_DELAY
    poll_interval: float | None = None


class Ours:
    """A task of this provider, from its first start to its green end."""

    def __init__(self, contest: Contest, url: str, dice: random.Random) -> None:
        self._contest = contest
        self._dice = dice

    async def __call__(self, parameters: dict[str, str]) -> None:
        from airflow_provider_zilliant.exceptions import ZilliantScopeBusyError
        from airflow_provider_zilliant.triggers.zilliant import ZilliantJobTrigger, ZilliantScopeTrigger

        poll_interval = self._contest.poll_interval
        carried = {"try_number": 1, "deadline": None}
        waiting_since: float | None = None
        while True:
            await self._some(WORKER_START)
            try:
                job_id = await asyncio.to_thread(self._submit, parameters)
                break
            except ZilliantScopeBusyError:
                now = time.time()
                waiting_since = now if waiting_since is None else waiting_since
            await self._some(PICK_UP)
            event = await self._event(
                ZilliantScopeTrigger(
                    zilliant_conn_id="zilliant",
                    scope=SCOPE,
                    waiting_since=waiting_since,
                    poll_interval=poll_interval,
                    end_time=waiting_since + 86400,
                    deferred_time=now,
                    carried=carried,
                )
            )
            if event["status"] != "retry":
                raise RuntimeError(f"the wait for the scope ended with {event}")
        now = time.time()
        await self._some(PICK_UP)
        event = await self._event(
            ZilliantJobTrigger(
                zilliant_conn_id="zilliant",
                job_id=job_id,
                scope=SCOPE,
                poll_interval=poll_interval,
                end_time=now + 86400,
                accepted_time=now,
                deferred_time=now,
                carried=carried,
            )
        )
        if event["status"] != "closed":
            raise RuntimeError(f"the job's wait ended with {event}")

    async def _some(self, seconds: tuple[float, float]) -> None:
        await asyncio.sleep(self._dice.uniform(*seconds))

    @staticmethod
    async def _event(trigger: Any) -> dict[str, Any]:
        event = await anext(trigger.run())
        payload: dict[str, Any] = event.payload
        return payload

    @staticmethod
    def _submit(parameters: dict[str, str]) -> str:
        """What the operator does with the hook."""
        from airflow_provider_zilliant.api.jobs import parse_submission
        from airflow_provider_zilliant.hooks.zilliant import ZilliantHook

        with ZilliantHook("zilliant") as hook:
            hook.prepare()
            return hook.submit(parse_submission("PublishListPrices", scope=SCOPE, parameters=parameters))


class Alternative:
    """A task that posts, fails on a 409, and is retried."""

    def __init__(self, contest: Contest, url: str, dice: random.Random) -> None:
        from airflow_provider_zilliant.connection.fields import parse_environment
        from airflow_provider_zilliant.sandbox.server import connection_to

        fields = connection_to(url)
        environment = parse_environment(host=url, password=fields["password"], extra=fields["extra"])
        self._url = f"{url}/v1/JobWorkflow/Authorized"
        self._headers = environment.headers(environment.token)
        self._retry_delay = contest.retry_delay
        self._dice = dice

    async def __call__(self, parameters: dict[str, str]) -> None:
        while True:
            await asyncio.sleep(self._dice.uniform(*WORKER_START))
            if await asyncio.to_thread(self._post, parameters) == 202:
                return
            await asyncio.sleep(self._retry_delay)

    def _post(self, parameters: dict[str, str]) -> int:
        import requests

        body = {
            "descriptor": "PLATFORM_CUSTOM_WORKFLOW",
            "scope": SCOPE,
            "parameters": {"WORKFLOW_AUTOMATION_ID": "PublishListPrices", **parameters},
        }
        return requests.post(self._url, json=body, headers=self._headers, timeout=60).status_code


WHO: dict[str, Callable[[Contest, str, random.Random], Any]] = {"zilliant": Ours, "alternative": Alternative}


async def hold(contest: Contest) -> Result:
    """All tasks start together; ends when each has had its job accepted, and waited for where it waits."""
    from airflow_provider_zilliant.sandbox import Sandbox

    with Sandbox() as sandbox:
        os.environ["AIRFLOW_CONN_ZILLIANT"] = json.dumps(sandbox.connection())
        dice = random.Random(contest.tasks)
        task = WHO[contest.who](contest, sandbox.url, dice)
        lengths = [f"{dice.uniform(*contest.job_seconds):.2f}" for _ in range(contest.tasks)]
        await asyncio.gather(*(task({"sandbox_seconds": seconds}) for seconds in lengths))
        jobs = sorted(sandbox.zilliant.jobs.values(), key=lambda job: job.queued_at)
        posts = [request for request in sandbox.zilliant.requests if request["method"] == "POST"]
    gaps = [later.queued_at - earlier.closed_at for earlier, later in itertools.pairwise(jobs)]
    return {
        **asdict(contest),
        "jobs": len(jobs),
        "posts": len(posts),
        "refusals": sum(request["status"] == 409 for request in posts),
        "gap_median": median(gaps),
        "gap_max": max(gaps),
        "seconds": jobs[-1].closed_at - jobs[0].queued_at,
    }


def begin(contests: list[Contest], env: dict[str, str]) -> list[subprocess.Popen[str]]:
    """Starts the contests side by side: they mostly sleep."""
    return [child("scope_queue", json.dumps(asdict(contest)), env=env) for contest in contests]


def collect(begun: list[subprocess.Popen[str]]) -> list[Result]:
    return [result_of(process) for process in begun]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(hold(Contest(**json.loads(sys.argv[1]))))), flush=True)
