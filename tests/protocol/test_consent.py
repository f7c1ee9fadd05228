"""The table of consent: executed row by row, and by whole lives of records."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_zilliant.api.job_status import JobStatus
from airflow_provider_zilliant.api.jobs import parse_submission
from airflow_provider_zilliant.exceptions import ZilliantConfigError
from airflow_provider_zilliant.operators.consent import (
    TABLE,
    Found,
    Next,
    Sign,
    after_being_told,
    decide,
    find,
    read_sign,
)
from airflow_provider_zilliant.operators.ledger import ANSWER_KEY, KEY, Ledger
from airflow_provider_zilliant.operators.records import AskedFor, Intent, Job, Tries, from_json, to_json


class Store(dict):
    """Airflow's task state, in memory; like the real one, it holds JSON."""

    def set(self, key, value, *, retention=None):
        self[key] = json.loads(json.dumps(value))

    def delete(self, key):
        self.pop(key, None)

    def variable_name(self, key):
        return None


def asking(base_url="https://z.example", **arguments) -> AskedFor:
    return AskedFor.of(parse_submission(**{"workflow_automation_id": "P", "scope": "us", **arguments}), base_url)


OURS, TRIES = asking(), Tries(1, 2)
INTENT = Intent(OURS, TRIES, 5.0)
JOB = Job(OURS, TRIES, 5.0, "j")
OPEN = JobStatus("j", "OPEN")
COMPLETED = JobStatus("j", "CLOSED", "COMPLETED")
FAILED = JobStatus("j", "CLOSED", "FAILED")
CONTINUED = JobStatus("j", "CLOSED", "CONTINUED_AS_NEW")
OTHERS = replace(JOB, asked_for=asking(scope="eu"))


def test_every_row_is_in_the_table():
    assert set(TABLE) == set(Found)


@pytest.mark.parametrize(
    ("record", "status", "is_gone", "found"),
    [
        (None, None, False, Found.NOTHING),
        (INTENT, None, False, Found.INTENT),
        (replace(INTENT, told=True), None, False, Found.INTENT_TOLD),
        (JOB, OPEN, False, Found.OPEN),
        (JOB, None, False, Found.OPEN),
        (replace(JOB, told=True), OPEN, False, Found.OPEN_TOLD),
        (JOB, COMPLETED, False, Found.COMPLETED),
        (replace(JOB, told=True), COMPLETED, False, Found.COMPLETED_TOLD),
        (replace(JOB, green=True), COMPLETED, False, Found.GREEN),
        (replace(JOB, green=True, told=True), COMPLETED, False, Found.GREEN),
        (replace(JOB, green=True), OPEN, False, Found.OPEN),
        (JOB, FAILED, False, Found.FAILED),
        (JOB, JobStatus("j", "CLOSED", None), False, Found.FAILED),
        (JOB, CONTINUED, False, Found.UNTRACEABLE),
        (JOB, None, True, Found.UNTRACEABLE),
        (replace(JOB, told=True), None, True, Found.UNTRACEABLE_TOLD),
        (OTHERS, OPEN, False, Found.OTHER_OPEN),
        (OTHERS, None, False, Found.OTHER_OPEN),
        (OTHERS, CONTINUED, False, Found.OTHER_OPEN),
        (replace(OTHERS, told=True), OPEN, False, Found.OTHER_OPEN_TOLD),
        (OTHERS, COMPLETED, False, Found.OTHER_ENDED),
        (replace(OTHERS, green=True), COMPLETED, False, Found.OTHER_ENDED),
        (OTHERS, FAILED, False, Found.OTHER_ENDED),
        (OTHERS, None, True, Found.OTHER_ENDED),
    ],
)
def test_what_is_found(record, status, is_gone, found):
    assert find(record, OURS, status, is_gone=is_gone) is found


@pytest.mark.parametrize(
    ("then", "now", "retries", "sign"),
    [
        (Tries(1, 2), Tries(2, 2), 2, Sign.RETRY),
        (Tries(1, 2), Tries(1, 2), 2, Sign.DOUBT),  # the run was deleted and made again
        (Tries(3, 2), Tries(4, 5), 2, Sign.CLEAR),
        (Tries(1, 3), Tries(2, 3), 1, Sign.DOUBT),  # retries were lowered: a retry, or a clear after the first try
        (Tries(2, 3), Tries(3, 3), 1, Sign.DOUBT),
        (Tries(3, 3), Tries(4, 3), 1, Sign.RETRY),
        (Tries(1, 2), Tries(2, 2), 5, Sign.RETRY),  # retries were raised
        (Tries(1, 3, 0), Tries(2, 3, 0), 1, Sign.RETRY),  # nothing in the run was cleared
        (Tries(1, 3, 0), Tries(2, 3, 1), 1, Sign.DOUBT),
        (Tries(1, 2, 0), Tries(2, 3, 0), 2, Sign.DOUBT),  # the signs disagree
        (Tries(1, 2, 0), Tries(2, 3, 1), 2, Sign.CLEAR),
    ],
)
def test_the_signs_of_a_clear(then, now, retries, sign):
    assert read_sign(then, now, retries=retries) is sign


@given(tries=st.integers(1, 9), retries=st.integers(0, 9), lowered=st.integers(0, 9))
def test_a_clear_is_never_taken_for_a_retry(tries, retries, lowered):
    """As Airflow does it: a clear sets ``max_tries`` to the tries so far plus the present ``retries``."""
    then = Tries(min(tries, retries + 1), retries)
    now = Tries(then.try_number + 1, then.try_number + lowered)
    assert read_sign(then, now, retries=lowered) is not Sign.RETRY


@pytest.mark.parametrize("found", Found)
@pytest.mark.parametrize("on_clear", ["ask", "attach", "submit"])
@pytest.mark.parametrize("may_resubmit", [False, True])
def test_in_doubt_a_row_whose_columns_differ_asks(found, on_clear, may_resubmit):
    how = {"on_clear": on_clear, "may_resubmit": may_resubmit}
    retry, clear, doubt = (decide(found, sign, **how) for sign in (Sign.RETRY, Sign.CLEAR, Sign.DOUBT))
    may_ask = Next.SUBMIT if may_resubmit and found in (Found.INTENT, Found.INTENT_TOLD) else Next.ASK
    assert doubt is (retry if retry is clear else may_ask)


@pytest.mark.parametrize("found", Found)
def test_a_question_is_answered_by_clearing_once_more_and_an_open_job_is_never_doubled_by_a_retry(found):
    told = after_being_told(found)
    for on_clear in ("ask", "attach", "submit"):
        assert TABLE[told].clear(on_clear) is not Next.ASK, "a person could clear for ever"
    if found.name.startswith(("OPEN", "INTENT", "OTHER", "UNTRACEABLE", "COMPLETED", "GREEN")):
        assert TABLE[found].retry is not Next.SUBMIT


@pytest.mark.parametrize("found", [Found.INTENT, Found.INTENT_TOLD])
def test_resubmit_answers_the_question_of_an_unknown_outcome(found):
    for sign in Sign:
        assert decide(found, sign, on_clear="ask", may_resubmit=True) is Next.SUBMIT


RECORDS = [
    INTENT,
    JOB,
    replace(JOB, told=True, green=True, tries=Tries(2, 3, 4)),
    Intent(asking(scope=None, parameters={"a": 1}), TRIES, 6.5, told=True, earlier=JOB),
    replace(INTENT, earlier=replace(INTENT, told=True)),
]


@pytest.mark.parametrize("record", RECORDS)
def test_a_record_is_read_as_it_was_written(record):
    ledger = Ledger(Store())
    ledger.write(record)
    assert ledger.read() == record
    ledger.write(None)
    assert ledger.read() is None


def test_a_record_does_not_grow_with_every_submission():
    record = None
    for number in range(50):
        record = from_json(to_json(Intent(OURS, TRIES, float(number), earlier=record)))
    assert len(json.dumps(to_json(record))) < 2000


def test_with_durable_off_nothing_is_remembered_and_nothing_breaks():
    ledger = Ledger(None)
    ledger.write(INTENT)
    ledger.end_green("j")
    ledger.use_up_answer()
    assert (ledger.read(), ledger.read_answer(), ledger.remembers) == (None, None, False)


@pytest.mark.parametrize(
    "foreign", ["x", 5, [], {}, {"state": "job"}, {**to_json(JOB), "tries": 5}, {**to_json(JOB), "asked_for": {"a": 1}}]
)
def test_a_record_that_cannot_be_read_stops_the_task(foreign):
    with pytest.raises(ZilliantConfigError, match="nothing was sent"):
        Ledger(Store({KEY: foreign})).read()


def test_ending_green_is_noted_of_the_job_on_record_only():
    ledger = Ledger(Store())
    ledger.write(JOB)
    ledger.end_green("another")
    assert ledger.read() == JOB
    ledger.end_green("j")
    assert ledger.read() == replace(JOB, green=True)


@pytest.mark.parametrize("entered", ["5b6a2c3d", ' "5b6a2c3d" \n'])
def test_an_answer_is_read_as_people_enter_it(entered):
    ledger = Ledger(Store({ANSWER_KEY: entered}))
    assert ledger.read_answer() == "5b6a2c3d"
    ledger.use_up_answer()
    assert ledger.read_answer() is None


@pytest.mark.parametrize("entered", ["", "two words", "<b>", ["j"], {"job": "j"}, True])
def test_an_answer_that_is_no_job_id_is_named(entered):
    with pytest.raises(ZilliantConfigError, match=ANSWER_KEY):
        Ledger(Store({ANSWER_KEY: entered})).read_answer()


def test_the_digest_sees_what_would_be_sent():
    assert asking(parameters={"n": 1}) == asking(parameters={"n": "1"})
    for other in (
        asking(base_url="https://prod.example"),
        asking(scope=None),
        asking(descriptor="D"),
        asking(workflow_automation_id="Q"),
        asking(parameters={"region": "eu"}),
    ):
        assert other != asking()


def test_messages_name_what_differs_and_of_parameters_only_the_keys():
    before = asking(parameters={"region": "hidden-eu", "same": "x"})
    (scope, parameters) = before.differences(asking(scope="eu", parameters={"region": "hidden-us", "same": "x"}))
    assert scope == "scope was 'us' and is now 'eu'"
    assert parameters == "parameters differ in 'region'"
    assert "hidden" not in json.dumps(to_json(replace(JOB, asked_for=before)))
