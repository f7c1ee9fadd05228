"""The fields of a record (what was asked for, by which try, what became of it), and their JSON form."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

from airflow_provider_zilliant.api.jobs import Submission


@dataclass(frozen=True)
class AskedFor:
    """What a submission asked Zilliant for. Two are equal if they would publish the same.

    :param parameters: a digest of each value: values may be confidential, and a record is readable.
    """

    base_url: str
    descriptor: str
    workflow: str
    scope: str | None
    parameters: Mapping[str, str]

    @classmethod
    def of(cls, submission: Submission, base_url: str) -> AskedFor:
        parameters = {key: _digest(value) for key, value in submission.parameters.items()}
        return cls(base_url, submission.descriptor, submission.workflow, submission.scope, parameters)

    def __str__(self) -> str:
        return f"workflow {self.workflow!r} " + (f"(scope {self.scope!r})" if self.scope else "(no scope)")

    def differences(self, other: AskedFor) -> list[str]:
        """What differs, for a message; of parameters only the keys."""
        found = [
            f"{name} was {mine!r} and is now {theirs!r}"
            for name, mine, theirs in (
                ("the environment", self.base_url, other.base_url),
                ("descriptor", self.descriptor, other.descriptor),
                ("workflow_automation_id", self.workflow, other.workflow),
                ("scope", self.scope, other.scope),
            )
            if mine != theirs
        ]
        keys = sorted({*self.parameters, *other.parameters})
        changed = [key for key in keys if self.parameters.get(key) != other.parameters.get(key)]
        return found + ([f"parameters differ in {', '.join(map(repr, changed))}"] if changed else [])


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True)
class Tries:
    """Airflow's counts at a moment: by them a clear is told from a retry.

    :param clear_number: how often the Dag run had been cleared, if Airflow tells tasks.
    """

    try_number: int
    max_tries: int
    clear_number: int | None = None


@dataclass(frozen=True)
class Intent:
    """A POST was about to be sent, and no outcome is on record: a worker died, or the reply was lost.

    :param tries: the counts of the try that meant to send it.
    :param time: when, in epoch seconds.
    :param told: whether a person has been told.
    :param told_at: the counts of the try that told: only a later clear is informed.
    :param earlier: what was on record before.
    """

    asked_for: AskedFor
    tries: Tries
    time: float
    told: bool = False
    told_at: Tries | None = None
    earlier: Intent | Job | None = None


@dataclass(frozen=True)
class Job:
    """A POST was accepted.

    :param tries: the counts of the try that sent it, or attached to it last.
    :param time: when it was accepted, in epoch seconds.
    :param told: whether a person has been told of it.
    :param green: whether the task ended green with it.
    :param told_at: the counts of the try that told: only a later clear is informed.
    """

    asked_for: AskedFor
    tries: Tries
    time: float
    job_id: str
    told: bool = False
    green: bool = False
    told_at: Tries | None = None


Record: TypeAlias = Intent | Job


def to_json(record: Record) -> dict[str, Any]:
    if isinstance(record, Job):
        return {"state": "job", **asdict(record)}
    # One step back is enough, and keeps the record small.
    earlier = record.earlier
    if isinstance(earlier, Intent):
        earlier = replace(earlier, earlier=None)
    common = {k: v for k, v in asdict(record).items() if k != "earlier"}
    return {"state": "intent", **common, "earlier": to_json(earlier) if earlier is not None else None}


def from_json(value: Any) -> Record:
    """The record in a JSON value.

    :raises KeyError, TypeError, ValueError: it is something else.
    """
    asked_for = AskedFor(**{**value["asked_for"], "parameters": dict(value["asked_for"]["parameters"])})
    tries = _tries(value["tries"])
    common = asked_for, tries, float(value["time"])
    told, told_at = bool(value["told"]), _tries(value["told_at"]) if value.get("told_at") is not None else None
    if value["state"] == "intent":
        earlier = value.get("earlier")
        return Intent(*common, told, told_at, from_json(earlier) if earlier is not None else None)
    if value["state"] == "job" and isinstance(value["job_id"], str):
        return Job(*common, value["job_id"], told, bool(value["green"]), told_at)
    raise ValueError("neither an intent nor a job")


def _tries(value: Any) -> Tries:
    tries = Tries(**value)
    if not all(isinstance(number, int) for number in (tries.try_number, tries.max_tries)):
        raise TypeError("a count is not a number")
    return tries
