"""A Dag file that imports the operator pays for neither a transport nor the triggers."""

from __future__ import annotations

import pytest

from tests.harness.modules import modules_after


@pytest.mark.parametrize("name", ["aiohttp", "airflow_provider_zilliant.triggers.zilliant", "requests"])
def test_the_operator_is_imported_without(name):
    already = modules_after("from airflow.providers.common.compat.sdk import BaseOperator, BaseHook, timeout")
    loaded = modules_after("import airflow_provider_zilliant.operators.zilliant")
    assert name not in loaded - already
