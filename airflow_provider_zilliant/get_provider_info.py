"""The provider's metadata, which Airflow asks for at start: imports nothing heavy."""

from __future__ import annotations

from typing import Any

from airflow_provider_zilliant import __version__
from airflow_provider_zilliant.connection import form


def get_provider_info() -> dict[str, Any]:
    """The provider's metadata (https://airflow.apache.org/docs/apache-airflow-providers/howto/create-custom-providers.html)."""
    behaviour = form.ui_field_behaviour()

    def modules(kind: str) -> list[dict[str, Any]]:
        return [
            {
                "integration-name": "Zilliant",
                "python-modules": [f"airflow_provider_zilliant.{kind}.zilliant"],
            }
        ]

    return {
        "package-name": "airflow-provider-zilliant",
        "name": "Zilliant",
        "description": "Run Zilliant job workflows (publish list prices, refresh data) as Airflow tasks.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": "Zilliant",
                "external-doc-url": "https://zilliant.com",
                "tags": ["service"],
            }
        ],
        "hooks": modules("hooks"),
        "operators": modules("operators"),
        "sensors": modules("sensors"),
        "triggers": modules("triggers"),
        "connection-types": [
            {
                "connection-type": "zilliant",
                "hook-class-name": "airflow_provider_zilliant.hooks.zilliant.ZilliantHook",
                "hook-name": "Zilliant",
                "conn-fields": form.conn_fields(),
                "ui-field-behaviour": {name.replace("_", "-"): value for name, value in behaviour.items()},
            }
        ],
    }
