"""What a run must reach: every row of the table in each column, every row of the page on crashes, every known item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from airflow_provider_zilliant.operators.consent import Found

#: How often each must be met in 10,000 lives.
ENOUGH = 100

#: What hardly any history leads to: green is noted once Airflow has the success, and then no retry follows. Rows that
#: are met by a race of two processes only.
RARE = {"row GREEN retry": 0, "row INTENT_TOLD retry": 50}

COLUMNS = ("retry", "ask", "attach", "submit")

#: Rows of ``docs/crashes.md``, and which counters come to each: names that begin with one of these.
CRASHES: dict[str, tuple[str, ...]] = {
    "it dies before the intent is recorded": ("kill at start", "kill at store.get", "kill at connection"),
    "between intent and POST": ("kill at post.connect", "kill at store.after"),
    "during the POST, or before its reply": ("kill at post.sent",),
    "between the reply and its record": ("kill at post.reply", "kill at log", "kill at metrics"),
    "after the record": ("kill at xcom", "kill at state.before"),
    "while it waits for the scope, or for the job, in the triggerer": ("crash: triggerer",),
    "while it waits for the job, on the worker": ("kill at get", "SIGKILL in"),
    "a kill that leaves it five seconds": ("terminate at",),
    "2xx with a readable jobId": ("crash: post 202",),
    "2xx without a readable jobId": ("crash: post 202 unreadable",),
    "409": ("crash: post 409",),
    "400": ("crash: post 400",),
    "401, 403, 404, 429, 3xx, other 4xx": tuple(f"crash: post {n}" for n in (401, 403, 404, 422, 429, 301)),
    "500": ("crash: post 500",),
    "no connection": ("crash: post no connection",),
    "502, 503, 504, 408": tuple(f"crash: post {n}" for n in (502, 503, 504, 408)),
    "timeout or reset after the request began to leave": ("post: lost", "post: hang", "post: drop", "crash: post cut"),
    "execution_timeout, or a kill by Airflow 2, during the POST": ("alarm in request", "kill of 2.11 in request"),
    "a kill by Airflow 3 during the POST": ("kill of 3 in request",),
    "a trigger that fails, or cannot be imported, or is late": ("item 3",),
    "a trigger that runs twice": ("a trigger twice",),
    "an answer with a jobId": ("an answer was used",),
}

#: Proven, each by a history, and how a run knows that it met that history.
ITEMS: dict[int, str] = {
    1: "2.11 ends a resumed task by execution_timeout",
    2: "a clear attaches, then a plain retry",
    3: "a trigger fails or is late, without memory or with it",
    4: "a clear during the POST",
    5: "a gateway's 404 about a job on record",
    6: "a clear after retries was lowered",
    7: "a record of another ask",
    9: "the secrets backend stumbles",
    10: "a Connection edited while its triggerer is busy",
    11: "slow metrics or logs after acceptance without memory",
    12: "a kill before the POST",
    13: "slow workers in the line",
    14: "a record that cannot be restored after a certain 409",
    15: "a proxy with a password, and a gateway that echoes",
    16: "a long Retry-After, and a kill",
}


def required() -> dict[str, Callable[[Counter[str]], int]]:
    """Name: how often a run has met it."""

    def total(prefixes: tuple[str, ...]) -> Callable[[Counter[str]], int]:
        return lambda met: sum(n for name, n in met.items() if name.startswith(prefixes))

    def exact(name: str) -> Callable[[Counter[str]], int]:
        return lambda met: met[name]

    wanted: dict[str, Callable[[Counter[str]], int]] = {}
    for found in Found:
        for column in COLUMNS:
            # The first try finds nothing; a clear finds nothing where no POST was begun, and there is no sign of it.
            if found is not Found.NOTHING:
                name = f"row {found.name} {column}"
                wanted[name] = exact(name)
    wanted["a sign in doubt"] = lambda met: sum(n for name, n in met.items() if name.endswith(" doubt"))
    for row, prefixes in CRASHES.items():
        wanted[f"crash: {row}"] = total(prefixes)
    for number, what in ITEMS.items():
        wanted[f"item {number}: {what}"] = exact(f"item {number}")
    return wanted
