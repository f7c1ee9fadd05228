"""The triggers against the sandbox: what they send, when they look, and what they share."""

from __future__ import annotations

import asyncio
import gc
import json
import time
import warnings

import pytest

from airflow_provider_zilliant.transports import aio
from airflow_provider_zilliant.triggers.zilliant import ZilliantJobTrigger, ZilliantScopeTrigger
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
        ZilliantScopeTrigger("c", "us", 1.0, 2.0, 3.0, 4.0, {"number": 1}),
        ZilliantScopeTrigger("c", None, 1.0),
        ZilliantJobTrigger("c", "j", "us", 1.0, 2.0, 3.0, 4.0, {"number": 1}),
        ZilliantJobTrigger("c", "j"),
    ],
)
def test_a_trigger_is_what_it_was_after_a_restart(trigger):
    path, arguments = trigger.serialize()
    assert path == f"{type(trigger).__module__}.{type(trigger).__qualname__}"
    assert type(trigger)(**json.loads(json.dumps(arguments))).serialize() == (path, arguments)


async def test_the_scope_trigger_waits_and_sends_nothing_at_all(sandbox):
    began = time.time()
    trigger = ZilliantScopeTrigger("zilliant_default", "us", began, 0.3, began + 60, began, {"number": 2})
    event = await event_of(trigger)
    assert event == {"status": "retry", "waiting_since": began, "end_time": began + 60, "resume": {"number": 2}}
    assert 0.3 <= time.time() - began < 5
    assert sandbox.zilliant.requests == []


async def test_the_scope_trigger_gives_up_at_the_deadline():
    began = time.time()
    assert (await event_of(ZilliantScopeTrigger("c", "us", began, 60, began + 0.2)))["status"] == "timeout"
    assert (await event_of(ZilliantScopeTrigger("c", "us", began - 9, 60, began - 1)))["status"] == "timeout"


async def test_the_job_trigger_tells_how_the_job_closed(sandbox, hook):
    job_id = hook.run_workflow("P", parameters={"sandbox_seconds": "0.5", "sandbox_result": "FAILED"})
    event = await event_of(job_trigger(job_id, resume={"number": 1}))
    assert event["status"] == "closed"
    assert event["resume"] == {"number": 1}
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


async def test_a_connection_that_is_missing_is_an_error_that_names_it():
    event = await event_of(ZilliantJobTrigger("nowhere", "5b6a2c3d", poll_interval=0.01))
    assert (event["status"], event["error"]) == ("error", "ZilliantConfigError")
    assert "nowhere" in event["message"]


async def test_a_hundred_triggers_share_one_session_one_read_and_one_login(login_sandbox, connect, monkeypatch):
    extra = {**LOGIN["extra"], "login_url": login_sandbox.url}
    fields = {"host": login_sandbox.url, "login": LOGIN["login"], "password": LOGIN["password"], "extra": extra}
    connect(fields)
    body = {"descriptor": "D", "parameters": {"WORKFLOW_AUTOMATION_ID": "P", "sandbox_seconds": "1"}}
    jobs = [login_sandbox.zilliant.submit({**body, "scope": str(n)}).job_id for n in range(100)]
    made, read = [], []
    original_init, original_read = aio.AsyncTransport.__init__, aio.AsyncTransport._read_connection
    monkeypatch.setattr(
        aio.AsyncTransport, "__init__", lambda self, *how: (made.append(1), original_init(self, *how))[1]
    )
    monkeypatch.setattr(aio.AsyncTransport, "_read_connection", lambda self: (read.append(1), original_read(self))[1])
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
        assert aio._shared[asyncio.get_running_loop()] == {}
        gc.collect()


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
    async with aio.transport("zilliant_default") as opened:
        await opened.drive(opened.client.token())
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
    events = await asyncio.gather(*(event_of(job_trigger("5b6a2c3d", deferred_at=0.0)) for _ in range(30)))
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
