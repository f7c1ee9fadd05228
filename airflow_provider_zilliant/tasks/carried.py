"""``Carried``: a try's number and its ``execution_timeout`` deadline, which survive its deferrals."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import AirflowTaskTimeout
from airflow.providers.common.compat.sdk import timeout as time_limit

from airflow_provider_zilliant.waits import intervals


@dataclass(frozen=True)
class Carried:
    """Travels in the trigger as ``carried`` and comes back in its event.

    In the event, because ``dag.test()`` drops ``defer(kwargs=...)``.

    :param try_number: the try's number.
    :param deadline: when ``execution_timeout`` ends it, deferred time included, in epoch seconds.
    :param refused_intent_time: the time of an intent that could not be taken off the record, although its POST was
        refused.
    """

    try_number: int
    deadline: float | None
    refused_intent_time: float | None = None

    @classmethod
    def start(cls, try_number: int, execution_timeout: timedelta | None) -> Carried:
        """For a try that starts now."""
        limit = execution_timeout
        return cls(try_number, time.time() + limit.total_seconds() if limit is not None else None)

    @classmethod
    def parse(cls, payload: object) -> Carried | None:
        """The part of a trigger's event; ``None`` if it is missing."""
        carried = payload.get("carried") if isinstance(payload, Mapping) else None
        if not isinstance(carried, Mapping):
            return None
        try_number, deadline = carried.get("try_number"), carried.get("deadline")
        refused = carried.get("refused_intent_time")
        if not isinstance(try_number, int) or not all(isinstance(x, int | float | None) for x in (deadline, refused)):
            return None
        return cls(try_number, deadline, refused)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def check_deadline(self) -> None:
        """:raises AirflowTaskTimeout: ``execution_timeout`` ran out."""
        if intervals.has_passed(self.deadline, time.time()):
            raise AirflowTaskTimeout("execution_timeout ran out, counting the time spent deferred")

    def time_limit(self) -> AbstractContextManager[object]:
        """Airflow gives a resumed task its whole ``execution_timeout`` again; this gives it what remains."""
        self.check_deadline()
        if self.deadline is None:
            return nullcontext()
        limit: AbstractContextManager[object] = time_limit(max(1, int(self.deadline - time.time())))  # type: ignore[no-untyped-call]
        return limit
