"""The OpenLineage run facet of a submission, for installations that have the OpenLineage provider."""

from __future__ import annotations

from functools import cache
from typing import Any

from airflow_provider_zilliant import __version__


def lineage(job_id: str | None, workflow: str, scope: str | None) -> Any:
    """The run facet ``zilliant_job``, with ``jobId``, ``workflow`` and ``scope``.

    :param job_id: the job; ``None`` if none was accepted, or if that is unknown.
    :param workflow: its workflow automation.
    :param scope: its concurrency scope, if it had one.
    :raises ImportError: the OpenLineage provider is not installed; only that provider asks for this.
    """
    from airflow.providers.openlineage.extractors import OperatorLineage

    return OperatorLineage(run_facets={"zilliant_job": _facet()(job_id, workflow, scope)})


@cache
def _facet() -> type[Any]:
    import attrs
    from openlineage.client.generated.base import RunFacet

    @attrs.define
    class ZilliantJobRunFacet(RunFacet):
        jobId: str | None
        workflow: str
        scope: str | None

        @staticmethod
        def _get_schema() -> str:
            return f"https://pypi.org/project/airflow-provider-zilliant/{__version__}/#ZilliantJobRunFacet"

    return ZilliantJobRunFacet
