"""``Transport``: the one small interface to everything outside that the calls need.

The triggerer's awaits. The worker's blocks instead, so it never suspends, and :func:`run` carries a
coroutine over it to its end in a single step. So a call is written once, for both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from airflow_provider_zilliant.api.environment import Environment
from airflow_provider_zilliant.api.http import NoReply, Reply, Request

T = TypeVar("T")


class Transport(Protocol):
    """How one Connection's calls leave this process, and what else they need from it."""

    def now(self) -> float:
        """The present time, in epoch seconds."""
        ...

    async def send(self, request: Request) -> Reply | NoReply:
        """Sends one request, once."""
        ...

    async def sleep(self, seconds: float, /) -> None: ...

    async def finish(self, call: Awaitable[T], by: float | None) -> T:
        """The call's result; TimeoutError if it hangs until then (epoch seconds), and the transport can tell."""
        ...

    async def read_connection(self) -> Environment:
        """Reads the Airflow Connection, again if it was read before."""
        ...

    async def compute(self, function: Callable[[], T], /) -> T:
        """Calls what takes a while without I/O (a signature, an import), and does not stop the event loop for it."""
        ...

    async def mask(self, secrets: Iterable[str], /) -> None:
        """From now on, no log shows them."""
        ...

    def exclusive(self) -> AbstractAsyncContextManager[None]:
        """Held by one at a time, of all that share the tokens."""
        ...


def run(call: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine over a transport that blocks."""
    try:
        call.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    call.close()
    raise AssertionError("a transport that blocks never suspends")
