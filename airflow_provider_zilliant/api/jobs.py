"""Job workflows: ``/v1/JobWorkflow/Authorized``, its requests and the meaning of its replies."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import pendulum

from airflow_provider_zilliant.api.http import (
    NoReply,
    Reply,
    Request,
    error_of,
    shorten,
    status_line,
    without,
)
from airflow_provider_zilliant.arguments import DEFAULT_DESCRIPTOR
from airflow_provider_zilliant.exceptions import (
    ZilliantConfigError,
    ZilliantError,
    ZilliantReplyError,
    ZilliantScopeBusyError,
    ZilliantSubmissionUnknownError,
    ZilliantUnreachableError,
)

PATH = "/v1/JobWorkflow/Authorized"
WORKFLOW_KEY = "WORKFLOW_AUTOMATION_ID"


@dataclass(frozen=True)
class Submission:
    """One job workflow to queue: checked, and as text, before anything is sent."""

    workflow: str
    scope: str | None
    parameters: Mapping[str, str]
    descriptor: str

    @property
    def request(self) -> Request:
        body: dict[str, Any] = {"descriptor": self.descriptor}
        if self.scope is not None:
            body["scope"] = self.scope
        body["parameters"] = {WORKFLOW_KEY: self.workflow, **self.parameters}
        return Request("POST", PATH, json=body)

    def __str__(self) -> str:
        return f"workflow {self.workflow!r} " + (f"(scope {self.scope!r})" if self.scope else "(no scope)")


def submission_of(
    workflow_automation_id: object,
    *,
    scope: object = None,
    parameters: object = None,
    descriptor: object = DEFAULT_DESCRIPTOR,
) -> Submission:
    """Checks a submission's arguments.

    Numbers stand for their decimal text, because templates rendered as native objects and
    XComs bring them where text was meant.

    :raises ZilliantConfigError: naming the argument, or the parameter's key, that is wrong.
    """
    workflow = _argument("workflow_automation_id", workflow_automation_id)
    if not workflow.strip():
        raise ZilliantConfigError("workflow_automation_id: is empty; expected is the id of a workflow automation")
    described = _argument("descriptor", descriptor)
    if not described.strip():
        raise ZilliantConfigError(f"descriptor: is empty; expected is one such as {DEFAULT_DESCRIPTOR}")
    if parameters is None:
        parameters = {}
    if not isinstance(parameters, Mapping):
        raise ZilliantConfigError(
            f"parameters: expected a mapping of text to text, not {type(parameters).__name__}"
            + (
                "; a template that stands for the whole mapping needs render_template_as_native_obj=True on the Dag"
                if isinstance(parameters, str)
                else ""
            )
        )
    texts = {_key(key): _parameter(key, value) for key, value in parameters.items()}
    if texts.pop(WORKFLOW_KEY, workflow) != workflow:
        raise ZilliantConfigError(
            f"parameters: {WORKFLOW_KEY} is another workflow than workflow_automation_id {workflow!r}; leave it out"
        )
    return Submission(
        workflow=workflow,
        scope=(_argument("scope", scope) or None) if scope is not None else None,
        parameters=texts,
        descriptor=described,
    )


def _argument(name: str, value: object) -> str:
    text = _as_text(value)
    if text is None:
        raise ZilliantConfigError(f"{name}: expected text, not {_kind(value)}")
    return text


def _key(key: object) -> str:
    if not isinstance(key, str) or not key:
        raise ZilliantConfigError(f"parameters: the key {key!r} is not a non-empty text")
    return str.__str__(key)


def _parameter(key: str, value: object) -> str:
    text = _as_text(value)
    if text is None:
        raise ZilliantConfigError(
            f"parameters[{key!r}]: expected text or a finite number, not {_kind(value)}; Zilliant's workflow "
            "arguments are text, so write it the way that the workflow expects it"
        )
    return text


def _as_text(value: object) -> str | None:
    """Text as it is, finite numbers as decimals without an exponent, ``None`` for all else."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return format(Decimal(int(value)), "f")
    if isinstance(value, float):
        return format(Decimal(float.__repr__(value)), "f") if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return format(value, "f") if value.is_finite() else None
    return None


def _kind(value: object) -> str:
    return str(value) if value is None or isinstance(value, bool | float | Decimal) else type(value).__name__


def read_submission(submission: Submission, answer: Reply | NoReply, *, at: pendulum.DateTime) -> str:
    """What the answer to a submission means: the one place that decides it.

    ======== ============================================================== =====================================
    meaning  answers                                                        result
    ======== ============================================================== =====================================
    accepted 2xx with a readable jobId                                      the jobId
    busy     409                                                            :class:`ZilliantScopeBusyError`
    refused  3xx, 500 and every 4xx but 408                                 the status's ``ZilliantRequestError``
    not sent no answer, and nothing of the body left this machine           :class:`ZilliantUnreachableError`
    unknown  2xx without a readable jobId, 408, every other 5xx, no answer  :class:`ZilliantSubmissionUnknownError`
    ======== ============================================================== =====================================

    :param at: when the POST was sent.
    """
    doing = f"Submitting {submission}"
    if isinstance(answer, NoReply):
        if not answer.sent:
            raise ZilliantUnreachableError(
                f"{doing}: the request did not leave for Zilliant, and no job was queued: {answer.reason}"
            )
        raise _unknown(submission, f"no whole answer came: {answer.reason}", at)
    if answer.is_success:
        job_id = read_job_id(answer)
        if job_id is None:
            what = f"the answer {status_line(answer.status)} holds no readable jobId"
            raise _unknown(submission, f"{what}: {answer.words}" if answer.words else f"{what}, its body is empty", at)
        return job_id
    if answer.status == 500 or (300 <= answer.status < 500 and answer.status != 408):
        error = error_of(answer, doing)
        if isinstance(error, ZilliantScopeBusyError):
            error.scope = submission.scope
        raise error
    words = f", in its words: {answer.words}" if answer.words else ""
    raise _unknown(submission, f"the answer was {status_line(answer.status)}{words}", at)


def _unknown(submission: Submission, why: str, at: pendulum.DateTime) -> ZilliantSubmissionUnknownError:
    return ZilliantSubmissionUnknownError(
        f"The outcome of submitting {submission} at {at.to_iso8601_string()} is unknown: {why}. A job may be "
        "running, and its id is not known here.",
        workflow=submission.workflow,
        scope=submission.scope,
        attempted_at=at,
    )


def read_job_id(reply: Reply) -> str | None:
    """The jobId in a reply whose exact form Zilliant does not document.

    A JSON object with ``jobId``, a JSON string, or bare text. Without the key, a word of letters
    alone does not count: an "OK" or "Accepted" from something on the way must not pass for an id.
    """
    try:
        parsed = reply.parse_json()
    except ValueError:
        parsed = reply.body.decode("utf-8", "replace")
    if isinstance(parsed, str) and parsed.strip().isalpha():
        return None
    if isinstance(parsed, dict):
        parsed = parsed.get("jobId")
    if isinstance(parsed, int) and not isinstance(parsed, bool):
        parsed = format(Decimal(parsed), "f")
    if not isinstance(parsed, str):
        return None
    parsed = parsed.strip()
    return parsed if is_id(parsed) else None


def is_id(text: str) -> bool:
    """Whether the text can be an id: short, visible, no markup, and safe as one segment of a path."""
    return (
        re.fullmatch(r"[^\s<>{}\[\]\"\\\x00-\x1f\x7f]{1,200}", text) is not None
        and text.isprintable()
        and text not in (".", "..")
    )


@dataclass(frozen=True)
class JobStatus:
    """What Zilliant says of one job (``GET /v1/JobWorkflow/Authorized/{jobId}/Status``).

    :param job_id: the job.
    :param execution_status: ``OPEN`` or ``CLOSED``.
    :param close_status: how it closed: ``COMPLETED``, or a failure. ``None`` while it is open.
    :param started_at: when it started (UTC), where Zilliant says so.
    :param closed_at: when it closed (UTC), where Zilliant says so.
    """

    job_id: str
    execution_status: str
    close_status: str | None = None
    started_at: pendulum.DateTime | None = None
    closed_at: pendulum.DateTime | None = None

    @property
    def is_open(self) -> bool:
        return self.execution_status == "OPEN"

    @property
    def is_closed(self) -> bool:
        return self.execution_status == "CLOSED"

    @property
    def succeeded(self) -> bool:
        """Whether the job is closed and COMPLETED. Any other end is a failure, an unheard-of one included."""
        return self.is_closed and self.close_status == "COMPLETED"

    @property
    def duration(self) -> pendulum.Duration | None:
        """How long it ran, once both times are known."""
        return self.closed_at - self.started_at if self.started_at and self.closed_at else None


def status_request(job_id: str) -> Request:
    """``GET /v1/JobWorkflow/Authorized/{jobId}/Status``.

    :raises ZilliantConfigError: if ``job_id`` cannot be a job id.
    """
    if not isinstance(job_id, str) or not is_id(job_id):
        raise ZilliantConfigError(f"job_id: expected a jobId that Zilliant gave, not {job_id!r}")
    return Request("GET", f"{PATH}/{quote(job_id, safe='')}/Status")


def read_status(job_id: str, answer: Reply | NoReply) -> JobStatus:
    """The job's status, or the typed error that the answer means.

    :raises ZilliantReplyError: the answer was lost or unreadable.
    :raises ZilliantUnreachableError: the request did not leave.
    :raises ZilliantRequestError: Zilliant answered no.
    """
    doing = f"Looking at job {job_id}"
    if isinstance(answer, NoReply):
        lost: type[ZilliantError] = ZilliantReplyError if answer.sent else ZilliantUnreachableError
        raise lost(f"{doing}: no whole answer came: {answer.reason}")
    if not answer.is_success:
        raise error_of(answer, doing)
    try:
        parsed = answer.parse_json()
    except ValueError:
        parsed = None
    status = status_of(job_id, parsed, answer.secrets)
    if status is None:
        raise ZilliantReplyError(
            f"{doing}: the answer {status_line(answer.status)} holds no executionStatus OPEN or CLOSED: {answer.words}"
        )
    return status


def status_of(job_id: str, told: object, secrets: frozenset[str] = frozenset()) -> JobStatus | None:
    """The status in a JSON value, or ``None`` where it has no ``executionStatus`` OPEN or CLOSED."""
    if not isinstance(told, Mapping):
        return None
    execution = _word(told.get("executionStatus"), secrets)
    if execution not in ("OPEN", "CLOSED"):
        return None
    close = None if execution == "OPEN" else told.get("closeStatus")
    return JobStatus(
        job_id=job_id,
        execution_status=execution,
        close_status=None if close is None else _word(close, secrets) or None,
        started_at=_time_of(told.get("startTimeStamp")),
        closed_at=_time_of(told.get("closeTimeStamp")),
    )


def _word(value: object, secrets: frozenset[str]) -> str:
    """A status word, made fit for messages; what is no text at all is named by its type."""
    if value in ("OPEN", "CLOSED", "COMPLETED"):
        return str(value)
    text = value if isinstance(value, str) else type(value).__name__
    return shorten(without(secrets, text)).upper()


def _time_of(value: object) -> pendulum.DateTime | None:
    """A timestamp in UTC; one that cannot be read is unknown, and no reason to doubt the status beside it."""
    return _parsed(value) if isinstance(value, str) else None


@lru_cache(maxsize=2048)  # a job's start is told again at every look, and parsing it took a tenth of the look
def _parsed(value: str) -> pendulum.DateTime | None:
    try:
        parsed = pendulum.parse(value, tz="UTC")
        return parsed.in_timezone("UTC") if isinstance(parsed, pendulum.DateTime) else None
    except (ValueError, OverflowError, TypeError):
        return None
