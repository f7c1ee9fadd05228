"""Everything that Airflow 2.11 to 3.3 do differently, selected by feature and not by version.

Names that merely moved come from ``airflow.providers.common.compat.sdk``. Dag files do not pay for this
module: only running tasks and triggers import it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson
from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook
from airflow.triggers.base import BaseTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

T = TypeVar("T")

#: Airflow 3.3 and later call a trigger's ``on_kill`` when its task is killed. Older ones only cancel the
#: trigger, as they do when the triggerer ends.
TRIGGERS_LEARN_OF_KILLS = hasattr(BaseTrigger, "on_kill")


class TaskState(Protocol):
    """The part of Airflow's task state that the provider uses."""

    def get(self, key: str, default: Any = None) -> Any: ...
    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None: ...
    def delete(self, key: str) -> None: ...


def task_state(context: Context) -> TaskState | None:
    """What survives a try of the task; ``None`` before Airflow 3.3, where nothing does."""
    store: TaskState | None = context.get("task_state_store")
    return store


async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Calls a function that blocks, because it asks the triggerer's supervisor, without blocking the event loop.

    Not ``asyncio.to_thread``: in Airflow 3.0 that thread talks to the supervisor from an event loop of its own,
    interleaved with the triggerer's loop, and the triggerer dies ("Response read out of order").
    """
    from asgiref.sync import sync_to_async

    return await sync_to_async(function)(*arguments)


async def read_connection(conn_id: str) -> Any:
    """The Airflow Connection, read without blocking the event loop.

    :raises AirflowNotFoundException: there is none with that id.
    """
    try:
        return await get_async_connection(conn_id)
    except AirflowNotFoundException:
        # Under `airflow dags test`, Airflow 3's asynchronous look-up only sees the environment's connections.
        return await in_thread(BaseHook.get_connection, conn_id)


async def read_extra(connection: Any) -> dict[str, Any]:
    """The Connection's Extra, likewise: Airflow masks its secrets, which blocks before 3.3.2."""
    return await get_async_extra_dejson(connection)
