"""Tells Airflow's log masker which secrets to hide, and finds those in the process's environment."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.request import getproxies_environment

from airflow.providers.common.compat.sdk import mask_secret

from airflow_provider_zilliant.api.redaction import proxy_secrets

#: Airflow masks nothing shorter, and warns of the attempt.
SHORTEST = 5


def mask(secrets: Iterable[str]) -> None:
    """Tells Airflow's logs to show none of these secrets."""
    for secret in secrets:
        if len(secret) >= SHORTEST:
            mask_secret(secret)


def secrets_of_environment() -> frozenset[str]:
    """What no message may hold of the proxies in the environment variables."""
    return proxy_secrets(url for name, url in getproxies_environment().items() if name != "no")
