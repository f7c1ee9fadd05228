"""Virtual time: one heap of events, machines with clocks of their own, processes as greenlets, event loops."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import random
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import greenlet

#: Epoch seconds at the beginning of every life.
START = 1_800_000_000.0


class Dead(BaseException):
    """Thrown into a process that no longer exists, so that nothing more of it has an effect."""


class Endless(Exception):
    """Something still waits when everything should have ended long ago."""


class Machine:
    """Where code runs: a worker, a triggerer, or (for everything else) the world itself.

    :param skew: seconds by which its clock is ahead.
    """

    def __init__(self, skew: float = 0.0) -> None:
        self.skew = skew
        self.dead = False

    def enter(self) -> None:
        """Its code is about to run."""


class World:
    """The one clock, and what is due when.

    :param seed: decides everything.
    """

    #: The world whose time ``time.time()`` tells.
    current: World

    def __init__(self, seed: int, *, tracing: bool = False) -> None:
        self.now = START
        self.machine = self.nowhere = Machine()
        self.dice = random.Random(seed)
        self.trace: list[str] | None = [] if tracing else None
        self._heap: list[tuple[float, int, Machine, Callable[[], Any]]] = []
        self._serial = 0
        self.stopped = False
        self.hub = greenlet.getcurrent()
        World.current = self

    def at(self, time: float, call: Callable[[], Any], machine: Machine | None = None) -> None:
        """Calls it then, on that machine, unless the machine is dead by then."""
        self._serial += 1
        heapq.heappush(self._heap, (time, self._serial, machine or self.nowhere, call))

    def after(self, seconds: float, call: Callable[[], Any], machine: Machine | None = None) -> None:
        self.at(self.now + seconds, call, machine)

    def run(self, limit: float, most: int) -> None:
        """Until nothing is due any more.

        :raises Endless: things are due after the limit, or there are more of them than that.
        """
        heap = self._heap
        end = START + limit
        while heap and not self.stopped:
            time, _, machine, call = heapq.heappop(heap)
            if machine.dead:
                continue
            most -= 1
            if time > end or most < 0:
                raise Endless(f"{'time' if time > end else 'events'} ran out, {len(heap)} are left")
            if time > self.now:
                self.now = time
            self.machine = machine
            machine.enter()
            call()
            self.machine = self.nowhere

    def clock(self) -> float:
        """``time.time()`` of whoever asks."""
        return self.now + self.machine.skew

    def note(self, text: str) -> None:
        if self.trace is not None:
            self.trace.append(f"{self.now - START:9.1f} s  {text}")


class Process(Machine):
    """Code that blocks, as in a worker. It runs in a greenlet, and others run while it sleeps."""

    def __init__(self, world: World, skew: float = 0.0) -> None:
        super().__init__(skew)
        self.world = world
        self.blocked_in: str | None = None
        self._greenlet = greenlet.greenlet(self._main, world.hub)
        self._ticket = 0
        self._pending: BaseException | None = None

    def main(self) -> None:
        raise NotImplementedError

    def start(self) -> None:
        self.world.after(0, self._resume, self)

    def wait(self, seconds: float, what: str = "sleep") -> None:
        """Lets time pass for everybody else.

        :raises BaseException: whatever interrupted it.
        """
        if self.dead:
            raise Dead
        if greenlet.getcurrent() is not self._greenlet:
            return  # a signal handler, which the world calls on its behalf
        if seconds > 0:
            self._ticket += 1
            ticket = self._ticket
            self.world.after(seconds, lambda: self._resume_if(ticket), self)
            self.blocked_in = what
            self.world.hub.switch()
            self.blocked_in = None
            if self.dead:
                raise Dead
        if self._pending is not None:
            error, self._pending = self._pending, None
            raise error

    def interrupt(self, error: BaseException) -> None:
        """A signal whose handler raises."""
        self._pending = error
        if self.blocked_in is not None:
            self._ticket += 1
            ticket = self._ticket
            self.world.after(0, lambda: self._resume_if(ticket), self)

    def die(self) -> None:
        """SIGKILL: from now on, it does nothing at all."""
        self.dead = True

    def _resume_if(self, ticket: int) -> None:
        if ticket == self._ticket:
            self._resume()

    def _resume(self) -> None:
        self._greenlet.switch()

    def _main(self) -> None:
        with contextlib.suppress(Dead):
            self.main()

    def bury(self) -> None:
        """Unwinds a greenlet that will never run again, so that nothing of it is left."""
        self.dead = True
        if self._greenlet and not self._greenlet.dead:
            self.world.machine = self
            self._greenlet.throw(Dead)
            self.world.machine = self.world.nowhere


class Loop(asyncio.AbstractEventLoop):
    """An event loop whose callbacks and alarms are events of the world."""

    def __init__(self, world: World, machine: Machine) -> None:
        self._world = world
        self._machine = machine
        self.failures: list[dict[str, Any]] = []

    def time(self) -> float:
        return self._world.now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._world.at(self._world.now, lambda: self._call(handle), self._machine)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        return self.call_at(self._world.now + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._world.at(when, lambda: self._call(handle), self._machine)
        return handle

    def _timer_handle_cancelled(self, handle: Any) -> None:
        """Nothing to count."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Generator[Any, Any, Any] | Coroutine[Any, Any, Any], **_: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=self)  # type: ignore[arg-type]
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.failures.append(context)

    async def shutdown_asyncgens(self) -> None:
        """Nothing is left to shut down."""

    def _call(self, handle: asyncio.Handle) -> None:
        if handle.cancelled():
            return
        asyncio._set_running_loop(self)
        try:
            handle._run()
        finally:
            asyncio._set_running_loop(None)
