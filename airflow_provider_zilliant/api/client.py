"""The calls of one Connection: which requests are sent, in which order, and when one is repeated."""

from __future__ import annotations

import pendulum

from airflow_provider_zilliant.api import jobs
from airflow_provider_zilliant.api.environment import Environment
from airflow_provider_zilliant.api.http import NoReply, Reply, Request
from airflow_provider_zilliant.api.job_status import JobStatus
from airflow_provider_zilliant.api.login_care import Kept, Logins
from airflow_provider_zilliant.api.token import Token
from airflow_provider_zilliant.api.transport import Transport
from airflow_provider_zilliant.exceptions import ZilliantError

#: The pauses, in seconds, after which a POST that certainly did not leave is sent again.
CONNECT_BACKOFF = (1.0, 2.0)


class Client:
    """The calls of one Connection.

    :param transport: sends, sleeps, and reads the Connection.
    :param logins: what the process keeps of its logins.
    """

    def __init__(self, transport: Transport, logins: Logins) -> None:
        self.transport = transport
        self._logins = logins
        self._environment: Environment | None = None
        # Reads of the Connection are numbered: the last one begun, the environment's, and one that failed.
        self._last_read = self._environments_read = 0
        self._failed_read: tuple[int, ZilliantError] = 0, ZilliantError("")

    @property
    def next_read(self) -> int:
        """The number of the Connection's next read: the first that shows every edit made until now."""
        return self._last_read + 1

    async def environment(self, *, read: int = 1) -> Environment:
        """The environment that the Connection describes.

        A read serves all who asked for it before it began, so that a thousand triggers that start together
        cost one. So does its failure; who needs no newer read keeps the environment.

        :param read: the number of the oldest read that counts.
        """
        known = self._environment
        if known is not None and self._environments_read >= read:
            return known
        done = max(self._environments_read, self._failed_read[0])
        async with self.transport.exclusive():
            known = self._environment
            if known is not None and self._environments_read >= read:
                return known
            failed, error = self._failed_read
            if failed > done and failed >= read:
                raise error
            self._last_read = number = self.next_read
            try:
                environment = await self.transport.read_connection()
            except ZilliantError as error:
                self._failed_read = number, error
                raise
            if environment.secrets and environment != known:
                await self.transport.mask(environment.secrets)
            self._environment, self._environments_read = environment, number
            return environment

    async def token(self) -> Token | None:
        """The token to send, after a login if one is needed."""
        return await self._token_for(await self.environment())

    async def token_of_new_login(self) -> Token | None:
        """The token, after a login whatever this process has kept; for a person who waits for the outcome."""
        self._logins.pop(await self.environment(), None)
        return await self.token()

    async def call(self, request: Request, *, read: int = 1) -> Reply | NoReply:
        """One request, signed.

        A 401 is followed by one new login and one more request. In token mode the Connection is read
        anew, as someone may have pasted a fresh token; then only a GET is sent again.

        :param read: the number of the Connection's oldest read that counts.
        """
        environment = self._environment
        if environment is None or self._environments_read < read:
            environment = await self.environment(read=read)
        token = environment.token if environment.login is None else await self._token_for(environment)
        reply = await self.transport.send(environment.sign(request, token))
        if not isinstance(reply, Reply) or reply.status != 401:
            self._prove(environment, token, reply)
            return reply
        if environment.login is None and request.method != "GET":
            return reply
        fresh_environment, fresh_token = await self._renew(environment, token)
        if (fresh_environment, fresh_token) == (environment, token):
            return reply
        reply = await self.transport.send(fresh_environment.sign(request, fresh_token))
        self._prove(fresh_environment, fresh_token, reply)
        return reply

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

    async def poll(self, job_id: str, *, read: int = 1) -> JobStatus:
        """One GET of the job's status.

        :param read: the number of the Connection's oldest read that counts.
        """
        return jobs.read_status(job_id, await self.call(jobs.status_request(job_id), read=read))

    async def _token_for(self, environment: Environment) -> Token | None:
        # Never the token of whatever the Connection describes by now: it could belong to another host.
        if environment.login is None:
            return environment.token
        kept = self._logins.get(environment)
        return kept.token if kept and kept.token else await self._log_in(environment, refused=None)

    async def _renew(self, used: Environment, refused: Token | None) -> tuple[Environment, Token | None]:
        environment = await self.environment()
        token = await self._token_for(environment)
        if (environment, token) != (used, refused):
            return environment, token  # another call has renewed it in the meantime
        environment = await self.environment(read=self.next_read)
        if environment.login is None:
            return environment, environment.token
        return environment, await self._log_in(environment, refused=refused)

    async def _log_in(self, environment: Environment, *, refused: Token | None) -> Token:
        assert environment.login is not None, "there is nothing to log in with"
        requested_time = self.transport.now()
        async with self.transport.exclusive():
            kept = self._logins.setdefault(environment, Kept())
            if kept.token is not None and kept.token != refused:
                return kept.token  # another call logged in while this one waited
            now = self.transport.now()
            is_told_already = kept.failures > 0 and kept.failed_time >= requested_time
            if is_told_already or kept.remaining_rest(now) > 0:
                if error := kept.told_again(now):
                    raise error  # another call's failure is this one's too
                if kept.token is not None:
                    return kept.token
            if kept.token is not None and not kept.is_proven:
                kept.fail(now, None)
            kept.token, kept.is_proven = None, False
            request = await self.transport.compute(lambda: environment.login_request(self.transport.now()))
            await self.transport.mask(environment.login.form_secrets(request.form or {}))
            try:
                token = environment.login.read(await self.transport.send(request))
            except ZilliantError as error:
                kept.fail(self.transport.now(), error)
                raise
            await self.transport.mask(token.plain_secrets)
            kept.token, kept.error = token, None
            return token

    def _prove(self, environment: Environment, token: Token | None, reply: Reply | NoReply) -> None:
        """Notes that Zilliant has accepted a login's token, if this is what the reply says."""
        kept = self._logins.get(environment) if environment.login is not None else None
        if kept is None or kept.is_proven or kept.token != token or not isinstance(reply, Reply):
            return
        if reply.is_success or reply.status in (400, 404, 409):
            kept.prove()
