"""``VariableStore``: what a task instance remembers, on an Airflow that keeps no task state (before 3.3).

One Airflow Variable for a task instance and a key. Airflow's own ``Variable.get`` must not be trusted with it: it asks
one secrets backend after the other and takes an error of any of them for "not here", so that a record of a submission
would be read as nothing whenever the API or the database stumbles. So this module goes to where Variables are kept,
the database (2.11) or the Execution API (3.x), and tells "certainly not there" from "cannot be read".
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from functools import cached_property
from typing import Any, Protocol

from airflow_provider_zilliant.api.redaction import shorten
from airflow_provider_zilliant.exceptions import ZilliantError

#: Whatever Airflow takes for a secret's name, all supported versions together: it would show the value as ``***``.
#: A list of our own, since a name must be the same in every try, whatever is configured. Longer words contain these.
_SENSITIVE = re.compile(
    "access_key|api_key|apikey|auth_header|authorization|bearer|connection_string|dsn|keyfile_dict|passphrase|passwd|"
    "password|private_key|proxies|proxy|secret|service_account|service_key|token|webhook_url",
    re.IGNORECASE,
)

#: Characters of each part of a name, and of all parts together; a digest follows. Airflow takes 250.
_PART_LENGTH, _READABLE_LENGTH = 48, 200


class Access(Protocol):
    """Variables as they are kept, past every secrets backend of the worker."""

    def read(self, name: str) -> str | None:
        """The text; ``None`` if there certainly is no such Variable. Anything else raises."""

    def write(self, name: str, text: str, description: str) -> None: ...
    def remove(self, name: str) -> None: ...


class VariableStore:
    """Behaves as Airflow's task state does, for one task instance.

    :param dag_id: with ``task_id``, ``map_index`` (-1 if it is not mapped) and ``run_id``: the task instance.
    :param access: where Variables are kept; the running Airflow's.
    """

    def __init__(
        self, dag_id: str, task_id: str, map_index: int | None, run_id: str, *, access: Access | None = None
    ) -> None:
        self._ids = (dag_id, task_id, str(-1 if map_index is None else map_index), run_id)
        self._given_access = access

    @cached_property
    def _access(self) -> Access:
        return self._given_access if self._given_access is not None else this_airflows_access()

    def variable_name(self, key: str) -> str:
        """The Variable that holds the key: readable, never longer than Airflow takes, and no two alike."""
        dag_id, task_id, map_index, run_id = self._ids
        parts = [key, dag_id, task_id, *([map_index] if map_index != "-1" else []), run_id]
        # Letters that need no quoting in a URL, and that every secrets backend, which Airflow asks first, can look up.
        readable = "__".join(re.sub(r"[^A-Za-z0-9_-]", "-", part)[:_PART_LENGTH] for part in parts)
        while word := _SENSITIVE.search(readable):
            readable = f"{readable[: word.start() + 1]}-{readable[word.start() + 1 :]}"
        digest = hashlib.sha256(json.dumps([key, *self._ids]).encode()).hexdigest()
        return f"{readable[:_READABLE_LENGTH]}__{digest[:20]}"

    def get(self, key: str, default: Any = None) -> Any:
        """The value that was set, or the text that a person has put there.

        :raises ZilliantError: it cannot be read at the moment.
        """
        name = self.variable_name(key)
        try:
            text = self._access.read(name)
        except Exception as error:
            raise _trouble(name, "cannot be read", error) from error
        return default if text is None else _value(text)

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        """Writes the value, and reads it back: a Variable can be shadowed, and some writes report no failure.

        :param value: a text, an object or a list.
        :param retention: means nothing here. No Variable expires.
        :raises ZilliantError: it may or may not have been written.
        """
        if not isinstance(value, str | dict | list):
            raise TypeError(f"A {type(value).__name__} could not be told from the text of a person.")
        name, text = self.variable_name(key), json.dumps(value)
        try:
            self._access.write(name, text, self._description())
            found = self._access.read(name)
        except Exception as error:
            raise _trouble(name, "cannot be written", error) from error
        if found != text:
            raise ZilliantError(
                f"Airflow's Variable {name} does not keep what this task writes into it. Is a Variable of that name "
                "defined in a secrets backend, or in the environment of the API server?"
            )

    def delete(self, key: str) -> None:
        """Deletes the Variable, if it is there.

        :raises ZilliantError: it may still be there.
        """
        name = self.variable_name(key)
        try:
            self._access.remove(name)
        except Exception as error:
            raise _trouble(name, "cannot be deleted", error) from error

    def _description(self) -> str:
        dag_id, task_id, map_index, run_id = self._ids
        mapped = f" (map index {map_index})" if map_index != "-1" else ""
        return (
            f"What task {task_id}{mapped} of Dag {dag_id}, run {run_id}, remembers of its Zilliant job, so that no "
            "retry submits it twice. It is deleted when the task succeeds. Do not delete it while the task may still "
            "run: Zilliant could publish twice."
        )


def _value(text: str) -> Any:
    """A person's text is taken as it stands, even where it happens to be JSON, as a jobId of digits is."""
    with contextlib.suppress(ValueError):
        value = json.loads(text)
        if isinstance(value, str | dict | list):
            return value
    return text.strip()


def _trouble(name: str, what: str, error: Exception) -> ZilliantError:
    first_line = next(iter(str(error).splitlines()), "")
    return ZilliantError(
        f"Airflow's Variable {name}, in which this task remembers its submission, {what} at the moment "
        f"({type(error).__name__}: {shorten(first_line)})."
    )


class Database:
    """Variables of Airflow 2.11, whose tasks may use its database."""

    def read(self, name: str) -> str | None:
        from airflow import settings
        from airflow.models import Variable

        # Not the task's own session: on MySQL, its transaction may be older than what is looked for.
        sessions: Any = settings.Session
        with contextlib.closing(sessions.session_factory()) as session:
            variable = session.query(Variable).filter(Variable.key == name).one_or_none()
            text: str | None = variable.val if variable is not None else None
        if variable is not None and text is None:
            raise LookupError("it is there, but Airflow cannot decrypt it: has the Fernet key changed?")
        return text

    def write(self, name: str, text: str, description: str) -> None:
        from airflow.models import Variable

        Variable.set(name, text, description=description)

    def remove(self, name: str) -> None:
        from airflow.models import Variable

        Variable.delete(name)


class Supervisor:
    """Variables of Airflow 3, whose tasks ask their supervisor, and that the Execution API.

    Not by ``airflow.sdk.Variable``: its ``get`` takes trouble for "not found", and its ``set`` and ``delete`` only log
    it.
    """

    def read(self, name: str) -> str | None:
        text = self._look(name)
        if text is None:
            # The API server reports its database's, and any gateway's, trouble as "not found", too.
            text = look_again(name, self._look, self._write_probe, self.remove)
        return text

    def _write_probe(self, name: str, proof: str) -> None:
        self.write(name, proof, "Written and deleted by airflow-provider-zilliant: whether Variables can be read.")

    def _look(self, name: str) -> str | None:
        from airflow.sdk.exceptions import ErrorType
        from airflow.sdk.execution_time.comms import ErrorResponse, GetVariable, VariableResult

        answer = _ask_supervisor(GetVariable(key=name), accepted=ErrorType.VARIABLE_NOT_FOUND)
        if isinstance(answer, VariableResult) and answer.key == name and answer.value is not None:
            return answer.value
        if isinstance(answer, ErrorResponse) and (answer.detail or {}).get("key", name) == name:
            return None
        raise LookupError(f"unexpected answer: {answer!r}")

    def write(self, name: str, text: str, description: str) -> None:
        from airflow.sdk.execution_time.comms import PutVariable

        _ask_supervisor(PutVariable(key=name, value=text, description=description))

    def remove(self, name: str) -> None:
        from airflow.sdk.execution_time.comms import DeleteVariable

        _ask_supervisor(DeleteVariable(key=name))


#: How often a value must be missing, each time proven by another one that is there.
LOOKS = 3


def look_again(
    name: str, look: Callable[[str], Any], write: Callable[[str, str], object], remove: Callable[[str], object]
) -> Any:
    """Once more for what was not found, where trouble is reported as "not found", too.

    The same question about a value that is certainly there has to be answered well in between.

    :return: the value; ``None`` if there certainly is none.
    :raises LookupError: nobody can tell.
    """
    probe, proof = f"{name}__probe", uuid.uuid4().hex
    write(probe, proof)
    try:
        for _ in range(LOOKS - 1):
            if look(probe) != proof:
                raise LookupError("Airflow does not find what was just written, either")
            value = look(name)
            if value is not None:
                return value
    finally:
        with contextlib.suppress(Exception):  # harmless; the next look overwrites it
            remove(probe)
    return None


def _ask_supervisor(message: Any, *, accepted: Any = None) -> Any:
    """The supervisor's answer.

    :param accepted: an error that is an answer, too, and is returned.
    :raises Exception: any other error, however this Airflow reports it.
    """
    from airflow.sdk.exceptions import AirflowRuntimeError
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import ErrorResponse

    supervisor: Any = getattr(task_runner, "SUPERVISOR_COMMS", None)
    if not hasattr(supervisor, "send"):
        raise RuntimeError("no task runs here" if supervisor is None else "that takes Airflow 3.0.3 or later")
    try:
        answer = supervisor.send(message)
    except AirflowRuntimeError as error:
        if error.error.error != accepted:
            raise
        return error.error
    if isinstance(answer, ErrorResponse) and answer.error != accepted:
        raise AirflowRuntimeError(answer)
    return answer


def this_airflows_access() -> Access:
    """By what this Airflow offers: its tasks have a supervisor to ask, or else its database."""
    try:
        from airflow.sdk.execution_time import comms  # noqa: F401
    except ImportError:
        return Database()
    return Supervisor()
