"""Tells Airflow's log masker which secrets to hide."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import mask_secret

from airflow_provider_zilliant.api.token import Token

#: Airflow masks nothing shorter, and warns of the attempt.
SHORTEST = 5


def mask(token: Token) -> None:
    """Tells Airflow's logs to show no secret of the token."""
    for secret in (token.header, *token.parts):
        if len(secret) >= SHORTEST:
            mask_secret(secret)
