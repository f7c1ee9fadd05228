"""Tells Airflow's log masker which secrets to hide."""

from __future__ import annotations

from collections.abc import Iterable

from airflow.providers.common.compat.sdk import mask_secret

#: Airflow masks nothing shorter, and warns of the attempt.
SHORTEST = 5


def mask(secrets: Iterable[str]) -> None:
    """Tells Airflow's logs to show none of these secrets."""
    for secret in secrets:
        if len(secret) >= SHORTEST:
            mask_secret(secret)
