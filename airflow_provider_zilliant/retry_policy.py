"""A ready ``retry_policy`` for Airflow 3.3 and later."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import ExceptionRetryPolicy


def zilliant_retry_policy(*, retry_failed_jobs: bool = False) -> ExceptionRetryPolicy:
    """Retries errors that may pass, each after its own delay, and fails at once on errors that will not.

    The task's ``retries`` still say how often. An unknown outcome deliberately has no rule:
    ``on_unknown_submission`` decides it.

    :param retry_failed_jobs: whether a retry submits again when the job closed, but not as COMPLETED.
    :raises ImportError: on Airflow before 3.3, which has no retry policies.
    """
    from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

    def rule(names: list[str], action: RetryAction, reason: str, delay: timedelta | None = None) -> RetryRule:
        paths: list[type[BaseException] | str] = [f"airflow_provider_zilliant.exceptions.{name}" for name in names]
        return RetryRule(exception=paths, action=action, retry_delay=delay, reason=reason)

    retry, fail = RetryAction.RETRY, RetryAction.FAIL
    return ExceptionRetryPolicy(
        rules=[
            rule(["ZilliantConfigError"], fail, "the Connection or an argument is wrong: correct it"),
            rule(["ZilliantAuthError"], fail, "the token or the login was refused: renew it"),
            rule(["ZilliantRateLimitError"], retry, "Zilliant asks for fewer requests", timedelta(minutes=5)),
            rule(["ZilliantScopeBusyError"], retry, "the scope is busy", timedelta(minutes=10)),
            rule(
                ["ZilliantUnreachableError", "ZilliantServerError"],
                retry,
                "Zilliant cannot be reached, or failed",
                timedelta(minutes=1),
            ),
            rule(
                ["ZilliantJobFailedError"],
                retry if retry_failed_jobs else fail,
                "the job failed in Zilliant: see its log there for the cause",
            ),
        ]
    )
