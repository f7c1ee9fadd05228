"""The embedded Zilliant's state and rules: jobs, scopes and tokens. No sockets here."""

from __future__ import annotations

import base64
import binascii
import json
import random
import secrets
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_zilliant.sandbox.faults import Fault, Refused, parse_fault
from airflow_provider_zilliant.sandbox.logins import OAUTH_HOST, Org

WORKFLOW_KEY = "WORKFLOW_AUTOMATION_ID"
DEFAULT_SECONDS = 5.0


@dataclass
class Job:
    """One job workflow, from its acceptance on."""

    job_id: str
    scope: str | None
    workflow: str
    parameters: dict[str, str]
    descriptor: str
    queued_at: float
    started_at: float
    closed_at: float
    result: str

    def is_open(self, now: float) -> bool:
        return now < self.closed_at

    def status(self, now: float) -> dict[str, str | None]:
        is_open = self.is_open(now)
        return {
            "executionStatus": "OPEN" if is_open else "CLOSED",
            "closeStatus": None if is_open else self.result,
            "startTimeStamp": timestamp(self.started_at) if now >= self.started_at else None,
            "closeTimeStamp": None if is_open else timestamp(self.closed_at),
        }

    def record(self, now: float) -> dict[str, Any]:
        return {
            "jobId": self.job_id,
            "scope": self.scope,
            "workflow": self.workflow,
            "parameters": self.parameters,
            "descriptor": self.descriptor,
            **self.status(now),
            "queuedTimeStamp": timestamp(self.queued_at),
        }


class Zilliant:
    """An environment in memory.

    :param parallel: run the jobs of a scope one after the other, instead of refusing them with 409.
    :param seed: seed of the dice for faults with a probability.
    :param clock: returns the current time in epoch seconds.
    :param org: who may log in, as arguments of :class:`logins.Org`.
    """

    def __init__(
        self,
        *,
        parallel: bool = False,
        seed: int | None = None,
        clock: Callable[[], float] = time.time,
        **org: Any,
    ) -> None:
        self.parallel = parallel
        self.org = Org(clock, **org)
        self._clock = clock
        self._seed = seed
        self.reset()

    def reset(self) -> None:
        """Forgets everything."""
        self.jobs: dict[str, Job] = {}
        self.requests: list[dict[str, Any]] = []
        self.faults: list[Fault] = []
        self._revoked_before = 0
        self._issued: dict[str, int] = {}
        self._serial = 0
        self._dice = random.Random(self._seed)

    def fault_for(self, method: str, path: str) -> Fault | None:
        """The first injected fault that applies to this request."""
        for fault in self.faults:
            if fault.strikes(method, path, self._dice.random()):
                return fault
        return None

    def order_fault(self, order: object) -> Fault:
        """Injects a fault: ``POST /sandbox/faults``."""
        fault = parse_fault(order)
        self.faults.append(fault)
        return fault

    def issue_token(self, form: Mapping[str, str], url: str = f"https://{OAUTH_HOST}") -> dict[str, str]:
        """``POST /services/oauth2/token``.

        :param url: the address that the login went to.
        """
        self.org.check(form, url)
        self._serial += 1
        token = f"00Dsandbox!{secrets.token_urlsafe(24)}"
        self._issued[token] = self._serial
        return token_response(token, issued_at=self._clock())

    def revoke_tokens(self) -> None:
        """Refuses every token issued so far."""
        self._revoked_before = self._serial

    def authorize(self, authorization: str | None, forwarded_host: str | None) -> None:
        """Zilliant's 401: an incomplete or invalid token response, or a wrong OAuth host."""
        scheme, _, encoded = (authorization or "").partition(" ")
        try:
            response = json.loads(base64.b64decode(encoded, validate=True))
        except (binascii.Error, ValueError, RecursionError):
            response = None
        if scheme != "OAuth" or not isinstance(response, dict):
            raise Refused(401)
        token, instance = response.get("access_token"), response.get("instance_url")
        if not isinstance(token, str) or not token or not isinstance(instance, str):
            raise Refused(401)
        serial = self._issued.get(token)
        if serial is not None and serial <= self._revoked_before:
            raise Refused(401)
        if not forwarded_host or forwarded_host != urlsplit(instance).netloc:
            raise Refused(401)

    def submit(self, body: object) -> Job:
        """``POST /v1/JobWorkflow/Authorized``."""
        descriptor, scope, parameters = _checked(body)
        now = self._clock()
        of_scope = [job for job in self.jobs.values() if job.scope == scope and job.is_open(now)]
        if of_scope and scope is not None and not self.parallel:
            raise Refused(409, message=f"A job of scope {scope} is in progress")
        seconds = _seconds(parameters.get("sandbox_seconds", str(DEFAULT_SECONDS)))
        started_at = max([now, *(job.closed_at for job in of_scope)])
        job = Job(
            job_id=str(uuid.uuid4()),
            scope=scope,
            workflow=parameters[WORKFLOW_KEY],
            parameters=parameters,
            descriptor=descriptor,
            queued_at=now,
            started_at=started_at,
            closed_at=started_at + seconds,
            result=parameters.get("sandbox_result", "COMPLETED"),
        )
        self.jobs[job.job_id] = job
        return job

    def status(self, job_id: str) -> dict[str, str | None]:
        """``GET /v1/JobWorkflow/Authorized/{jobId}/Status``."""
        job = self.jobs.get(job_id)
        if job is None:
            raise Refused(404, message="No such job")
        return job.status(self._clock())

    def job_records(self) -> list[dict[str, Any]]:
        return [job.record(self._clock()) for job in self.jobs.values()]

    def log_request(self, entry: dict[str, Any]) -> None:
        self.requests.append({"at": timestamp(self._clock()), **entry})


def token_response(access_token: str, *, issued_at: float) -> dict[str, str]:
    """A Salesforce token response for the sandbox."""
    return {
        "access_token": access_token,
        "instance_url": f"https://{OAUTH_HOST}",
        "id": "https://login.salesforce.com/id/00Dsandbox/005sandbox",
        "token_type": "Bearer",
        "issued_at": str(int(issued_at * 1000)),
        "signature": secrets.token_urlsafe(32),
    }


def timestamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _checked(body: object) -> tuple[str, str | None, dict[str, str]]:
    """The body's three fields, or Zilliant's 400."""

    def bad(message: str) -> Refused:
        return Refused(400, message=message)

    if not isinstance(body, dict):
        raise bad("The body is not a JSON object")
    if unknown := sorted(set(body) - {"descriptor", "scope", "parameters"}):
        raise bad(f"Unknown field {unknown[0]}")
    descriptor, scope, parameters = body.get("descriptor"), body.get("scope"), body.get("parameters")
    if not isinstance(descriptor, str) or not descriptor:
        raise bad("descriptor is required and must be a string")
    if "scope" in body and (not isinstance(scope, str) or not scope):
        raise bad("scope must be a non-empty string or left out")
    if not isinstance(parameters, dict):
        raise bad("parameters is required and must be an object")
    for key, value in parameters.items():
        if not isinstance(value, str):
            raise bad(f"parameters.{key} is not a string")
    if not parameters.get(WORKFLOW_KEY):
        raise bad(f"parameters.{WORKFLOW_KEY} is required")
    _seconds(parameters.get("sandbox_seconds", "0"))
    return descriptor, scope, parameters


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e9:
        raise Refused(400, message="parameters.sandbox_seconds is not a number of seconds")
    return seconds
