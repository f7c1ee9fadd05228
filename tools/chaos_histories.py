"""What people do to the runs of the chaos suite: clear them in every state, and edit the Dag between two tries."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import requests

from tests.harness.private_airflow import PrivateAirflow

ENDS = ("success", "failed")
#: Each a list of steps: what is done, and the state of the task in which it is done.
HISTORIES = (
    "clear running",
    "clear deferred",
    "clear ended",
    "clear ended, clear ended",
    "clear running, clear ended",
    "clear deferred, clear deferred",
    "edit running",
    "edit ended, clear ended",
    "edit deferred, clear deferred, clear ended",
)


@dataclass(frozen=True)
class Done:
    """A step that was taken.

    :param state: the task's, right before.
    :param at: epoch seconds, when it was certainly done.
    :param began: epoch seconds, when it may have been done already.
    """

    what: str
    state: str
    began: float
    at: float


@dataclass
class Life:
    """The steps that a run still has before it, and those behind it."""

    dag_id: str
    run_id: str
    steps: list[str]
    done: list[Done] = field(default_factory=list)
    ended_time: float | None = None


class People:
    """Takes the steps of each run, one a look.

    :param edited: the file in which the Dag finds what an edit made of its parameters.
    """

    def __init__(self, airflow: PrivateAirflow, edited: Path) -> None:
        self.airflow, self.edited = airflow, edited
        self.lives: dict[str, Life] = {}
        self.counted: Counter[str] = Counter()
        self._editions: dict[str, int] = {}

    def follow(self, dag_id: str, run_id: str, history: str) -> None:
        self.lives[run_id] = Life(dag_id, run_id, history.split(", ") if history else [])

    def edition(self, run_id: str) -> str:
        return str(self._editions.get(run_id, 1))

    def look(self, run_id: str) -> bool:
        """Takes the run's next step, if it is time; whether the run has ended, and nobody will touch it any more."""
        life = self.lives[run_id]
        (task,) = self.airflow.tasks(life.dag_id, run_id)
        state, run_state = str(task["state"]), self.airflow.run_state(life.dag_id, run_id)
        has_ended = run_state in ENDS
        if not has_ended:
            life.ended_time = None
        elif life.ended_time is None:
            life.ended_time = time.monotonic()
        # Airflow marks the end of a run that is just ending over a clearing.
        has_settled = life.ended_time is not None and time.monotonic() - life.ended_time > 3
        if not life.steps:
            return has_settled
        what, when = life.steps[0].split()
        if has_settled or when == state or (when == "running" and state == "queued" and life.done):
            self._act(life, what, state)
            life.ended_time = None
        return False

    def _act(self, life: Life, what: str, state: str) -> None:
        began = time.time()
        if what == "edit":
            self._editions[life.run_id] = 2
            self.edited.with_suffix(".new").write_text(json.dumps(self._editions))
            self.edited.with_suffix(".new").replace(self.edited)
        else:
            with contextlib.suppress(requests.RequestException, RuntimeError):  # perhaps it was done all the same
                state = self.airflow.clear(life.dag_id, life.run_id) or state
        life.done.append(Done(what, state, began, time.time()))
        life.steps.pop(0)
        self.counted[f"{what} of a task that is {state}"] += 1
