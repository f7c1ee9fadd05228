"""``Task``: what an attempt needs of its operator, so that neither module imports the other."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.triggers.base import BaseTrigger


class Task(Protocol):
    """The arguments, as rendered, and the parts of ``BaseOperator`` that are used."""

    workflow_automation_id: str
    scope: str | None
    parameters: Mapping[str, Any] | None
    descriptor: str
    zilliant_conn_id: str
    on_scope_busy: Literal["wait", "fail", "skip"]
    scope_timeout: float | None
    wait_for_completion: bool
    timeout: float | None
    poll_interval: float | None
    deferrable: bool
    durable: bool
    on_unknown_submission: Literal["fail", "resubmit"]
    on_clear: Literal["ask", "attach", "submit"]
    request_timeout: float
    #: Whether Airflow has asked the running task to end, and the job that it has by then.
    killed: bool
    job_id: str | None

    do_xcom_push: bool
    execution_timeout: timedelta | None
    retries: int | None
    on_success_callback: Any

    @property
    def log(self) -> Any: ...  # another class in each Airflow

    def defer(
        self, *, trigger: BaseTrigger, method_name: str, kwargs: dict[str, Any] | None = None, timeout: Any = None
    ) -> NoReturn: ...

    def resume_submission(self, context: Context, event: object = None) -> str: ...

    def resume_completion(self, context: Context, event: object = None) -> str: ...
