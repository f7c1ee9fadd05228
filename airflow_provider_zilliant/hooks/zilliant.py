"""``ZilliantHook``: an Airflow Connection turned into a client of one Zilliant environment."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_zilliant import arguments
from airflow_provider_zilliant.api import jobs
from airflow_provider_zilliant.api.client import Client
from airflow_provider_zilliant.api.environment import Environment
from airflow_provider_zilliant.api.login_care import Logins
from airflow_provider_zilliant.api.transport import run
from airflow_provider_zilliant.connection import form
from airflow_provider_zilliant.connection.reading import read
from airflow_provider_zilliant.exceptions import ZilliantConfigError, ZilliantError
from airflow_provider_zilliant.waits.events import verdict
from airflow_provider_zilliant.waits.progress import ProgressLog
from airflow_provider_zilliant.waits.watching import poll_patiently, watch

if TYPE_CHECKING:
    from types import TracebackType

    import requests

    from airflow_provider_zilliant.api.job_status import JobStatus
    from airflow_provider_zilliant.transports.blocking import BlockingTransport

T = TypeVar("T")

#: The logins of this process.
_logins: Logins = {}


class ZilliantHook(BaseHook):
    """Talks to the Zilliant environment that an Airflow Connection of type ``zilliant`` describes.

    The Connection is read once, when it is first needed, and again after a 401. Use a hook as a
    context manager to have its HTTP connections closed.

    :param zilliant_conn_id: id of the Connection.
    :param request_timeout: seconds to wait for a connection, and for each piece of a reply.
    :param check_alive: called before every request, and every second of a pause between them; whatever it
        raises ends the call.
    """

    conn_name_attr = "zilliant_conn_id"
    default_conn_name = arguments.DEFAULT_CONN_ID
    conn_type = "zilliant"
    hook_name = "Zilliant"

    def __init__(
        self,
        zilliant_conn_id: str = default_conn_name,
        *,
        request_timeout: float = 60.0,
        check_alive: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self.zilliant_conn_id = zilliant_conn_id
        try:
            self.request_timeout = arguments.parse_request_timeout(request_timeout)
        except ValueError as error:
            raise ZilliantConfigError(str(error)) from None
        self._check_alive = check_alive
        self._opened: tuple[BlockingTransport, Client] | None = None

    def __enter__(self) -> ZilliantHook:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the HTTP connections; the hook stays usable."""
        if self._opened is not None:
            self._opened[0].close()

    def run_workflow(
        self,
        workflow_automation_id: str,
        *,
        scope: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        descriptor: str = arguments.DEFAULT_DESCRIPTOR,
    ) -> str:
        """Submits one job workflow: ``POST /v1/JobWorkflow/Authorized``.

        One POST leaves this machine. It is repeated only if the request certainly did not leave, and
        once after a 401 in login mode.

        :param workflow_automation_id: which workflow to run.
        :param scope: concurrency scope; ``None`` or empty for Zilliant's own serial queue.
        :param parameters: arguments of the workflow, text to text; finite numbers are sent as
            their decimal text.
        :param descriptor: workflow descriptor identifier.
        :return: the jobId.
        :raises ZilliantConfigError: an argument or the Connection is wrong; nothing was sent.
        :raises ZilliantUnreachableError: the request did not reach Zilliant.
        :raises ZilliantScopeBusyError: another job of this scope is in progress.
        :raises ZilliantRequestError: Zilliant refused, so no job was submitted.
        :raises ZilliantSubmissionUnknownError: a job may have been submitted; do not just send it again.
        """
        submission = jobs.parse_submission(
            workflow_automation_id, scope=scope, parameters=parameters, descriptor=descriptor
        )
        return self.submit(submission)

    def submit(self, submission: jobs.Submission) -> str:
        """:meth:`run_workflow` for a submission that has been checked already."""
        import pendulum

        attempted_at = pendulum.now("UTC")
        try:
            return self.run(self.client.submit(submission))
        except ZilliantError:
            raise
        except BaseException as interruption:
            # Airflow raises its task timeout and its signals into whatever is running. If the POST
            # was under way, the job may exist, and only this error says so.
            if not self.may_have_submitted:
                raise
            reason = f"the task was interrupted ({type(interruption).__name__}) while the request was in flight"
            raise jobs.unknown_outcome(submission, reason, attempted_at) from interruption

    @property
    def may_have_submitted(self) -> bool:
        """Whether the last request was a submission that began to leave, and was not refused with a 401."""
        return self._transport.may_have_sent(jobs.PATH)

    def get_job_status(self, job_id: str) -> JobStatus:
        """What Zilliant reports about the job: ``GET /v1/JobWorkflow/Authorized/{jobId}/Status``.

        Tolerates up to ten transient failures in a row (no reply, 429, 5xx, an unreadable body), within
        about a minute unless Zilliant asks for more with ``Retry-After``.

        :param job_id: the job, as :meth:`run_workflow` returned it.
        :raises ZilliantNotFoundError: Zilliant does not know the job.
        :raises ZilliantRequestError: Zilliant replied with an error.
        :raises ZilliantReplyError: the reply was lost or unreadable.
        :raises ZilliantUnreachableError: the request did not reach Zilliant.
        """
        return self.run(poll_patiently(self.client, job_id, progress=ProgressLog(self.log)))

    def wait_for_job(
        self, job_id: str, *, poll_interval: float | None = None, timeout: timedelta | float | None = None
    ) -> JobStatus:
        """Blocks until the job is CLOSED.

        :param job_id: the job, as :meth:`run_workflow` returned it.
        :param poll_interval: seconds between polls; ``None``: a tenth of the time waited so far, at
            least 5 s and at most 60 s.
        :param timeout: longest wait, as timedelta or seconds; ``None``: no limit.
        :return: the status of a job that is closed and COMPLETED.
        :raises ZilliantJobFailedError: the job closed, but not as COMPLETED.
        :raises ZilliantTimeoutError: it was still open when the time ran out.
        :raises ZilliantError: polling failed for good, as in :meth:`get_job_status`.
        """
        now = time.time()
        limit = arguments.parse_seconds("timeout", timeout)
        event = self.run(
            watch(
                self.client,
                job_id,
                began=now,
                accepted_time=None,
                poll_interval=arguments.parse_poll_interval(poll_interval),
                deadline=now + limit if limit is not None else None,
                first_pause=0.0,
                progress=ProgressLog(self.log, ProgressLog.OFTEN),
            )
        )
        return verdict(event, about=f"connection {self.zilliant_conn_id!r}")

    def get_conn(self) -> requests.Session:
        """A session that carries the headers and uses the Connection's ``verify`` and ``proxies``.

        Its requests have no timeout of their own, and it knows no base URL: see :attr:`base_url`.

        :raises ZilliantConfigError: the Connection is wrong.
        :raises ZilliantAuthError: the login was refused.
        """
        from airflow_provider_zilliant.transports.blocking import ConnectionSession, KeepHeaders

        environment = self.run(self.client.environment())
        session = ConnectionSession()
        session.headers.update(environment.headers(self.run(self.client.token())))
        session.auth = KeepHeaders()
        session.verify = environment.verify
        session.proxies.update(environment.proxies)
        return session

    def prepare(self) -> str:
        """Reads the Connection, and logs in if needed, so that the next call is one request.

        :return: the environment's base URL.
        """
        self.run(self.client.token())
        return self.base_url

    @property
    def base_url(self) -> str:
        """The environment's base URL, such as ``https://mycompany.zilliant.com``."""
        return self.run(self.client.environment()).base_url

    def test_connection(self) -> tuple[bool, str]:
        """Checks the fields, logs in anew, and asks for a random job: a 404 means that all is right.

        :return: whether the Connection works and, if not, which step failed. Never a secret.
        """
        from airflow_provider_zilliant.connection.diagnosis import diagnose

        try:
            return self.run(diagnose(self.client))
        except Exception as error:  # the form shows a message, whatever happens
            return False, f"{type(error).__name__}: the connection {self.zilliant_conn_id!r} cannot be read"

    @property
    def client(self) -> Client:
        """The calls, as coroutines for :meth:`run`."""
        return self._open()[1]

    @staticmethod
    def run(call: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine over :attr:`client` to its end."""
        return run(call)

    @property
    def _transport(self) -> BlockingTransport:
        return self._open()[0]

    def _open(self) -> tuple[BlockingTransport, Client]:
        if self._opened is None:
            from airflow_provider_zilliant.transports.blocking import BlockingTransport

            transport = BlockingTransport(
                self._read_connection, timeout=self.request_timeout, check_alive=self._check_alive
            )
            self._opened = transport, Client(transport, _logins)
        return self._opened

    def _read_connection(self) -> Environment:
        return read(self.zilliant_conn_id, self.get_connection)

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """What the connection form hides and how it labels; for Airflows that ask the hook."""
        return form.ui_field_behaviour()

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """The connection form's fields of Extra; for Airflows that ask the hook."""
        return form.widgets()
