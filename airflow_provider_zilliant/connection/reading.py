"""Asks Airflow for a Connection and parses it, for the worker and for the triggerer alike."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_zilliant import compat
from airflow_provider_zilliant.api.environment import Environment
from airflow_provider_zilliant.connection.fields import parse_environment
from airflow_provider_zilliant.exceptions import ZilliantConfigError, ZilliantUnreachableError

log = logging.getLogger(__name__)


def read(conn_id: str, get_connection: Callable[[str], Any]) -> Environment:
    """Reads the Connection on the worker.

    :param get_connection: the hook's.
    :raises ZilliantConfigError: naming the Connection and the field that is wrong.
    :raises ZilliantUnreachableError: the Connection cannot be read at the moment.
    """
    with _typed_errors(conn_id):
        connection = get_connection(conn_id)
        _require_json_object(connection.extra)
        environment = _parse(conn_id, connection, connection.extra_dejson)
    if environment.login is not None and environment.login.note:
        # Not in the triggerer too: its tasks have come by here.
        log.warning("Connection %r: %s", conn_id, environment.login.note)
    return environment


async def read_in_triggerer(conn_id: str) -> Environment:
    """:func:`read` without blocking the event loop."""
    with _typed_errors(conn_id):
        connection = await compat.read_connection(conn_id)
        _require_json_object(connection.extra)
        extra = await compat.read_extra(connection)
        if extra.get("private_key"):  # to check it takes a while, and an import
            return await asyncio.to_thread(_parse, conn_id, connection, extra)
        return _parse(conn_id, connection, extra)


def _parse(conn_id: str, connection: Any, extra: Mapping[str, Any]) -> Environment:
    environment = parse_environment(
        host=connection.host,
        port=connection.port,
        schema=connection.schema,
        login=connection.login,
        password=connection.password,
        extra=extra,
    )
    if isinstance(environment.verify, str) and not Path(environment.verify).exists():
        raise ZilliantConfigError("Extra verify: no such file; expected the path of a CA bundle")
    if environment.token is not None and environment.token.warning is not None:
        log.warning("Connection %r: %s", conn_id, environment.token.warning)
    return environment


@contextmanager
def _typed_errors(conn_id: str) -> Iterator[None]:
    """Turns every failure to read a Connection into an error to correct, or one to try again."""
    connection = f"Connection {conn_id!r}"
    try:
        yield
    except AirflowNotFoundException as error:
        raise ZilliantConfigError(f"{error}; nothing was sent", doing=connection) from None
    except ZilliantConfigError as error:
        raise ZilliantConfigError(str(error), doing=connection) from None
    except Exception as error:
        raise ZilliantUnreachableError(
            f"cannot be read at the moment ({type(error).__name__}); nothing was sent", doing=connection
        ) from error


def _require_json_object(extra: str | None) -> None:
    """Refuses an Extra that is not a JSON object.

    Airflow would treat it as empty. Then a Salesforce password would be sent to Zilliant as if it were a token.
    """
    try:
        is_object = not extra or not extra.strip() or isinstance(json.loads(extra), dict)
    except (ValueError, RecursionError):
        is_object = False
    if not is_object:
        raise ZilliantConfigError('Extra: expected a JSON object, like {"oauth_host": "..."}')
