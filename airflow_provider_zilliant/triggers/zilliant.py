"""Triggers: the waits that hold no worker slot.

A trigger may be restarted, moved, or run twice at once, so it does nothing but wait and GET.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_zilliant import line, waiting
from airflow_provider_zilliant.compat import TRIGGERS_LEARN_OF_KILLS
from airflow_provider_zilliant.transports import imported


class ZilliantScopeTrigger(BaseTrigger):
    """Waits until a worker may try again to submit under a busy scope. It sends nothing at all.

    Tasks that wait for one scope of one Connection in one triggerer stand in line
    (:mod:`airflow_provider_zilliant.line`): only the first tries, and not while the job that holds
    the scope is watched by a :class:`ZilliantJobTrigger`.

    Events: ``{"status": "retry"}`` and ``{"status": "timeout"}``, each with ``waiting_since``,
    ``end_time`` and ``resume``.

    :param zilliant_conn_id: id of the Connection.
    :param scope: the busy scope; ``None`` for the environment's serial queue.
    :param waiting_since: when the scope was first found busy, in epoch seconds.
    :param poll_interval: seconds between tries; ``None`` for adaptive.
    :param end_time: when to give up, in epoch seconds; ``None`` for never.
    :param deferred_at: when the task was deferred, in epoch seconds; ``None`` for ``waiting_since``.
    :param resume: what the resumed worker needs, handed back as it is.
    """

    def __init__(
        self,
        zilliant_conn_id: str,
        scope: str | None,
        waiting_since: float,
        poll_interval: float | None = None,
        end_time: float | None = None,
        deferred_at: float | None = None,
        resume: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.zilliant_conn_id = zilliant_conn_id
        self.scope = scope
        self.waiting_since = waiting_since
        self.poll_interval = poll_interval
        self.end_time = end_time
        self.deferred_at = deferred_at
        self.resume = dict(resume or {})

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The trigger's class and arguments, as Airflow stores them."""
        return (
            "airflow_provider_zilliant.triggers.zilliant.ZilliantScopeTrigger",
            {
                "zilliant_conn_id": self.zilliant_conn_id,
                "scope": self.scope,
                "waiting_since": self.waiting_since,
                "poll_interval": self.poll_interval,
                "end_time": self.end_time,
                "deferred_at": self.deferred_at,
                "resume": self.resume,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Stands in the scope's line until it is this task's turn, or until the deadline."""
        may_try = await line.turn(
            self.zilliant_conn_id,
            self.scope,
            waiting_since=self.waiting_since,
            deferred_at=self.waiting_since if self.deferred_at is None else self.deferred_at,
            poll_interval=self.poll_interval,
            end_time=self.end_time,
        )
        event = {
            "status": "retry" if may_try else "timeout",
            "waiting_since": self.waiting_since,
            "end_time": self.end_time,
            "resume": self.resume,
        }
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]


class ZilliantJobTrigger(BaseTrigger):
    """Looks at a job until it is closed, and tells the scope's line that it does.

    Events: ``{"status": "closed", "job": {...}}``, ``{"status": "timeout"}`` and
    ``{"status": "error", "message": ...}``, each with ``resume``.

    :param zilliant_conn_id: id of the Connection.
    :param job_id: the job.
    :param scope: the scope that it holds.
    :param poll_interval: seconds between looks; ``None`` for adaptive.
    :param end_time: when to give up, in epoch seconds; ``None`` for never.
    :param accepted_at: when Zilliant accepted the job, in epoch seconds, where that is known.
    :param deferred_at: when the task was deferred, in epoch seconds.
    :param resume: what the resumed worker needs, handed back as it is.
    """

    def __init__(
        self,
        zilliant_conn_id: str,
        job_id: str,
        scope: str | None = None,
        poll_interval: float | None = None,
        end_time: float | None = None,
        accepted_at: float | None = None,
        deferred_at: float | None = None,
        resume: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.zilliant_conn_id = zilliant_conn_id
        self.job_id = job_id
        self.scope = scope
        self.poll_interval = poll_interval
        self.end_time = end_time
        self.accepted_at = accepted_at
        self.deferred_at = deferred_at
        self.resume = dict(resume or {})

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The trigger's class and arguments, as Airflow stores them."""
        return (
            "airflow_provider_zilliant.triggers.zilliant.ZilliantJobTrigger",
            {
                "zilliant_conn_id": self.zilliant_conn_id,
                "job_id": self.job_id,
                "scope": self.scope,
                "poll_interval": self.poll_interval,
                "end_time": self.end_time,
                "accepted_at": self.accepted_at,
                "deferred_at": self.deferred_at,
                "resume": self.resume,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Looks again and again, in ever longer intervals, until there is something to tell."""
        now = time.time()
        deferred_at = now if self.deferred_at is None else self.deferred_at
        began = deferred_at if self.accepted_at is None else self.accepted_at
        look = waiting.first_pause(now, began=began, deferred_at=deferred_at, poll_interval=self.poll_interval)
        try:
            with line.Watch(self.zilliant_conn_id, self.scope, began) as watch:
                aio = await imported("airflow_provider_zilliant.transports.aio")
                async with aio.transport(self.zilliant_conn_id) as opened:
                    event = await opened.drive(
                        waiting.watch(
                            opened.client,
                            self.job_id,
                            began=began,
                            accepted_at=self.accepted_at,
                            poll_interval=self.poll_interval,
                            end_time=self.end_time,
                            before_first_look=look,
                        )
                    )
                if event["status"] == "closed":
                    watch.closed()
        except asyncio.CancelledError:
            if not TRIGGERS_LEARN_OF_KILLS:
                self.log.warning(
                    "The wait for job %s was cancelled: its task was killed, or this triggerer ends. It runs on in "
                    "Zilliant: the API cannot cancel it.",
                    self.job_id,
                )
            raise
        yield TriggerEvent({**event, "resume": self.resume})  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """Airflow 3.3 and later: the task was cleared, marked or killed while it waited here."""
        self.log.warning(
            "The task that waits for job %s was killed. The job runs on in Zilliant: the API cannot cancel it.",
            self.job_id,
        )
