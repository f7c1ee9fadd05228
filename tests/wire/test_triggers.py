"""The triggers against the sandbox: what they send, when they look, and what they share."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from airflow.secrets.environment_variables import EnvironmentVariablesBackend
from airflow.triggers.base import BaseTrigger

from airflow_provider_zilliant.exceptions import ZilliantScopeBusyError
from airflow_provider_zilliant.hooks.zilliant import ZilliantHook
from airflow_provider_zilliant.sandbox import Sandbox
from airflow_provider_zilliant.transports import aio
from airflow_provider_zilliant.triggers.zilliant import ZilliantJobTrigger, ZilliantScopeTrigger
from airflow_provider_zilliant.waits import scope_queue
from tests.conftest import LOGIN


@pytest.fixture(autouse=True)
def _connected(sandbox, connect):
    connect(sandbox.connection())


async def event_of(trigger) -> dict:
    return (await anext(trigger.run())).payload


def job_trigger(job_id: str, **how) -> ZilliantJobTrigger:
    return ZilliantJobTrigger("zilliant_default", job_id, **{"poll_interval": 0.1, **how})


def gets(sandbox) -> int:
    return sum(request["method"] == "GET" for request in sandbox.zilliant.requests)


@pytest.mark.parametrize(
    "trigger",
    [
        ZilliantScopeTrigger("c", "us", 1.0, 2.0, 3.0, 4.0, {"try_number": 1}),
        ZilliantScopeTrigger("c", None, 1.0),
        ZilliantJobTrigger("c", "j", "us", 1.0, 2.0, 3.0, 4.0, {"try_number": 1}),
        ZilliantJobTrigger("c", "j"),
    ],
)
def test_a_trigger_is_what_it_was_after_a_restart(trigger):
    path, arguments = trigger.serialize()
    assert path == f"{type(trigger).__module__}.{type(trigger).__qualname__}"
    assert type(trigger)(**json.loads(json.dumps(arguments))).serialize() == (path, arguments)


async def test_the_scope_trigger_waits_and_sends_nothing_at_all(sandbox):
    began = time.time()
    trigger = ZilliantScopeTrigger("zilliant_default", "us", began, 0.3, began + 60, began, {"try_number": 2})
    event = await event_of(trigger)
    assert event == {"status": "retry", "waiting_since": began, "carried": {"try_number": 2}}
    assert 0.3 <= time.time() - began < 5
    assert sandbox.zilliant.requests == []


async def test_the_scope_trigger_gives_up_at_the_deadline():
    began = time.time()
    assert (await event_of(ZilliantScopeTrigger("c", "us", began, 60, began + 0.2)))["status"] == "timeout"
    assert (await event_of(ZilliantScopeTrigger("c", "us", began - 9, 60, began - 1)))["status"] == "timeout"


async def test_the_job_trigger_tells_how_the_job_closed(sandbox, hook):
    job_id = hook.run_workflow("P", parameters={"sandbox_seconds": "0.5", "sandbox_result": "FAILED"})
    event = await event_of(job_trigger(job_id, carried={"try_number": 1}))
    assert event["status"] == "closed"
    assert event["carried"] == {"try_number": 1}
    assert event["job"].keys() == {"jobId", "executionStatus", "closeStatus", "startTimeStamp", "closeTimeStamp"}
    assert (event["job"]["jobId"], event["job"]["closeStatus"]) == (job_id, "FAILED")
    assert gets(sandbox) >= 2


async def test_the_job_trigger_gives_up_at_the_deadline_after_a_last_look(sandbox, hook):
    job_id = hook.run_workflow("P", parameters={"sandbox_seconds": "60"})
    event = await event_of(job_trigger(job_id, poll_interval=30, end_time=time.time() + 0.2))
    assert event["status"] == "timeout"
    assert gets(sandbox) == 1


async def test_a_job_that_nobody_knows_is_an_error(hook):
    event = await event_of(job_trigger("5b6a2c3d-91f0-4a6e-9f7b-1a2b3c4d5e6f"))
    assert (event["status"], event["error"], event["status_code"]) == ("error", "ZilliantNotFoundError", 404)
    assert event["message"]


async def test_a_connection_that_is_broken_is_an_error_that_names_the_field(sandbox, connect):
    connect(sandbox.connection(host=""))
    event = await event_of(job_trigger("5b6a2c3d"))
    assert (event["status"], event["error"]) == ("error", "ZilliantConfigError")
    assert "Host" in event["message"]


async def test_a_connection_that_stays_missing_is_an_error_that_names_it():
    event = await event_of(ZilliantJobTrigger("nowhere", "5b6a2c3d", poll_interval=0.01))
    assert (event["status"], event["error"]) == ("error", "ZilliantConfigError")
    assert "11 polls in a row" in event["message"]
    assert "nowhere" in event["message"]


async def test_a_secrets_backend_that_stumbles_for_a_moment_ends_no_wait(hook, monkeypatch):
    job_id = hook.run_workflow("P", parameters={"sandbox_seconds": "0"})
    asked = []

    def stumble(self, conn_id, **how):
        asked.append(conn_id)
        if len(asked) <= 8:  # one read asks twice
            raise OSError("the backend is away")
        return original(self, conn_id, **how)

    original = EnvironmentVariablesBackend.get_conn_value
    monkeypatch.setattr(EnvironmentVariablesBackend, "get_conn_value", stumble)
    event = await event_of(job_trigger(job_id, poll_interval=0.01))
    assert event["status"] == "closed"
    assert len(asked) > 8


async def test_an_edited_connection_is_noticed_although_other_triggers_of_it_live(sandbox, connect, hook):
    still_open = hook.run_workflow("P", parameters={"sandbox_seconds": "60"})
    connect(sandbox.connection(host="http://127.0.0.1:1"))
    waits = [asyncio.create_task(event_of(job_trigger(still_open, poll_interval=0.2))) for _ in range(5)]
    await asyncio.sleep(0.5)
    assert gets(sandbox) == 0
    connect(sandbox.connection())
    await asyncio.sleep(0.8)
    assert gets(sandbox) >= 5, "after an unreachable host the Connection is read anew"
    closed = hook.run_workflow("P", scope="us", parameters={"sandbox_seconds": "0"})
    with Sandbox(seed=0) as other:
        connect(other.connection())
        event = await event_of(job_trigger(closed, poll_interval=0.1))
        assert (event["status"], event["status_code"]) == ("error", 404), "the other Zilliant knows no such job"
        assert gets(other) >= 2
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)


@pytest.mark.parametrize("hanging", ["read", "login", "GET"])
async def test_whatever_hangs_the_trigger_ends_at_its_deadline(login_sandbox, connect, monkeypatch, hanging):
    monkeypatch.setattr("airflow_provider_zilliant.waits.watching.LAST_POLL", 0.5)
    extra = {**LOGIN["extra"], "login_url": login_sandbox.url}
    connect({"host": login_sandbox.url, "login": LOGIN["login"], "password": LOGIN["password"], "extra": extra})
    if hanging == "read":
        monkeypatch.setattr("airflow_provider_zilliant.compat.read_connection", lambda conn_id: asyncio.sleep(60))
    else:
        path = "/services/" if hanging == "login" else "/v1/"
        login_sandbox.zilliant.order_fault({"fault": "hang", "path": path, "times": None})
    began = time.time()
    triggers = [job_trigger("5b6a2c3d", end_time=began + 1) for _ in range(5)]
    events = await asyncio.gather(*(event_of(trigger) for trigger in triggers))
    assert [event["status"] for event in events] == ["timeout"] * 5
    assert 1 <= time.time() - began < 3


async def test_a_hundred_triggers_share_one_session_one_read_and_one_login(login_sandbox, connect, monkeypatch):
    extra = {**LOGIN["extra"], "login_url": login_sandbox.url}
    fields = {"host": login_sandbox.url, "login": LOGIN["login"], "password": LOGIN["password"], "extra": extra}
    connect(fields)
    body = {"descriptor": "D", "parameters": {"WORKFLOW_AUTOMATION_ID": "P", "sandbox_seconds": "1"}}
    jobs = [login_sandbox.zilliant.submit({**body, "scope": str(n)}).job_id for n in range(100)]
    made, read = [], []
    original_init, original_read = aio.AsyncTransport.__init__, aio.AsyncTransport.read_connection
    monkeypatch.setattr(
        aio.AsyncTransport, "__init__", lambda self, *how: (made.append(1), original_init(self, *how))[1]
    )
    monkeypatch.setattr(aio.AsyncTransport, "read_connection", lambda self: (read.append(1), original_read(self))[1])
    events = await asyncio.gather(*(event_of(job_trigger(job_id, poll_interval=0.2)) for job_id in jobs))
    assert {event["status"] for event in events} == {"closed"}
    assert (len(made), len(read)) == (1, 1)
    assert sum(request["path"].startswith("/services") for request in login_sandbox.zilliant.requests) == 1


async def test_a_cancelled_trigger_leaves_no_session_behind(hook):
    job_id = hook.run_workflow("P", parameters={"sandbox_seconds": "60"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tasks = [asyncio.create_task(event_of(job_trigger(job_id))) for _ in range(20)]
        await asyncio.sleep(0.5)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert aio._opened[asyncio.get_running_loop()] == {}
        gc.collect()


async def test_ten_thousand_triggers_leave_nothing_behind(hook, monkeypatch):
    """Some poll, some only wait, half are killed: afterwards there is no session, queue, task or socket more."""
    monkeypatch.setattr(scope_queue, "TURN", 0.0)  # who left to try is remembered for a minute
    closed = hook.run_workflow("P", parameters={"sandbox_seconds": "0"})
    still_open = hook.run_workflow("P", scope="us", parameters={"sandbox_seconds": "600"})
    here = asyncio.get_running_loop()
    counts = []

    async def a_thousand() -> None:
        now = time.time()
        ending = [job_trigger(closed, poll_interval=0.01) for _ in range(20)]
        ending += [ZilliantScopeTrigger("zilliant_default", f"s{n}", now, 0.01) for n in range(480)]
        waiting = [job_trigger(still_open, scope="us", poll_interval=0.2 if n < 20 else 60) for n in range(250)]
        waiting += [ZilliantScopeTrigger("zilliant_default", "us", now + n) for n in range(250)]
        tasks = [asyncio.create_task(event_of(trigger)) for trigger in waiting]
        await asyncio.gather(*(event_of(trigger) for trigger in ending))
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ends)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(10):
            await a_thousand()
            assert aio._opened[here] == {}
            assert scope_queue._queues_here() == {}
            gc.collect()
            await asyncio.sleep(0)
            sockets = sum(kept.status == "ESTABLISHED" for kept in psutil.Process().net_connections())
            counts.append((len(gc.get_objects()), sockets, len(asyncio.all_tasks())))
    objects, sockets, tasks = zip(*counts, strict=True)
    assert objects[-1] - objects[2] < 3000, "a thousand triggers left objects behind"
    assert sockets[-1] <= sockets[2]
    assert set(tasks) == {1}


async def test_no_trigger_costs_a_thread(hook):
    job_id = hook.run_workflow("P", parameters={"sandbox_seconds": "60"})
    now = time.time()
    triggers = [job_trigger(job_id, deferred_time=0.0, poll_interval=0.5) for _ in range(200)]
    triggers += [ZilliantScopeTrigger("zilliant_default", f"s{n}", now) for n in range(200)]
    before = threading.active_count()
    tasks = [asyncio.create_task(event_of(trigger)) for trigger in triggers]
    await asyncio.sleep(1.5)
    # The connection is read, and its token masked, in one thread, once for all; the sandbox may need one.
    assert threading.active_count() <= before + 2
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def work(hook, scope: str, sent: list[bool]) -> str:
    """What the operator does with its triggers, without a worker's start."""
    since = None
    while True:
        try:
            job_id = await asyncio.to_thread(hook.run_workflow, "P", scope=scope, parameters={"sandbox_seconds": "0.5"})
        except ZilliantScopeBusyError:
            sent.append(False)
            since = time.time() if since is None else since
            trigger = ZilliantScopeTrigger("zilliant_default", scope, since, 60.0, deferred_time=time.time())
            assert (await event_of(trigger))["status"] == "retry"
        else:
            sent.append(True)
            accepted_time = time.time()
            event = await event_of(job_trigger(job_id, scope=scope, poll_interval=0.1, accepted_time=accepted_time))
            assert event["job"]["closeStatus"] == "COMPLETED"
            return job_id


async def test_n_tasks_on_one_scope_cost_2n_minus_1_posts_and_the_next_goes_at_once(hook):
    sent: list[bool] = []
    count = 8
    with contextlib.ExitStack() as stack:
        hooks = [stack.enter_context(ZilliantHook(hook.zilliant_conn_id)) for _ in range(count)]
        async with asyncio.timeout(55):  # whoever is not woken sits out an interval of 60 s
            jobs = await asyncio.gather(*(work(one, "us", sent) for one in hooks))
    assert len(set(jobs)) == sent.count(True) == count
    assert len(sent) <= 2 * count - 1


def test_connections_loops_and_threads_share_nothing(sandbox, connect):
    connect(sandbox.connection(), "other")

    async def opened() -> tuple[object, ...]:
        async with (
            aio.SharedClient("zilliant_default") as one,
            aio.SharedClient("zilliant_default") as same,
            aio.SharedClient("other") as other,
        ):
            assert one is same
            assert one is not other
            with scope_queue.Watch("zilliant_default", "us", 1.0):
                assert list(scope_queue._queues_here()) == [("zilliant_default", "us")]
            return one, other

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: asyncio.run(opened()), range(2))
    assert not set(first) & set(second)


@pytest.mark.parametrize("killed", [True, False], ids=["task killed", "triggerer ends"])
async def test_a_wait_that_is_killed_names_the_job_that_continues(hook, caplog, capsys, killed):
    job_id = hook.run_workflow("P", parameters={"sandbox_seconds": "60"})
    trigger = job_trigger(job_id, poll_interval=30)
    wait = asyncio.create_task(event_of(trigger))
    await asyncio.sleep(0.2)
    learns_of_kills = hasattr(BaseTrigger, "on_kill")  # from 3.3 on; before, every cancellation may be a kill
    if killed and learns_of_kills:
        await trigger.on_kill()
    wait.cancel()
    await asyncio.gather(wait, return_exceptions=True)
    logged = capsys.readouterr().out + caplog.text
    assert (job_id in logged and "continues in" in logged) is (killed or not learns_of_kills)


async def test_a_revoked_token_is_renewed_once_for_all(login_sandbox, connect):
    extra = {**LOGIN["extra"], "login_url": login_sandbox.url}
    connect({"host": login_sandbox.url, "login": LOGIN["login"], "password": LOGIN["password"], "extra": extra})
    body = {"descriptor": "D", "parameters": {"WORKFLOW_AUTOMATION_ID": "P", "sandbox_seconds": "2"}}
    jobs = [login_sandbox.zilliant.submit({**body, "scope": str(n)}).job_id for n in range(20)]
    tasks = [asyncio.create_task(event_of(job_trigger(job_id, poll_interval=0.3))) for job_id in jobs]
    await asyncio.sleep(0.8)
    login_sandbox.zilliant.revoke_tokens()
    events = await asyncio.gather(*tasks)
    assert {event["status"] for event in events} == {"closed"}
    assert sum(request["path"].startswith("/services") for request in login_sandbox.zilliant.requests) == 2


async def test_a_fresh_token_in_the_connection_is_noticed_after_a_401(sandbox, connect, hook):
    job_id = hook.run_workflow("P", parameters={"sandbox_seconds": "0"})
    connect(sandbox.connection(password='{"access_token": "stale"}'))
    async with aio.SharedClient("zilliant_default") as client:
        await client.token()
        connect(sandbox.connection())
        assert (await event_of(job_trigger(job_id)))["status"] == "closed"


async def test_a_login_outlives_the_triggers_that_made_it(login_sandbox, connect):
    extra = {**LOGIN["extra"], "login_url": login_sandbox.url}
    connect({"host": login_sandbox.url, "login": LOGIN["login"], "password": LOGIN["password"], "extra": extra})
    body = {"descriptor": "D", "parameters": {"WORKFLOW_AUTOMATION_ID": "P", "sandbox_seconds": "0"}}
    for number in range(3):
        job_id = login_sandbox.zilliant.submit({**body, "scope": str(number)}).job_id
        assert (await event_of(job_trigger(job_id)))["status"] == "closed"
    assert sum(request["path"].startswith("/services") for request in login_sandbox.zilliant.requests) == 1


async def test_a_refused_login_is_not_tried_by_everyone_who_waited_for_it(login_sandbox, connect):
    extra = {**LOGIN["extra"], "login_url": login_sandbox.url}
    connect({"host": login_sandbox.url, "login": LOGIN["login"], "password": "wrong", "extra": extra})
    login_sandbox.zilliant.order_fault({"fault": "delay", "seconds": 0.5, "path": "/services/", "times": None})
    events = await asyncio.gather(*(event_of(job_trigger("5b6a2c3d", deferred_time=0.0)) for _ in range(30)))
    assert {event["error"] for event in events} == {"ZilliantAuthError"}
    assert sum(request["path"].startswith("/services") for request in login_sandbox.zilliant.requests) <= 3


@pytest.mark.parametrize("named", ["extra", "environment"])
async def test_a_proxy_without_a_scheme_serves_the_triggerer_as_it_serves_the_worker(
    sandbox, connect, hook, monkeypatch, named
):
    job_id = hook.run_workflow("P", parameters={"sandbox_seconds": "0"})
    proxy = f"127.0.0.1:{sandbox.port}"
    extra = {"oauth_host": "sandbox.my.salesforce.com", "allow_http": True}
    if named == "extra":
        extra["proxies"] = {"http": proxy}
    else:
        monkeypatch.setenv("http_proxy", proxy)
    connect(sandbox.connection(host="http://zilliant.example", extra=extra))
    assert (await event_of(job_trigger(job_id)))["status"] == "closed"


async def test_a_proxys_password_is_not_told(sandbox, connect, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://user:envsecret@127.0.0.1:x")
    connect(sandbox.connection(host="http://zilliant.example", extra={"allow_http": True}))
    event = await event_of(job_trigger("5b6a2c3d", poll_interval=0.01))
    assert event["status"] == "error"
    assert "envsecret" not in event["message"]
    assert "http_proxy" in event["message"]
