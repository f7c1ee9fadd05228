"""Which POSTs of a run had a consent: the table of consent once more, from what was seen, not from what is on record.

After a POST that was or may have been accepted, another one needs a reason:

- the job before it is closed, and not as COMPLETED; or
- the outcome before it was unknown, and the Dag says ``on_unknown_submission="resubmit"``; or
- somebody cleared the task after it had told of that job, or of the unknown outcome; or
- somebody cleared the task when it was green with that job, which has COMPLETED (before Airflow 3.3, where the record
  ends with the task, in whichever state it is); or
- somebody cleared the task, which asks for something else than that job published, and the job is closed.

One clear consents to one submission that is or may have been accepted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tools.chaos_histories import Done

LOST = frozenset({"drop", "lose_reply", "cut", "garbage", "hang", "process_and_hang"})
#: A worker that dies during its POST says so before the POST arrives; no retry begins this soon after.
DYING = 0.5
#: Clocks of one machine, read by several processes.
SLACK = 0.05


def is_unknown(post: dict[str, Any]) -> bool:
    """Whether the sender could not know what became of this POST."""
    if post["fault"] == "garbage":  # the status line arrived: a 409 is a refusal, whatever its body says
        return bool(200 <= (post["status"] or 0) < 300)
    return post["fault"] in LOST or (post["fault"] == "status" and post["status"] == 503)


def seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()


@dataclass
class Before:
    """The last POST, or the last death, that may have led to a job."""

    time: float
    job: dict[str, Any] | None
    is_known: bool


def without_consent(
    posts: Sequence[dict[str, Any]],
    jobs: Sequence[dict[str, Any]],
    told: Sequence[float],
    done: Sequence[Done],
    deaths: Sequence[float],
    *,
    may_resubmit: bool,
    record_ends_with_task: bool,
) -> list[str]:
    """The POSTs that had no reason.

    :param told: when the task failed with a message that says what a clear does.
    :param deaths: when a worker died with an intent on record.
    """
    clears = [step for step in done if step.what == "clear"]
    found: list[str] = []
    accepted = iter(jobs)
    before: Before | None = None
    used: set[int] = set()
    moments: list[tuple[float, dict[str, Any] | None]] = [(seconds(post["at"]), post) for post in posts]
    moments += [(at + DYING, None) for at in deaths]
    moments.sort(key=lambda moment: moment[0])
    for now, post in moments:
        if post is None:
            if before is None or before.is_known:
                before = Before(now, None, is_known=False)
            continue
        consent = None
        if before is not None and not _is_free(before, now, may_resubmit):
            consent = next(
                (
                    number
                    for number, clear in enumerate(clears)
                    if number not in used and _consents(clear, before, post, now, told, record_ends_with_task)
                ),
                None,
            )
            if consent is None:
                found.append(f"POST at {post['at']} ({post['status']}, {post['fault']}) after {before}")
        job = next(accepted, None) if post["status"] == 202 else None
        if job is not None or is_unknown(post) or post["status"] is None:
            before = Before(now, job, is_known=job is not None and not is_unknown(post))
            if consent is not None:
                used.add(consent)
    return found


def _is_free(before: Before, now: float, may_resubmit: bool) -> bool:
    job = before.job
    if job is not None and before.is_known and _closed_by(job, now) and job["closeStatus"] != "COMPLETED":
        return True
    return may_resubmit and not before.is_known


def _consents(
    clear: Done,
    before: Before,
    post: dict[str, Any],
    now: float,
    told: Sequence[float],
    record_ends_with_task: bool,
) -> bool:
    if not before.time < clear.at or not clear.began < now + SLACK:
        return False
    if any(before.time < at < clear.at + SLACK for at in told):
        return True
    job, asked_for = before.job, post["body"]["parameters"]["edition"]
    is_closed = job is not None and before.is_known and _closed_by(job, now)
    if job is not None and is_closed and job["parameters"]["edition"] != asked_for:
        return True
    if clear.state != "success":
        return False
    return record_ends_with_task or (before.job is not None and _closed_by(before.job, now))


def _closed_by(job: dict[str, Any], now: float) -> bool:
    return job["executionStatus"] == "CLOSED" and seconds(job["closeTimeStamp"]) <= now + SLACK
