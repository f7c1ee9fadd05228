"""The scope's line: which of the tasks that wait for a scope may try to submit, and when.

The rules, for the tasks of one connection and one scope that wait in one triggerer:

1. They stand in line, oldest first, by the time of their first refusal. So a task that is refused
   again has its old place, and a restarted triggerer has the old order.
2. Only the first may try. It waits an interval of its own from the moment it comes to be the first.
3. While the job that holds the scope is watched, nobody tries. The holder is the job accepted last,
   as Zilliant accepts one only when those before it are closed.
4. When the holder is seen to close, the first tries at once; a task that was deferred just now, as soon
   as Airflow can resume it. When the holder is no longer watched for another reason, the first waits an
   interval from then on.
5. Whoever leaves makes room at once: to try, at its deadline, or killed.

No rule awaits anything, and a line belongs to one event loop, so none needs a lock.
"""

from __future__ import annotations

import asyncio
import time
from bisect import insort
from collections.abc import Callable
from types import TracebackType
from weakref import WeakKeyDictionary

from airflow_provider_zilliant import waiting

#: A triggerer that starts is told of its triggers one by one; so many seconds let the line gather first.
GATHERING = 2.0


class Waiter:
    """A task's place in a line.

    :param since: when the task was first refused, in epoch seconds.
    :param interval: tells how many seconds it waits that comes to be the first at a given time.
    :param earliest: before this it does not try in any case, in epoch seconds.
    """

    __slots__ = ("_change", "earliest", "interval", "since", "tries_at")

    def __init__(self, since: float, interval: Callable[[float], float], earliest: float = 0.0) -> None:
        self.since = since
        self.interval = interval
        self.earliest = earliest
        #: When it may try, in epoch seconds; ``None`` while it is not its turn.
        self.tries_at: float | None = None
        self._change: asyncio.Future[None] | None = None

    def set(self, tries_at: float | None) -> None:
        self.tries_at = max(tries_at, self.earliest) if tries_at is not None else None
        self._wake()

    async def change(self, seconds: float | None) -> None:
        """Waits until it is told of another time to try, at most so many seconds."""
        loop = asyncio.get_running_loop()
        self._change = loop.create_future()
        alarm = loop.call_later(seconds, self._wake) if seconds is not None else None
        try:
            await self._change
        finally:
            self._change = None
            if alarm is not None:
                alarm.cancel()

    def _wake(self) -> None:
        if self._change is not None and not self._change.done():
            self._change.set_result(None)


class Line:
    """Those who wait for one scope of one connection, and the watches of its jobs."""

    __slots__ = ("_turn", "_waiters", "_watches")

    def __init__(self) -> None:
        self._waiters: list[Waiter] = []
        self._watches: list[Watch] = []
        self._turn: Waiter | None = None

    @property
    def is_empty(self) -> bool:
        return not self._waiters and not self._watches

    def enter(self, waiter: Waiter, now: float, rest: float) -> None:
        """Takes the place that its age gives it; where that is the first, it may try after ``rest`` seconds."""
        insort(self._waiters, waiter, key=lambda one: one.since)
        self._settle(now)
        if self._turn is waiter:
            waiter.set(now + rest)

    def leave(self, waiter: Waiter, now: float) -> None:
        self._waiters.remove(waiter)
        self._settle(now)

    def watch(self, watch: Watch, now: float) -> None:
        self._watches.append(watch)
        self._settle(now)

    def unwatch(self, watch: Watch, now: float, *, closed: bool) -> None:
        """Ends a watch, where a later one has not ended it already."""
        if watch not in self._watches:
            return
        if not closed:
            self._watches.remove(watch)
            self._settle(now)
            return
        # Jobs that were accepted before this one are closed as well, noticed or not.
        self._watches = [other for other in self._watches if other.accepted_at > watch.accepted_at]
        self._settle(now)
        if self._turn is not None:
            self._turn.set(now)

    def _settle(self, now: float) -> None:
        """Hands the turn to whom it belongs."""
        turn = self._waiters[0] if self._waiters and not self._watches else None
        if turn is self._turn:
            return
        if self._turn is not None:
            self._turn.set(None)
        self._turn = turn
        if turn is not None:
            turn.set(now + turn.interval(now))


_lines: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str | None], Line]] = WeakKeyDictionary()


def _lines_here() -> dict[tuple[str, str | None], Line]:
    return _lines.setdefault(asyncio.get_running_loop(), {})


async def turn(
    conn_id: str,
    scope: str | None,
    *,
    waiting_since: float,
    deferred_at: float,
    poll_interval: float | None,
    end_time: float | None,
) -> bool:
    """Stands in line until it is this task's turn to try, or until its deadline.

    :param waiting_since: when the scope was first found busy, in epoch seconds.
    :param deferred_at: when the task was deferred, in epoch seconds.
    :param poll_interval: seconds between tries; ``None`` for adaptive.
    :param end_time: when to give up, in epoch seconds; ``None`` for never.
    :returns: whether a worker may try now; ``False``: the deadline came first.
    """

    def interval(now: float) -> float:
        return waiting.pause(now - waiting_since, poll_interval)

    lines, key = _lines_here(), (conn_id, scope)
    line = lines.setdefault(key, Line())
    waiter = Waiter(waiting_since, interval, deferred_at + waiting.earliest_resumption(poll_interval))
    now = time.time()
    rest = waiting.first_pause(now, began=waiting_since, deferred_at=deferred_at, poll_interval=poll_interval)
    line.enter(waiter, now, max(rest, min(interval(now), GATHERING)))
    try:
        while True:
            now, due = time.time(), waiter.tries_at
            if due is not None and due <= now and (end_time is None or due < end_time):
                return True
            if waiting.has_passed(end_time, now):
                return False
            next_time = waiting.earliest(due, end_time)
            await waiter.change(next_time - now if next_time is not None else None)
    finally:
        line.leave(waiter, time.time())
        _forget(lines, key)


class Watch:
    """Tells the line that a job is watched, for as long as the ``with`` lasts.

    A job without a scope goes to the environment's serial queue, where it keeps no other one out.

    :param accepted_at: when Zilliant accepted the job, in epoch seconds.
    """

    __slots__ = ("_closed", "_key", "_lines", "accepted_at")

    def __init__(self, conn_id: str, scope: str | None, accepted_at: float) -> None:
        self.accepted_at = accepted_at
        self._closed = False
        self._key = conn_id, scope
        self._lines = _lines_here() if scope is not None else None

    def closed(self) -> None:
        """The job was seen to be closed."""
        self._closed = True

    def __enter__(self) -> Watch:
        if self._lines is not None:
            self._lines.setdefault(self._key, Line()).watch(self, time.time())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._lines is not None and self._key in self._lines:
            self._lines[self._key].unwatch(self, time.time(), closed=self._closed)
            _forget(self._lines, self._key)


def _forget(lines: dict[tuple[str, str | None], Line], key: tuple[str, str | None]) -> None:
    if lines[key].is_empty:
        del lines[key]
