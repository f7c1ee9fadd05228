"""The hook against the sandbox: one POST, one login, typed errors, and nothing that it should not say."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from airflow_provider_zilliant import exceptions
from airflow_provider_zilliant.api.http import LONGEST_BODY, NoReply, Reply, Request
from airflow_provider_zilliant.hooks.zilliant import ZilliantHook
from airflow_provider_zilliant.sandbox.logins import OAUTH_HOST
from airflow_provider_zilliant.transports import aio
from tests.conftest import AIRFLOW, LOGIN

SUBMIT = "/v1/JobWorkflow/Authorized"


def seen(sandbox, method: str = "POST", path: str = SUBMIT) -> list[dict]:
    return [request for request in sandbox.zilliant.requests if request["method"] == method and request["path"] == path]


def logins(sandbox) -> int:
    return len(seen(sandbox, path="/services/oauth2/token"))


def test_one_post_with_the_documented_body(sandbox, hook):
    job_id = hook.run_workflow("PublishListPrices", scope="scope2", parameters={"foo": "bar"})
    (request,) = seen(sandbox)
    assert request["body"] == {
        "descriptor": "PLATFORM_CUSTOM_WORKFLOW",
        "scope": "scope2",
        "parameters": {"WORKFLOW_AUTOMATION_ID": "PublishListPrices", "foo": "bar"},
    }
    assert request["headers"]["X-Forwarded-Host"] == OAUTH_HOST
    assert request["headers"]["Content-Type"] == "application/json"
    assert [job["jobId"] for job in sandbox.zilliant.job_records()] == [job_id]


@pytest.mark.parametrize("form", [json.dumps(json.loads('{"x": 1}')), "base64"])
def test_the_token_may_be_json_or_base64(sandbox, connect, form):
    text = sandbox.connection()["password"]
    connect(sandbox.connection(password=base64.b64encode(text.encode()).decode() if form == "base64" else text))
    assert ZilliantHook().run_workflow("P")


def test_a_token_that_is_not_the_whole_response_is_refused_and_the_log_says_what_is_expected(
    sandbox, connect, capsys, caplog
):
    connect(sandbox.connection(password="00D!only-the-access-token"))
    with caplog.at_level(logging.WARNING), ZilliantHook() as hook:
        for _ in range(2):
            with pytest.raises(exceptions.ZilliantAuthError, match="whole response") as caught:
                hook.run_workflow("P")
    assert caught.value.status_code == 401
    assert len(seen(sandbox)) == 2, "a POST is not repeated after a 401 in token mode"
    logs = (capsys.readouterr().out, caplog.text)  # Airflow 3 writes to one of them, Airflow 2 to both
    assert max(log.count("not a complete Salesforce token response") for log in logs) == 1
    assert not any("only-the-access-token" in log for log in logs)


def test_a_wrong_oauth_host_is_refused(sandbox, connect):
    connect(sandbox.connection(extra={"oauth_host": "other.my.salesforce.com"}))
    with pytest.raises(exceptions.ZilliantAuthError, match="oauth_host"):
        ZilliantHook().run_workflow("P")


def test_the_session_carries_the_headers(sandbox, hook):
    session = hook.get_conn()
    assert session.headers["X-Forwarded-Host"] == OAUTH_HOST
    assert session.get(f"{hook.base_url}/v1/JobWorkflow/Authorized/none/Status", timeout=5).status_code == 404


def test_netrc_does_not_replace_the_token(sandbox, hook, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert hook.run_workflow("P")


def test_one_login_serves_many_calls_and_many_hooks(login_sandbox, login_hook):
    for _ in range(3):
        login_hook.run_workflow("P")
    ZilliantHook().run_workflow("P")
    assert logins(login_sandbox) == 1
    assert seen(login_sandbox, path="/services/oauth2/token")[0]["body"] == [
        "client_id",
        "client_secret",
        "grant_type",
        "password",
        "username",
    ]


@pytest.mark.parametrize("password", ["with space", "a&b=c", "a+b", "100%25", "pässwörd€", " lead and trail ", "a\nb"])
def test_any_password_logs_in(login_sandbox, connect, password):
    login_sandbox.zilliant.org.users = {"me": password}
    extra = {**LOGIN["extra"], "login_url": login_sandbox.url}
    connect({"host": login_sandbox.url, "login": "me", "password": password, "extra": extra})
    assert ZilliantHook().run_workflow("P")


def test_concurrent_calls_log_in_once(login_sandbox, login_hook):
    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(lambda _: ZilliantHook().run_workflow("P"), range(8)))
    assert len(set(jobs)) == 8
    assert logins(login_sandbox) == 1


def test_a_revoked_token_is_answered_by_one_new_login_and_one_more_post(login_sandbox, login_hook):
    login_hook.run_workflow("P")
    login_sandbox.zilliant.revoke_tokens()
    login_hook.run_workflow("P")
    assert logins(login_sandbox) == 2
    assert [request["status"] for request in seen(login_sandbox)] == [202, 401, 202]


def test_a_call_that_stays_refused_logs_in_once_more_and_no_further(login_sandbox, login_hook):
    login_hook.run_workflow("P")
    login_sandbox.zilliant.order_fault({"fault": "status", "status": 401, "path": SUBMIT, "times": None})
    with pytest.raises(exceptions.ZilliantAuthError):
        login_hook.run_workflow("P")
    assert logins(login_sandbox) == 2
    assert [request["status"] for request in seen(login_sandbox)] == [202, 401, 401]


def test_a_refused_login_says_why_and_sends_nothing(login_sandbox, login_hook):
    login_sandbox.zilliant.org.users = {}
    with pytest.raises(exceptions.ZilliantAuthError, match="invalid_grant") as caught:
        login_hook.run_workflow("P")
    assert caught.value.status_code == 400
    assert LOGIN["password"] not in str(caught.value)
    assert seen(login_sandbox) == []


@pytest.mark.parametrize("fault", ["status", "drop", "garbage"])
def test_trouble_at_the_login_never_means_that_a_job_may_run(login_sandbox, login_hook, fault):
    login_sandbox.zilliant.order_fault({"fault": fault, "path": "/services/", "times": None})
    with pytest.raises(exceptions.ZilliantError) as caught:
        login_hook.run_workflow("P")
    assert not isinstance(caught.value, exceptions.ZilliantSubmissionUnknownError)
    assert seen(login_sandbox) == []


def test_a_fresh_token_in_the_connection_is_noticed_after_a_401(sandbox, connect):
    connect(sandbox.connection(password='{"access_token": "stale"}'))
    hook = ZilliantHook()
    job_id = "5b6a2c3d-91f0-4a6e-9f7b-1a2b3c4d5e6f"
    with pytest.raises(exceptions.ZilliantAuthError):
        hook.get_job_status(job_id)
    connect(sandbox.connection())
    with pytest.raises(exceptions.ZilliantNotFoundError):
        hook.get_job_status(job_id)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, exceptions.ZilliantBadRequestError),
        (401, exceptions.ZilliantAuthError),
        (403, exceptions.ZilliantAuthError),
        (404, exceptions.ZilliantNotFoundError),
        (409, exceptions.ZilliantScopeBusyError),
        (429, exceptions.ZilliantRateLimitError),
        (500, exceptions.ZilliantServerError),
        (418, exceptions.ZilliantRequestError),
        (502, exceptions.ZilliantSubmissionUnknownError),
        (503, exceptions.ZilliantSubmissionUnknownError),
        (504, exceptions.ZilliantSubmissionUnknownError),
    ],
)
def test_every_status_has_its_error_with_the_servers_words(sandbox, hook, status, kind):
    sandbox.zilliant.order_fault({"fault": "status", "status": status, "body": {"message": "the server's words"}})
    with pytest.raises(kind, match="the server's words") as caught:
        hook.run_workflow("P")
    assert type(caught.value) is kind
    assert len(seen(sandbox)) == 1


@pytest.mark.parametrize(("status", "in_doubt"), [(401, False), (503, True), (202, True)])
def test_an_interruption_after_the_answer_is_in_doubt_unless_the_answer_was_certain(sandbox, hook, status, in_doubt):
    sandbox.zilliant.order_fault({"fault": "status", "status": status})
    with pytest.raises(exceptions.ZilliantError):
        hook.run_workflow("P")
    assert hook._transport.may_have_sent(SUBMIT) is in_doubt


def test_redirects_are_not_followed(sandbox, hook):
    sandbox.zilliant.order_fault({"fault": "status", "status": 307, "headers": {"Location": f"{sandbox.url}{SUBMIT}"}})
    with pytest.raises(exceptions.ZilliantRequestError, match="redirects are not followed") as caught:
        hook.run_workflow("P")
    assert caught.value.status_code == 307
    assert sandbox.zilliant.job_records() == []


@pytest.mark.parametrize("length", [None, 40])
def test_an_echoed_secret_is_not_told_nor_its_beginning(sandbox, connect, length):
    password = sandbox.connection()["password"]
    connect(sandbox.connection(password=password))
    token = json.loads(password)["access_token"]
    echo = f"bad: {token[:20]} OAuth {base64.b64encode(password.encode()).decode()[:length]} {token} {password}"
    sandbox.zilliant.order_fault({"fault": "status", "status": 400, "body": echo})
    with pytest.raises(exceptions.ZilliantBadRequestError, match="bad: ") as caught:
        ZilliantHook().run_workflow("P")
    assert token[:20] not in str(caught.value)
    assert token not in str(caught.value)
    assert base64.b64encode(password.encode()).decode()[:24] not in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "accepted"),
    [
        ("drop", 0),
        ("lose_reply", 1),
        ("cut", 1),
        ("garbage", 1),
        ("hang", 0),
        ("process_and_hang", 1),
    ],
)
def test_a_post_that_left_is_never_repeated(sandbox, connect, fault, accepted):
    connect(sandbox.connection())
    sandbox.zilliant.order_fault({"fault": fault, "seconds": 5})
    with ZilliantHook(request_timeout=0.5) as hook, pytest.raises(exceptions.ZilliantSubmissionUnknownError):
        hook.run_workflow("P")
    assert len(seen(sandbox)) == 1
    assert len(sandbox.zilliant.job_records()) == accepted


@pytest.mark.parametrize("body", ["", "{}", "<html><body>Sign in</body></html>", '{"jobId": null}', "OK"])
def test_a_2xx_without_a_jobid_is_unknown(sandbox, hook, body):
    sandbox.zilliant.order_fault({"fault": "status", "status": 202, "body": body})
    with pytest.raises(exceptions.ZilliantSubmissionUnknownError, match="no readable jobId"):
        hook.run_workflow("P")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_refused_connection_is_unreachable_after_a_few_tries(sandbox, connect, monkeypatch):
    connect(sandbox.connection(host=f"http://127.0.0.1:{free_port()}"))
    monkeypatch.setattr("airflow_provider_zilliant.api.client.CONNECT_BACKOFF", (0.01, 0.01))
    with pytest.raises(exceptions.ZilliantUnreachableError, match="no job was submitted"):
        ZilliantHook().run_workflow("P")


def test_a_server_that_comes_up_meanwhile_gets_the_post_once(connect, monkeypatch):
    from airflow_provider_zilliant.sandbox import Sandbox

    port = free_port()
    late = Sandbox(port=port)
    connect(late.connection(host=f"http://127.0.0.1:{port}"))
    monkeypatch.setattr("airflow_provider_zilliant.api.client.CONNECT_BACKOFF", (1.5,))
    timer = threading.Timer(0.5, late.__enter__)
    timer.start()
    try:
        assert ZilliantHook().run_workflow("P")
        assert len(seen(late)) == 1
    finally:
        timer.join()
        late.__exit__(None, None, None)


def test_tls_that_fails_before_the_request_is_unreachable(sandbox, connect, monkeypatch):
    monkeypatch.setattr("airflow_provider_zilliant.api.client.CONNECT_BACKOFF", ())
    connect(sandbox.connection(host=sandbox.url.replace("http://", "https://")))
    with pytest.raises(exceptions.ZilliantUnreachableError, match="SSL"):
        ZilliantHook().run_workflow("P")
    assert seen(sandbox) == []


@pytest.fixture
def raw_server() -> Iterator[socket.socket]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00\x01\x02",
        b'HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\n{"jobId": "5b6a2c3d-91f0',
        b"HTTP/1.1 202 Accepted\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
        b"HTTP/1.1 999999\r\n\r\n",
        b"HTTP/1.1 202 Accepted\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    ],
)
def test_raw_nonsense_on_the_socket_is_unknown(raw_server, sandbox, connect, answer):
    def serve() -> None:
        peer, _ = raw_server.accept()
        with peer:
            peer.settimeout(2)
            while b"WORKFLOW_AUTOMATION_ID" not in peer.recv(65536):
                pass
            peer.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    connect(sandbox.connection(host=f"http://127.0.0.1:{raw_server.getsockname()[1]}"))
    with pytest.raises(exceptions.ZilliantSubmissionUnknownError):
        ZilliantHook(request_timeout=3).run_workflow("P")
    thread.join()


@pytest.mark.parametrize(
    ("changes", "works", "told"),
    [
        ({}, True, "accepts"),
        ({"password": "00D!only-the-access-token"}, False, "complete Salesforce token response"),
        ({"extra": {"oauth_host": "other.my.salesforce.com"}}, False, "belongs to sandbox.my.salesforce.com"),
        ({"extra": {}}, False, "oauth_host is empty"),
        ({"password": ""}, False, "Password is empty"),
        ({"host": ""}, False, "Host: missing"),
        ({"extra": {"verify": "/nowhere/ca.pem"}}, False, "Extra verify"),
        ({"host": "http://127.0.0.1:1"}, False, "refused"),
    ],
)
def test_the_connection_test_says_which_part_is_wrong(sandbox, connect, monkeypatch, changes, works, told):
    monkeypatch.setattr("airflow_provider_zilliant.waits.watching.FIRST_BACKOFF", 0.001)
    connect(sandbox.connection(**changes))
    verdict, message = ZilliantHook().test_connection()
    assert verdict is works, message
    assert told in message
    assert "00D!" not in message
    assert "zilliant_default" not in message, "Airflow's form tests under an id that it makes up"


def test_the_connection_test_tells_a_revoked_token_from_a_malformed_one(login_sandbox, connect):
    token = login_sandbox.zilliant.issue_token(
        {
            "grant_type": "password",
            "client_id": "c",
            "client_secret": "s",
            "username": LOGIN["login"],
            "password": LOGIN["password"],
        }
    )
    connect({"host": login_sandbox.url, "password": json.dumps(token), "extra": {"oauth_host": OAUTH_HOST}})
    assert ZilliantHook().test_connection()[0]
    login_sandbox.zilliant.revoke_tokens()
    verdict, message = ZilliantHook().test_connection()
    assert not verdict
    assert "expired" in message


def test_the_connection_test_tells_of_a_refused_login(login_sandbox, login_hook):
    login_sandbox.zilliant.org.users = {}
    verdict, message = login_hook.test_connection()
    assert not verdict
    assert "invalid_grant" in message
    assert "security token" in message


def test_a_missing_connection_is_named():
    with pytest.raises(exceptions.ZilliantConfigError, match=r"'nowhere'.*nothing was sent"):
        ZilliantHook("nowhere").run_workflow("P")
    verdict, message = ZilliantHook("nowhere").test_connection()
    assert not verdict
    assert "nowhere" in message


def test_a_missing_ca_bundle_is_named(sandbox, connect):
    connect(sandbox.connection(extra={"oauth_host": OAUTH_HOST, "verify": "/nowhere/ca.pem"}))
    with pytest.raises(exceptions.ZilliantConfigError, match=r"zilliant_default.*verify"):
        ZilliantHook().run_workflow("P")
    assert sandbox.zilliant.requests == []


@pytest.mark.parametrize("timeout", [0, -1, True, float("inf"), "5", None])
def test_a_wrong_request_timeout_is_named(timeout):
    with pytest.raises(ValueError, match="request_timeout"):
        ZilliantHook(request_timeout=timeout)


@pytest.mark.parametrize("extra", ['{"client_id": "c", }', "[1]", '"x"', "5", "not json"])
def test_an_extra_that_is_no_json_object_is_named_and_nothing_is_sent(sandbox, monkeypatch, extra):
    fields = {**sandbox.connection(), "login": "me", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_ODD", json.dumps(fields))
    # Airflow 3.0 and 3.1 cannot read such a Connection from the environment, log why, and say that there is none.
    told = r"'odd': The conn_id .* isn't defined" if AIRFLOW in ((3, 0), (3, 1)) else r"'odd': Extra"
    with pytest.raises(exceptions.ZilliantConfigError, match=told):
        ZilliantHook("odd").run_workflow("P")
    assert ZilliantHook("odd").test_connection()[0] is False
    assert sandbox.zilliant.requests == []


def test_a_proxys_password_is_not_told(sandbox, connect, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://user:envsecret@127.0.0.1:x")
    monkeypatch.setattr("airflow_provider_zilliant.api.client.CONNECT_BACKOFF", ())
    connect(sandbox.connection(host="http://zilliant.example", extra={"allow_http": True}))
    with pytest.raises(exceptions.ZilliantUnreachableError, match="http_proxy") as caught:
        ZilliantHook().run_workflow("P")
    assert "envsecret" not in str(caught.value)


PEM = (
    "-----BEGIN CERTIFICATE-----\n"
    + "MIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBa\n" * 30
    + "-----END CERTIFICATE-----"
)


@pytest.mark.parametrize("verify", [PEM, PEM.replace("\n", " "), PEM.replace("\n", ""), "a\0b", "x" * 5000])
def test_a_certificate_pasted_into_verify_is_a_wrong_connection(sandbox, connect, verify):
    connect(sandbox.connection(extra={"oauth_host": OAUTH_HOST, "verify": verify}))
    with pytest.raises(exceptions.ZilliantConfigError, match=r"zilliant_default.*Extra verify") as caught:
        ZilliantHook().run_workflow("P")
    assert not caught.value.is_missing_connection
    assert "MIID" not in str(caught.value)
    assert sandbox.zilliant.requests == []


def test_a_huge_error_is_read_in_part(sandbox, hook):
    body = json.dumps({"message": "no rights", "trace": "x" * 3_000_000})
    sandbox.zilliant.order_fault({"fault": "status", "status": 403, "body": body, "times": 2})
    with pytest.raises(exceptions.ZilliantAuthError, match="no rights"):
        hook.run_workflow("P")
    reply = hook.run(hook.client.call(Request("GET", "/v1/x")))
    assert len(reply.body) == LONGEST_BODY
    assert hook.run_workflow("P"), "the next request has a connection"


def test_a_kill_ends_the_wait_for_retry_after(sandbox, connect):
    began = time.monotonic()

    class Killed(BaseException):
        pass

    def check_alive() -> None:
        if time.monotonic() > began + 0.5:
            raise Killed

    sandbox.zilliant.order_fault(
        {"fault": "status", "status": 429, "headers": {"Retry-After": "600"}, "method": "GET", "times": None}
    )
    with ZilliantHook(connect(sandbox.connection()), check_alive=check_alive) as hook, pytest.raises(Killed):
        hook.wait_for_job("5b6a2c3d")
    assert time.monotonic() - began < 3


PROXY_PASSWORD = "p@ss:wörd/1"


@pytest.mark.parametrize("scheme", ["http://", ""])
@pytest.mark.parametrize("place", ["extra", "environment"])
@pytest.mark.parametrize("way", ["worker", "triggerer"])
def test_a_proxy_that_repeats_its_credentials_gives_nothing_away(sandbox, connect, monkeypatch, scheme, place, way):
    proxy = f"{scheme}proxy%2Duser:{quote(PROXY_PASSWORD, safe='')}@127.0.0.1:{sandbox.port}"
    extra = {"allow_http": True}
    if place == "extra":
        extra["proxies"] = {"http": proxy}
    else:
        monkeypatch.setenv("http_proxy", proxy)
    connect(sandbox.connection(host="http://zilliant.example", extra=extra))
    credentials = {f"proxy-user:{PROXY_PASSWORD}".encode(code) for code in ("utf-8", "latin-1")}
    secrets = {PROXY_PASSWORD, quote(PROXY_PASSWORD, safe=""), *(b64encode(raw).decode() for raw in credentials)}
    body = json.dumps({"message": f"{' '.join(secrets)} {proxy}"}, ensure_ascii=False)
    sandbox.zilliant.order_fault({"fault": "status", "status": 407, "body": body, "times": None})

    request = Request("GET", "/v1/x")

    async def call() -> Reply | NoReply:
        async with aio.SharedClient("zilliant_default") as client:
            return await client.call(request)

    reply = asyncio.run(call()) if way == "triggerer" else ZilliantHook.run(ZilliantHook().client.call(request))
    assert reply.status == 407
    sent = {name.lower(): value for name, value in sandbox.zilliant.requests[0]["headers"].items()}
    assert "proxy-authorization" in sent
    assert "***" in reply.explanation
    assert not any(secret in reply.explanation for secret in secrets), reply.explanation


def test_a_connection_that_cannot_be_read_again_after_a_401_leaves_no_doubt(login_sandbox, login_hook, monkeypatch):
    login_hook.run_workflow("P")
    login_sandbox.zilliant.revoke_tokens()

    def fail(conn_id):
        raise RuntimeError("the api-server is away")

    monkeypatch.setattr(ZilliantHook, "get_connection", staticmethod(fail))
    with pytest.raises(exceptions.ZilliantUnreachableError, match="cannot be read"):
        login_hook.run_workflow("P")


def test_the_sessions_own_verify_and_proxies_count_for_more_than_the_environment(sandbox, connect, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    monkeypatch.setenv("https_proxy", "http://environment:1")
    extra = {"oauth_host": OAUTH_HOST, "verify": False, "proxies": {"https": "http://connection:1"}}
    connect(sandbox.connection(extra=extra))
    settings = ZilliantHook().get_conn().merge_environment_settings("https://z.example/", None, None, None, None)
    assert settings["verify"] is False
    assert settings["proxies"]["https"] == "http://connection:1"


def test_a_waits_error_keeps_the_servers_words(sandbox, hook):
    sandbox.zilliant.order_fault({"fault": "status", "status": 403, "method": "GET", "body": "no rights"})
    with pytest.raises(exceptions.ZilliantAuthError) as caught:
        hook.wait_for_job("5b6a2c3d", poll_interval=0.1)
    assert (caught.value.status_code, caught.value.message) == (403, "no rights")


def test_the_proxy_of_the_connection_is_used(sandbox, connect):
    # The sandbox stands in for the proxy: it is asked for another host's address.
    fields = sandbox.connection(
        host="http://zilliant.example",
        extra={"oauth_host": OAUTH_HOST, "allow_http": True, "proxies": {"http": sandbox.url}},
    )
    connect(fields)
    assert ZilliantHook().run_workflow("P") == sandbox.zilliant.job_records()[0]["jobId"]


def test_the_proxy_environment_is_honoured(sandbox, connect, monkeypatch):
    monkeypatch.setenv("http_proxy", sandbox.url)
    connect(sandbox.connection(host="http://zilliant.example", extra={"oauth_host": OAUTH_HOST, "allow_http": True}))
    assert ZilliantHook().run_workflow("P")


def test_a_jobs_status_is_read(sandbox, hook):
    job_id = hook.run_workflow("P", parameters={"sandbox_seconds": "0", "sandbox_result": "FAILED"})
    status = hook.get_job_status(job_id)
    assert (status.job_id, status.is_closed, status.close_status, status.succeeded) == (job_id, True, "FAILED", False)
    assert status.duration.in_seconds() == 0
