"""Errors that end a task for good: typed like any other, and not retried by Airflow."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_zilliant.exceptions import ZilliantError

E = TypeVar("E", bound=ZilliantError)


def final(error: E, text: str | None = None) -> E:
    """The same error as one that is also an ``AirflowFailException``, which Airflow does not retry.

    :param text: replaces the error's own text.
    """
    made: E = _class_of(type(error))(str(error) if text is None else text)  # type: ignore[arg-type]
    made.__dict__.update(error.__dict__)
    return made


@cache
def _class_of(kind: type[E]) -> type[E]:
    """A subclass of the error and of ``AirflowFailException``, under the error's own name."""
    if issubclass(kind, AirflowFailException):
        return kind

    def reduce(self: E) -> tuple[Any, ...]:
        # The class is made here, so a pickle cannot name it: it names the plain class instead.
        plain = kind(str(self))
        plain.__dict__.update(self.__dict__)
        return final, (plain,)

    names = {"__module__": kind.__module__, "__doc__": kind.__doc__, "__reduce__": reduce}
    return type(kind.__name__, (kind, AirflowFailException), names)
