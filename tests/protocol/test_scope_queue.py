"""The scope's queue: its rules, then whole crowds of tasks in virtual time."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from airflow_provider_zilliant.waits import scope_queue
from airflow_provider_zilliant.waits.scope_queue import ScopeQueue, Waiter, Watch
from tests.harness import virtual_time
from tests.harness.virtual_time import START


def waiter(since: float, interval: float = 10.0) -> Waiter:
    return Waiter(since, lambda _: interval)


def watch(accepted_time: float = 0.0) -> Watch:
    return Watch("c", None, accepted_time)  # of no scope: it enters no queue by itself


def test_only_the_oldest_may_try_and_the_next_waits_an_interval_from_when_it_is_the_first():
    queue = ScopeQueue()
    young, old = waiter(200), waiter(100, interval=5)
    queue.enter(young, now=1000, seconds=7)
    assert young.try_time == 1007
    queue.enter(old, now=1001, seconds=3)
    assert (old.try_time, young.try_time) == (1004, None)
    queue.leave(old, now=1004)
    assert young.try_time == 1014


def test_who_is_refused_again_has_its_old_place():
    queue = ScopeQueue()
    old, young = waiter(100), waiter(200)
    queue.enter(old, now=1000, seconds=5)
    queue.enter(young, now=1000, seconds=5)
    queue.leave(old, now=1005, to_try=True)
    again = waiter(100)
    queue.enter(again, now=1006, seconds=5)
    assert (again.try_time, young.try_time) == (1011, None)


def someone_left_to_try(queue: ScopeQueue) -> None:
    """At 1000, a task first refused at 100; the place behind it is 200's."""
    first = waiter(100)
    queue.enter(first, now=990, seconds=10)
    queue.leave(first, now=1000, to_try=True)


def test_whoever_left_to_try_keeps_the_turn_for_a_minute():
    queue, second, slow = ScopeQueue(), waiter(200), waiter(300, interval=200)
    someone_left_to_try(queue)
    queue.enter(second, now=1001, seconds=5)
    assert second.try_time == 1000 + scope_queue.TURN
    queue.leave(second, now=1010)
    queue.enter(slow, now=1010, seconds=200)
    assert slow.try_time == 1210, "its interval runs at the same time"


def test_an_older_task_that_comes_meanwhile_waits_for_it_too_and_may_try_when_it_is_back():
    queue, older = ScopeQueue(), waiter(50, interval=10)
    someone_left_to_try(queue)
    queue.enter(older, now=1001, seconds=5)
    assert older.try_time == 1000 + scope_queue.TURN
    back = waiter(100)
    queue.enter(back, now=1030, seconds=5)
    assert (older.try_time, back.try_time) == (1040, None)


def test_whoever_comes_back_as_a_watch_gives_the_turn_up():
    queue, second, holder = ScopeQueue(), waiter(200), watch(1020)
    someone_left_to_try(queue)
    queue.enter(second, now=1001, seconds=5)
    queue.watch(holder, now=1021)
    queue.unwatch(holder, now=1030, closed=True)
    assert second.try_time == 1030


def test_who_is_killed_or_gives_up_keeps_no_turn():
    queue, first, second = ScopeQueue(), waiter(100), waiter(200, interval=5)
    queue.enter(first, now=1000, seconds=5)
    queue.enter(second, now=1000, seconds=5)
    queue.leave(first, now=1001)
    assert second.try_time == 1006


def test_a_job_accepted_by_a_worker_whose_clock_is_behind_is_not_taken_for_closed():
    queue, first, ahead, holder = ScopeQueue(), waiter(100), watch(1060), watch(1010)
    queue.enter(first, now=900, seconds=5)
    queue.watch(ahead, now=1000)
    queue.watch(holder, now=1011)
    queue.unwatch(ahead, now=1012, closed=True)
    assert first.try_time is None
    queue.unwatch(holder, now=1500, closed=True)
    assert first.try_time == 1500


def test_while_the_holder_is_watched_nobody_tries_and_at_its_end_the_first_does_at_once():
    queue = ScopeQueue()
    first, second, holder = waiter(100), waiter(200), watch()
    queue.enter(first, now=1000, seconds=5)
    queue.enter(second, now=1000, seconds=5)
    queue.watch(holder, now=1001)
    assert (first.try_time, second.try_time) == (None, None)
    queue.unwatch(holder, now=1500, closed=True)
    assert (first.try_time, second.try_time) == (1500, None)


def test_a_task_that_was_deferred_just_now_is_not_woken_before_airflow_can_resume_it():
    queue = ScopeQueue()
    first, holder = Waiter(100, lambda _: 10.0, earliest=1008), watch()
    queue.enter(first, now=1000, seconds=8)
    queue.watch(holder, now=1001)
    queue.unwatch(holder, now=1002, closed=True)
    assert first.try_time == 1008


def test_a_watch_that_ends_before_its_job_leaves_the_first_an_interval():
    queue = ScopeQueue()
    first, holder = waiter(100), watch()
    queue.watch(holder, now=1000)
    queue.enter(first, now=1000, seconds=5)
    queue.unwatch(holder, now=1500, closed=False)
    assert first.try_time == 1510


def test_the_holder_is_the_job_accepted_last():
    queue = ScopeQueue()
    first, earlier, holder = waiter(100), watch(500), watch(900)
    queue.enter(first, now=1000, seconds=5)
    queue.watch(holder, now=1000)
    queue.watch(earlier, now=1001)
    queue.unwatch(earlier, now=1002, closed=True)
    assert first.try_time is None
    queue.watch(earlier, now=1003)
    queue.unwatch(holder, now=1100, closed=True)
    assert first.try_time == 1100
    queue.unwatch(earlier, now=1101, closed=True)
    assert first.try_time == 1100


class AnyOrderOfEvents(RuleBasedStateMachine):
    """Whoever comes, goes, watches and closes: the rules hold after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.queue, self.now = ScopeQueue(), 1000.0
        self.waiters: list[Waiter] = []
        self.watches: list[Watch] = []
        self.trying: tuple[float, float] | None = None

    @rule(since=st.floats(0, 1000), interval=st.floats(0.1, 60), seconds=st.floats(0, 60))
    def enter(self, since, interval, seconds):
        self.waiters.append(waiter(since, interval))
        self.queue.enter(self.waiters[-1], self.now, seconds)
        if self.trying is not None and since == self.trying[0]:
            self.trying = None

    @rule(which=st.integers(0))
    def leave(self, which):
        if self.waiters:
            self.queue.leave(self.waiters.pop(which % len(self.waiters)), self.now)

    @rule()
    def the_first_leaves_to_try(self):
        first = [one for one in self.waiters if one.try_time is not None]
        if first and self.now >= first[0].try_time:
            self.waiters.remove(first[0])
            self.queue.leave(first[0], self.now, to_try=True)
            self.trying = first[0].since, self.now + scope_queue.TURN

    @rule(interval=st.floats(0.1, 60))
    def the_one_that_tried_is_refused(self, interval):
        if self.trying is not None:
            self.enter(self.trying[0], interval, interval)

    @rule(accepted_time=st.floats(0, 1000))
    def watch(self, accepted_time):
        self.watches.append(watch(accepted_time))
        self.queue.watch(self.watches[-1], self.now)
        self.trying = None

    @rule(which=st.integers(0), closed=st.booleans())
    def unwatch(self, which, closed):
        if self.watches:
            place = which % len(self.watches)
            ended = self.watches.pop(place)
            self.queue.unwatch(ended, self.now, closed=closed)
            if closed:
                came_later = self.watches[place:]
                self.watches = [
                    other
                    for other in self.watches
                    if other.accepted_time > ended.accepted_time
                    or (other in came_later and 0 < ended.accepted_time - other.accepted_time < 120)
                ]
                if not self.watches and self.waiters:
                    assert min(self.waiters, key=lambda one: one.since).try_time == self.now

    @rule(seconds=st.floats(0, 100))
    def time_passes(self, seconds):
        self.now += seconds

    @invariant()
    def never_two_at_the_head_never_one_forgotten_oldest_first(self):
        at_the_head = [one for one in self.waiters if one.try_time is not None]
        if not self.waiters or self.watches:
            assert at_the_head == []
        else:
            (first,) = at_the_head
            assert first.since == min(one.since for one in self.waiters)
            assert self.trying is None or first.try_time >= self.trying[1], "a turn was taken away"

    @invariant()
    def nothing_is_kept_of_those_who_left(self):
        assert self.queue.is_empty == (not self.waiters and not self.watches)


TestAnyOrderOfEvents = AnyOrderOfEvents.TestCase
TestAnyOrderOfEvents.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def turn(since: float, **how) -> asyncio.Task[bool]:
    given = {"deferred_time": time.time(), "poll_interval": None, "deadline": None, **how}
    return asyncio.ensure_future(scope_queue.wait_for_turn("c", "us", waiting_since=since, **given))


def test_the_oldest_goes_first_and_each_next_one_after_an_interval_of_its_own():
    async def main():
        ends = {}
        turns = {since: turn(START + since, poll_interval=10) for since in (3, 1, 2)}
        for since, task in turns.items():
            task.add_done_callback(lambda _, since=since: ends.setdefault(since, time.time() - START))
        assert all(await asyncio.gather(*turns.values()))
        assert list(ends) == [1, 2, 3]
        assert ends[2] - ends[1] == pytest.approx(65, abs=0.51), "whoever tried never came back"
        assert ends[3] - ends[2] == pytest.approx(65, abs=0.51)

    virtual_time.run(main())


def test_scopes_and_connections_have_queues_of_their_own():
    async def main():
        began = time.time()
        how = {"waiting_since": began, "deferred_time": began, "poll_interval": 10, "deadline": None}
        await asyncio.gather(
            *(scope_queue.wait_for_turn(*whose, **how) for whose in [("c", "us"), ("c", "eu"), ("d", "us")])
        )
        assert time.time() - began < 11.1
        assert scope_queue._queues_here() == {}

    virtual_time.run(main())


def test_the_turn_is_kept_although_the_queue_is_empty_meanwhile_and_then_forgotten():
    async def main():
        assert await turn(START - 9, poll_interval=1)
        tried = time.time()
        assert scope_queue._queues_here() == {}
        assert await turn(START, poll_interval=1)
        assert time.time() - tried == pytest.approx(65)
        await asyncio.sleep(100)
        assert await scope_queue.wait_for_turn(
            "c", "eu", waiting_since=START, deferred_time=time.time(), poll_interval=1, deadline=None
        )
        assert list(scope_queue._queues_here()._trying) == [("c", "eu")]

    virtual_time.run(main())


@pytest.mark.parametrize("wrong_by", [-60, 60])
def test_a_wrong_clock_neither_hurries_a_task_nor_makes_it_wait(wrong_by):
    async def main():
        began = time.time()
        assert await turn(began + min(wrong_by, 0), deferred_time=began + wrong_by)
        assert 8 <= time.time() - began <= 8 + 6

    virtual_time.run(main())


def test_while_somebody_waits_for_the_scope_its_job_is_polled_every_5_seconds():
    async def main():
        polls: list[float] = []

        async def poll() -> None:
            with scope_queue.Watch("c", "us", START) as holder:
                while True:
                    await holder.sleep(60.0, 5.0)
                    polls.append(time.time() - START)

        polling = asyncio.ensure_future(poll())
        await asyncio.sleep(63)  # polled at 60
        waiting = turn(START + 63)
        await asyncio.sleep(15)
        waiting.cancel()
        await asyncio.sleep(110)
        polling.cancel()
        assert polls == [60, 65, 70, 75, 80, 140]

    virtual_time.run(main())


def test_the_deadline_ends_the_wait_of_whoever_stands_behind():
    async def main():
        first, second = turn(START - 9, poll_interval=60), turn(START, poll_interval=1, deadline=START + 5)
        assert await second is False
        assert time.time() == pytest.approx(START + 5)
        assert not first.done()
        assert await first is True

    virtual_time.run(main())


def test_a_restarted_triggerer_lets_the_queue_gather_before_anyone_tries():
    async def main():
        order = []

        async def restarted(since: float) -> None:
            await scope_queue.wait_for_turn(
                "c", "us", waiting_since=since, deferred_time=since, poll_interval=None, deadline=None
            )
            order.append(since)

        waits = []
        for since in (START - 100, START - 300, START - 200):  # Airflow starts them one after the other, in any order
            waits.append(asyncio.ensure_future(restarted(since)))
            await asyncio.sleep(0.6)
        await asyncio.gather(*waits)
        assert order == sorted(order)

    virtual_time.run(main())


@dataclass
class Zilliant:
    """One scope of an environment that refuses a second job, and what was sent to it."""

    holder_ends: float = 0.0
    posts: int = 0
    accepted: list[int] = field(default_factory=list)

    def post(self, who: int, seconds: float) -> bool:
        self.posts += 1
        if time.time() < self.holder_ends:
            return False
        self.holder_ends = time.time() + seconds
        self.accepted.append(who)
        return True


@dataclass(frozen=True)
class Task:
    """A task of the crowd: when it starts, how long its job and the start of a worker take, when it is killed.

    ``clock`` is how far its workers' clock is ahead.
    """

    starts: float
    job: float
    worker: float
    watches: bool = True
    killed: float | None = None
    clock: float = 0.0


async def live(number: int, task: Task, zilliant: Zilliant, notes: list[str]) -> None:
    """What operator and triggers do, with a worker that takes its time to start."""
    await asyncio.sleep(task.starts)
    since = None
    while not zilliant.post(number, task.job):
        deferred = time.time()
        since = deferred + task.clock if since is None else since
        await asyncio.sleep(0.3)
        since = min(since, time.time())  # as the trigger does
        here = scope_queue._queues_here()
        assert await scope_queue.wait_for_turn(
            "c", "us", waiting_since=since, deferred_time=deferred + task.clock, poll_interval=None, deadline=None
        )
        if time.time() < deferred + 8:
            notes.append(f"{number} was resumed {time.time() - deferred} s after its deferral")
        left = here.get(("c", "us"))
        if left is not None and any(other.since < since for other in left.waiters):
            notes.append(f"{number} tried before its turn")
        await asyncio.sleep(task.worker)
    accepted_time = time.time() + task.clock
    if task.watches:
        await asyncio.sleep(0.3)
        with scope_queue.Watch("c", "us", accepted_time) as watched:
            for _ in range(math.ceil(task.job / 5)):
                await asyncio.sleep(5)
            watched.closed()


def crowd(tasks: list[Task]) -> tuple[Zilliant, list[str]]:
    async def main() -> tuple[Zilliant, list[str]]:
        zilliant, notes = Zilliant(), []
        lives = [asyncio.ensure_future(live(number, task, zilliant, notes)) for number, task in enumerate(tasks)]
        for task, life in zip(tasks, lives, strict=True):
            if task.killed is not None:
                asyncio.get_running_loop().call_later(task.killed, life.cancel)
        for result in await asyncio.gather(*lives, return_exceptions=True):
            if isinstance(result, Exception):
                raise result
        assert scope_queue._queues_here() == {}, "somebody is still in the queue"
        return zilliant, notes

    return virtual_time.run(main())


seconds = st.floats(0, 300).map(lambda value: round(value, 1))
whole_tasks = st.builds(
    Task,
    starts=seconds,
    job=st.floats(0.1, 3000).map(lambda value: round(value, 1)),
    worker=st.floats(0.2, 60),
    clock=st.just(0.0) | st.floats(-60, 60),
)


@given(st.lists(whole_tasks, min_size=1, max_size=30))
@settings(max_examples=150, deadline=None)
@example([Task(starts=0, job=100, worker=60.0), *(Task(starts=1, job=3, worker=worker) for worker in (60, 40, 60))])
def test_n_tasks_that_wait_for_completion_cost_at_most_2n_minus_1_posts(tasks):
    zilliant, notes = crowd(tasks)
    assert sorted(zilliant.accepted) == list(range(len(tasks)))
    assert zilliant.posts <= 2 * len(tasks) - 1
    assert notes == []


@given(
    st.lists(
        st.builds(
            Task,
            starts=seconds,
            job=seconds,
            worker=st.floats(0.2, 60),
            watches=st.booleans(),
            killed=st.none() | seconds,
        ),
        min_size=1,
        max_size=20,
    )
)
@settings(max_examples=150, deadline=None)
def test_whoever_is_killed_at_any_moment_makes_room_and_nobody_else_is_forgotten(tasks):
    zilliant, notes = crowd(tasks)
    survivors = {number for number, task in enumerate(tasks) if task.killed is None}
    assert survivors <= set(zilliant.accepted)
    assert len(zilliant.accepted) == len(set(zilliant.accepted))
    assert notes == []


def test_a_thousand_tasks_on_one_scope():
    tasks = [Task(starts=number * 0.01, job=60, worker=0.5) for number in range(1000)]
    zilliant, notes = crowd(tasks)
    assert zilliant.posts <= 1999
    assert zilliant.accepted[1:] == sorted(zilliant.accepted[1:])
    assert notes == []
