"""The table of consent: given what is on record and whether the task was cleared, may this try submit?

:data:`TABLE` is the whole policy. :func:`decide` executes it, the documentation shows it, and the tests
and the simulation read it: nothing else in this package decides whether a POST is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal, TypeAlias

from airflow_provider_zilliant.api.job_status import JobStatus
from airflow_provider_zilliant.operators.records import AskedFor, Intent, Job, Tries

OnClear: TypeAlias = Literal["ask", "attach", "submit"]


class Found(Enum):
    """What the record, and Zilliant's answer about its job, come to. "Told": a person has been told of it."""

    NOTHING = "nothing"
    INTENT = "an intent without outcome, not told"
    INTENT_TOLD = "an intent without outcome, told"
    OPEN = "a job that is open, not told"
    OPEN_TOLD = "a job that is open, told"
    COMPLETED = "a job that COMPLETED, and the task never ended green with it, not told"
    COMPLETED_TOLD = "a job that COMPLETED, and the task never ended green with it, told"
    GREEN = "a job that COMPLETED, and the task ended green with it"
    FAILED = "a job that closed otherwise (FAILED, CANCELED, TERMINATED, TIMED_OUT, unknown)"
    UNTRACEABLE = "a job that CONTINUED_AS_NEW, or that Zilliant no longer knows, not told"
    UNTRACEABLE_TOLD = "a job that CONTINUED_AS_NEW, or that Zilliant no longer knows, told"
    OTHER_OPEN = "an open job that was submitted with other arguments, not told"
    OTHER_OPEN_TOLD = "an open job that was submitted with other arguments, told"
    OTHER_ENDED = "a job that was submitted with other arguments, closed or no longer known to Zilliant"


class Sign(Enum):
    """Whether the task was cleared since the record was written."""

    RETRY = "a retry"
    CLEAR = "a clear"
    DOUBT = "a clear or a retry"


class Next(Enum):
    """What the try does."""

    SUBMIT = "submits"
    ATTACH = "attaches"
    RETURN = "returns it"
    ASK = "asks"


@dataclass(frozen=True)
class Row:
    """What a try does: after a retry, and after a clear with each ``on_clear``."""

    retry: Next
    ask: Next
    attach: Next
    submit: Next

    def clear(self, on_clear: OnClear) -> Next:
        return {"ask": self.ask, "attach": self.attach, "submit": self.submit}[on_clear]


_SUBMIT, _ATTACH, _RETURN, _ASK = Next.SUBMIT, Next.ATTACH, Next.RETURN, Next.ASK

#: One row for everything that can be found: (retry, clear with on_clear="ask", "attach", "submit").
TABLE: dict[Found, Row] = {
    Found.NOTHING: Row(_SUBMIT, _SUBMIT, _SUBMIT, _SUBMIT),
    Found.INTENT: Row(_ASK, _ASK, _ASK, _ASK),
    Found.INTENT_TOLD: Row(_ASK, _SUBMIT, _SUBMIT, _SUBMIT),
    Found.OPEN: Row(_ATTACH, _ASK, _ATTACH, _SUBMIT),
    Found.OPEN_TOLD: Row(_ATTACH, _SUBMIT, _ATTACH, _SUBMIT),
    Found.COMPLETED: Row(_RETURN, _ASK, _RETURN, _SUBMIT),
    Found.COMPLETED_TOLD: Row(_RETURN, _SUBMIT, _RETURN, _SUBMIT),
    Found.GREEN: Row(_RETURN, _SUBMIT, _SUBMIT, _SUBMIT),
    Found.FAILED: Row(_SUBMIT, _SUBMIT, _SUBMIT, _SUBMIT),
    Found.UNTRACEABLE: Row(_ASK, _ASK, _ASK, _SUBMIT),
    Found.UNTRACEABLE_TOLD: Row(_ASK, _SUBMIT, _SUBMIT, _SUBMIT),
    Found.OTHER_OPEN: Row(_ASK, _ASK, _ASK, _SUBMIT),
    Found.OTHER_OPEN_TOLD: Row(_ASK, _SUBMIT, _SUBMIT, _SUBMIT),
    Found.OTHER_ENDED: Row(_ASK, _SUBMIT, _SUBMIT, _SUBMIT),
}

_INTENTS = (Found.INTENT, Found.INTENT_TOLD)


def find(record: Intent | Job | None, asked_for: AskedFor, status: JobStatus | None, *, is_gone: bool) -> Found:
    """Which row applies.

    :param asked_for: what this try is to submit.
    :param status: what Zilliant reports about the job on record, if it could be polled.
    :param is_gone: whether Zilliant certainly no longer knows the job on record.
    """
    if record is None:
        return Found.NOTHING
    if isinstance(record, Intent):
        return Found.INTENT_TOLD if record.told else Found.INTENT
    is_closed = status is not None and status.is_closed
    goes_on = status is not None and status.close_status == "CONTINUED_AS_NEW"
    if record.asked_for != asked_for:
        if is_gone or (is_closed and not goes_on):
            return Found.OTHER_ENDED
        return Found.OTHER_OPEN_TOLD if record.told else Found.OTHER_OPEN
    if is_gone or goes_on:
        return Found.UNTRACEABLE_TOLD if record.told else Found.UNTRACEABLE
    if not is_closed:
        return Found.OPEN_TOLD if record.told else Found.OPEN
    assert status is not None, "only a job with a status is closed"
    if not status.succeeded:
        return Found.FAILED
    if record.green:
        return Found.GREEN
    return Found.COMPLETED_TOLD if record.told else Found.COMPLETED


def read_sign(then: Tries, now: Tries, *, retries: int, is_resumed: bool = False) -> Sign:
    """Whether the task was cleared between two tries.

    A clear sets ``max_tries`` to the tries so far plus the task's present ``retries``; nothing else changes
    it. Where that comes to the same number, a clear looks like a retry, and a retry after ``retries`` was
    lowered like a clear: that is the doubt. A record of this try or a later one is in doubt, too: it is of a
    run that was deleted and made again under the same id.

    :param then: when the record was written.
    :param retries: the task's, at present.
    :param is_resumed: whether this try was deferred before, so that the record may be its own.
    """
    counts = then.clear_number, now.clear_number
    nothing_was_cleared = None not in counts and counts[0] == counts[1]
    if then.max_tries != now.max_tries:
        return Sign.DOUBT if nothing_was_cleared else Sign.CLEAR
    if then.try_number >= now.try_number:
        return Sign.RETRY if is_resumed else Sign.DOUBT
    if nothing_was_cleared:
        return Sign.RETRY
    if then.try_number <= now.max_tries - retries:
        return Sign.DOUBT
    return Sign.RETRY


def decide(found: Found, sign: Sign, *, on_clear: OnClear, may_resubmit: bool) -> Next:
    """What the try does. In doubt, a row whose columns differ asks.

    :param may_resubmit: ``on_unknown_submission="resubmit"``: an intent without outcome is submitted again.
    """
    row = TABLE[found]
    clear = row.clear(on_clear)
    decision = {Sign.RETRY: row.retry, Sign.CLEAR: clear, Sign.DOUBT: row.retry if row.retry is clear else _ASK}[sign]
    return _SUBMIT if decision is _ASK and found in _INTENTS and may_resubmit else decision


def after_being_told(found: Found) -> Found:
    """The row that applies once a person has been told."""
    return {
        Found.INTENT: Found.INTENT_TOLD,
        Found.OPEN: Found.OPEN_TOLD,
        Found.COMPLETED: Found.COMPLETED_TOLD,
        Found.UNTRACEABLE: Found.UNTRACEABLE_TOLD,
        Found.OTHER_OPEN: Found.OTHER_OPEN_TOLD,
    }.get(found, found)


def to_markdown() -> str:
    """The table as the documentation shows it."""
    lines = ['| on record | a retry | a clear (`on_clear="ask"`) | `"attach"` | `"submit"` |', "| --- " * 5 + "|"]
    for found, row in TABLE.items():
        cells = (found.value, *(each.value for each in (row.retry, row.ask, row.attach, row.submit)))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
