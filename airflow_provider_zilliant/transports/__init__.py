"""The wire: how a request value leaves this machine and what it brings back."""

from __future__ import annotations

import asyncio
import importlib
import sys
from types import ModuleType

from airflow.providers.common.compat.sdk import mask_secret

from airflow_provider_zilliant.api.environment import Token


def mask(token: Token) -> None:
    """Tells Airflow's logs to show no secret of the token."""
    for secret in (token.header, *token.words):
        if len(secret) >= 5:  # Airflow masks nothing shorter, and warns of the attempt
            mask_secret(secret)


async def imported(name: str) -> ModuleType:
    """The module, whose first import must not hold up the event loop: that of ``aiohttp`` takes a quarter second."""
    module = sys.modules.get(name)
    if module is None or getattr(module.__spec__, "_initializing", False):
        module = await asyncio.to_thread(importlib.import_module, name)
    return module
