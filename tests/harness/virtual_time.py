"""An event loop whose time passes only where everybody sleeps: hours of waiting in milliseconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar
from unittest import mock

T = TypeVar("T")

#: Epoch seconds at the loop's start.
START = 1_800_000_000.0


class VirtualLoop(asyncio.SelectorEventLoop):
    """Jumps to the next alarm, instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0.0
        select = self._selector.select  # type: ignore[attr-defined]

        def jump(timeout: float | None) -> Any:
            if timeout is None:
                raise AssertionError("Everybody waits, and nothing will ever wake them.")
            self.passed += max(0.0, timeout)
            return select(0)

        self._selector.select = jump  # type: ignore[attr-defined]

    def time(self) -> float:
        return self.passed


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs the coroutine in virtual time; ``time.time()`` goes with it."""
    loop = VirtualLoop()
    try:
        with mock.patch.object(time, "time", side_effect=lambda: START + loop.passed):
            try:
                return loop.run_until_complete(main)
            finally:
                left = asyncio.all_tasks(loop)
                for task in left:
                    task.cancel()
                if left:
                    loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    finally:
        loop.close()
