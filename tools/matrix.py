"""``make test-matrix``: the fast suite and the end-to-end run in every supported Airflow, and one table of it all."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import time
import traceback
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness import end_to_end
from tests.harness.environments import AIRFLOWS, FOLDER, PROJECT, PYTHONS, Environment, interpreter, with_airflow

SUITE = ("tests/protocol", "tests/wire", "tests/in_airflow")
SUITE_TAKES_AT_MOST = 900.0
NEWEST = list(AIRFLOWS)[-1]
STARTED = time.monotonic()
VERSIONS = """
import importlib.metadata, json, platform
print(json.dumps([importlib.metadata.version("apache-airflow"), platform.python_version()]))
"""


@dataclass
class Row:
    """What the table says of one environment."""

    airflow: str
    python: str
    tests: str = ""
    end_to_end: str = ""
    seconds: float | None = None
    notes: list[str] = field(default_factory=list)
    ran: bool = False
    failed: bool = False

    def cells(self) -> tuple[str, ...]:
        seconds = "" if self.seconds is None else f"{self.seconds:.0f}"
        return self.airflow, self.python, self.tests, self.end_to_end, seconds, "; ".join(self.notes)


HEADING = ("Airflow", "Python", "fast suite", "end to end", "seconds", "")


def tell(what: str) -> None:
    """One line of progress."""
    print(f"[{time.monotonic() - STARTED:4.0f} s] {what}", flush=True)


def combinations() -> list[tuple[str, str]]:
    """Every Airflow on the oldest Python, and the newest Airflow on the others."""
    return [(airflow, PYTHONS[0]) for airflow in AIRFLOWS] + [(NEWEST, python) for python in PYTHONS[1:]]


def examine(airflow: str, python: str) -> Row:
    """Makes the environment, and runs the fast suite and the end-to-end run in it."""
    began = time.monotonic()
    row = Row(airflow, python, ran=True)
    environment = with_airflow(airflow, python)
    name = f"Airflow {airflow}, Python {python}"
    try:
        environment.make()
        row.airflow, row.python = _versions(environment)
        tell(f"{name}: the fast suite")
        _run_suite(environment, row)
        tell(f"{name}: {row.tests}; the end-to-end run")
        _run_end_to_end(environment, airflow, row)
        tell(f"{name}: end to end {row.end_to_end}")
    except Exception as error:  # one broken environment must not hide what the others say
        row.failed = True
        row.notes.append(f"{type(error).__name__}: {_first_line(error)}")
        tell(f"FAILED: {name}:\n{traceback.format_exc()}")
    row.seconds = time.monotonic() - began
    return row


def _versions(environment: Environment) -> tuple[str, str]:
    told = subprocess.run(
        [environment.interpreter, "-c", VERSIONS], check=True, capture_output=True, text=True, timeout=60
    )
    airflow, python = json.loads(told.stdout)
    return airflow, python


def _run_suite(environment: Environment, row: Row) -> None:
    log, report = (FOLDER / f"{environment.name}.{kind}" for kind in ("log", "xml"))
    report.unlink(missing_ok=True)
    # Without the cache: its folder is one for all, and the environments run side by side.
    command = [
        environment.interpreter,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        *("-n", "2"),  # a good part of the suite waits: for a job, a retry, a fresh process
        "--durations=10",
        f"--junitxml={report}",
        *SUITE,
    ]
    with log.open("w") as file:
        done = subprocess.run(
            command, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=file, stderr=file, timeout=SUITE_TAKES_AT_MOST
        )
    if not report.exists():
        raise RuntimeError(f"pytest ended with {done.returncode} and without a report; see {log}")
    passed, failures, skips = read_report(report)
    parts = [f"{passed} passed", f"{len(failures)} failed" if failures else "", _count(skips.values(), "skipped")]
    row.tests = ", ".join(part for part in parts if part)
    row.notes += [f"{count} skipped: {reason}" for reason, count in skips.items()]
    if failures or done.returncode != 0 or not passed:
        row.failed = True
        row.notes.append(f"see {log.relative_to(PROJECT)}")
        for failure in failures:
            tell(f"FAILED in {environment.name}: {failure}")


def _count(numbers: Iterable[int], what: str) -> str:
    total = sum(numbers)
    return f"{total} {what}" if total else ""


def read_report(report: Path) -> tuple[int, list[str], Counter[str]]:
    """How many tests passed, the names of those that failed, and how many were skipped for which reason."""
    passed, failures, skips = 0, [], Counter[str]()
    for case in ElementTree.parse(report).iter("testcase"):
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            failures.append(f"{case.get('classname')}::{case.get('name')}")
        elif skipped is not None:
            skips[skipped.get("message") or "no reason given"] += 1
        else:
            passed += 1
    return passed, failures, skips


def _run_end_to_end(environment: Environment, airflow: str, row: Row) -> None:
    folder = FOLDER / f"{environment.name}.whole"
    try:
        end_to_end.run_in(environment, int(airflow.split(".")[0]), folder)
    except Exception as error:
        row.failed, row.end_to_end = True, "FAILED"
        row.notes.append(f"end to end: {_first_line(error)} (logs in {folder.relative_to(PROJECT)})")
        tell(f"FAILED end to end in {environment.name}:\n{traceback.format_exc()}")
    else:
        row.end_to_end = "passed"


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def table(rows: Sequence[Row]) -> str:
    lines = [HEADING, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADING))]
    texts = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    texts.insert(1, "  ".join("-" * width for width in widths[:-1]))
    return "\n".join(texts)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make test-matrix", description=__doc__)
    parser.add_argument("--rest", action="store_true", help="without the Airflow and Python of `make test` itself")
    parser.add_argument("--only", action="append", metavar="AIRFLOW", help="this Airflow (and further ones)")
    parser.add_argument("--side-by-side", type=int, default=2, metavar="N", help="environments at once")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    own = (NEWEST, f"{sys.version_info.major}.{sys.version_info.minor}")
    FOLDER.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        pool = ThreadPoolExecutor(given.side_by_side)
        stack.callback(pool.shutdown, cancel_futures=True)
        futures = []
        for airflow, python in combinations():
            if given.only and airflow not in given.only:
                continue
            if given.rest and (airflow, python) == own:
                row = Row(airflow, python, tests="the main suite's, above")
            elif interpreter(python) is None:
                row = Row(airflow, python, tests="not on this machine")
            else:
                futures.append(pool.submit(examine, airflow, python))
                continue
            futures.append(pool.submit(lambda row=row: row))
        rows = [future.result() for future in futures]
    print(f"\n{table(rows)}", flush=True)
    if not any(row.ran for row in rows):
        print("Nothing was run.", flush=True)
        return 1
    return 1 if any(row.failed for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
