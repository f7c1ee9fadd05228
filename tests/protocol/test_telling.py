"""Who was told when: only a clear after the telling is informed, and two processes of a task lose no record."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from airflow_provider_zilliant.api.jobs import parse_submission
from airflow_provider_zilliant.operators import earlier
from airflow_provider_zilliant.operators.consent import Sign
from airflow_provider_zilliant.operators.current_try import Try
from airflow_provider_zilliant.operators.ledger import Ledger
from airflow_provider_zilliant.operators.records import AskedFor, Intent, Job, Tries, from_json, to_json
from airflow_provider_zilliant.operators.submitting import _restore

OURS = AskedFor.of(parse_submission("P", scope="us"), "https://z.example")
JOB = Job(OURS, Tries(1, 2), 5.0, "j")


class Store(dict):
    """Airflow's task state, in memory."""

    def set(self, key, value, *, retention=None):
        self[key] = value

    def delete(self, key):
        self.pop(key, None)

    def variable_name(self, key):
        return None


class Log:
    def warning(self, *_, **__):
        """Nobody reads it."""

    error = exception = info = warning


def a_try(tries: Tries, *, state: str = "running", record=None) -> Try:
    """A try as far as records are concerned."""
    made = object.__new__(Try)
    made.is_resumed = True
    made.task = SimpleNamespace(retries=2, killed=False)
    made.log = Log()
    made.ti = SimpleNamespace(try_number=tries.try_number, current_state=lambda: state)
    made.tries = tries
    made.ledger = Ledger(Store())
    made.ledger.write(record)
    return made


@pytest.mark.parametrize(
    ("told_at", "now", "read"),
    [
        (Tries(1, 2), Tries(2, 3), (Sign.CLEAR, True)),  # told, then cleared
        (Tries(2, 3), Tries(2, 3), (Sign.CLEAR, False)),  # cleared, then told, then resumed
        (Tries(2, 3), Tries(3, 3), (Sign.CLEAR, False)),  # cleared, then told, then retried
        (Tries(2, 3), Tries(3, 4), (Sign.CLEAR, True)),  # cleared, then told, then cleared once more
        (Tries(1, 2), Tries(2, 2), (Sign.RETRY, True)),  # told, then retried
    ],
)
def test_a_clear_is_informed_only_after_the_telling(told_at, now, read):
    record = replace(JOB, told=True, told_at=told_at)
    assert earlier._read_signs(a_try(now), record) == read


def test_what_a_cleared_process_says_informs_nobody():
    heard, cleared, killed = (
        a_try(Tries(1, 2), record=JOB, state=state) for state in ("running", "restarting", "running")
    )
    killed.task.killed = True
    for one in (heard, cleared, killed):
        one.note_told(JOB)
    assert heard.ledger.read() == replace(JOB, told=True, told_at=Tries(1, 2))
    assert cleared.ledger.read() == killed.ledger.read() == JOB


def test_a_refused_intent_leaves_the_record_of_another_process():
    intent = Intent(OURS, Tries(2, 3), 9.0)
    mine, others = a_try(Tries(2, 3), record=intent), a_try(Tries(2, 3), record=replace(JOB, job_id="theirs"))
    for one in (mine, others):
        one.before = JOB
        _restore(one, intent)
    assert mine.ledger.read() == JOB
    assert others.ledger.read() == replace(JOB, job_id="theirs")


@pytest.mark.parametrize("record", [replace(JOB, told=True, told_at=Tries(2, 3, 1)), Intent(OURS, Tries(1, 2), 5.0)])
def test_a_telling_survives(record):
    assert from_json(to_json(record)) == record


def test_a_record_from_before_is_read():
    written = to_json(replace(JOB, told=True))
    del written["told_at"]
    assert from_json(written) == replace(JOB, told=True)
