"""How often a process logs in: once for many, once more after a 401, and ever less where it brings nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from airflow_provider_zilliant.api.client import Client
from airflow_provider_zilliant.api.environment import Environment
from airflow_provider_zilliant.api.http import NoReply, Reply, Request
from airflow_provider_zilliant.api.login_care import Kept, Logins
from airflow_provider_zilliant.connection.diagnosis import diagnose
from airflow_provider_zilliant.connection.fields import parse_environment
from airflow_provider_zilliant.exceptions import (
    ZilliantAuthError,
    ZilliantError,
    ZilliantServerError,
    ZilliantUnreachableError,
)
from airflow_provider_zilliant.waits.events import Closed
from airflow_provider_zilliant.waits.watching import watch
from tests.harness import keys

JOB = "5b6a2c3d-91f0-4a6e-9f7b-1a2b3c4d5e6f"
HOUR = 3600.0
CLOSED = b'{"executionStatus": "CLOSED", "closeStatus": "COMPLETED"}'
OPEN = b'{"executionStatus": "OPEN", "closeStatus": null}'
REFUSED = Reply(400, body=b'{"error": "invalid_grant", "error_description": "authentication failure"}')


def token_reply(number: int) -> Reply:
    body = {"access_token": f"token-{number}", "instance_url": "https://a.my.salesforce.com"}
    return Reply(200, body=json.dumps(body).encode())


class Server:
    """Zilliant, its login server and a transport to both, with a clock that only sleeping moves."""

    def __init__(self) -> None:
        self.time = 1e9
        self.logins: list[float] = []
        self.assertions: list[str] = []
        self.masked: set[str] = set()
        self.polls = 0
        self.refused: set[str] = set()
        self.login: Callable[[int], Reply | NoReply] = token_reply
        self.login_seconds = 0.0
        self.extra: dict[str, Any] = {"client_id": "c", "client_secret": "the-secret", "oauth_host": "a.example"}
        self.user: str | None = None
        self.status = OPEN
        self._lock = asyncio.Lock()

    def now(self) -> float:
        return self.time

    async def send(self, request: Request) -> Reply | NoReply:
        if request.method == "POST":
            await asyncio.sleep(0)
            self.logins.append(self.time)
            self.assertions.append((request.form or {}).get("assertion", ""))
            self.time += self.login_seconds
            return self.login(len(self.logins))
        await asyncio.sleep(0)
        self.polls += 1
        return Reply(401 if request.headers["Authorization"] in self.refused else 200, body=self.status)

    async def sleep(self, seconds: float, /) -> None:
        self.time += seconds

    async def read_connection(self) -> Environment:
        return parse_environment(host="z.example", login=self.user, extra=self.extra)

    async def finish(self, call: Awaitable[Any], by: float | None) -> Any:
        return await call

    async def compute(self, function: Callable[[], Any], /) -> Any:
        return function()

    async def mask(self, secrets: Iterable[str], /) -> None:
        self.masked |= set(secrets)

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        async with self._lock:
            yield

    def revoke(self, logins: Logins) -> None:
        self.refused |= {f"OAuth {kept.token.header}" for kept in logins.values() if kept.token}

    def refuse_every_token(self) -> None:
        class Everything(set):
            def __contains__(self, item: object) -> bool:
                return True

        self.refused = Everything()


def jwt_server() -> Server:
    server = Server()
    server.user, server.extra = "me", {"client_id": "c", "private_key": keys.pem()}
    return server


async def outcome(client: Client) -> object:
    try:
        return await client.poll(JOB)
    except ZilliantError as error:
        return error


async def test_one_login_serves_a_thousand_that_start_together_and_one_more_follows_a_401():
    server, logins = Server(), {}
    client = Client(server, logins)
    await asyncio.gather(*(client.poll(JOB) for _ in range(1000)))
    assert (len(server.logins), server.polls) == (1, 1000)
    await asyncio.gather(*(client.poll(JOB) for _ in range(1000)))
    assert len(server.logins) == 1
    server.revoke(logins)
    await asyncio.gather(*(client.poll(JOB) for _ in range(1000)))
    assert len(server.logins) == 2, "not one for each trigger"


async def test_hooks_of_one_process_share_their_logins():
    server, logins = Server(), {}
    for _ in range(5):
        await Client(server, logins).poll(JOB)
    assert len(server.logins) == 1


async def test_a_failed_login_is_the_failure_of_all_that_waited_for_it():
    server = Server()
    server.login = lambda _: Reply(503)
    client = Client(server, {})
    found = await asyncio.gather(*(outcome(client) for _ in range(1000)))
    assert {type(error) for error in found} == {ZilliantServerError}
    assert len({id(error) for error in found}) == 1000, "each has an error, with a traceback, of its own"
    assert len(server.logins) == 1


@pytest.mark.parametrize(
    ("reply", "kind", "most"),
    [
        (REFUSED, ZilliantAuthError, 20),
        (NoReply(sent=True, reason="TimeoutError"), ZilliantUnreachableError, 70),
        (Reply(503), ZilliantServerError, 70),
    ],
)
async def test_a_process_whose_logins_fail_rests_ever_longer(reply, kind, most):
    server = Server()
    server.login = lambda _: reply
    logins: Logins = {}
    began = server.time
    while server.time - began < HOUR:
        error = await outcome(Client(server, logins))
        assert isinstance(error, kind)
        server.time += 0.5
    assert 5 <= len(server.logins) <= most, "instead of 7,200"
    pauses = [after - before for before, after in zip(server.logins, server.logins[1:], strict=False)]
    assert pauses == sorted(pauses)
    assert "No login was tried this time: the next one is due in" in str(error)


async def test_tokens_that_zilliant_never_takes_do_not_mean_a_login_for_every_call():
    server, logins = Server(), {}
    server.refuse_every_token()
    began = server.time
    while server.time - began < HOUR:
        error = await outcome(Client(server, logins))
        assert isinstance(error, ZilliantAuthError)
        assert not error.is_login
        server.time += 0.5
    assert 5 <= len(server.logins) <= 20


async def test_after_a_rest_all_is_as_before():
    server, logins = Server(), {}
    server.login = lambda number: REFUSED if number < 5 else token_reply(number)
    client = Client(server, logins)
    while isinstance(await outcome(client), ZilliantError):
        server.time += 1.0
    assert len(server.logins) == 5
    server.revoke(logins)
    await client.poll(JOB)
    assert len(server.logins) == 6, "a token that was good is renewed at once"


async def test_an_edited_connection_and_a_person_at_the_test_button_do_not_wait():
    server, logins = Server(), {}
    server.login = lambda _: REFUSED
    for _ in range(10):
        await outcome(Client(server, logins))
        server.time += 1.0
    tried = len(server.logins)
    assert not (await diagnose(Client(server, logins)))[0]
    assert len(server.logins) == tried + 1
    server.extra = {**server.extra, "client_secret": "the-new-secret"}
    server.login = token_reply
    await Client(server, logins).poll(JOB)
    assert len(server.logins) == tried + 2


async def test_the_test_button_logs_in_whatever_is_kept():
    server, logins = Server(), {}
    await Client(server, logins).poll(JOB)
    server.login = lambda _: REFUSED
    works, told = await diagnose(Client(server, logins))
    assert (works, len(server.logins)) == (False, 2)
    assert told.startswith("Step 2 of 4, the login: Logging in at https://a.example with client credentials: refused")


def test_a_clock_that_was_set_back_ends_the_rest():
    kept = Kept()
    for _ in range(9):
        kept.fail(1000.0, ZilliantAuthError("no"))
    assert kept.remaining_rest(1000.0) == 300.0
    assert kept.remaining_rest(1299.0) == 1.0
    assert kept.remaining_rest(400.0) == 0.0


async def test_retry_after_of_the_login_server_is_honoured():
    server = Server()
    server.login = lambda _: Reply(429, {"retry-after": "120"})
    logins: Logins = {}
    for _ in range(100):
        await outcome(Client(server, logins))
        server.time += 1.0
    assert len(server.logins) == 1


@pytest.mark.parametrize("reply", [NoReply(sent=True, reason="x"), Reply(503), Reply(429), Reply(200, body=b"<html>")])
async def test_a_login_server_that_is_down_for_hours_delays_a_wait_and_does_not_end_it(reply):
    server = Server()
    began = server.time

    def login(number: int) -> Reply | NoReply:
        return reply if server.time - began < 5 * HOUR else token_reply(number)

    server.login, server.login_seconds, server.status = login, 30.0, CLOSED
    event = await watch(
        Client(server, {}),
        JOB,
        began=began,
        accepted_time=began,
        poll_interval=None,
        deadline=None,
        first_pause=5.0,
    )
    assert isinstance(event, Closed)
    assert 5 * HOUR <= server.time - began < 5 * HOUR + 200
    assert len(server.logins) < 5 * 100


async def test_an_assertions_time_is_the_transports():
    import jwt

    server = jwt_server()
    logins: Logins = {}
    client = Client(server, logins)
    for _ in range(2):
        await client.poll(JOB)
        assertion = server.assertions[-1]
        assert jwt.decode(assertion, options={"verify_signature": False})["exp"] == int(server.time) + 120
        server.revoke(logins)
        server.time += 10 * HOUR
    assert len(set(server.assertions)) == 2


@pytest.mark.parametrize("make", [Server, jwt_server])
async def test_the_logs_learn_every_secret_before_it_is_sent(make):
    server = make()
    await Client(server, {}).poll(JOB)
    secrets = {"the-secret"} if make is Server else {keys.pem(), server.assertions[0]}
    assert secrets <= server.masked
    assert any("token-1" in secret for secret in server.masked)
