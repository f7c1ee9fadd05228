"""``make bench``: runs the parts, prints their tables, writes ``docs/benchmarks.md`` and its chart.

It ends with 1 if a bar is not met. Each part keeps its results under ``.benchmarks/``, so a part
that is run on its own is reported together with what the others found last.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks import common, imports, lateness
from tests.benchmarks.common import Result, tell
from tests.harness.environments import FOLDER

PARTS = ("imports", "lateness", "queue", "waits", "polls", "submissions")
TRIGGERS = (100, 1000, 5000)
SCHEMES = ("http", "https")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--triggers", nargs="+", type=int, default=list(TRIGGERS), help="how many, for the waits")
    parser.add_argument("--schemes", nargs="+", choices=SCHEMES, default=list(SCHEMES), help="for the waits")
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes, and nothing written to docs/")
    options = parser.parse_args()
    if Path(sys.prefix) != FOLDER / common.PEERS.name:
        tell("Making the peers' environment, unless it is there (PyPI, about 10 s)")
        interpreter = str(common.PEERS.make())
        os.execv(interpreter, [interpreter, "-m", "tests.benchmarks", *sys.argv[1:]])
    if options.quick:
        common.RESULTS = common.RESULTS / "quick"
    with common.airflow_home() as env, tempfile.TemporaryDirectory() as folder:
        _run(options, env, Path(folder))

    from tests.benchmarks import report

    print(f"\n{report.printed()}\n")
    if not options.quick:
        report.write()
        tell(f"Written: {report.PAGE} and {report.CHART}")
    missed = [bar.what for bar in report.bars() if not bar.is_met]
    for what in missed:
        print(f"NOT met: {what}")
    return 1 if missed and not options.quick else 0


def _run(options: argparse.Namespace, env: dict[str, str], folder: Path) -> None:
    from tests.benchmarks import polls, scope_queue, submissions
    from tests.benchmarks.server import make_certificate

    certificate = make_certificate(folder)
    queuing: list[subprocess.Popen[str]] = []
    if "queue" in options.parts:
        tell("The queue: runs beside the next parts, as it mostly sleeps (5 min)")
        tasks = (2, 5) if options.quick else scope_queue.TASKS
        contests = [scope_queue.Contest(who, number) for number in tasks for who in scope_queue.WHO]
        queuing = scope_queue.begin(contests, env)
    if "imports" in options.parts:
        tell("Imports")
        common.keep("imports", imports.run(env, times=1 if options.quick else 5))
    if "lateness" in options.parts:
        tell("Lateness, by a simulated clock")
        common.keep("lateness", lateness.run(200 if options.quick else lateness.JOBS))
    if "waits" in options.parts:
        # A hundred triggers hardly load a core, so their cells run side by side, and beside the queue.
        _waits(options, env, certificate, [number for number in options.triggers if number <= 100])
    if queuing:
        tell("Waiting for the queue to end")
        common.keep("queue", scope_queue.collect(queuing))
    if "polls" in options.parts:
        tell("Polls, one after the other")
        common.keep("polls", polls.run(certificate, env, *((10, 50) if options.quick else ())))
    if "submissions" in options.parts:
        tell("Submissions")
        common.keep("submissions", submissions.run(certificate, env))
    if "waits" in options.parts:
        _waits(options, env, certificate, [number for number in options.triggers if number > 100])


def _waits(options: argparse.Namespace, env: dict[str, str], certificate: Path, triggers: list[int]) -> None:
    """Adds each cell to what is kept as soon as it is measured."""
    from tests.benchmarks import waits

    interval = 1.0 if options.quick else waits.INTERVAL
    for number in triggers:
        for scheme in options.schemes:
            cells = [waits.Cell(row, number, scheme, interval) for row in waits.ROWS]
            groups = [cells] if number <= 100 else [[cell] for cell in cells]
            for group in groups:
                tell(f"Waits: {number:,} triggers, {scheme}, {', '.join(cell.row for cell in group)}")
                for result in waits.run(group, certificate, env):
                    _keep_cell(result)


def _keep_cell(result: Result) -> None:
    def place(cell: Result) -> tuple[int, int, int]:
        from tests.benchmarks.waits import ROWS

        return cell["triggers"], SCHEMES.index(cell["scheme"]), list(ROWS).index(cell["row"])

    others = [cell for cell in common.kept("waits") if place(cell) != place(result)]
    common.keep("waits", sorted([*others, result], key=place))


if __name__ == "__main__":
    sys.exit(main())
