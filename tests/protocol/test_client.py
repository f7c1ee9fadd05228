"""One Connection's client under many calls at once, in virtual time: when it reads, and what its callers share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest

from airflow_provider_zilliant.api.client import Client
from airflow_provider_zilliant.api.environment import Environment
from airflow_provider_zilliant.api.http import NoReply, Reply, Request
from airflow_provider_zilliant.connection.fields import parse_environment
from airflow_provider_zilliant.exceptions import ZilliantConfigError, ZilliantError, ZilliantUnreachableError
from airflow_provider_zilliant.waits import watching
from airflow_provider_zilliant.waits.events import Closed, Failed, TimedOut
from tests.harness import virtual_time
from tests.harness.virtual_time import START

T = TypeVar("T")

OPEN = Reply(200, body=b'{"executionStatus": "OPEN"}')
COMPLETED = Reply(200, body=b'{"executionStatus": "CLOSED", "closeStatus": "COMPLETED"}')
LOGIN = {"client_id": "c", "client_secret": "the-client-secret"}


class Network:
    """A transport over which everything takes its time; the Connection can be edited, and anything can hang."""

    def __init__(self, **fields: Any) -> None:
        self.fields: dict[str, Any] = {"host": "one.example", **fields}
        self.error: ZilliantError | None = None
        self.seconds = {"read": 0.5, "mask": 0.1, "login": 1.0, "GET": 0.2}
        self.reply = OPEN
        self.reads, self.masked = 0, 0
        self.sent: list[Request] = []
        self._lock = asyncio.Lock()

    sleep = staticmethod(asyncio.sleep)

    def now(self) -> float:
        return START + asyncio.get_running_loop().time()

    async def finish(self, call: Awaitable[T], by: float | None) -> T:
        async with asyncio.timeout(by - self.now() if by is not None else None):
            return await call

    async def send(self, request: Request) -> Reply | NoReply:
        self.sent.append(request)
        if request.form is not None:
            await asyncio.sleep(self.seconds["login"])
            return Reply(200, body=b'{"access_token": "for %s"}' % str(request.form["client_secret"]).encode())
        await asyncio.sleep(self.seconds["GET"])
        return self.reply

    async def read_connection(self) -> Environment:
        self.reads += 1
        fields, error = dict(self.fields), self.error
        await asyncio.sleep(self.seconds["read"])
        if error is not None:
            raise error
        return parse_environment(**fields)

    async def compute(self, function: Callable[[], T], /) -> T:
        return function()

    async def mask(self, secrets: Iterable[str], /) -> None:
        self.masked += 1
        await asyncio.sleep(self.seconds["mask"])

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        async with self._lock:
            yield


def wait(client: Client, **how: Any) -> asyncio.Task[Closed | TimedOut | Failed]:
    """A trigger's wait that starts now."""
    now = client.transport.now()
    default = {"began": now, "accepted_time": now, "poll_interval": None, "deadline": None, "first_pause": 5.0}
    return asyncio.ensure_future(watching.watch(client, "j", **{**default, "read": client.next_read, **how}))


def hosts(network: Network) -> list[str]:
    return [request.url.split("/")[2] for request in network.sent]


def test_a_thousand_triggers_that_start_together_read_the_connection_once():
    async def main():
        network = Network(password="a-token")
        client = Client(network, {})
        waits = [wait(client) for _ in range(1000)]
        await asyncio.sleep(60)
        assert (network.reads, network.masked) == (1, 1)
        network.reply = COMPLETED
        await asyncio.gather(*waits)
        assert network.reads == 1

    virtual_time.run(main())


def test_a_thousand_triggers_that_start_within_seconds_read_it_a_few_times():
    async def main():
        network = Network()
        client = Client(network, {})
        for _ in range(1000):
            wait(client)
            await asyncio.sleep(0.005)
        await asyncio.sleep(10)
        assert len(network.sent) >= 1000
        assert network.reads <= 10

    virtual_time.run(main())


def test_every_trigger_that_starts_has_the_connection_read_anew_and_an_equal_one_costs_nothing_else():
    async def main():
        network = Network(login="me", password="pw", extra=LOGIN)
        client = Client(network, {})
        for number in range(1, 4):
            wait(client)
            await asyncio.sleep(20)
            assert network.reads == number
        # The Connection, the login and its token are masked once each.
        assert (network.masked, hosts(network).count("login.salesforce.com")) == (3, 1)

    virtual_time.run(main())


def test_an_edited_connection_counts_for_the_triggers_that_run_as_well():
    async def main():
        network = Network(login="me", password="pw", extra=LOGIN)
        client = Client(network, {})
        wait(client)
        await asyncio.sleep(20)
        network.fields |= {"host": "two.example", "extra": {**LOGIN, "client_secret": "another-secret"}}
        await asyncio.sleep(60)
        assert "two.example" not in hosts(network)
        wait(client)
        await asyncio.sleep(8)
        network.sent.clear()
        await asyncio.sleep(20)
        assert set(hosts(network)) == {"two.example"}

    virtual_time.run(main())


def test_no_host_ever_gets_the_token_of_another():
    async def main():
        network = Network(password="token-of-one")
        client = Client(network, {})
        for number in range(20):
            network.fields = {"host": f"{number}.example", "password": f"token-of-{number}"}
            for _ in range(5):
                wait(client, first_pause=0.1, poll_interval=0.3)
                await asyncio.sleep(0.17)
            network.reply = [OPEN, Reply(401)][number % 2]
        await asyncio.sleep(5)
        for request in network.sent:
            number = request.url.split("/")[2].removesuffix(".example")
            assert request.headers["Authorization"] == f"OAuth token-of-{number}"

    virtual_time.run(main())


def test_an_edit_that_begins_while_the_connection_is_read_is_not_overlooked():
    async def main():
        network = Network()
        client = Client(network, {})
        wait(client, first_pause=1.0)
        await asyncio.sleep(1.2)  # in the middle of the read
        network.fields["host"] = "two.example"
        wait(client, first_pause=0.1)
        await asyncio.sleep(3)
        assert (network.reads, hosts(network)) == (2, ["one.example", "two.example"])

    virtual_time.run(main())


@pytest.mark.parametrize("error", [ZilliantUnreachableError("at the moment"), ZilliantConfigError("Host: missing")])
def test_a_connection_that_cannot_be_read_hurts_only_those_that_need_to_read_it(error):
    async def main():
        network = Network()
        client = Client(network, {})
        running = [wait(client) for _ in range(10)]
        await asyncio.sleep(20)
        network.error = error
        network.seconds["read"] = 10.0
        starting = [wait(client) for _ in range(10)]
        await asyncio.sleep(20)
        assert network.reads == 2, "those who waited for a read share its failure"
        await asyncio.sleep(5)
        assert not any(task.done() for task in running)
        assert all(task.done() for task in starting) is isinstance(error, ZilliantConfigError)

    virtual_time.run(main())


@pytest.mark.parametrize("hanging", ["read", "mask", "login", "GET"])
def test_whatever_hangs_a_wait_ends_at_its_deadline(hanging):
    async def main():
        secret = {"password": "a-token"} if hanging in ("read", "mask") else {"password": "pw", "login": "me"}
        network = Network(**secret, extra=LOGIN if "login" in secret else {})
        network.seconds[hanging] = 1e9
        client = Client(network, {})
        waits = [wait(client, deadline=START + 100) for _ in range(3)]
        assert await asyncio.gather(*waits) == [TimedOut("j")] * 3
        assert START + 100 <= network.now() <= START + 100 + watching.LAST_POLL

    virtual_time.run(main())


def test_at_the_deadline_there_is_still_a_last_poll_even_for_a_triggerer_that_was_away():
    async def main():
        network = Network(password="a-token")
        network.reply = COMPLETED
        client = Client(network, {})
        assert isinstance(await wait(client, deadline=START - 3600, first_pause=0.0), Closed)

    virtual_time.run(main())
