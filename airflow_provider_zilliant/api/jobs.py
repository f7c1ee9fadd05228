"""Job workflows: checks a submission's values, builds the POST and the status GET, and reads their replies."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pendulum

from airflow_provider_zilliant.api.http import NoReply, Reply, Request, to_error
from airflow_provider_zilliant.api.job_status import JobStatus
from airflow_provider_zilliant.api.redaction import to_sentence
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
        return Request(method="POST", url=PATH, json=body)

    def __str__(self) -> str:
        return f"workflow {self.workflow!r} " + (f"(scope {self.scope!r})" if self.scope else "(no scope)")


def parse_submission(
    workflow_automation_id: object,
    *,
    scope: object = None,
    parameters: object = None,
    descriptor: object = DEFAULT_DESCRIPTOR,
) -> Submission:
    """Checks the arguments of a submission.

    Numbers become their decimal text, because native templates and XComs deliver numbers where
    text was meant.

    :raises ZilliantConfigError: naming the argument, or the parameter's key, that is wrong.
    """
    workflow = _parse_argument("workflow_automation_id", workflow_automation_id)
    if not workflow.strip():
        raise ZilliantConfigError("workflow_automation_id: empty; expected the id of a workflow automation")
    checked_descriptor = _parse_argument("descriptor", descriptor)
    if not checked_descriptor.strip():
        raise ZilliantConfigError(f"descriptor: empty; expected one like {DEFAULT_DESCRIPTOR}")
    if parameters is None:
        parameters = {}
    if not isinstance(parameters, Mapping):
        raise ZilliantConfigError(
            f"parameters: expected a mapping of text to text, not {type(parameters).__name__}"
            + (
                "; to template the whole mapping, set render_template_as_native_obj=True on the Dag"
                if isinstance(parameters, str)
                else ""
            )
        )
    texts = {_check_key(key): _parse_parameter(key, value) for key, value in parameters.items()}
    if texts.pop(WORKFLOW_KEY, workflow) != workflow:
        raise ZilliantConfigError(
            f"parameters: {WORKFLOW_KEY} conflicts with workflow_automation_id {workflow!r}; remove it"
        )
    return Submission(
        workflow=workflow,
        scope=(_parse_argument("scope", scope) or None) if scope is not None else None,
        parameters=texts,
        descriptor=checked_descriptor,
    )


def _parse_argument(name: str, value: object) -> str:
    text = _to_text(value)
    if text is None:
        raise ZilliantConfigError(f"{name}: expected text, not {_name_kind(value)}")
    return text


def _check_key(key: object) -> str:
    if not isinstance(key, str) or not key:
        raise ZilliantConfigError(f"parameters: keys must be non-empty strings, not {key!r}")
    return str.__str__(key)


def _parse_parameter(key: str, value: object) -> str:
    text = _to_text(value)
    if text is None:
        raise ZilliantConfigError(
            f"parameters[{key!r}]: expected text or a finite number, not {_name_kind(value)}; Zilliant's workflow "
            "arguments are text, so write the value as the workflow expects it"
        )
    return text


def _to_text(value: object) -> str | None:
    """Text unchanged, finite numbers as decimals without an exponent, ``None`` for everything else."""
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


def _name_kind(value: object) -> str:
    return str(value) if value is None or isinstance(value, bool | float | Decimal) else type(value).__name__


def read_submission(submission: Submission, reply: Reply | NoReply, *, attempted_at: pendulum.DateTime) -> str:
    """What the reply to a submission means: the one place that decides it.

    ======== ============================================================== =====================================
    meaning  replies                                                        result
    ======== ============================================================== =====================================
    accepted 2xx with a readable jobId                                      the jobId
    busy     409                                                            :class:`ZilliantScopeBusyError`
    refused  3xx, 500 and every 4xx but 408                                 the status's ``ZilliantRequestError``
    not sent no reply, and nothing of the body left this machine            :class:`ZilliantUnreachableError`
    unknown  2xx without a readable jobId, 408, every other 5xx, no reply   :class:`ZilliantSubmissionUnknownError`
    ======== ============================================================== =====================================

    :param attempted_at: when the POST was sent.
    """
    doing = f"Submitting {submission}"
    if isinstance(reply, NoReply):
        if not reply.sent:
            raise ZilliantUnreachableError(
                f"the request did not reach Zilliant, and no job was submitted: {reply.reason}", doing=doing
            )
        raise unknown_outcome(submission, f"no complete reply: {reply.reason}", attempted_at)
    explanation = reply.explanation
    if reply.is_success:
        job_id = read_job_id(reply)
        if job_id is None:
            what = f"the reply {reply.status_line} contains no readable jobId"
            reason = f"{what}: {explanation}" if explanation else f"{what}: its body is empty"
            raise unknown_outcome(submission, reason, attempted_at)
        return job_id
    if reply.status == 500 or (300 <= reply.status < 500 and reply.status != 408):
        error = to_error(reply, doing)
        error.args = (f"{error} No job was submitted.",)
        error.detail += " No job was submitted."
        if isinstance(error, ZilliantScopeBusyError):
            error.scope = submission.scope
        raise error
    reason = f"the reply was {reply.status_line}" + (f": {explanation}" if explanation else "")
    raise unknown_outcome(submission, reason, attempted_at)


def unknown_outcome(
    submission: Submission, reason: str, attempted_at: pendulum.DateTime
) -> ZilliantSubmissionUnknownError:
    """The error for a POST that may have been accepted."""
    return ZilliantSubmissionUnknownError(
        f"The outcome of submitting {submission} at {attempted_at.to_iso8601_string()} is unknown: "
        f"{to_sentence(reason)} A job may be running, but its jobId is unknown.",
        workflow=submission.workflow,
        scope=submission.scope,
        attempted_at=attempted_at,
    )


def read_job_id(reply: Reply) -> str | None:
    """The jobId in a reply whose exact form Zilliant does not document.

    A JSON object with ``jobId``, a JSON string, or bare text. Without the key, a word of letters
    alone does not count: an "OK" or "Accepted" from a gateway must not pass for an id.
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


#: An id that needs no further check and no quoting, like a UUID: every poll comes by here.
_is_plain_id = re.compile(r"[A-Za-z0-9-]{1,200}").fullmatch


def status_request(job_id: str) -> Request:
    """``GET /v1/JobWorkflow/Authorized/{jobId}/Status``.

    :raises ZilliantConfigError: ``job_id`` cannot be a job id.
    """
    if isinstance(job_id, str) and _is_plain_id(job_id) is not None:
        return Request(method="GET", url=f"{PATH}/{job_id}/Status")
    if not isinstance(job_id, str) or not is_id(job_id):
        raise ZilliantConfigError(f"job_id: expected a jobId from Zilliant, not {job_id!r}")
    return Request(method="GET", url=f"{PATH}/{quote(job_id, safe='')}/Status")


def read_status(job_id: str, reply: Reply | NoReply) -> JobStatus:
    """The job's status, or the typed error that the reply means.

    :raises ZilliantReplyError: the reply was lost or unreadable.
    :raises ZilliantUnreachableError: the request did not leave.
    :raises ZilliantRequestError: Zilliant replied with an error.
    """
    doing = f"Polling job {job_id}"
    if isinstance(reply, NoReply):
        lost: type[ZilliantError] = ZilliantReplyError if reply.sent else ZilliantUnreachableError
        raise lost(f"no complete reply: {reply.reason}", doing=doing)
    if not reply.is_success:
        raise to_error(reply, doing)
    try:
        parsed = reply.parse_json()
    except ValueError:
        parsed = None
    status = JobStatus.from_json(job_id, parsed, reply.secrets)
    if status is None:
        raise ZilliantReplyError(
            f"the reply {reply.status_line} contains no executionStatus OPEN or CLOSED: {reply.explanation}",
            doing=doing,
        )
    return status
