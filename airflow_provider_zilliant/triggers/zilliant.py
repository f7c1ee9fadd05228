"""Triggers: the waits that hold no worker slot.

A trigger may be restarted, moved, or run twice at once, so it does nothing but wait and GET.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_zilliant.compat import TRIGGERS_LEARN_OF_KILLS
from airflow_provider_zilliant.waits import intervals, scope_queue
from airflow_provider_zilliant.waits.events import Closed, Retry, TimedOut, to_payload
from airflow_provider_zilliant.waits.progress import ProgressLog
from airflow_provider_zilliant.waits.watching import watch

if TYPE_CHECKING:
    from airflow_provider_zilliant.transports.aio import SharedClient


@dataclass(eq=False)
class _Trigger(BaseTrigger):
    """A trigger whose fields are its arguments."""

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The trigger's class and arguments, as Airflow stores them."""
        kind = type(self)
        return f"{kind.__module__}.{kind.__qualname__}", {each.name: getattr(self, each.name) for each in fields(self)}


@dataclass(eq=False)
class ZilliantScopeTrigger(_Trigger):
    """Waits until a worker may try again to submit under a busy scope. It sends nothing at all.

    Tasks that wait for one scope of one Connection in one triggerer queue up
    (:mod:`airflow_provider_zilliant.waits.scope_queue`): only the first tries, and not while the job
    that holds the scope is watched by a :class:`ZilliantJobTrigger`.

    Events: ``{"status": "retry"}`` and ``{"status": "timeout"}``, each with ``waiting_since`` and ``carried``.

    :param zilliant_conn_id: id of the Connection.
    :param scope: the busy scope; ``None`` for Zilliant's own serial queue.
    :param waiting_since: when the scope was first found busy, in epoch seconds.
    :param poll_interval: seconds between tries; ``None`` for adaptive.
    :param end_time: when to give up, in epoch seconds; ``None`` for never.
    :param deferred_time: when the task was deferred, in epoch seconds; defaults to ``waiting_since``.
    :param carried: what the resumed worker needs, handed back unchanged.
    """

    zilliant_conn_id: str
    scope: str | None
    waiting_since: float
    poll_interval: float | None = None
    end_time: float | None = None
    deferred_time: float | None = None
    carried: Mapping[str, Any] = field(default_factory=dict)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Queues for the scope until it is this task's turn, or until the deadline."""
        # A time to come is from a worker whose clock is ahead: it would put this task behind all who come until then.
        waiting_since = min(self.waiting_since, time.time())
        may_try = await scope_queue.wait_for_turn(
            self.zilliant_conn_id,
            self.scope,
            waiting_since=waiting_since,
            deferred_time=waiting_since if self.deferred_time is None else self.deferred_time,
            poll_interval=self.poll_interval,
            deadline=self.end_time,
        )
        event = Retry(waiting_since) if may_try else TimedOut(waiting_since=waiting_since)
        yield TriggerEvent(to_payload(event, self.carried))  # type: ignore[no-untyped-call]


@dataclass(eq=False)
class ZilliantJobTrigger(_Trigger):
    """Polls a job until it is closed, and tells the scope's queue that it does.

    Events: ``{"status": "closed", "job": {...}}``, ``{"status": "timeout"}`` and
    ``{"status": "error", "message": ...}``, each with ``carried``.

    :param zilliant_conn_id: id of the Connection.
    :param job_id: the job.
    :param scope: the scope that it holds.
    :param poll_interval: seconds between polls; ``None`` for adaptive.
    :param end_time: when to give up, in epoch seconds; ``None`` for never.
    :param accepted_time: when Zilliant accepted the job, in epoch seconds, if known.
    :param deferred_time: when the task was deferred, in epoch seconds.
    :param carried: what the resumed worker needs, handed back unchanged.
    """

    zilliant_conn_id: str
    job_id: str
    scope: str | None = None
    poll_interval: float | None = None
    end_time: float | None = None
    accepted_time: float | None = None
    deferred_time: float | None = None
    carried: Mapping[str, Any] = field(default_factory=dict)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Polls at ever longer intervals, until there is something to report."""
        now = time.time()
        deferred_time = now if self.deferred_time is None else self.deferred_time
        began = deferred_time if self.accepted_time is None else self.accepted_time
        first_pause = intervals.first_pause(
            now, began=began, deferred_time=deferred_time, poll_interval=self.poll_interval
        )
        try:
            with scope_queue.Watch(self.zilliant_conn_id, self.scope, began) as holder:
                async with (await _load_shared_client())(self.zilliant_conn_id) as client:
                    event = await watch(
                        client,
                        self.job_id,
                        began=began,
                        accepted_time=self.accepted_time,
                        poll_interval=self.poll_interval,
                        deadline=self.end_time,
                        first_pause=first_pause,
                        read=client.next_read,
                        sleep=holder.sleep if self.poll_interval is None else None,
                        progress=ProgressLog(self.log),
                    )
                if isinstance(event, Closed):
                    holder.closed()
        except asyncio.CancelledError:
            if not TRIGGERS_LEARN_OF_KILLS:
                self.log.warning(
                    "The wait for job %s was cancelled: its task was killed, or this triggerer is shutting down. The "
                    "job continues in Zilliant: the API cannot cancel it.",
                    self.job_id,
                )
            raise
        yield TriggerEvent(to_payload(event, self.carried))  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """Airflow 3.3 and later: the task was cleared, marked or killed while it waited here."""
        self.log.warning(
            "The task that waits for job %s was killed. The job continues in Zilliant: the API cannot cancel it.",
            self.job_id,
        )


async def _load_shared_client() -> type[SharedClient]:
    """Imports the transport in a thread: ``aiohttp`` takes a quarter of a second, which would stop the event loop."""
    name = "airflow_provider_zilliant.transports.aio"
    module = sys.modules.get(name)
    if module is None or getattr(module.__spec__, "_initializing", False):
        await asyncio.to_thread(importlib.import_module, name)
    from airflow_provider_zilliant.transports.aio import SharedClient

    return SharedClient
