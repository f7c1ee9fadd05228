"""Everything that Airflow 2.11 to 3.3 do differently, selected by feature and not by version.

Names that merely moved come from ``airflow.providers.common.compat.sdk``. Dag files do not pay for this
module: only running tasks and triggers import it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson
from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook, Context
from airflow.triggers.base import BaseTrigger

from airflow_provider_zilliant.exceptions import ZilliantConfigError, ZilliantError
from airflow_provider_zilliant.variables import VariableStore, look_again

T = TypeVar("T")

#: Airflow 3.3 and later call a trigger's ``on_kill`` when its task is killed. Older ones only cancel the
#: trigger, as they do when the triggerer ends.
TRIGGERS_LEARN_OF_KILLS = hasattr(BaseTrigger, "on_kill")


#: Airflow 3.3 and later keep what a task writes into its state. Before, Variables do.
TASK_STATE_IS_KEPT = "task_state_store" in Context.__annotations__

#: Older Airflows count only the clears of Dag runs that had ended in ``dag_run.clear_number``: it proves nothing there.
EVERY_CLEAR_IS_COUNTED = TASK_STATE_IS_KEPT


class TaskState(Protocol):
    """What survives a try of the task, under keys.

    ``get`` raises if a value cannot be read at the moment: ``default`` means that there certainly is none. ``set`` and
    ``delete`` raise if it is not certain that they did what they should.
    """

    def get(self, key: str, default: Any = None) -> Any: ...
    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None: ...
    def delete(self, key: str) -> None: ...

    def variable_name(self, key: str) -> str | None:
        """The Airflow Variable that holds the key; ``None`` where Airflow's task state does."""


def task_state(context: Context) -> TaskState:
    """Airflow's task state, or Variables on an Airflow that has none."""
    store = context.get("task_state_store")
    if store is not None:
        return _AirflowsTaskState(store, may_be_empty=getattr(context.get("ti"), "try_number", 1) <= 1)
    if TASK_STATE_IS_KEPT:
        return _MissingTaskState()
    ti = context["ti"]
    return VariableStore(ti.dag_id, ti.task_id, ti.map_index, ti.run_id)


class _AirflowsTaskState:
    """Airflow's task state.

    :param may_be_empty: whether no earlier try can have left anything, so that "not found" needs no proof.
    """

    def __init__(self, store: Any, *, may_be_empty: bool) -> None:
        self._store = store
        self._may_be_empty = may_be_empty

    def get(self, key: str, default: Any = None) -> Any:
        value = self._store.get(key)
        if value is None and not self._may_be_empty:
            try:  # every 404 in JSON reads as "not found", a gateway's and one about the task instance included
                value = look_again(key, self._store.get, self._store.set, self._store.delete)
            except LookupError:
                raise ZilliantError("Airflow's task state cannot be read at the moment; nothing was sent.") from None
        return default if value is None else value

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        self._store.set(key, value, retention=retention)

    def delete(self, key: str) -> None:
        self._store.delete(key)

    def variable_name(self, key: str) -> None:
        return None


class _MissingTaskState:
    """Airflow keeps task state, but hands this task none, as where ``execute`` is called by hand.

    Nothing can have been written, so reading finds nothing, and there is nothing to delete. Writing fails, and with it
    the submission: a record in Variables would be one that no other try looks for.
    """

    def get(self, key: str, default: Any = None) -> Any:
        return default

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        raise ZilliantConfigError(
            "This Airflow keeps task state, but has handed this task none (context['task_state_store']), so that "
            "nothing would remember the submission. Run the task by Airflow, or with durable=False."
        )

    def delete(self, key: str) -> None:
        pass

    def variable_name(self, key: str) -> None:
        return None


def has_succeeded(ti: Any) -> bool:
    """Whether Airflow has this task's success on record, as its success callback asks.

    Airflow 3 calls that callback even if it could not report the success, because the task was cleared or marked
    meanwhile. Airflow 2.11 calls it just before it commits, while it holds the task's row.
    """
    return not hasattr(ti, "get_task_states") or _state(ti) == "success"


def is_cleared(ti: Any) -> bool:
    """Whether a task that still runs has been cleared or marked, and will be killed for it; if in doubt, it has."""
    try:
        return _state(ti) != "running"
    except Exception:
        return True


def _state(ti: Any) -> str | None:
    """What Airflow has on record."""
    if not hasattr(ti, "get_task_states"):
        return getattr(ti, "current_state", lambda: "running")()
    mapped = {"map_index": ti.map_index} if (ti.map_index if ti.map_index is not None else -1) >= 0 else {}
    states = ti.get_task_states(dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], **mapped)
    found = [state for of_run in states.values() for state in of_run.values()]
    return str(found[0]) if len(found) == 1 and found[0] is not None else None


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
