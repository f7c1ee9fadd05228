"""``ZilliantJobSensor``: waits for a job that somebody else submitted.

As with the operator, a Dag file that imports it loads nothing that only a running task needs.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
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

    from airflow_provider_zilliant.api.job_status import JobStatus
    from airflow_provider_zilliant.waits.events import Closed, Failed, TimedOut


class ZilliantJobSensor(BaseSensorOperator):
    """Succeeds when the job is COMPLETED; fails, without retries, when it closes otherwise.

    ``timeout``, ``soft_fail``, ``mode`` and ``poke_interval`` mean what they mean for every sensor;
    ``mode`` and ``poke_interval`` apply when ``deferrable`` is off.

    :param job_id: the job. (templated)
    :param zilliant_conn_id: id of the Airflow Connection. (templated)
    :param poll_interval: seconds between the triggerer's polls. ``None``: a tenth of the time waited so
        far, at least 5 s and at most 60 s; the first comes 8 s after the deferral.
    :param deferrable: wait in the triggerer; ``False``: poke or reschedule, as ``mode`` says.
    :raises ZilliantJobFailedError: the job closed, but not as COMPLETED.
    :raises AirflowSensorTimeout: ``timeout`` ran out.
    :raises ZilliantError: polling it failed for good.
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
        self.poll_interval = arguments.parse_poll_interval(poll_interval)
        self.deferrable = deferrable

    def execute(self, context: Context) -> None:
        """Polls once, and then waits where it was asked to."""
        if not self.deferrable:
            super().execute(context)
            return
        from airflow_provider_zilliant.tasks.carried import Carried

        now = time.time()
        carried = Carried.start(context["ti"].try_number, self.execution_timeout)
        if self.poke(context):
            return
        from airflow_provider_zilliant.triggers.zilliant import ZilliantJobTrigger
        from airflow_provider_zilliant.waits import intervals

        deadline = intervals.earliest(now + self.timeout if self.timeout is not None else None, carried.deadline)
        self.defer(
            trigger=ZilliantJobTrigger(
                zilliant_conn_id=self.zilliant_conn_id,
                job_id=self.job_id,
                poll_interval=self.poll_interval,
                end_time=deadline,
                deferred_time=now,
                carried=carried.to_json(),
            ),
            method_name=self.resume.__name__,
            timeout=intervals.backstop(deadline, now),
        )

    def resume(self, context: Context, event: object = None) -> None:
        """Continues where :class:`ZilliantJobTrigger` ended."""
        from airflow_provider_zilliant.tasks.carried import Carried
        from airflow_provider_zilliant.waits.events import Retry, TimedOut, parse_event, unrecognized

        carried, ended = Carried.parse(event), parse_event(event)
        if ended is None or isinstance(ended, Retry):
            raise unrecognized(event, about=self._about)
        if isinstance(ended, TimedOut) and carried is not None:
            carried.check_deadline()
        self._end_with(ended)

    def poke(self, context: Context) -> bool:
        """One poll."""
        from airflow_provider_zilliant.waits.events import Closed

        status = self._poll()
        if status.is_open:
            self.log.info("Job %s is still open.", self.job_id)
            return False
        self._end_with(Closed(status))
        return True

    def _poll(self) -> JobStatus:
        from airflow_provider_zilliant.api.jobs import status_request
        from airflow_provider_zilliant.hooks.zilliant import ZilliantHook
        from airflow_provider_zilliant.tasks.final_errors import final

        try:
            status_request(self.job_id)
        except ZilliantConfigError as error:
            raise final(error) from None
        with ZilliantHook(self.zilliant_conn_id) as hook:
            return hook.get_job_status(self.job_id)

    def _end_with(self, event: Closed | TimedOut | Failed) -> None:
        """Returns if the job is COMPLETED, and raises the sensor's errors if not."""
        from airflow_provider_zilliant.tasks.final_errors import final
        from airflow_provider_zilliant.waits.events import verdict

        try:
            verdict(event, about=self._about)
        except ZilliantTimeoutError as error:
            raise self._soften(AirflowSensorTimeout(str(error))) from None
        except ZilliantJobFailedError as error:
            raise self._soften(final(error)) from None
        self.log.info("Job %s is COMPLETED.", self.job_id)

    def _soften(self, error: Exception) -> Exception:
        """What ``soft_fail`` and ``never_fail`` make of the error."""
        if self.soft_fail or self.never_fail:
            return AirflowSkipException(f"Skipped because of {'soft' if self.soft_fail else 'never'}_fail: {error}")
        return error

    @property
    def _about(self) -> str:
        return f"sensor {self.task_id!r}"
