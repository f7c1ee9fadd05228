"""The truth, and the judge: what was accepted, told, cleared and green, seen from outside the operator.

The judge knows nothing of records, signs or the table's code. It knows what Zilliant accepted, which texts a
person could read when, and what people did, and asks of every second job whether somebody had agreed to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_zilliant.exceptions import ZilliantError

if TYPE_CHECKING:
    from tests.simulation.airflow import TaskInstance, Worker
    from tests.simulation.wire import Place


class Violation(Exception):
    """An invariant does not hold."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind


@dataclass(eq=False)
class Accepted:
    """A job, as Zilliant knows it for certain.

    :param began: when its POST began to leave.
    :param known: since when the task's memory holds its id.
    :param claimed: what a person has answered that it was asked for, if it was not that.
    :param replied: whether the process that sent it has read its id.
    """

    job_id: str
    place: Place
    asked: dict[str, Any]
    job: Any
    worker: Worker
    began: float
    time: float
    known: float | None = None
    replied: bool = False
    forgotten: bool = False
    noted_green: bool = False
    claimed: tuple[str, str] | None = None

    @property
    def digest(self) -> tuple[str, str]:
        return self.claimed or digest(self.place.url, self.asked)

    def state(self, now: float) -> str:
        result = self.job.result
        is_closed = now >= self.job.closed_at
        if self.forgotten and not (is_closed and result not in ("COMPLETED", "CONTINUED_AS_NEW")):
            return "gone"
        if not is_closed:
            return "open"
        return "completed" if result == "COMPLETED" else "continued" if result == "CONTINUED_AS_NEW" else "failed"


def digest(url: str, asked: dict[str, Any]) -> tuple[str, str]:
    parameters = sorted(asked["parameters"].items())
    return url, f"{asked['descriptor']}|{asked.get('scope')}|{parameters}"


def objection(earlier: Accepted, new: Accepted, ti: TaskInstance) -> str | None:
    """Why the new job must not have been submitted beside the earlier one; ``None``: somebody agreed, or it is over."""
    worker = new.worker
    options = worker.options
    same = earlier.digest == new.digest
    state = earlier.state(new.time)
    unknown = earlier.known is None or earlier.known > worker.intended
    # A clear of the process that was about to send the earlier one counts, too: it is killed for it, a little later.
    clears = [clear for clear in ti.clears if earlier.worker.started <= clear.time <= worker.started]
    if state == "failed" and (same or clears or unknown):
        return None
    if unknown and options["on_unknown_submission"] == "resubmit" and (options["durable"] or not earlier.replied):
        return None
    if not options["durable"]:
        if clears or any(lost >= earlier.began for lost in ti.life.lost[ti.index]):
            return None
        return "durable=False, and nobody cleared, and no process was lost"
    if not clears:
        return f"a retry, while the earlier job was {state}" + (" and unknown" if unknown else "")
    if any(clear.forgets for clear in clears):
        return None
    greens = [time for time, job_id in ti.greens if job_id == earlier.job_id]
    if greens and any(clear.time >= greens[0] for clear in clears):
        return None
    if not same and state in ("failed", "completed", "gone") and earlier.digest[0] == new.digest[0] and not unknown:
        return None
    told = any(
        earlier.began <= time <= clear.time and is_about(text, earlier)
        for clear in clears
        for time, text in ti.tellings
    )
    if unknown:
        return None if told else "a clear, but nobody had been told that the outcome was unknown"
    if options["on_clear"] == "submit":
        return None
    if options["on_clear"] == "attach" and same and state in ("open", "completed"):
        return f"on_clear='attach', and the earlier job was {state}"
    return None if told else f"a clear, but nobody had been told of the earlier job, which was {state}"


def is_about(text: str, job: Accepted) -> bool:
    """Whether a text tells a person of the job: by its id, or as an unknown outcome of its workflow."""
    if job.job_id in text:
        return True
    workflow = job.asked["parameters"]["WORKFLOW_AUTOMATION_ID"]
    return ("outcome" in text or "unknown" in text) and repr(workflow) in text


def check_type(error: BaseException, allowed: tuple[type[BaseException], ...]) -> str | None:
    if isinstance(error, (ZilliantError, *allowed)):
        return None
    return f"untyped {type(error).__module__}.{type(error).__name__}: {error}"
