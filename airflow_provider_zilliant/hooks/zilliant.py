"""``ZilliantHook``: an Airflow Connection turned into a client of one Zilliant environment."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_zilliant import arguments, connection_form, waiting
from airflow_provider_zilliant.api import jobs
from airflow_provider_zilliant.api.client import Client, Flow
from airflow_provider_zilliant.api.environment import Environment, Token, environment_of
from airflow_provider_zilliant.api.http import PAGE
from airflow_provider_zilliant.exceptions import (
    ZilliantAuthError,
    ZilliantConfigError,
    ZilliantError,
    ZilliantNotFoundError,
    ZilliantSubmissionUnknownError,
    ZilliantUnreachableError,
)

if TYPE_CHECKING:
    from types import TracebackType

    import requests

    from airflow_provider_zilliant.api.jobs import JobStatus
    from airflow_provider_zilliant.transports.blocking import BlockingTransport

T = TypeVar("T")


#: The tokens that logins of this process fetched.
_tokens: dict[Environment, Token] = {}


class ZilliantHook(BaseHook):
    """Talks to the Zilliant environment that an Airflow Connection of type ``zilliant`` describes.

    The Connection is read once, when it is first needed, and again after a 401. A hook can be
    used as a context manager, which closes its HTTP connections.

    :param zilliant_conn_id: id of the Connection.
    :param request_timeout: seconds to wait for a connection, and for each piece of an answer.
    """

    conn_name_attr = "zilliant_conn_id"
    default_conn_name = arguments.DEFAULT_CONN_ID
    conn_type = "zilliant"
    hook_name = "Zilliant"

    def __init__(self, zilliant_conn_id: str = default_conn_name, *, request_timeout: float = 60.0) -> None:
        super().__init__()
        is_number = isinstance(request_timeout, int | float) and not isinstance(request_timeout, bool)
        if not is_number or not 0 < request_timeout < float("inf"):
            raise ZilliantConfigError(
                f"request_timeout: expected a positive number of seconds, not {request_timeout!r}"
            )
        self.zilliant_conn_id = zilliant_conn_id
        self.request_timeout = request_timeout
        self._client = Client(_tokens)
        self._opened: BlockingTransport | None = None

    def __enter__(self) -> ZilliantHook:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the HTTP connections; the hook stays usable."""
        if self._opened is not None:
            self._opened.close()

    def run_workflow(
        self,
        workflow_automation_id: str,
        *,
        scope: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        descriptor: str = arguments.DEFAULT_DESCRIPTOR,
    ) -> str:
        """Queues one job workflow: ``POST /v1/JobWorkflow/Authorized``.

        One POST leaves this machine. It is repeated only where the request certainly did not
        leave, and once after a 401 in login mode.

        :param workflow_automation_id: which workflow to run.
        :param scope: concurrency scope; ``None`` or empty for the environment's serial queue.
        :param parameters: arguments of the workflow, text to text; finite numbers are sent as
            their decimal text.
        :param descriptor: workflow descriptor identifier.
        :return: the jobId.
        :raises ZilliantConfigError: an argument or the Connection is wrong; nothing was sent.
        :raises ZilliantUnreachableError: the request did not reach Zilliant.
        :raises ZilliantScopeBusyError: another job of this scope is in progress.
        :raises ZilliantRequestError: Zilliant refused; no job was queued.
        :raises ZilliantSubmissionUnknownError: a job may have been queued; do not send again blindly.
        """
        submission = jobs.submission_of(
            workflow_automation_id, scope=scope, parameters=parameters, descriptor=descriptor
        )
        return self.submit(submission)

    def submit(self, submission: jobs.Submission) -> str:
        """:meth:`run_workflow` for a submission that has been checked already."""
        import pendulum

        started_at = pendulum.now("UTC")
        try:
            return self._drive(self._client.submit(submission))
        except ZilliantError:
            raise
        except BaseException as interruption:
            # Airflow raises its task timeout and its signals into whatever is running. If the POST
            # was under way, the job may exist, and only this error says so.
            if self._opened is None or not self._opened.may_have_sent(jobs.PATH):
                raise
            raise ZilliantSubmissionUnknownError(
                f"The outcome of submitting {submission} at {started_at.to_iso8601_string()} is unknown: the task "
                f"was interrupted ({type(interruption).__name__}) while the request was under way. A job may be "
                "running, and its id is not known here.",
                workflow=submission.workflow,
                scope=submission.scope,
                attempted_at=started_at,
            ) from interruption

    def get_job_status(self, job_id: str) -> JobStatus:
        """What Zilliant says of the job: ``GET /v1/JobWorkflow/Authorized/{jobId}/Status``.

        Transient failures (no answer, 429, 5xx, an unreadable body) are ridden out: up to ten in a
        row, within about a minute unless Zilliant asks for more with ``Retry-After``.

        :param job_id: the job, as :meth:`run_workflow` returned it.
        :raises ZilliantNotFoundError: Zilliant knows no such job.
        :raises ZilliantRequestError: Zilliant answered no.
        :raises ZilliantReplyError: the answer was lost or unreadable.
        :raises ZilliantUnreachableError: the request did not reach Zilliant.
        """
        return self.look_at(job_id)

    def look_at(self, job_id: str, *, accepted_at: float | None = None) -> JobStatus:
        """:meth:`get_job_status` for a job of which is known when it was accepted (epoch seconds).

        A 404 in the first minute after that is ridden out like any transient failure.
        """
        return self._drive(waiting.look_patiently(self._client, job_id, accepted_at=accepted_at))

    def wait_for_job(
        self, job_id: str, *, poll_interval: float | None = None, timeout: timedelta | float | None = None
    ) -> JobStatus:
        """Blocks until the job is CLOSED.

        :param job_id: the job, as :meth:`run_workflow` returned it.
        :param poll_interval: seconds between looks; ``None``: a tenth of the time waited so far, at
            least 5 s and at most 60 s.
        :param timeout: longest wait, as timedelta or seconds; ``None``: no limit.
        :return: the status of a job that is closed and COMPLETED.
        :raises ZilliantJobFailedError: the job closed otherwise.
        :raises ZilliantTimeoutError: it was still open when the time ran out.
        :raises ZilliantError: looking at it failed for good, as :meth:`get_job_status` tells.
        """
        now = time.time()
        limit = arguments.seconds_of("timeout", timeout)
        event = self.watch(
            job_id,
            began=now,
            accepted_at=None,
            poll_interval=arguments.poll_interval_of(poll_interval),
            end_time=now + limit if limit is not None else None,
            before_first_look=0.0,
        )
        return waiting.closed_job(event, about=f"connection {self.zilliant_conn_id!r}")

    def watch(self, job_id: str, *, sleep: Callable[[float], None] = time.sleep, **how: Any) -> dict[str, Any]:
        """:func:`waiting.watch` on the worker: blocks, and returns the event that the trigger would send.

        :param sleep: lets seconds pass.
        :param how: what :func:`waiting.watch` takes.
        """
        return self._drive(waiting.watch(self._client, job_id, **how), sleep=sleep)

    def get_conn(self) -> requests.Session:
        """A session that carries the headers, and goes the Connection's way (``verify``, ``proxies``).

        Its requests have no timeout of their own, and it knows no base URL: see :attr:`base_url`.

        :raises ZilliantConfigError: the Connection is wrong.
        :raises ZilliantAuthError: the login was refused.
        """
        from airflow_provider_zilliant.transports.blocking import ConnectionSession, KeepHeaders

        environment = self._drive(self._client.environment())
        session = ConnectionSession()
        session.headers.update(environment.headers(self._drive(self._client.token())))
        session.auth = KeepHeaders()
        session.verify = environment.verify
        session.proxies.update(environment.proxies)
        return session

    def prepare(self) -> str:
        """Reads the Connection, and logs in where that is needed, so that the next call is one request.

        :return: the environment's base URL.
        """
        self._drive(self._client.token())
        return self.base_url

    @property
    def base_url(self) -> str:
        """The environment's base URL, such as ``https://mycompany.zilliant.com``."""
        return self._drive(self._client.environment()).base_url

    def test_connection(self) -> tuple[bool, str]:
        """Asks for a random job: a 404 says that address, token and OAuth host are right.

        :return: whether the Connection works, and which part of it does not. Never a secret.
        """
        job_id = str(uuid.uuid4())
        try:
            environment = self._drive(self._client.environment())
            self._drive(self._client.look(job_id))
        except ZilliantNotFoundError as error:
            told = " It answered with an HTML page: make sure that Host is Zilliant's API."
            page = told if error.message.startswith(PAGE) else ""
            return True, f"{environment.base_url} accepts this connection.{page}"
        except ZilliantAuthError as error:
            if environment.login is not None and str(error).startswith("Logging in"):
                return False, str(error)
            return False, self._why_refused(environment, error)
        except ZilliantError as error:
            # The form tests under an id made up for the test, which would only puzzle the reader.
            told = str(error).removeprefix(f"Connection {self.zilliant_conn_id!r}: ")
            return False, told.replace(f"Looking at job {job_id}", "Asking Zilliant for a job that does not exist")
        except Exception as error:  # the form shows a message, whatever happens
            return False, f"{type(error).__name__}: the connection {self.zilliant_conn_id!r} cannot be read"
        return (
            False,
            f"{environment.base_url} claims to know a job that nobody started: is Host Zilliant's API?",
        )

    def _why_refused(self, environment: Environment, error: ZilliantAuthError) -> str:
        """Zilliant's 401 says no more; what the Connection itself shows narrows it down."""
        refused = f"{environment.base_url} answered {error.status_code} to these credentials. "
        token = self._drive(self._client.token())
        if error.status_code == 403:
            return refused + "They are known but may not look at jobs; check the user's rights in Zilliant."
        if token is None:
            return refused + "Password is empty, and Extra client_id too: expected is a token response or a login."
        if token.warning is not None:
            return refused + token.warning
        if environment.oauth_host is None:
            return refused + (
                "Extra oauth_host is empty, and from outside Zilliant's network it is needed"
                + (f"; the token belongs to {token.oauth_host}." if token.oauth_host else ".")
            )
        if token.oauth_host is not None and token.oauth_host != environment.oauth_host:
            return refused + (
                f"Extra oauth_host is {environment.oauth_host}, but the token belongs to {token.oauth_host}: one of "
                "the two is another environment's."
            )
        return refused + (
            "Its form is right and it goes with Extra oauth_host, so the token has probably expired or been "
            "revoked, or belongs to another environment than Host."
        )

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """What the connection form hides and how it labels; for Airflows that ask the hook."""
        return connection_form.ui_field_behaviour()

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """The connection form's fields of Extra; for Airflows that ask the hook."""
        return connection_form.widgets()

    def _drive(self, flow: Flow[T], *, sleep: Callable[[float], None] = time.sleep) -> T:
        if self._opened is None:
            from airflow_provider_zilliant.transports.blocking import BlockingTransport

            self._opened = BlockingTransport(self._read_connection, timeout=self.request_timeout)
        return self._opened.drive(flow, sleep=sleep)

    def _read_connection(self) -> Environment:
        with readable(self.zilliant_conn_id):
            connection = self.get_connection(self.zilliant_conn_id)
            require_object(connection.extra)
            extra = connection.extra_dejson
        return environment_from(connection, extra, self.zilliant_conn_id, warn=self.log.warning)


@contextmanager
def readable(conn_id: str) -> Iterator[None]:
    """What goes wrong while Airflow reads a Connection, typed: it may go well the next time, or never."""
    try:
        yield
    except AirflowNotFoundException as error:
        raise ZilliantConfigError(f"Connection {conn_id!r}: {error}; nothing was sent") from None
    except ZilliantConfigError as error:
        raise ZilliantConfigError(f"Connection {conn_id!r}: {error}") from None
    except Exception as error:
        raise ZilliantUnreachableError(
            f"Connection {conn_id!r} cannot be read at the moment ({type(error).__name__}); nothing was sent"
        ) from error


def require_object(extra: str | None) -> None:
    """Airflow takes an Extra that is no JSON object for an empty one, and a login for a token.

    :raises ZilliantConfigError: it is not a JSON object.
    """
    try:
        is_object = not extra or not extra.strip() or isinstance(json.loads(extra), dict)
    except (ValueError, RecursionError):
        is_object = False
    if not is_object:
        raise ZilliantConfigError('Extra: expected a JSON object, such as {"oauth_host": "..."}')


def environment_from(
    connection: Any, extra: Mapping[str, Any], conn_id: str, *, warn: Callable[..., None]
) -> Environment:
    """The environment that an Airflow Connection describes.

    :param extra: the Connection's Extra, which worker and triggerer read in different ways.
    :param warn: takes a format and its arguments.
    :raises ZilliantConfigError: naming the connection and the field that is wrong.
    """
    try:
        environment = environment_of(
            host=connection.host,
            port=connection.port,
            schema=connection.schema,
            login=connection.login,
            password=connection.password,
            extra=extra,
        )
        if isinstance(environment.verify, str) and not Path(environment.verify).exists():
            raise ZilliantConfigError("Extra verify: there is no such file; expected is the path of a CA bundle")
    except ZilliantConfigError as error:
        raise ZilliantConfigError(f"Connection {conn_id!r}: {error}") from None
    if environment.token is not None and environment.token.warning is not None:
        warn("Connection %r: %s", conn_id, environment.token.warning)
    return environment
