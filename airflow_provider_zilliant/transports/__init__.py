"""The wire: how a request value leaves this machine and what it brings back."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import mask_secret

from airflow_provider_zilliant.api.environment import Token


def mask(token: Token) -> None:
    """Tells Airflow's logs to show no secret of the token."""
    for secret in (token.header, *token.words):
        if len(secret) >= 5:  # Airflow masks nothing shorter, and warns of the attempt
            mask_secret(secret)
