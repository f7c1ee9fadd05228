"""What is sent for a job workflow, and what every answer to it means."""

from __future__ import annotations

import json
from decimal import Decimal

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_zilliant import exceptions
from airflow_provider_zilliant.api.http import NoReply, Reply
from airflow_provider_zilliant.api.jobs import parse_submission, read_status, read_submission, status_request
from airflow_provider_zilliant.api.redaction import MAX_LENGTH, spellings
from airflow_provider_zilliant.exceptions import ZilliantConfigError, ZilliantError, ZilliantReplyError

AT = pendulum.datetime(2026, 1, 5, 10)
JOB = "5b6a2c3d-91f0-4a6e-9f7b-1a2b3c4d5e6f"
SUBMISSION = parse_submission("PublishListPrices", scope="us")


def read(answer: Reply | NoReply) -> str:
    return read_submission(SUBMISSION, answer, attempted_at=AT)


def test_the_body_is_exactly_the_documented_one():
    request = parse_submission("PublishListPrices", scope="scope2", parameters={"foo": "bar"}).request
    assert (request.method, request.url) == ("POST", "/v1/JobWorkflow/Authorized")
    assert json.loads(request.body) == {
        "descriptor": "PLATFORM_CUSTOM_WORKFLOW",
        "scope": "scope2",
        "parameters": {"WORKFLOW_AUTOMATION_ID": "PublishListPrices", "foo": "bar"},
    }


@pytest.mark.parametrize("scope", [None, ""])
def test_no_scope_is_left_out(scope):
    assert "scope" not in json.loads(parse_submission("P", scope=scope).request.body)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", ""),
        ("ü", "ü"),
        (7, "7"),
        (10**30, "1" + 30 * "0"),
        (2.5, "2.5"),
        (1e22, "1" + 22 * "0"),
        (1e-7, "0.0000001"),
        (-0.5, "-0.5"),
        (Decimal("1E+3"), "1000"),
    ],
)
def test_numbers_are_sent_as_their_decimal_text(value, text):
    assert parse_submission("P", parameters={"x": value}).parameters == {"x": text}


@pytest.mark.parametrize(
    "value", [None, True, [1], {"a": "b"}, float("nan"), float("inf"), b"bytes", pendulum.now(), Decimal("NaN")]
)
def test_a_value_that_is_no_text_is_refused_by_its_key(value):
    with pytest.raises(ZilliantConfigError, match=r"parameters\['list'\]"):
        parse_submission("P", parameters={"list": value})


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"workflow_automation_id": ""}, "workflow_automation_id"),
        ({"workflow_automation_id": "  "}, "workflow_automation_id"),
        ({"workflow_automation_id": None}, "workflow_automation_id"),
        ({"workflow_automation_id": "P", "scope": True}, "scope"),
        ({"workflow_automation_id": "P", "scope": ["us"]}, "scope"),
        ({"workflow_automation_id": "P", "descriptor": ""}, "descriptor"),
        ({"workflow_automation_id": "P", "parameters": "{}"}, "parameters"),
        ({"workflow_automation_id": "P", "parameters": [("a", "b")]}, "parameters"),
        ({"workflow_automation_id": "P", "parameters": {1: "a"}}, "parameters: keys must be non-empty strings, not 1"),
        ({"workflow_automation_id": "P", "parameters": {"WORKFLOW_AUTOMATION_ID": "Q"}}, "WORKFLOW_AUTOMATION_ID"),
    ],
)
def test_a_bad_argument_is_named(arguments, named):
    with pytest.raises(ZilliantConfigError, match=named):
        parse_submission(**arguments)


def test_the_same_workflow_id_among_the_parameters_is_no_conflict():
    submission = parse_submission("P", parameters={"WORKFLOW_AUTOMATION_ID": "P", "a": "b"})
    assert submission.request.json["parameters"] == {"WORKFLOW_AUTOMATION_ID": "P", "a": "b"}


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"jobId": JOB}),
        json.dumps({"jobId": JOB, "more": 1}),
        json.dumps(JOB),
        JOB,
        f"{JOB}\n",
    ],
)
@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_jobid_is_read_from_an_object_a_string_or_bare_text(status, body):
    assert read(Reply(status, body=body.encode())) == JOB


@pytest.mark.parametrize(("body", "job_id"), [(b'{"jobId": 4711}', "4711"), (b"4711", "4711")])
def test_a_number_is_a_jobid_too(body, job_id):
    assert read(Reply(202, body=body)) == job_id


@pytest.mark.parametrize(
    "answer",
    [
        Reply(202),
        Reply(204),
        Reply(202, body=b"<html><title>Sign in 2026</title></html>"),
        Reply(202, body=b"{}"),
        Reply(202, body=b'{"jobId": null}'),
        Reply(202, body=b'{"jobId": ""}'),
        Reply(202, body=b'{"jobId": "5b6a2c3d-91f0'),
        Reply(202, body=b'"5b6a2c3d-91f0'),
        Reply(200, body=b"OK"),
        Reply(202, body=b'"OK"'),
        Reply(202, body=b"Accepted"),
        Reply(202, body=b"null"),
        Reply(202, body=b"true"),
        Reply(202, body=b"[1]"),
        Reply(202, body=b"two words 2"),
        Reply(202, body=b"[" * 100_000),
        Reply(408),
        Reply(502),
        Reply(503),
        Reply(504),
        Reply(520),
        Reply(599),
        Reply(101),
        NoReply(sent=True, reason="reset"),
    ],
)
def test_the_outcome_is_unknown(answer):
    with pytest.raises(exceptions.ZilliantSubmissionUnknownError, match=r"PublishListPrices.*us.*2026-01-05") as caught:
        read(answer)
    assert (caught.value.workflow, caught.value.scope, caught.value.attempted_at) == ("PublishListPrices", "us", AT)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Reply(400), exceptions.ZilliantBadRequestError),
        (Reply(401), exceptions.ZilliantAuthError),
        (Reply(403), exceptions.ZilliantAuthError),
        (Reply(404), exceptions.ZilliantNotFoundError),
        (Reply(409), exceptions.ZilliantScopeBusyError),
        (Reply(429), exceptions.ZilliantRateLimitError),
        (Reply(500), exceptions.ZilliantServerError),
        (Reply(302, {"location": "https://user:pw@sso.example/login?token=x"}), exceptions.ZilliantRequestError),
        (Reply(405), exceptions.ZilliantRequestError),
        (NoReply(sent=False, reason="refused"), exceptions.ZilliantUnreachableError),
    ],
)
def test_the_job_was_certainly_not_accepted(answer, kind):
    with pytest.raises(kind) as caught:
        read(answer)
    assert type(caught.value) is kind
    if isinstance(answer, Reply):
        assert caught.value.status_code == answer.status


def test_a_busy_scope_is_named():
    with pytest.raises(exceptions.ZilliantScopeBusyError) as caught:
        read(Reply(409, body=b'{"message": "in progress"}'))
    assert (caught.value.scope, caught.value.message) == ("us", "in progress")


def test_a_redirect_names_where_it_leads_and_no_credentials():
    with pytest.raises(exceptions.ZilliantRequestError, match=r"sso\.example") as caught:
        read(Reply(302, {"location": "https://user:pw@sso.example/login?token=x"}))
    assert "pw" not in str(caught.value)
    assert "token=x" not in str(caught.value)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("Mon, 05 Jan 2026 10:00:30 GMT", 30.0),
        ("Mon, 05 Jan 2026 09:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header, seconds):
    with pytest.raises(exceptions.ZilliantRateLimitError) as caught:
        read(Reply(429, {"retry-after": header}, received_time=AT.timestamp()))
    assert caught.value.retry_after == seconds


def test_the_servers_words_are_shortened_and_hold_no_secret():
    secrets = spellings("the-token", "p&ss wörd")
    body = json.dumps({"message": f"the-token {' '.join(spellings('p&ss wörd'))} {'x' * 2000}"})
    with pytest.raises(exceptions.ZilliantBadRequestError) as caught:
        read(Reply(400, body=body.encode(), secrets=secrets))
    assert len(caught.value.message) <= MAX_LENGTH + 1
    assert not any(secret in str(caught.value) for secret in secrets)


def status(**told: object) -> Reply:
    return Reply(200, body=json.dumps(told).encode())


def test_an_open_job():
    read_out = read_status(
        JOB,
        status(executionStatus="OPEN", closeStatus=None, startTimeStamp="2026-01-05T10:00:00Z", closeTimeStamp=None),
    )
    assert (read_out.is_open, read_out.is_closed, read_out.succeeded) == (True, False, False)
    assert read_out.started_at == AT
    assert read_out.duration is None


def test_a_completed_job():
    read_out = read_status(
        JOB,
        status(
            executionStatus="CLOSED",
            closeStatus="COMPLETED",
            startTimeStamp="2026-01-05T11:00:00+01:00",
            closeTimeStamp="2026-01-05T10:07:31Z",
        ),
    )
    assert read_out.succeeded
    assert read_out.started_at == AT
    assert read_out.started_at.timezone_name == "UTC"
    assert read_out.duration.in_seconds() == 451


@pytest.mark.parametrize(
    "close", ["FAILED", "CANCELED", "TERMINATED", "TIMED_OUT", "CONTINUED_AS_NEW", "NEVER_HEARD_OF", None, "", 5, {}]
)
def test_any_other_end_is_no_success(close):
    read_out = read_status(JOB, status(executionStatus="CLOSED", closeStatus=close))
    assert read_out.is_closed
    assert not read_out.succeeded


def test_unreadable_times_do_not_spoil_the_status():
    told = status(executionStatus="CLOSED", closeStatus="COMPLETED", startTimeStamp="soon", closeTimeStamp="10")
    assert read_status(JOB, told).succeeded


@pytest.mark.parametrize(
    "answer",
    [
        NoReply(sent=True, reason="timed out"),
        Reply(200),
        Reply(200, body=b"<html>"),
        status(executionStatus="PENDING"),
        status(executionStatus=None),
        status(),
        Reply(200, body=b"[]"),
    ],
)
def test_an_unreadable_status_says_nothing_of_the_job(answer):
    with pytest.raises(ZilliantReplyError):
        read_status(JOB, answer)


@pytest.mark.parametrize("job_id", ["", ".", "..", "a b", "a\nb", None, 5, "<x>"])
def test_a_jobid_that_cannot_be_one_is_refused(job_id):
    with pytest.raises(ZilliantConfigError, match="job_id"):
        status_request(job_id)


def test_a_jobid_stays_one_segment_of_the_path():
    assert status_request("a/../b?c#d").url == "/v1/JobWorkflow/Authorized/a%2F..%2Fb%3Fc%23d/Status"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
STATUS_LIKE = st.fixed_dictionaries(
    {},
    optional={
        "jobId": JSON,
        "executionStatus": st.sampled_from(["OPEN", "CLOSED"]) | JSON,
        "closeStatus": st.sampled_from(["COMPLETED", "FAILED"]) | JSON,
        "startTimeStamp": JSON,
        "closeTimeStamp": st.datetimes().map(str) | JSON,
        "message": JSON,
    },
)
BODIES = st.binary() | (JSON | STATUS_LIKE).map(lambda value: json.dumps(value).encode())
HEADERS = st.dictionaries(st.sampled_from(["retry-after", "location", "content-type"]), st.text())
ANSWERS = st.builds(Reply, st.integers(100, 999), HEADERS, BODIES, st.floats(0, 4e9)) | st.builds(
    NoReply, st.booleans(), st.text().filter(str.isprintable)
)


@given(ANSWERS)
def test_no_answer_however_malformed_raises_anything_but_a_zilliant_error(answer):
    for reader in (read, lambda answer: read_status(JOB, answer)):
        try:
            reader(answer)
        except ZilliantError as error:
            assert str(error).isprintable()


@given(ANSWERS)
def test_green_needs_a_success_and_an_id_or_a_completed_job(answer):
    try:
        job_id = read(answer)
    except ZilliantError:
        return
    assert isinstance(answer, Reply)
    assert answer.is_success
    assert job_id.strip()
