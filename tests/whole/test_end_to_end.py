"""The end-to-end run that ``make test-matrix`` does in every Airflow, in this one."""

from __future__ import annotations

from tests.harness import end_to_end


def test_a_busy_scope_and_a_job_are_waited_for_deferred_and_workers_alone_submit(whole_airflow, zilliant):
    end_to_end.check(whole_airflow, zilliant)
