"""Asks Airflow for a Connection and parses it, for the worker and for the triggerer alike."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_zilliant import compat
from airflow_provider_zilliant.api.environment import Environment
from airflow_provider_zilliant.connection.fields import parse_environment
from airflow_provider_zilliant.exceptions import ZilliantConfigError, ZilliantUnreachableError

log = logging.getLogger(__name__)

#: The seconds that a read in the triggerer may take.
LONGEST_READ = 60.0


def read(conn_id: str, get_connection: Callable[[str], Any]) -> Environment:
    """Reads the Connection on the worker.

    :param get_connection: the hook's.
    :raises ZilliantConfigError: naming the Connection and the field that is wrong.
    :raises ZilliantUnreachableError: the Connection cannot be read at the moment.
    """
    with _typed_errors(conn_id):
        connection = get_connection(conn_id)
        _require_json_object(connection.extra)
        environment = _warned(conn_id, _parse(connection, connection.extra_dejson))
    if environment.login is not None and environment.login.note:
        # Not in the triggerer too: its tasks have come by here.
        log.warning("Connection %r: %s", conn_id, environment.login.note)
    return environment


async def read_in_triggerer(conn_id: str, known: Environment | None = None) -> Environment:
    """:func:`read` without blocking the event loop.

    :param known: from an earlier read; it is returned itself, and not warned of again, if nothing has changed.
    """
    with _typed_errors(conn_id):
        # Airflow may hang, and whoever reads makes all others wait for it.
        async with asyncio.timeout(LONGEST_READ):
            connection = await compat.read_connection(conn_id)
            _require_json_object(connection.extra)
            extra = await compat.read_extra(connection)
        if extra.get("private_key"):  # to check it takes a while, and an import
            environment = await asyncio.to_thread(_parse, connection, extra)
        else:
            environment = _parse(connection, extra)
    return known if known == environment else _warned(conn_id, environment)


def _parse(connection: Any, extra: Mapping[str, Any]) -> Environment:
    environment = parse_environment(
        host=connection.host,
        port=connection.port,
        schema=connection.schema,
        login=connection.login,
        password=connection.password,
        extra=extra,
    )
    # Not `Path.exists`: it raises an error about a text that cannot be a path.
    if isinstance(environment.verify, str) and not os.path.exists(environment.verify):
        if "-----BEGIN" in environment.verify:
            raise ZilliantConfigError("Extra verify: holds a certificate; expected the path of a file that does")
        raise ZilliantConfigError("Extra verify: no such file; expected the path of a CA bundle")
    return environment


def _warned(conn_id: str, environment: Environment) -> Environment:
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
        # Airflow swallows the errors of secrets backends (2.11 on) and of its own API (3.1 on), and then says this too.
        missing = ZilliantConfigError(
            f"{error}, or a secrets backend failed for a moment; nothing was sent", doing=connection
        )
        missing.is_missing_connection = True
        raise missing from None
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
