"""What Airflow 2.11 to 3.3 do differently: all of it is here, asked for by feature and not by version.

What merely has another name in another version comes from ``airflow.providers.common.compat.sdk``. Dag files
do not pay for this module: only tasks that run and triggers import it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson
from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook
from airflow.triggers.base import BaseTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_zilliant.ledger import Store

T = TypeVar("T")

#: Airflow 3.3 and later call a trigger's ``on_kill`` when its task is killed. Before, the trigger is merely
#: cancelled, as it is when the triggerer ends.
TRIGGERS_LEARN_OF_KILLS = hasattr(BaseTrigger, "on_kill")


def task_state(context: Context) -> Store | None:
    """What survives a try of the task; ``None`` before Airflow 3.3, where nothing does."""
    store: Store | None = context.get("task_state_store")
    return store


async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Calls what blocks, because it asks the triggerer's supervisor, without blocking the event loop.

    Not ``asyncio.to_thread``: in Airflow 3.0 such a thread talks to the supervisor from an event loop of its own,
    in between what the triggerer's loop says, and the triggerer dies ("Response read out of order").
    """
    from asgiref.sync import sync_to_async

    return await sync_to_async(function)(*arguments)


async def connection_of(conn_id: str) -> Any:
    """The Airflow Connection, read without blocking the event loop.

    :raises AirflowNotFoundException: there is none of that id.
    """
    try:
        return await get_async_connection(conn_id)
    except AirflowNotFoundException:
        # Under `airflow dags test` the asynchronous look-up of Airflow 3 sees the environment's connections only.
        return await in_thread(BaseHook.get_connection, conn_id)


async def extra_of(connection: Any) -> dict[str, Any]:
    """The Connection's Extra, likewise: Airflow masks its secrets, and before 3.3.2 it blocks to do so."""
    return await get_async_extra_dejson(connection)
