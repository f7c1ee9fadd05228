"""The exception classes, typed by what the caller can do about each.

::

    ZilliantError
    ├── ZilliantConfigError              connection or arguments are wrong; nothing was sent
    ├── ZilliantUnreachableError         the request certainly did not reach Zilliant
    ├── ZilliantRequestError             Zilliant replied with an error
    │   ├── ZilliantBadRequestError      400
    │   ├── ZilliantAuthError            401, 403, and a refused login
    │   ├── ZilliantNotFoundError        404
    │   ├── ZilliantScopeBusyError       409
    │   ├── ZilliantRateLimitError       429
    │   └── ZilliantServerError          5xx
    ├── ZilliantReplyError               the reply to a request that changes nothing was lost or unreadable
    ├── ZilliantSubmissionUnknownError   the POST may have been accepted
    ├── ZilliantEarlierJobError          an earlier job is on record, and submitting could publish twice
    ├── ZilliantJobFailedError           the job closed, but not as COMPLETED
    └── ZilliantTimeoutError             scope_timeout or timeout ran out

Every one can be built from its text alone, so that it survives pickling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import pendulum

    from airflow_provider_zilliant.api.job_status import JobStatus


class ZilliantError(Exception):
    """The base of this provider's errors.

    :param detail: what went wrong.
    :param doing: what was being done, as in "Submitting workflow 'X'"; the message begins with it.
    :ivar detail: the message without ``doing``.
    :ivar is_login: whether it happened at the login server, before Zilliant was asked anything.
    """

    is_login = False

    def __init__(self, detail: str, *, doing: str | None = None) -> None:
        super().__init__(f"{doing}: {detail}" if doing else detail)
        self.detail = detail


class ZilliantConfigError(ZilliantError, ValueError):
    """The connection or an argument is wrong. The message names the field; nothing was sent.

    :ivar is_missing_connection: whether Airflow found no such Connection. It says the same when a secrets
        backend, or its own API, fails for a moment.
    """

    is_missing_connection = False


class ZilliantUnreachableError(ZilliantError):
    """The request certainly did not reach Zilliant: sending it again is harmless."""


class ZilliantRequestError(ZilliantError):
    """Zilliant, or something in front of it, replied with an error.

    :ivar status_code: the HTTP status of the reply.
    :ivar message: the server's own explanation, shortened and without secrets.
    :ivar retry_after: the seconds that ``Retry-After`` asks to wait, if the reply has one.
    :ivar is_json: whether the reply was a JSON object, as Zilliant's own are.
    :ivar is_page: whether the reply was an HTML page, which Zilliant's API never sends.
    """

    default_status: ClassVar[int] = 0

    def __init__(
        self,
        detail: str,
        *,
        doing: str | None = None,
        status_code: int | None = None,
        message: str = "",
        retry_after: float | None = None,
        is_json: bool = False,
        is_page: bool = False,
    ) -> None:
        super().__init__(detail, doing=doing)
        self.status_code = self.default_status if status_code is None else status_code
        self.message = message
        self.retry_after = retry_after
        self.is_json = is_json
        self.is_page = is_page


class ZilliantBadRequestError(ZilliantRequestError):
    """400: Zilliant cannot process the body, and will refuse the same request again."""


class ZilliantAuthError(ZilliantRequestError):
    """401, 403, or a refused login."""


class ZilliantNotFoundError(ZilliantRequestError):
    """404: no such job, or Host is not a Zilliant environment."""


class ZilliantScopeBusyError(ZilliantRequestError):
    """409: another job of the same scope is in progress, so no job was submitted.

    :ivar scope: the scope that was asked for.
    """

    default_status = 409
    scope: str | None = None


class ZilliantRateLimitError(ZilliantRequestError):
    """429: too many requests."""

    default_status = 429


class ZilliantServerError(ZilliantRequestError):
    """5xx: the service failed."""

    default_status = 500


class ZilliantReplyError(ZilliantError):
    """The reply to a request that changes nothing was lost or unreadable: the request can be sent again."""


class ZilliantSubmissionUnknownError(ZilliantError):
    """The POST may have been accepted: a job may be running, but its jobId is unknown.

    :ivar workflow: the workflow automation id that was submitted.
    :ivar scope: the scope that it was submitted under.
    :ivar attempted_at: when the POST was sent (UTC).
    """

    def __init__(
        self,
        detail: str,
        *,
        workflow: str | None = None,
        scope: str | None = None,
        attempted_at: pendulum.DateTime | None = None,
    ) -> None:
        super().__init__(detail)
        self.workflow = workflow
        self.scope = scope
        self.attempted_at = attempted_at


class ZilliantEarlierJobError(ZilliantError):
    """An earlier job of this task is on record, and submitting could publish twice: a person has to decide.

    :ivar job_id: the job on record.
    :ivar status: its last status, if it could be polled.
    """

    def __init__(self, detail: str, *, job_id: str | None = None, status: JobStatus | None = None) -> None:
        super().__init__(detail)
        self.job_id = job_id
        self.status = status


class ZilliantJobFailedError(ZilliantError):
    """The job closed, but not as COMPLETED.

    :ivar status: the job's last status.
    """

    def __init__(self, detail: str, *, status: JobStatus | None = None) -> None:
        super().__init__(detail)
        self.status = status


class ZilliantTimeoutError(ZilliantError):
    """``scope_timeout`` or ``timeout`` ran out."""
