"""The scope's queue: which of the tasks that wait for a scope may try to submit, and when.

The rules, for the tasks of one connection and one scope that wait in one triggerer:

1. They queue up, oldest first, by the time of their first refusal. So a task that is refused again
   gets its old place back, and a restarted triggerer restores the old order.
2. Only the first may try. It waits an interval of its own from the moment it becomes the first.
3. Whoever left to try keeps the turn until it is back, or for a minute: its worker may be slow. It is back
   when it queues again (refused; the time of its first refusal shows it) or when the watch of a job begins
   (accepted; or somebody else was, and it will be refused). Killed, or not waiting for its job, it never is.
4. While the job that holds the scope is watched, nobody tries. The holder is the job accepted last,
   as Zilliant accepts one only when those before it are closed.
5. When the holder is seen to close, the first tries at once; a task that was deferred just now, as soon
   as Airflow can resume it. When the watch ends for another reason, the first waits an interval from
   then on.
6. A task that leaves at its deadline, or killed, makes room at once.
7. While anybody queues, the job that holds the scope is polled at the shortest interval.
8. Workers' clocks may be wrong by a minute: their times order the queue, and that is all.

No rule awaits anything, and a queue belongs to one event loop, so none needs a lock.
"""

from __future__ import annotations

import asyncio
import time
from bisect import insort
from collections.abc import Callable
from itertools import takewhile
from types import TracebackType
from typing import NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

from airflow_provider_zilliant.waits import intervals

#: A triggerer that starts learns of its triggers one by one; this many seconds let the queue gather first.
GATHERING = 2.0
#: How long whoever left to try keeps the turn: a minute for its worker, and a little for the way back.
TURN = 65.0
#: The clocks of two workers may differ by this many seconds.
CLOCKS_DIFFER = 120.0


class Trying(NamedTuple):
    """Who left to try.

    :param since: when that task was first refused.
    :param until: how long it keeps the turn, in epoch seconds.
    """

    since: float
    until: float


class Waiter:
    """A task's place in a queue.

    :param since: when the task was first refused, in epoch seconds.
    :param interval: given the time it became first, how long to wait before trying.
    :param earliest: it never tries before this, in epoch seconds.
    """

    __slots__ = ("_change", "earliest", "interval", "since", "try_time")

    def __init__(self, since: float, interval: Callable[[float], float], earliest: float = 0.0) -> None:
        self.since = since
        self.interval = interval
        self.earliest = earliest
        #: When it may try, in epoch seconds; ``None`` while it is not its turn.
        self.try_time: float | None = None
        self._change: asyncio.Future[None] | None = None

    def set(self, try_time: float | None) -> None:
        self.try_time = max(try_time, self.earliest) if try_time is not None else None
        self._wake()

    async def change(self, seconds: float | None) -> None:
        """Waits until its time to try changes, at most this many seconds."""
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


class ScopeQueue:
    """The tasks that wait for one scope of one connection, and the watches of its jobs."""

    __slots__ = ("_turn", "_watches", "trying", "waiters")

    def __init__(self, trying: Trying | None = None) -> None:
        self.waiters: list[Waiter] = []
        self._watches: list[Watch] = []
        self._turn: Waiter | None = None
        self.trying = trying

    @property
    def is_empty(self) -> bool:
        return not self.waiters and not self._watches

    def enter(self, waiter: Waiter, now: float, seconds: float) -> None:
        """Takes the place that its age gives it; if that is the first, it may try after these seconds."""
        insort(self.waiters, waiter, key=lambda one: one.since)
        is_back = self.trying is not None and self.trying.since == waiter.since
        if is_back:
            self.trying = None
        self._settle(now, anew=is_back)
        if self._turn is waiter:
            waiter.set(self._after_the_one_trying(now + seconds))
        for watch in self._watches:
            watch.hurry()

    def leave(self, waiter: Waiter, now: float, *, to_try: bool = False) -> None:
        self.waiters.remove(waiter)
        if to_try:
            self.trying = Trying(waiter.since, now + TURN)
        self._settle(now)

    def watch(self, watch: Watch, now: float) -> None:
        self._watches.append(watch)
        self.trying = None
        self._settle(now)

    def unwatch(self, watch: Watch, now: float, *, closed: bool) -> None:
        """Ends a watch, unless a later one has ended it already."""
        if watch not in self._watches:
            return
        if not closed:
            self._watches.remove(watch)
            self._settle(now)
            return
        # Jobs that were accepted before this one are closed as well, noticed or not. But one whose watch began
        # later may have been accepted later, by a worker whose clock is behind.
        came_later = self._watches[self._watches.index(watch) :]
        self._watches = [
            other
            for other in self._watches
            if (seconds := watch.accepted_time - other.accepted_time) < 0
            or (0 < seconds < CLOCKS_DIFFER and other in came_later)
        ]
        self._settle(now)
        if self._turn is not None:
            self._turn.set(now)

    def _settle(self, now: float, *, anew: bool = False) -> None:
        """Gives the turn to whoever is first, unless a job is watched.

        :param anew: also to who has it already, as it had to wait for the one that tried.
        """
        turn = self.waiters[0] if self.waiters and not self._watches else None
        if turn is self._turn and not anew:
            return
        if self._turn is not None and self._turn is not turn:
            self._turn.set(None)
        self._turn = turn
        if turn is not None:
            turn.set(self._after_the_one_trying(now + turn.interval(now)))

    def _after_the_one_trying(self, try_time: float) -> float:
        return max(try_time, self.trying.until) if self.trying is not None else try_time


_Key: TypeAlias = tuple[str, str | None]


class _Queues(dict[_Key, ScopeQueue]):
    """The queues of one event loop, and who left an otherwise empty one to try."""

    def __init__(self) -> None:
        super().__init__()
        self._trying: dict[_Key, Trying] = {}

    def open(self, key: _Key) -> ScopeQueue:
        if key not in self:
            self[key] = ScopeQueue(self._trying.pop(key, None))
        return self[key]

    def close(self, key: _Key) -> None:
        """Forgets a queue that is empty."""
        if key not in self or not self[key].is_empty:
            return
        trying, now = self.pop(key).trying, time.time()
        for old in [key for key, _ in takewhile(lambda item: item[1].until < now, self._trying.items())]:
            del self._trying[old]
        if trying is not None:
            self._trying[key] = trying


_queues: WeakKeyDictionary[asyncio.AbstractEventLoop, _Queues] = WeakKeyDictionary()


def _queues_here() -> _Queues:
    return _queues.setdefault(asyncio.get_running_loop(), _Queues())


async def wait_for_turn(
    conn_id: str,
    scope: str | None,
    *,
    waiting_since: float,
    deferred_time: float,
    poll_interval: float | None,
    deadline: float | None,
) -> bool:
    """Queues until it is this task's turn to try, or until its deadline.

    :param waiting_since: when the scope was first found busy, in epoch seconds.
    :param deferred_time: when the task was deferred, in epoch seconds.
    :param poll_interval: seconds between tries; ``None`` for adaptive.
    :param deadline: when to give up, in epoch seconds; ``None`` for never.
    :returns: whether a worker may try now; ``False``: the deadline came first.
    """

    def interval(now: float) -> float:
        return intervals.pause(now - waiting_since, poll_interval)

    queues, key = _queues_here(), (conn_id, scope)
    queue, now, may_try = queues.open(key), time.time(), False
    # Counted from here: the worker's clock may be behind.
    waiter = Waiter(waiting_since, interval, now + intervals.earliest_resumption(poll_interval))
    seconds = intervals.first_pause(now, began=waiting_since, deferred_time=deferred_time, poll_interval=poll_interval)
    queue.enter(waiter, now, max(seconds, min(interval(now), GATHERING)))
    try:
        while True:
            now, try_time = time.time(), waiter.try_time
            if try_time is not None and try_time <= now and (deadline is None or try_time < deadline):
                return (may_try := True)
            if intervals.has_passed(deadline, now):
                return False
            next_time = intervals.earliest(try_time, deadline)
            await waiter.change(next_time - now if next_time is not None else None)
    finally:
        queue.leave(waiter, time.time(), to_try=may_try)
        queues.close(key)


class Watch:
    """Tells the queue that a job is watched, for as long as the ``with`` lasts.

    A job without a scope goes to Zilliant's own serial queue, where it blocks no other job.

    :param accepted_time: when Zilliant accepted the job, in epoch seconds.
    """

    __slots__ = ("_closed", "_key", "_queues", "_woken", "accepted_time")

    def __init__(self, conn_id: str, scope: str | None, accepted_time: float) -> None:
        self.accepted_time = accepted_time
        self._closed = False
        self._key = conn_id, scope
        self._queues = _queues_here() if scope is not None else None
        self._woken: asyncio.Future[None] | None = None

    def closed(self) -> None:
        """The job was seen to be closed."""
        self._closed = True

    def __enter__(self) -> Watch:
        if self._queues is not None:
            self._queues.open(self._key).watch(self, time.time())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._queues is not None and self._key in self._queues:
            self._queues[self._key].unwatch(self, time.time(), closed=self._closed)
            self._queues.close(self._key)

    async def sleep(self, seconds: float, at_least: float) -> None:
        """Sleeps these seconds, but no more than ``at_least`` of them while a task waits for the scope."""
        loop = asyncio.get_running_loop()
        wake_time = loop.time() + at_least
        if not self._is_waited_for:
            self._woken = loop.create_future()
            alarm = loop.call_later(seconds, self.hurry)
            try:
                await self._woken
            finally:
                self._woken = None
                alarm.cancel()
        if wake_time > loop.time():
            await asyncio.sleep(wake_time - loop.time())

    def hurry(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    @property
    def _is_waited_for(self) -> bool:
        return self._queues is not None and self._key in self._queues and bool(self._queues[self._key].waiters)
