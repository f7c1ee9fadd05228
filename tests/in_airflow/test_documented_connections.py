"""Every Connection that "Which way to log in" shows is read as the flow that it is shown for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from airflow_provider_zilliant.connection.fields import parse_environment
from tests.harness import keys
from tests.in_airflow.test_documentation import PROJECT, blocks_of

BLOCKS = list(blocks_of(PROJECT / "docs" / "logging-in.md"))
FLOWS = ["client credentials", "JWT bearer", "user and password"]


def shown() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Where each is shown, and the Connections there."""
    exported = [
        json.loads(block.text.partition("'")[2].rpartition("'")[0])
        for block in BLOCKS
        if block.text.startswith("export AIRFLOW_CONN_")
    ]
    yield "environment variables", exported
    for block in BLOCKS:
        if block.language in ("json", "yaml"):
            yield block.language, list(yaml.safe_load(block.text).values())


@pytest.mark.parametrize(
    ("place", "connections"), list(shown()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_connection_of_each_flow_is_shown_and_is_one(place, connections):
    read = []
    for fields in connections:
        extra = {**fields.pop("extra")}
        assert fields.pop("conn_type") == "zilliant"
        if "private_key" in extra:
            sample = extra["private_key"]
            assert re.fullmatch(r"-----BEGIN PRIVATE KEY-----\n\S+\n-----END PRIVATE KEY-----\n", sample)
            extra["private_key"] = keys.pem()
        read.append(parse_environment(**fields, extra=extra).login.flow)
    assert read == FLOWS, place
