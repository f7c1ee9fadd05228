"""The sandbox is strict where Zilliant is, and does the harm that it is asked for."""

from __future__ import annotations

import base64
import json
import shlex
import signal
import socket
import subprocess
import sys
import time

import jwt
import pytest
import requests

from airflow_provider_zilliant.connection.fields import parse_environment
from airflow_provider_zilliant.sandbox import Sandbox
from airflow_provider_zilliant.sandbox.engine import Zilliant, token_response
from airflow_provider_zilliant.sandbox.faults import Refused
from airflow_provider_zilliant.sandbox.logins import JWT_BEARER, OAUTH_HOST, Org

BODY = {"descriptor": "PLATFORM_CUSTOM_WORKFLOW", "parameters": {"WORKFLOW_AUTOMATION_ID": "P"}}
LOGIN = {"grant_type": "password", "username": "me", "password": "pw", "client_id": "c", "client_secret": "s"}


def headers(token: object = None, host: str | None = OAUTH_HOST) -> dict[str, str]:
    token = token_response("token", issued_at=0) if token is None else token
    encoded = base64.b64encode(json.dumps(token).encode()).decode()
    return {"Authorization": f"OAuth {encoded}"} | ({"X-Forwarded-Host": host} if host else {})


def post(sandbox: Sandbox, body: object = BODY, **how: object) -> requests.Response:
    how.setdefault("headers", headers())
    return requests.post(f"{sandbox.url}/v1/JobWorkflow/Authorized", json=body, timeout=5, **how)


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {**BODY, "descriptor": ""},
        {**BODY, "descriptor": 5},
        {**BODY, "scope": ""},
        {**BODY, "scope": None},
        {**BODY, "scope": 5},
        {**BODY, "extra": "x"},
        {"descriptor": "D"},
        {"descriptor": "D", "parameters": {}},
        {"descriptor": "D", "parameters": {"WORKFLOW_AUTOMATION_ID": ""}},
        {"descriptor": "D", "parameters": {"WORKFLOW_AUTOMATION_ID": "P", "x": 1}},
        {"descriptor": "D", "parameters": {"WORKFLOW_AUTOMATION_ID": "P", "sandbox_seconds": "soon"}},
    ],
)
def test_a_bad_body_is_a_400_that_says_why(sandbox, body):
    answer = post(sandbox, body)
    assert answer.status_code == 400
    assert answer.json()["message"]
    assert sandbox.zilliant.job_records() == []


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"Authorization": "OAuth", "X-Forwarded-Host": OAUTH_HOST},
        {"Authorization": "OAuth nonsense", "X-Forwarded-Host": OAUTH_HOST},
        {"Authorization": "Bearer token", "X-Forwarded-Host": OAUTH_HOST},
        {"Authorization": f"OAuth {base64.b64encode(b'token').decode()}", "X-Forwarded-Host": OAUTH_HOST},
        headers({"access_token": "token"}),
        headers(host=None),
        headers(host="other.my.salesforce.com"),
    ],
)
def test_a_token_that_is_not_whole_or_a_wrong_host_is_a_401_that_says_no_more(sandbox, bad):
    answer = post(sandbox, headers=bad)
    assert (answer.status_code, answer.content) == (401, b"")


def test_a_scope_is_busy_until_its_job_ends(sandbox):
    assert post(sandbox, {**BODY, "scope": "us"}).status_code == 202
    assert post(sandbox, {**BODY, "scope": "us"}).status_code == 409
    assert post(sandbox, {**BODY, "scope": "eu"}).status_code == 202


def test_the_rules_of_scopes_and_queues_over_time():
    now = 100.0
    body = {"descriptor": "D", "parameters": {"WORKFLOW_AUTOMATION_ID": "P", "sandbox_seconds": "10"}}
    zilliant = Zilliant(clock=lambda: now)
    first, second = zilliant.submit(body), zilliant.submit(body)
    assert (second.started_at, second.closed_at) == (110, 120), "jobs without a scope run one after the other"
    assert zilliant.status(second.job_id)["startTimeStamp"] is None
    zilliant.submit({**body, "scope": "us"})
    with pytest.raises(Refused):
        zilliant.submit({**body, "scope": "us"})
    now = 110.0
    assert zilliant.status(first.job_id)["closeStatus"] == "COMPLETED"
    zilliant.submit({**body, "scope": "us"})

    parallel = Zilliant(parallel=True, clock=lambda: now)
    one, two = parallel.submit({**body, "scope": "us"}), parallel.submit({**body, "scope": "us"})
    other = parallel.submit({**body, "scope": "eu"})
    assert (one.started_at, two.started_at, other.started_at) == (110, 120, 110)


def test_the_token_endpoint(sandbox):
    url = f"{sandbox.url}/services/oauth2/token"
    token = requests.post(url, data=LOGIN, timeout=5).json()
    assert set(token) == {"access_token", "instance_url", "id", "token_type", "issued_at", "signature"}
    assert post(sandbox, headers=headers(token)).status_code == 202
    for missing, error in [
        ("grant_type", "unsupported_grant_type"),
        ("client_id", "invalid_client_id"),
        ("client_secret", "invalid_client"),
        ("password", "invalid_grant"),
    ]:
        answer = requests.post(url, data={**LOGIN, missing: ""}, timeout=5)
        assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_the_requests_seen_hold_no_secret(sandbox):
    token = requests.post(f"{sandbox.url}/services/oauth2/token", data=LOGIN, timeout=5).json()
    post(sandbox, headers=headers(token))
    shown = requests.get(f"{sandbox.url}/sandbox/requests", timeout=5)
    assert [request["method"] for request in shown.json()] == ["POST", "POST"]
    assert shown.json()[1]["headers"]["Authorization"] == "OAuth ***"
    assert token["access_token"] not in shown.text
    assert "pw" not in shown.json()[0]["body"]


def test_a_path_that_the_api_does_not_have_is_a_404_on_record(sandbox):
    assert requests.get(f"{sandbox.url}/v1/Nothing", timeout=5).status_code == 404
    assert requests.get(f"{sandbox.url}/v1/JobWorkflow/Authorized", timeout=5).status_code == 405
    assert [request["status"] for request in sandbox.zilliant.requests] == [404, 405]


def test_oddly_sent_secrets_are_not_on_record_either(sandbox):
    post(sandbox, headers={"Authorization": "a-token-without-a-scheme"})
    requests.post(f"{sandbox.url}/services/oauth2/token/", data=LOGIN, timeout=5)
    shown = requests.get(f"{sandbox.url}/sandbox/requests", timeout=5).text
    assert "a-token-without" not in shown
    assert '"pw"' not in shown
    assert "pw" not in json.loads(shown)[1]["body"]


def test_the_jobs_are_listed(sandbox):
    job_id = post(sandbox, {**BODY, "scope": "us"}).json()["jobId"]
    (job,) = requests.get(f"{sandbox.url}/sandbox/jobs", timeout=5).json()
    assert (job["jobId"], job["scope"], job["workflow"], job["executionStatus"]) == (job_id, "us", "P", "OPEN")
    status = requests.get(f"{sandbox.url}/v1/JobWorkflow/Authorized/{job_id}/Status", headers=headers(), timeout=5)
    assert set(status.json()) == {"executionStatus", "closeStatus", "startTimeStamp", "closeTimeStamp"}


def order(sandbox: Sandbox, **fault: object) -> requests.Response:
    return requests.post(f"{sandbox.url}/sandbox/faults", json=fault, timeout=5)


def test_faults_strike_what_they_are_ordered_for(sandbox):
    assert order(sandbox, fault="status", status=503, method="POST", path="JobWorkflow", skip=1).status_code == 201
    assert [post(sandbox).status_code for _ in range(3)] == [202, 503, 202]
    assert requests.get(f"{sandbox.url}/sandbox/faults", timeout=5).json()["ordered"][0]["times"] == 0


@pytest.mark.parametrize(("fault", "jobs"), [("drop", 0), ("lose_reply", 1), ("cut", 1)])
def test_a_reply_can_be_lost_on_either_side_of_the_work(sandbox, fault, jobs):
    order(sandbox, fault=fault)
    with pytest.raises(requests.RequestException):
        post(sandbox)
    assert len(sandbox.zilliant.job_records()) == jobs


@pytest.mark.parametrize(
    "bad", [{}, {"fault": "explode"}, {"fault": "drop", "tmies": 2}, {"fault": "drop", "times": "two"}]
)
def test_a_fault_that_is_none_is_refused(sandbox, bad):
    assert order(sandbox, **bad).status_code == 400


def test_reset_empties_it(sandbox):
    post(sandbox)
    order(sandbox, fault="drop")
    requests.post(f"{sandbox.url}/sandbox/reset", timeout=5)
    assert (sandbox.zilliant.job_records(), sandbox.zilliant.requests, sandbox.zilliant.faults) == ([], [], [])


def test_the_page_is_served(sandbox):
    page = requests.get(sandbox.url, timeout=5)
    assert page.status_code == 200
    assert "/sandbox/jobs" in page.text


def test_a_port_in_use_is_an_error_and_no_hang(sandbox):
    with pytest.raises(OSError, match="in use"), Sandbox(port=sandbox.port):
        pass


def test_an_echo_tells_what_was_sent(sandbox):
    order(sandbox, fault="echo", status=400)
    token = token_response("the-token", issued_at=0)
    assert "the-token" in post(sandbox, headers=headers(token)).json()["message"]


def test_an_answer_that_hangs_does_not_hold_up_its_end():
    with Sandbox(seed=0) as sandbox:
        sandbox.zilliant.order_fault({"fault": "hang", "seconds": 30})
        with pytest.raises(requests.ReadTimeout):
            requests.post(f"{sandbox.url}/v1/JobWorkflow/Authorized", json=BODY, headers=headers(), timeout=0.2)
        began = time.monotonic()
    assert time.monotonic() - began < 5


def login(sandbox: Sandbox, **form: str) -> str:
    """The error in the reply, or the type of the token."""
    answer = requests.post(f"{sandbox.url}/services/oauth2/token", data=form, timeout=5)
    body = answer.json()
    assert answer.status_code == (200 if "access_token" in body else 400)
    return body.get("token_type") or f"{body['error']}: {body['error_description']}"


CLIENT = {"client_id": "app", "client_secret": "secret"}
INVALID = "invalid_grant: invalid assertion"


def test_client_credentials_need_the_orgs_my_domain_and_a_run_as_user():
    with Sandbox(clients={"app": "secret"}) as sandbox:
        form = {"grant_type": "client_credentials", **CLIENT}
        assert login(sandbox, **form) == "Bearer"
        assert login(sandbox, **{**form, "client_id": "other"}) == "invalid_client_id: client identifier invalid"
        assert login(sandbox, **{**form, "client_secret": "other"}) == "invalid_client: invalid client credentials"
        sandbox.zilliant.org.has_run_as_user = False
        assert login(sandbox, **form) == "invalid_grant: no client credentials user enabled"
        proxies = {"http": sandbox.url}
        for host in ("localhost:8090", "login.salesforce.com", "test.salesforce.com"):
            url = f"http://{host}/services/oauth2/token"
            body = requests.post(url, data=form, proxies=proxies, timeout=5).json()
            assert body["error_description"] == "request not supported on this domain"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "Bearer"),
        ({"aud": "https://login.salesforce.com"}, "Bearer"),
        ({"aud": "https://test.salesforce.com"}, "invalid_grant: audience is invalid"),
        ({"aud": None}, INVALID),
        ({"exp": None}, INVALID),
        ({"exp": 1000}, "invalid_grant: expired authorization code"),
        ({"exp": 1181}, "invalid_grant: expired authorization code"),
        ({"exp": 1180}, "Bearer"),
        ({"sub": "somebody@example.com"}, "invalid_grant: user hasn't approved this consumer"),
        ({"iss": "another"}, "invalid_client_id: client identifier invalid"),
    ],
)
def test_an_assertion_is_checked_as_salesforce_does(changes, said):
    users, clients = {"me@example.com": "pw"}, {"app": "secret"}
    with Sandbox(clock=lambda: 1000.0, users=users, clients=clients) as sandbox:
        claims = {"iss": "app", "sub": "me@example.com", "aud": sandbox.url, "exp": 1100, **changes}
        claims = {name: value for name, value in claims.items() if value is not None}
        assertion = jwt.encode(claims, sandbox.zilliant.org.private_key, algorithm="RS256")
        assert login(sandbox, grant_type=JWT_BEARER, assertion=assertion) == said


def test_an_assertion_by_another_key_or_none_is_refused(sandbox):
    claims = {"iss": "app", "sub": "me", "aud": sandbox.url, "exp": int(time.time()) + 60}
    for assertion in (
        jwt.encode(claims, Org(time.time).private_key, algorithm="RS256"),
        jwt.encode(claims, "a shared secret that is long enough for it", algorithm="HS256"),
        jwt.encode(claims, None, algorithm="none"),
        "nonsense",
    ):
        assert login(sandbox, grant_type=JWT_BEARER, assertion=assertion) == INVALID


def test_an_org_after_the_switch_off_refuses_passwords_alone():
    with Sandbox(refuse_password=True) as sandbox:
        assert login(sandbox, **LOGIN) == "invalid_grant: authentication failure"
        assert login(sandbox, grant_type="client_credentials", **CLIENT) == "Bearer"


def test_the_command_line_prints_connections_that_log_in(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "airflow_provider_zilliant.sandbox", "--port", str(port), "--refuse-password"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        printed = []
        while not printed or "END PUBLIC KEY" not in printed[-1]:
            printed.append(process.stdout.readline())
        process.send_signal(signal.SIGINT)
    exports = [line.partition("=")[2] for line in printed if "AIRFLOW_CONN" in line]
    fields = [json.loads(shlex.split(export)[0]) for export in exports]
    flows = [type(parse_environment(**without_type(told)).login).__name__ for told in fields]
    assert flows == ["NoneType", "ClientCredentials", "JwtBearer", "UserPassword"]
    assert "(refused: --refuse-password)" in "".join(printed)


def without_type(fields: dict) -> dict:
    return {name: value for name, value in fields.items() if name != "conn_type"}
