"""What can go wrong with Zilliant, typed by what the caller can do about it.

::

    ZilliantError
    ├── ZilliantConfigError              connection or arguments are wrong; nothing was sent
    ├── ZilliantUnreachableError         the request certainly did not reach Zilliant
    ├── ZilliantRequestError             Zilliant answered no
    │   ├── ZilliantBadRequestError      400
    │   ├── ZilliantAuthError            401, 403, and a refused login
    │   ├── ZilliantNotFoundError        404
    │   ├── ZilliantScopeBusyError       409
    │   ├── ZilliantRateLimitError       429
    │   └── ZilliantServerError          5xx
    ├── ZilliantReplyError               the reply to a harmless request was lost or unreadable
    ├── ZilliantSubmissionUnknownError   the POST may have been accepted
    ├── ZilliantJobFailedError           the job closed, not COMPLETED
    └── ZilliantTimeoutError             scope_timeout or timeout ran out

Every one can be built from its text alone, so that it survives pickling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pendulum

    from airflow_provider_zilliant.api.jobs import JobStatus


class ZilliantError(Exception):
    """Anything that this provider raises about Zilliant."""


class ZilliantConfigError(ZilliantError, ValueError):
    """The connection or an argument is wrong. The message names the field; nothing was sent."""


class ZilliantUnreachableError(ZilliantError):
    """The request certainly did not reach Zilliant: sending it again is harmless."""


class ZilliantRequestError(ZilliantError):
    """Zilliant, or something in front of it, answered no.

    :ivar status_code: the HTTP status of the answer.
    :ivar message: the server's own words, shortened and without secrets.
    """

    def __init__(self, text: str, *, status_code: int = 0, message: str = "") -> None:
        super().__init__(text)
        self.status_code = status_code
        self.message = message


class ZilliantBadRequestError(ZilliantRequestError):
    """400: the body cannot be processed; the same request will be refused again."""


class ZilliantAuthError(ZilliantRequestError):
    """401, 403, or a login that was refused."""


class ZilliantNotFoundError(ZilliantRequestError):
    """404: no such job, or Host is not a Zilliant environment."""


class ZilliantScopeBusyError(ZilliantRequestError):
    """409: another job of the same scope is in progress; nothing was queued.

    :ivar scope: the scope that was asked for.
    """

    def __init__(self, text: str, *, status_code: int = 409, message: str = "", scope: str | None = None) -> None:
        super().__init__(text, status_code=status_code, message=message)
        self.scope = scope


class ZilliantRateLimitError(ZilliantRequestError):
    """429: too many requests.

    :ivar retry_after: seconds that the server asked to wait, where it did.
    """

    def __init__(
        self, text: str, *, status_code: int = 429, message: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(text, status_code=status_code, message=message)
        self.retry_after = retry_after


class ZilliantServerError(ZilliantRequestError):
    """5xx: the service failed.

    :ivar retry_after: seconds that the server asked to wait, where it did.
    """

    def __init__(
        self, text: str, *, status_code: int = 500, message: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(text, status_code=status_code, message=message)
        self.retry_after = retry_after


class ZilliantReplyError(ZilliantError):
    """The reply to a request that changes nothing was lost or unreadable: it can be sent again."""


class ZilliantSubmissionUnknownError(ZilliantError):
    """The POST may have been accepted: a job may be running, and its id is not known.

    :ivar workflow: the workflow automation id that was submitted.
    :ivar scope: the scope that it was submitted under.
    :ivar attempted_at: when the POST was sent (UTC).
    """

    def __init__(
        self,
        text: str,
        *,
        workflow: str | None = None,
        scope: str | None = None,
        attempted_at: pendulum.DateTime | None = None,
    ) -> None:
        super().__init__(text)
        self.workflow = workflow
        self.scope = scope
        self.attempted_at = attempted_at


class ZilliantJobFailedError(ZilliantError):
    """The job closed with anything but COMPLETED.

    :ivar status: the job's last status.
    """

    def __init__(self, text: str, *, status: JobStatus | None = None) -> None:
        super().__init__(text)
        self.status = status


class ZilliantTimeoutError(ZilliantError):
    """``scope_timeout`` or ``timeout`` ran out."""
