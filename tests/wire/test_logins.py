"""Each flow over real sockets, on the worker and in the triggerer: logged in once, renewed, refused, in trouble."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from airflow_provider_zilliant import exceptions
from airflow_provider_zilliant.hooks.zilliant import ZilliantHook
from airflow_provider_zilliant.sandbox import Sandbox
from airflow_provider_zilliant.transports import aio
from airflow_provider_zilliant.triggers.zilliant import ZilliantJobTrigger
from tests.harness import keys

FLOWS = ("client credentials", "JWT bearer", "user and password")
BODY = {"descriptor": "D", "parameters": {"WORKFLOW_AUTOMATION_ID": "P", "sandbox_seconds": "0"}}


def logins(sandbox: Sandbox) -> list[dict]:
    return [request for request in sandbox.zilliant.requests if request["path"] == "/services/oauth2/token"]


def with_extra(fields: dict, **extra: object) -> dict:
    return {**fields, "extra": {**fields["extra"], **extra}}


async def waited_for(job_id: str, **how: object) -> dict:
    trigger = ZilliantJobTrigger("zilliant_default", job_id, **{"poll_interval": 0.1, **how})
    return (await anext(trigger.run())).payload


@pytest.mark.parametrize("flow", FLOWS)
def test_a_worker_logs_in_once_and_again_after_a_401(sandbox, connect, flow):
    connect(sandbox.login_connection(flow))
    with ZilliantHook() as hook:
        hook.run_workflow("P")
        assert ZilliantHook().run_workflow("P")
        assert len(logins(sandbox)) == 1
        sandbox.zilliant.revoke_tokens()
        hook.run_workflow("P")
    assert [login["status"] for login in logins(sandbox)] == [200, 200]


@pytest.mark.parametrize("flow", FLOWS)
def test_the_log_of_a_task_says_which_flow_is_ending(sandbox, connect, caplog, capsys, flow):
    connect(sandbox.login_connection(flow))
    with caplog.at_level(logging.WARNING):
        ZilliantHook().run_workflow("P")
    logged = caplog.text + capsys.readouterr().out
    assert ("Salesforce is retiring the flow user and password" in logged) == (flow == "user and password")


@pytest.mark.parametrize("flow", FLOWS)
async def test_a_triggerer_logs_in_once_for_all_and_again_after_a_401(sandbox, connect, flow):
    connect(sandbox.login_connection(flow))
    jobs = [sandbox.zilliant.submit({**BODY, "scope": str(number)}).job_id for number in range(20)]
    for _ in range(2):
        events = await asyncio.gather(*(waited_for(job_id) for job_id in jobs))
        assert {event["status"] for event in events} == {"closed"}
    assert len(logins(sandbox)) == 1
    sandbox.zilliant.revoke_tokens()
    await asyncio.gather(*(waited_for(job_id) for job_id in jobs))
    assert [login["status"] for login in logins(sandbox)] == [200, 200]


async def test_a_thousand_triggers_that_start_at_once_log_in_once_and_hold_up_the_event_loop_for_no_signature(
    sandbox, connect
):
    connect(sandbox.login_connection("JWT bearer"))
    sandbox.zilliant.order_fault({"fault": "delay", "seconds": 1.0, "path": "/services/"})
    job_id = sandbox.zilliant.submit(BODY).job_id
    events = await asyncio.gather(*(waited_for(job_id) for _ in range(1000)))
    assert {event["status"] for event in events} == {"closed"}
    assert len(logins(sandbox)) == 1


@pytest.mark.parametrize(
    ("flow", "change", "told"),
    [
        ("client credentials", {"has_run_as_user": False}, "no client credentials user enabled. The app has no run-as"),
        ("client credentials", {"clients": {"the-app": "other"}}, "Extra client_secret is not the app's"),
        ("client credentials", {"clients": {"other": "other"}}, "Extra client_id is not the consumer key"),
        ("JWT bearer", {"users": {"other": ""}}, "hasn't approved this consumer. The user is not pre-authorized"),
        ("user and password", {"users": {}}, "authentication failure. The usual causes"),
        ("user and password", {"refuse_password": True}, "Salesforce is retiring the flow user and password"),
    ],
)
async def test_a_refusal_says_the_same_on_worker_triggerer_and_test_button(sandbox, connect, flow, change, told):
    connect(sandbox.login_connection(flow))
    for name, value in change.items():
        setattr(sandbox.zilliant.org, name, value)
    with pytest.raises(exceptions.ZilliantAuthError) as caught:
        ZilliantHook().run_workflow("P")
    event = await waited_for("5b6a2c3d-91f0-4a6e-9f7b-1a2b3c4d5e6f", deferred_time=0.0)
    works, message = ZilliantHook().test_connection()
    assert not works
    assert message.startswith("Step 2 of 4, the login: Logging in at ")
    assert event["error"] == "ZilliantAuthError"
    for text in (str(caught.value), event["message"], message):
        assert f"Logging in at {sandbox.url} with {flow}" in text
        assert told in text


def test_client_credentials_on_a_shared_login_host_are_told_of_my_domain(sandbox, connect):
    shared = sandbox.url.replace("127.0.0.1", "localhost")
    connect(with_extra(sandbox.login_connection("client credentials"), login_url=shared))
    with pytest.raises(exceptions.ZilliantAuthError, match="is not the org's My Domain"):
        ZilliantHook().run_workflow("P")


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ({"private_key": keys.pem()}, "invalid assertion. The private key does not belong to the certificate"),
        ({"audience": "https://test.salesforce.com"}, "audience is invalid. Extra audience must be"),
    ],
)
def test_a_wrong_key_and_a_wrong_audience_are_told(sandbox, connect, extra, told):
    connect(with_extra(sandbox.login_connection("JWT bearer"), **extra))
    with pytest.raises(exceptions.ZilliantAuthError, match=told) as caught:
        ZilliantHook().run_workflow("P")
    assert "PRIVATE KEY" not in str(caught.value)


@pytest.mark.parametrize("minutes", [-4, 4])
def test_a_clock_that_is_wrong_by_minutes_is_told(connect, minutes):
    with Sandbox(clock=lambda: time.time() + 60 * minutes) as sandbox:
        connect(sandbox.login_connection("JWT bearer"))
        with pytest.raises(exceptions.ZilliantAuthError, match="The clock of this machine is wrong by minutes"):
            ZilliantHook().run_workflow("P")


@pytest.mark.parametrize("flow", FLOWS)
def test_the_test_button_says_which_flow_worked_and_what_is_ending(sandbox, connect, flow):
    connect(sandbox.login_connection(flow))
    works, message = ZilliantHook().test_connection()
    assert works
    login = f"The login at {sandbox.url} with {flow} worked."
    ending = " Salesforce is retiring the flow user and password" if flow == "user and password" else ""
    assert message.startswith(f"{sandbox.url} accepts this connection. {login}{ending}")
    assert ("retiring" in message) == bool(ending)


@pytest.mark.parametrize(
    ("changes", "fault", "step"),
    [
        ({"client_secret": ""}, None, "Step 1 of 4, the fields: Login and Extra client_id: no login has just these"),
        ({"private_key": "x"}, None, "Step 1 of 4, the fields: Extra private_key: is not PEM text"),
        ({}, {"path": "/services/", "status": 503}, "Step 2 of 4, the login: Logging in at"),
        ({}, {"path": "/services/", "fault": "drop"}, "Step 2 of 4, the login: Logging in at"),
        ({"oauth_host": "other.example"}, None, "Step 3 of 4, the token: http"),
        ({}, {"method": "GET", "status": 401, "times": None}, "Step 4 of 4, Zilliant's reply: http"),
        ({}, {"method": "GET", "status": 503, "times": None}, "Step 4 of 4, Zilliant's reply: asking for a job"),
        ({}, {"method": "GET", "status": 200, "body": '{"executionStatus": "OPEN"}'}, "Step 4 of 4"),
    ],
)
def test_the_test_button_says_which_step_failed(sandbox, connect, changes, fault, step):
    fields = with_extra(sandbox.login_connection("JWT bearer"), **changes)
    if "client_secret" in changes:
        del fields["extra"]["private_key"]
    connect(fields)
    if fault is not None:
        sandbox.zilliant.order_fault({"fault": "status", **fault})
    works, message = ZilliantHook().test_connection()
    assert not works
    assert message.startswith(step)
    if fault and fault.get("status") == 401:
        assert "does not take tokens of the flow JWT bearer (it documents user and password only)" in message
        assert '"Zilliant SSO Configuration"' in message


async def test_a_login_server_that_is_down_for_a_while_delays_the_waits_and_ends_none(sandbox, connect, monkeypatch):
    monkeypatch.setattr("airflow_provider_zilliant.api.login_care.FIRST_REST", 0.2)
    monkeypatch.setattr("airflow_provider_zilliant.api.login_care.LONGEST_REST_IN_TROUBLE", 0.4)
    connect(sandbox.login_connection("JWT bearer"))
    down = sandbox.zilliant.order_fault({"fault": "status", "status": 503, "path": "/services/", "times": None})
    job_id = sandbox.zilliant.submit(BODY).job_id
    waits = [asyncio.create_task(waited_for(job_id)) for _ in range(50)]
    await asyncio.sleep(4)  # some forty polls of each
    assert not any(wait.done() for wait in waits)
    refused = len(logins(sandbox))
    down.times = 0
    events = await asyncio.gather(*waits)
    assert {event["status"] for event in events} == {"closed"}
    assert refused <= 20, "of some 2,000"
    assert len(logins(sandbox)) == refused + 1


async def test_a_login_server_that_is_slow_delays_the_waits_only(sandbox, connect, monkeypatch):
    monkeypatch.setattr(aio, "REQUEST_TIMEOUT", 0.5)
    monkeypatch.setattr("airflow_provider_zilliant.api.login_care.FIRST_REST", 0.1)
    connect(sandbox.login_connection("client credentials"))
    sandbox.zilliant.order_fault({"fault": "hang", "seconds": 1, "path": "/services/", "times": 3})
    job_id = sandbox.zilliant.submit(BODY).job_id
    events = await asyncio.gather(*(waited_for(job_id) for _ in range(50)))
    assert {event["status"] for event in events} == {"closed"}
    assert len(logins(sandbox)) == 4
