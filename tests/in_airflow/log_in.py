"""Logs in through saved Connections, on the worker and in the triggerer, and prints how it went; run by a test."""

from __future__ import annotations

import asyncio
import json
import sys

from airflow_provider_zilliant.exceptions import ZilliantError, ZilliantNotFoundError
from airflow_provider_zilliant.hooks.zilliant import ZilliantHook
from airflow_provider_zilliant.transports.aio import SharedClient

JOB = "5b6a2c3d-91f0-4a6e-9f7b-1a2b3c4d5e6f"


def on_worker(conn_id: str) -> str:
    try:
        ZilliantHook(conn_id).get_job_status(JOB)
    except ZilliantNotFoundError:
        return "logged in"
    except ZilliantError as error:
        return str(error)
    return "there is such a job"


async def in_triggerer(conn_id: str) -> str:
    try:
        async with SharedClient(conn_id) as client:
            await client.poll(JOB)
    except ZilliantNotFoundError:
        return "logged in"
    except ZilliantError as error:
        return str(error)
    return "there is such a job"


if __name__ == "__main__":
    told = {conn_id: [on_worker(conn_id), asyncio.run(in_triggerer(conn_id))] for conn_id in sys.argv[1:]}
    print(json.dumps(told))
