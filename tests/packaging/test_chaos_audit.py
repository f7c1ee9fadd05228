"""The audit of ``make chaos`` is honest: it sees what had no consent, and counts each clear once."""

from __future__ import annotations

import pytest

from tools.chaos_audit import without_consent
from tools.chaos_histories import Done


def at(time: float) -> str:
    return f"1970-01-01T00:00:{time:06.3f}Z"


def post(time: float, status: int | None = 202, fault: str | None = None, edition: str = "1") -> dict:
    return {"at": at(time), "status": status, "fault": fault, "body": {"parameters": {"edition": edition}}}


def job(closed: float | None = None, how: str = "COMPLETED") -> dict:
    parameters = {"edition": "1"}
    if closed is None:
        return {"executionStatus": "OPEN", "closeStatus": None, "closeTimeStamp": None, "parameters": parameters}
    return {
        "executionStatus": "CLOSED",
        "closeStatus": how,
        "closeTimeStamp": at(closed),
        "parameters": parameters,
    }


def clear(time: float, state: str = "failed") -> Done:
    return Done("clear", state, time, time)


@pytest.mark.parametrize(
    ("posts", "jobs", "told", "done", "deaths", "unfounded"),
    [
        ([post(1)], [job()], [], [], [], 0),
        ([post(1), post(5)], [job(), job()], [], [], [], 1),
        ([post(1), post(5, 409)], [job()], [], [], [], 1),
        ([post(1, 409), post(5)], [job()], [], [], [], 0),
        ([post(1), post(5)], [job(3, "FAILED"), job()], [], [], [], 0),
        ([post(1), post(5)], [job(7, "FAILED"), job()], [], [], [], 1),
        ([post(1), post(5)], [job(3), job()], [], [], [], 1),
        ([post(1, None, "drop"), post(5)], [job()], [], [], [], 1),
        ([post(1, 202, "lose_reply"), post(5)], [job(), job()], [2], [clear(3)], [], 0),
        ([post(1, 202, "lose_reply"), post(5)], [job(), job()], [4], [clear(3)], [], 1),
        ([post(1), post(5)], [job(), job()], [], [clear(3, "running")], [], 1),
        ([post(1), post(5)], [job(2), job()], [], [clear(3, "success")], [], 0),
        ([post(1), post(5)], [job(), job()], [], [clear(3, "success")], [], 1),
        ([post(1), post(5), post(9)], [job(2), job(6), job()], [], [clear(3, "success")], [], 1),
        ([post(1), post(5, 500), post(6)], [job(2), job()], [], [clear(3, "success")], [], 0),
        ([post(1), post(5, edition="2")], [job(2), job()], [], [clear(3, "deferred")], [], 0),
        ([post(1), post(5, edition="2")], [job(2), job()], [], [], [], 1),
        ([post(1), post(5, edition="2")], [job(), job()], [], [clear(3, "deferred")], [], 1),
        ([post(5)], [job()], [], [], [1], 1),
        ([post(1.001)], [job()], [], [], [1], 0),
        ([post(1.001), post(5)], [job(), job()], [], [], [1], 1),
    ],
)
def test_what_had_no_consent_is_found(posts, jobs, told, done, deaths, unfounded):
    how = {"may_resubmit": False, "record_ends_with_task": False}
    assert len(without_consent(posts, jobs, told, done, deaths, **how)) == unfounded


def test_resubmit_consents_to_what_is_unknown_only():
    how = {"may_resubmit": True, "record_ends_with_task": False}
    assert without_consent([post(1, None, "drop"), post(5)], [job()], [], [], [], **how) == []
    assert len(without_consent([post(1), post(5)], [job(), job()], [], [], [], **how)) == 1
