"""The calls of one Connection: which requests are sent, in which order, and when one is repeated."""

from __future__ import annotations

from collections.abc import MutableMapping

import pendulum

from airflow_provider_zilliant.api import jobs
from airflow_provider_zilliant.api.environment import Environment
from airflow_provider_zilliant.api.http import NoReply, Reply, Request
from airflow_provider_zilliant.api.job_status import JobStatus
from airflow_provider_zilliant.api.token import Token
from airflow_provider_zilliant.api.transport import Transport
from airflow_provider_zilliant.exceptions import ZilliantError

#: The pauses, in seconds, after which a POST that certainly did not leave is sent again.
CONNECT_BACKOFF = (1.0, 2.0)


class Client:
    """The calls of one Connection.

    :param transport: sends, sleeps, and reads the Connection.
    :param tokens: tokens from logins, by environment; sharing it shares the logins.
    """

    def __init__(self, transport: Transport, tokens: MutableMapping[Environment, Token]) -> None:
        self.transport = transport
        self._tokens = tokens
        self._environment: Environment | None = None
        self._refused_login: tuple[float, ZilliantError] | None = None

    async def environment(self) -> Environment:
        """The environment that the Connection describes, read once."""
        if self._environment is not None:
            return self._environment
        async with self.transport.exclusive():
            if self._environment is None:
                environment = await self.transport.read_connection()
                if environment.token is not None:
                    await self.transport.mask(environment.token)
                self._environment = environment
            return self._environment

    async def token(self) -> Token | None:
        """The token to send, after a login if one is needed."""
        environment = await self.environment()
        if environment.login is None:
            return environment.token
        return self._tokens.get(environment) or await self._log_in(environment, refused=None)

    async def call(self, request: Request) -> Reply | NoReply:
        """One request, signed.

        A 401 is followed by one new login and one more request. In token mode the Connection is read
        again, because someone may have pasted a fresh token; then only a GET is sent again.
        """
        environment = self._environment or await self.environment()
        token = environment.token if environment.login is None else await self.token()
        reply = await self.transport.send(environment.sign(request, token))
        if not isinstance(reply, Reply) or reply.status != 401:
            return reply
        if environment.login is None and request.method != "GET":
            return reply
        fresh = await self._renew(token)
        if fresh is None or fresh == token:
            return reply
        environment = await self.environment()
        return await self.transport.send(environment.sign(request, fresh))

    async def submit(self, submission: jobs.Submission) -> str:
        """Submits the job workflow and returns its jobId; at most one POST leaves this machine.

        It is repeated only if nothing of it left, and once after a 401 in login mode.
        """
        for pause in (*CONNECT_BACKOFF, None):
            attempted_at = pendulum.from_timestamp(self.transport.now())
            reply = await self.call(submission.request)
            if pause is None or not isinstance(reply, NoReply) or reply.sent:
                break
            await self.transport.sleep(pause)
        return jobs.read_submission(submission, reply, attempted_at=attempted_at)

    async def poll(self, job_id: str) -> JobStatus:
        """One GET of the job's status."""
        return jobs.read_status(job_id, await self.call(jobs.status_request(job_id)))

    async def _renew(self, refused: Token | None) -> Token | None:
        token = await self.token()
        if token != refused:
            return token  # another call has renewed it in the meantime
        self._environment = None
        environment = await self.environment()
        if environment.login is None:
            return environment.token
        return await self._log_in(environment, refused=refused)

    async def _log_in(self, environment: Environment, *, refused: Token | None) -> Token:
        assert environment.login is not None, "there is nothing to log in with"
        requested_time = self.transport.now()
        async with self.transport.exclusive():
            kept = self._tokens.get(environment)
            if kept is not None and kept != refused:
                return kept  # another call logged in while this one waited
            if self._refused_login is not None and self._refused_login[0] >= requested_time:
                raise self._refused_login[1]  # and another call's failure is this one's too
            self._tokens.pop(environment, None)
            reply = await self.transport.send(environment.login_request())
            try:
                token = environment.login.read(reply)
            except ZilliantError as error:
                self._refused_login = self.transport.now(), error
                raise
            await self.transport.mask(token)
            self._tokens[environment] = token
            return token
