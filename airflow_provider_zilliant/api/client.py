"""What to send in which order: the calls as flows that a transport drives.

A flow is a generator that yields effects and is sent their results; it neither sends nor sleeps
itself. The worker's driver performs an effect with ``requests`` and ``time.sleep``, the
triggerer's with ``aiohttp`` and ``asyncio.sleep``. So signing, logging in and retrying are
written once.
"""

from __future__ import annotations

from collections.abc import Generator, MutableMapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import pendulum

from airflow_provider_zilliant.api import jobs
from airflow_provider_zilliant.api.environment import Environment, Token, token_of_response
from airflow_provider_zilliant.api.http import NoReply, Reply, Request, error_of
from airflow_provider_zilliant.exceptions import (
    ZilliantAuthError,
    ZilliantError,
    ZilliantReplyError,
    ZilliantUnreachableError,
)

T = TypeVar("T")

#: A POST that certainly did not leave is sent again after these many seconds, then no more.
CONNECT_BACKOFF = (1.0, 2.0)


@dataclass(slots=True)
class Send:
    """Send the request; the result is its :class:`Reply` or :class:`NoReply`."""

    request: Request


@dataclass(slots=True)
class ReadConnection:
    """Read the Airflow Connection anew; the result is its :class:`Environment`."""


@dataclass(slots=True)
class Now:
    """The result is the present time in epoch seconds."""


@dataclass(slots=True)
class Sleep:
    """Let these many seconds pass."""

    seconds: float


@dataclass(slots=True)
class Mask:
    """From now on, let no log show the token."""

    token: Token


@dataclass(slots=True)
class Alone:
    """Drive the flow while no other flow that shares the tokens does the same; the result is the flow's."""

    flow: Flow[Any]


Effect: TypeAlias = "Send | ReadConnection | Now | Sleep | Mask | Alone"
Flow: TypeAlias = "Generator[Effect, Any, T]"


class Client:
    """The calls of one Connection.

    :param tokens: tokens that logins fetched, by environment; whoever shares it shares the logins.
    """

    def __init__(self, tokens: MutableMapping[Environment, Token]) -> None:
        self._tokens = tokens
        self._environment: Environment | None = None
        self._refused_login: tuple[float, ZilliantError] | None = None

    def environment(self) -> Flow[Environment]:
        """The environment that the Connection describes, read once."""
        if self._environment is None:
            environment: Environment = yield Alone(self._read())
            return environment
        return self._environment

    def _read(self) -> Flow[Environment]:
        if self._environment is None:
            environment: Environment = yield ReadConnection()
            if environment.token is not None:
                yield Mask(environment.token)
            self._environment = environment
        return self._environment

    def token(self) -> Flow[Token | None]:
        """The token to send, logging in for it where that is needed."""
        environment = yield from self.environment()
        if environment.login is None:
            return environment.token
        kept = self._tokens.get(environment)
        if kept is not None:
            return kept
        token: Token = yield Alone(self._log_in(environment, refused=None, asked_at=(yield Now())))
        return token

    def call(self, request: Request) -> Flow[Reply | NoReply]:
        """One request, signed.

        A 401 is answered by one new login and one more request. In token mode the Connection is
        read anew, as someone may have pasted a fresh token; only a GET is then sent again.
        """
        environment = yield from self.environment()
        token = yield from self.token()
        answer: Reply | NoReply = yield Send(environment.sign(request, token))
        if not isinstance(answer, Reply) or answer.status != 401:
            return answer
        if environment.login is None and request.method != "GET":
            return answer
        fresh = yield from self._renew(token)
        if fresh is None or fresh == token:
            return answer
        environment = yield from self.environment()
        answer = yield Send(environment.sign(request, fresh))
        return answer

    def submit(self, submission: jobs.Submission) -> Flow[str]:
        """Queues the job workflow and returns its jobId; one POST that leaves, whatever happens.

        It is repeated only where nothing of it left this machine, and once after a 401 in login mode.
        """
        for pause in (*CONNECT_BACKOFF, None):
            at = pendulum.from_timestamp((yield Now()))
            answer = yield from self.call(submission.request)
            if pause is None or not isinstance(answer, NoReply) or answer.sent:
                break
            yield Sleep(pause)
        return jobs.read_submission(submission, answer, at=at)

    def look(self, job_id: str) -> Flow[jobs.JobStatus]:
        """One GET of the job's status."""
        return jobs.read_status(job_id, (yield from self.call(jobs.status_request(job_id))))

    def _renew(self, refused: Token | None) -> Flow[Token | None]:
        token = yield from self.token()
        if token != refused:
            return token  # another flow has renewed it meanwhile
        self._environment = None
        environment = yield from self.environment()
        if environment.login is None:
            return environment.token
        fresh: Token = yield Alone(self._log_in(environment, refused=refused, asked_at=(yield Now())))
        return fresh

    def _log_in(self, environment: Environment, *, refused: Token | None, asked_at: float) -> Flow[Token]:
        kept = self._tokens.get(environment)
        if kept is not None and kept != refused:
            return kept  # another flow has logged in while this one waited
        if self._refused_login is not None and self._refused_login[0] >= asked_at:
            raise self._refused_login[1]  # and another one's failure is this one's too
        self._tokens.pop(environment, None)
        answer = yield Send(environment.login_request())
        try:
            token = _read_login(environment, answer)
        except ZilliantError as error:
            self._refused_login = (yield Now()), error
            raise
        yield Mask(token)
        self._tokens[environment] = token
        return token


def _read_login(environment: Environment, answer: Reply | NoReply) -> Token:
    """The token in the login server's answer. Whatever went wrong here, Zilliant has not been asked yet."""
    assert environment.login is not None, "there was no login to read"
    doing = f"Logging in at {environment.login.url}"
    if isinstance(answer, NoReply):
        raise ZilliantUnreachableError(
            f"{doing}: no whole answer came, and nothing was sent to Zilliant: {answer.reason}"
        )
    if not answer.is_success:
        error = error_of(answer, doing)
        if answer.status < 500 and answer.status != 429:
            raise ZilliantAuthError(
                f"{doing}: refused with {answer.status}: {answer.words or 'no reason given'}. Check the connection's "
                "Login, its Password (Salesforce may want the security token appended), and Extra client_id, "
                "client_secret and login_url (https://test.salesforce.com for a sandbox).",
                status_code=answer.status,
                message=answer.words,
            )
        raise error
    try:
        token = token_of_response(answer.body.decode())
    except UnicodeDecodeError:
        token = None
    if token is None or token.warning is not None:
        raise ZilliantReplyError(f"{doing}: the answer holds no access_token. Check Extra login_url.")
    return token
