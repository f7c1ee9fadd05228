"""The seams: what of the real code is replaced, which is its edges only: wire, clocks, and Airflow."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar
from unittest import mock

import pendulum
from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.sdk.bases.operator import ExecutorSafeguard
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import DeleteVariable, ErrorResponse, GetVariable, PutVariable, VariableResult

from airflow_provider_zilliant import compat, variables
from airflow_provider_zilliant.connection import reading
from airflow_provider_zilliant.hooks import zilliant as hooks
from airflow_provider_zilliant.observability import telemetry
from airflow_provider_zilliant.operators import earlier
from airflow_provider_zilliant.operators.zilliant import ZilliantRunWorkflowOperator
from airflow_provider_zilliant.sandbox import engine
from airflow_provider_zilliant.tasks import carried
from airflow_provider_zilliant.transports import aio, blocking, masking
from airflow_provider_zilliant.triggers import zilliant as triggers
from tests.simulation.airflow import Injected, TimeLimit, Worker
from tests.simulation.kernel import World
from tests.simulation.wire import Aiohttp, AsyncSession, Session

if TYPE_CHECKING:
    from tests.simulation.life import Life


class Operator(ZilliantRunWorkflowOperator):
    """The real one, whose log belongs to the simulation."""

    @property
    def log(self) -> Any:
        return self.__dict__["simulated_log"]


class _JobTrigger(triggers.ZilliantJobTrigger):
    @property
    def log(self) -> Any:
        return _QUIET


class _ScopeTrigger(triggers.ZilliantScopeTrigger):
    @property
    def log(self) -> Any:
        return _QUIET


class _Quiet:
    def info(self, *_: Any, **__: Any) -> None:
        """Nobody reads it."""

    debug = warning = error = exception = info


_QUIET = _Quiet()
_TRIGGERS = "airflow_provider_zilliant.triggers.zilliant."


class _Stats:
    """Metrics, which can be slow and can fail."""

    life: Life

    def incr(self, name: str, **_: Any) -> None:
        worker = self.life.world.machine
        if isinstance(worker, Worker):
            worker.effect("metrics")
            if worker.trouble("metrics"):
                raise Injected("no route to statsd")

    timing = incr


class _Connection:
    """Airflow's Connection."""

    conn_type, schema, port = "zilliant", None, None

    def __init__(self, host: str, login: str | None, password: str, extra: str, parsed: dict[str, Any]) -> None:
        self.host, self.login, self.password, self.extra, self.extra_dejson = host, login, password, extra, parsed


class _Access:
    """2.11's database, as ``variables.Database`` reaches it."""

    def __init__(self, life: Life) -> None:
        self._life = life

    def read(self, name: str) -> str | None:
        worker: Any = self._life.world.machine
        worker.effect("store.get")
        if worker.trouble("store") == "before":
            raise Injected("the database does not answer")
        found: str | None = self._life.variables.get(name)
        return found

    def write(self, name: str, text: str, description: str) -> None:
        self._life.change_variable(name, text)

    def remove(self, name: str) -> None:
        self._life.change_variable(name, None)


class _Comms:
    """A task's supervisor, asked by the real ``variables.Supervisor``.

    Trouble of the API and of secrets backends comes as "not found" (``sdk/execution_time/context.py``,
    ``execution_api/routes/variables.py``).
    """

    life: Life

    def send(self, message: Any) -> Any:
        life = self.life
        if isinstance(message, GetVariable):
            worker: Any = life.world.machine
            worker.effect("store.get")
            text = None if life.stumbles() else life.variables.get(message.key)
            if text is None:
                return ErrorResponse(error=ErrorType.VARIABLE_NOT_FOUND, detail={"key": message.key})
            return VariableResult(key=message.key, value=text)
        if life.stumbles():
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={}))
        if isinstance(message, PutVariable):
            life.change_variable(message.key, message.value)
        elif isinstance(message, DeleteVariable):
            life.change_variable(message.key, None)
        return None


class Seams:
    """Everything that is replaced, for one life after the other."""

    triggers: ClassVar = {
        _TRIGGERS + "ZilliantJobTrigger": _JobTrigger,
        _TRIGGERS + "ZilliantScopeTrigger": _ScopeTrigger,
    }

    def __init__(self) -> None:
        task = Operator(task_id="publish", workflow_automation_id="P", retries=1)
        self._operator = task.prepare_for_execution().__dict__
        self._comms, self._stats = _Comms(), _Stats()
        self._life: Any = None
        self._decide = earlier.decide

    def bind(self, life: Life) -> None:
        self._life = life
        for kind in (Session, AsyncSession, TimeLimit):
            kind.life = life
        self._comms.life = self._stats.life = life
        compat.TASK_STATE_IS_KEPT = life.version.memory == "state"

    def tokens(self, tokens: dict[Any, Any]) -> None:
        hooks._logins = tokens

    def make_task(self, worker: Worker, log: Any) -> Any:
        """The operator's arguments as rendered now; the class is set up once for all lives."""
        task = object.__new__(Operator)
        task.__dict__.update(self._operator)
        task.__dict__.update(worker.ask)
        options = {k: v for k, v in worker.options.items() if k not in ("retries", "retry_delay")}
        if options["execution_timeout"] is not None:
            options["execution_timeout"] = pendulum.duration(seconds=options["execution_timeout"])
        task.__dict__.update(options, retries=worker.retries, simulated_log=log)
        return task

    def _get_connection(self, conn_id: str) -> _Connection:
        life = self._life
        worker: Any = life.world.machine
        if isinstance(worker, Worker):
            worker.effect("connection")
        return life.connection(conn_id)

    async def _get_async_connection(self, conn_id: str) -> _Connection:
        return self._life.connection(conn_id)

    def _decided(self, found: Any, sign: Any, **how: Any) -> Any:
        decision = self._decide(found, sign, **how)
        self._life.decided(found, sign, how["on_clear"], decision)
        return decision

    @contextmanager
    def installed(self) -> Iterator[Seams]:
        def now(_: object = None) -> pendulum.DateTime:
            return pendulum.from_timestamp(World.current.clock())

        async def direct(function: Any, *arguments: Any) -> Any:
            return function(*arguments)

        async def read_extra(connection: _Connection) -> dict[str, Any]:
            return connection.extra_dejson

        async def read_reply(response: Any) -> bytes:
            body: bytes = await response.read()
            return body

        def token(size: int = 8) -> str:
            return f"SECRET{self._life.number():x}".ljust(size, "x")

        def uuid4() -> Any:
            text = f"job-{self._life.number():06d}"
            return _Id(text)

        ids = SimpleNamespace(uuid4=uuid4)
        with ExitStack() as stack:

            def replace(target: Any, name: str, value: Any) -> None:
                stack.enter_context(mock.patch.object(target, name, value))

            replace(time, "time", lambda: World.current.clock())
            replace(time, "monotonic", lambda: World.current.now)
            replace(time, "sleep", lambda seconds: World.current.machine.wait(seconds))  # type: ignore[attr-defined]
            replace(pendulum, "now", now)
            replace(blocking, "requests", SimpleNamespace(Session=Session))
            replace(blocking, "_login_lock", nullcontext())
            replace(blocking, "_read", lambda response: response.content)
            replace(blocking, "secrets_of_environment", frozenset)
            replace(aio, "_read", read_reply)
            replace(aio, "secrets_of_environment", frozenset)
            replace(aio, "aiohttp", Aiohttp)
            replace(aio, "in_thread", direct)
            replace(aio, "get_environ_proxies", lambda *_, **__: {})
            replace(compat, "in_thread", direct)
            replace(compat, "get_async_connection", self._get_async_connection)
            replace(compat, "get_async_extra_dejson", read_extra)
            replace(compat, "BaseHook", SimpleNamespace(get_connection=self._get_connection))
            replace(compat, "TASK_STATE_IS_KEPT", True)
            replace(hooks.ZilliantHook, "get_connection", staticmethod(self._get_connection))
            replace(hooks, "_logins", {})
            replace(masking, "mask_secret", lambda _: None)
            replace(reading, "log", _QUIET)
            replace(telemetry, "Stats", self._stats)
            replace(telemetry, "_span", lambda *_: None)
            replace(telemetry, "log", _QUIET)
            replace(carried, "time_limit", TimeLimit)
            replace(engine, "uuid", ids)
            replace(engine, "secrets", SimpleNamespace(token_urlsafe=token))
            replace(variables, "uuid", ids)
            replace(variables, "this_airflows_access", self._access)
            replace(earlier, "decide", self._decided)
            replace(ExecutorSafeguard, "test_mode", True)
            stack.enter_context(mock.patch.object(task_runner, "SUPERVISOR_COMMS", self._comms, create=True))
            yield self

    def _access(self) -> Any:
        life = self._life
        return _Access(life) if life.version.deducts else variables.Supervisor()


class _Id:
    """A UUID that a seed decides."""

    def __init__(self, text: str) -> None:
        self.hex = text

    def __str__(self) -> str:
        return self.hex


def missing(conn_id: str) -> AirflowNotFoundException:
    """What Airflow 3 says of a Connection that it cannot read at the moment, too."""
    return AirflowNotFoundException(f"The conn_id `{conn_id}` isn't defined")


def make_connection(host: str, login: str | None, password: str, extra: str, parsed: dict[str, Any]) -> _Connection:
    return _Connection(host, login, password, extra, parsed)
