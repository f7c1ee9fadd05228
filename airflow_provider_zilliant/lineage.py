"""The OpenLineage run facet of a submission, for installations that have the OpenLineage provider."""

from __future__ import annotations

from typing import Any

import attrs
from airflow.providers.openlineage.extractors import OperatorLineage
from openlineage.client.generated.base import RunFacet

from airflow_provider_zilliant import __version__


@attrs.define
class ZilliantJobRunFacet(RunFacet):
    """Which job the task ran.

    :param jobId: the job; ``None`` if no job was accepted, or it is unknown whether one was.
    :param workflow: its workflow automation.
    :param scope: its concurrency scope, where it had one.
    """

    jobId: str | None
    workflow: str
    scope: str | None

    @staticmethod
    def _get_schema() -> str:
        return f"https://pypi.org/project/airflow-provider-zilliant/{__version__}/#ZilliantJobRunFacet"


def lineage_of(job_id: str | None, workflow: str, scope: str | None) -> Any:
    """What the operator tells OpenLineage: the facet ``zilliant_job`` of the run."""
    return OperatorLineage(run_facets={"zilliant_job": ZilliantJobRunFacet(job_id, workflow, scope)})
