"""``ZilliantJobSensor``: waits for a job that somebody else submitted.

As with the operator, a Dag file that names it imports nothing that only a running task needs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
)

from airflow_provider_zilliant import arguments
from airflow_provider_zilliant.exceptions import (
    ZilliantConfigError,
    ZilliantJobFailedError,
    ZilliantTimeoutError,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_zilliant.api.jobs import JobStatus


class ZilliantJobSensor(BaseSensorOperator):
    """Succeeds when the job is COMPLETED; fails, without retries, when it closes otherwise.

    ``timeout``, ``soft_fail``, ``mode`` and ``poke_interval`` mean what they mean for every sensor;
    ``mode`` and ``poke_interval`` count where ``deferrable`` is off.

    :param job_id: the job. (templated)
    :param zilliant_conn_id: id of the Airflow Connection. (templated)
    :param poll_interval: seconds between looks of the triggerer. ``None``: a tenth of the time waited
        so far, at least 5 s and at most 60 s; the first after 8 s, once deferred.
    :param deferrable: wait in the triggerer; ``False``: poke or reschedule, as ``mode`` says.
    :raises ZilliantJobFailedError: the job closed, but not as COMPLETED.
    :raises AirflowSensorTimeout: ``timeout`` ran out.
    :raises ZilliantError: looking at it failed for good.
    """

    template_fields: Sequence[str] = ("job_id", "zilliant_conn_id")
    ui_color = "#e7f0fd"

    def __init__(
        self,
        *,
        job_id: str,
        zilliant_conn_id: str = arguments.DEFAULT_CONN_ID,
        poll_interval: float | None = None,
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job_id = job_id
        self.zilliant_conn_id = zilliant_conn_id
        self.poll_interval = arguments.poll_interval_of(poll_interval)
        self.deferrable = deferrable

    def execute(self, context: Context) -> None:
        """Looks once, and then waits where it was told to."""
        if not self.deferrable:
            super().execute(context)
            return
        from airflow_provider_zilliant import waiting

        now = time.time()
        if self._ended(waiting.event_of(self._look())):
            return
        from airflow_provider_zilliant.triggers.zilliant import ZilliantJobTrigger

        limit = self.execution_timeout
        try_ends_at = now + limit.total_seconds() if limit is not None else None
        end_time = waiting.earliest(now + self.timeout if self.timeout is not None else None, try_ends_at)
        self.defer(
            trigger=ZilliantJobTrigger(
                zilliant_conn_id=self.zilliant_conn_id,
                job_id=self.job_id,
                poll_interval=self.poll_interval,
                end_time=end_time,
                deferred_at=now,
                resume={"is_execution_timeout": try_ends_at is not None and end_time == try_ends_at},
            ),
            method_name=self.resume.__name__,
            timeout=waiting.backstop(end_time, now),
        )

    def resume(self, context: Context, event: object = None) -> None:
        """Goes on where :class:`ZilliantJobTrigger` ended."""
        if isinstance(event, Mapping) and event.get("status") == "timeout":
            resume = event.get("resume")
            if isinstance(resume, Mapping) and resume.get("is_execution_timeout"):
                raise AirflowTaskTimeout(f"execution_timeout ran out while job {self.job_id} was open")
        self._ended(event)

    def poke(self, context: Context) -> bool:
        """One look."""
        from airflow_provider_zilliant import waiting

        return self._ended(waiting.event_of(self._look()))

    def _look(self) -> JobStatus:
        from airflow_provider_zilliant.api.jobs import status_request
        from airflow_provider_zilliant.hooks.zilliant import ZilliantHook
        from airflow_provider_zilliant.operators.final_errors import final

        try:
            status_request(self.job_id)
        except ZilliantConfigError as error:
            raise final(error) from None
        with ZilliantHook(self.zilliant_conn_id) as hook:
            return hook.get_job_status(self.job_id)

    def _ended(self, event: object) -> bool:
        """Whether the job is COMPLETED; the sensor's errors where the wait ended otherwise."""
        from airflow_provider_zilliant import waiting
        from airflow_provider_zilliant.operators.final_errors import final

        if event == waiting.STILL_OPEN:
            self.log.info("Job %s is open.", self.job_id)
            return False
        try:
            waiting.closed_job(event, about=f"sensor {self.task_id!r}")
        except ZilliantTimeoutError as error:
            raise self._end(AirflowSensorTimeout(str(error))) from None
        except ZilliantJobFailedError as error:
            raise self._end(final(error)) from None
        self.log.info("Job %s is COMPLETED.", self.job_id)
        return True

    def _end(self, error: Exception) -> Exception:
        if self.soft_fail or self.never_fail:
            return AirflowSkipException(f"Skipped, because of {'soft' if self.soft_fail else 'never'}_fail: {error}")
        return error
