"""The ledger never leads from an intent to a second POST without the user's consent."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from airflow_provider_zilliant.api.job_status import JobStatus
from airflow_provider_zilliant.exceptions import ZilliantConfigError
from airflow_provider_zilliant.operators.ledger import KEY, Intent, Job, Ledger, Next, decide, decide_after_poll


class Store(dict):
    """Airflow's task state, in memory."""

    def set(self, key, value, *, retention=None):
        self[key] = value

    def delete(self, key):
        self.pop(key, None)


OPEN = JobStatus("j", "OPEN")
COMPLETED = JobStatus("j", "CLOSED", "COMPLETED")
FAILED = JobStatus("j", "CLOSED", "FAILED")


@pytest.mark.parametrize("record", [Intent(2, 3, 5.0), Job(2, 3, 5.0, "j")])
def test_a_record_is_read_as_it_was_written(record):
    ledger = Ledger(Store())
    ledger.write(record)
    assert ledger.read() == record
    ledger.clear()
    assert ledger.read() is None


def test_without_a_store_nothing_is_remembered_and_nothing_breaks():
    ledger = Ledger(None)
    ledger.write(Intent(1, 0, 0.0))
    ledger.clear()
    assert (ledger.read(), ledger.remembers) == (None, False)


@pytest.mark.parametrize("foreign", ["x", 5, [], {}, {"state": "job"}, {"state": "done", "try_number": 1, "time": 0}])
def test_a_record_that_cannot_be_read_stops_the_task(foreign):
    with pytest.raises(ZilliantConfigError, match="nothing was sent"):
        Ledger(Store({KEY: foreign})).read()


@pytest.mark.parametrize(
    ("record", "max_tries", "consent", "decision"),
    [
        (None, 2, False, Next.SUBMIT),
        (Intent(1, 2, 0), 2, False, Next.STOP),
        (Intent(1, 2, 0), 2, True, Next.SUBMIT),
        (Intent(1, 2, 0), 3, False, Next.SUBMIT),
        (Job(1, 2, 0, "j"), 2, False, Next.POLL),
        (Job(1, 2, 0, "j"), 3, True, Next.POLL),
    ],
)
def test_the_first_decision(record, max_tries, consent, decision):
    assert decide(record, max_tries=max_tries, may_resubmit=consent) is decision


@pytest.mark.parametrize(
    ("status", "max_tries", "decision"),
    [
        (OPEN, 2, Next.ATTACH),
        (OPEN, 3, Next.ATTACH),
        (COMPLETED, 2, Next.ATTACH),
        (COMPLETED, 3, Next.SUBMIT),
        (FAILED, 2, Next.SUBMIT),
        (FAILED, 3, Next.SUBMIT),
        (None, 2, Next.SUBMIT),
    ],
)
def test_the_second_decision(status, max_tries, decision):
    assert decide_after_poll(Job(1, 2, 0, "j"), status, max_tries=max_tries) is decision


class Tries(RuleBasedStateMachine):
    """Tries, crashes, clears and endings in any order: an unfinished or successful job is never doubled silently."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(Store())
        self.status: dict[str, JobStatus] = {}
        self.try_number, self.retries, self.max_tries = 1, 2, 2
        self.excused: set[str] = set()

    @rule(crash=st.sampled_from(["before", "during", "between", None]), busy=st.booleans())
    def run_a_try(self, crash, busy):
        """What the operator does, with a worker that may die at any point."""
        record = self.ledger.read()
        decision = decide(record, max_tries=self.max_tries, may_resubmit=False)
        if decision is Next.POLL:
            decision = decide_after_poll(record, self.status.get(record.job_id), max_tries=self.max_tries)
        if decision is Next.SUBMIT:
            self.ledger.write(Intent(self.try_number, self.max_tries, 0))
            if crash == "before":
                pass
            elif busy:
                self.ledger.clear()
            else:
                job_id = f"job-{len(self.status)}"
                self.status[job_id] = JobStatus(job_id, "OPEN")
                if crash not in ("during", "between"):
                    self.ledger.write(Job(self.try_number, self.max_tries, 0, job_id))
        self.try_number += 1

    @rule(retries=st.integers(0, 5))
    def the_dag_is_changed(self, retries):
        """Another number of retries in the Dag file is no clear."""
        self.retries = retries

    @rule(how=st.sampled_from(["COMPLETED", "FAILED"]))
    def a_job_ends(self, how):
        for job_id, status in self.status.items():
            if status.is_open:
                self.status[job_id] = JobStatus(job_id, "CLOSED", how)

    @rule()
    def the_user_clears_the_task(self):
        """As Airflow does it."""
        self.max_tries = self.try_number - 1 + self.retries
        self.excused = set(self.status)  # running it again is the user's wish

    @invariant()
    def no_two_jobs_without_a_clear_between_them(self):
        silent = [s for job_id, s in self.status.items() if job_id not in self.excused and s.close_status != "FAILED"]
        assert len(silent) <= 1


TestTries = Tries.TestCase
