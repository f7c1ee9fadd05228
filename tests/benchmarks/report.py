"""Results as tables, as a page in ``docs/``, and as a chart; and whether the bars are met."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks.common import Result, kept
from tests.harness.environments import PROJECT

PAGE = PROJECT / "docs" / "benchmarks.md"
CHART = PROJECT / "docs" / "images" / "benchmarks.png"

NAMES = {
    "floor": "floor",
    "zilliant": "**this provider**",
    "databricks": "Databricks",
    "dbt_cloud": "dbt Cloud",
    "http": "HTTP sensor",
    "alternative": "POST, retried",
}
_PACKAGES = (
    "airflow-provider-zilliant",
    "apache-airflow",
    "apache-airflow-providers-databricks",
    "apache-airflow-providers-dbt-cloud",
    "apache-airflow-providers-http",
    "aiohttp",
    "requests",
)


@dataclass(frozen=True)
class Bar:
    """One promise of speed; ``measured`` and ``limit`` are in the same unit."""

    what: str
    measured: float
    limit: float
    unit: str = ""

    @property
    def is_met(self) -> bool:
        return 0 < self.measured <= self.limit  # nothing costs nothing: that would be a measurement gone wrong


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table with aligned columns, which reads well on a terminal too."""
    cells = [list(head), *(list(row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    cells.insert(1, ["-" * width if column == 0 else "-" * (width - 1) + ":" for column, width in enumerate(widths)])
    return "\n".join(f"| {' | '.join(_aligned(row, widths))} |" for row in cells)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> Iterable[str]:
    first, *others = zip(row, widths, strict=True)
    return [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]


def waits_table(results: list[Result], triggers: int, scheme: str) -> str:
    of_cell = [result for result in results if (result["triggers"], result["scheme"]) == (triggers, scheme)]
    head = ("", "CPU a poll", "lag, together", "lag, steady", "connections", "memory a trigger", "polls a second")
    rows = []
    for result in of_cell:
        asked = result["triggers"] / result["interval"]
        polls = f"{result['polls_per_second']:.0f}"
        # This provider's own jitter makes it 5 % fewer.
        polls += " (cannot keep up)" if result["polls_per_second"] < 0.85 * asked else ""
        polls += f" ({result['ended']} ended)" if result["ended"] else ""
        rows.append(
            (
                NAMES[result["row"]],
                f"{result['cpu_ms']:.2f} ms",
                f"{result['start_lag_ms']:.0f} ms",
                f"{result['steady_lag_ms']:.0f} ms",
                f"{connections(result):,}",
                f"{result['memory_kb']:.1f} kB",
                polls,
            )
        )
    return table(head, rows)


def connections(result: Result) -> int:
    """Connections that were opened in the half that opened more."""
    opened: list[int] = [result["connections"], result["connections_together"]]
    return max(opened)


def queue_table(results: list[Result]) -> str:
    head = ("", "tasks", "POSTs", "2N - 1", "refused", "end to next, median", "largest", "all N took")
    return table(
        head,
        [
            (
                NAMES[result["who"]],
                str(result["tasks"]),
                str(result["posts"]),
                str(2 * result["tasks"] - 1),
                str(result["refusals"]),
                f"{result['gap_median']:.1f} s",
                f"{result['gap_max']:.1f} s",
                f"{result['seconds']:.0f} s",
            )
            for result in results
        ],
    )


def lateness_table(results: list[Result]) -> str:
    return table(
        ("jobs that run", "noticed after, mean", "largest", "largest share of the run time"),
        [
            (
                f"{_span(result['shortest'])} to {_span(result['longest'])}",
                f"{result['mean_seconds']:.1f} s",
                f"{result['seconds']:.1f} s",
                f"{result['share']:.1%}",
            )
            for result in results
        ],
    )


def against_bare_table(results: list[Result], what: str, bare: str) -> str:
    names = {**NAMES, "bare": bare}
    return table(
        ("", "", f"{what}s a second", f"CPU a {what}"),
        [
            (names[result["who"]], result["scheme"], f"{result['per_second']:.0f}", f"{result['cpu_ms']:.2f} ms")
            for result in results
        ],
    )


def imports_table(results: list[Result]) -> str:
    return table(
        ("", "adds", "loads"),
        [(NAMES[result["who"]], f"{result['ms']:.0f} ms", ", ".join(result["loaded"]) or "-") for result in results],
    )


def bars() -> list[Bar]:
    """Those whose figures are there."""
    found: list[Bar] = []
    of_thousand = {
        result["row"]: result for result in kept("waits") if (result["triggers"], result["scheme"]) == (1000, "http")
    }
    if of_thousand:
        ours, floor = of_thousand["zilliant"], of_thousand["floor"]
        found += [
            Bar("CPU a poll, against the floor", ours["cpu_ms"] / floor["cpu_ms"], 1.35),
            Bar("connections for 1,000 triggers", connections(ours), 100),
            Bar("event-loop lag, 1,000 triggers starting together", ours["start_lag_ms"], 50, " ms"),
            Bar("memory of a waiting trigger, against the floor", ours["memory_kb"] / floor["memory_kb"], 2),
            Bar("memory of a waiting trigger", ours["memory_kb"], 4.2, " kB"),
        ]
    for result in kept("queue"):
        if result["who"] == "zilliant":
            found.append(
                Bar(f"POSTs for {result['tasks']} tasks on one scope", result["posts"], 2 * result["tasks"] - 1)
            )
    if late := kept("lateness"):
        worst = max(result["of_allowed"] for result in late)
        found.append(
            Bar(
                "a job's end noticed, against 10 % of its run time (5 to 60 s, not before 8 s) and 10 % jitter",
                worst,
                1,
            )
        )
    if ratio := _against_bare("polls"):
        found.append(Bar("poll after poll in one tight loop, against bare `aiohttp`", ratio, 1.2))
    if ratio := _against_bare("submissions"):
        found.append(Bar("CPU a submission, against bare `requests.post`", ratio, 1.5))
    for result in kept("imports"):
        if result["who"] == "zilliant":
            found.append(Bar("importing the operators, beyond `BaseOperator`", result["ms"], 15, " ms"))
    return found


def _against_bare(part: str) -> float | None:
    """This provider's CPU time over that of the bare client, over plain http."""
    cpu = {result["who"]: result["cpu_ms"] for result in kept(part) if result["scheme"] == "http"}
    return cpu["zilliant"] / cpu["bare"] if cpu else None


def bars_table(found: list[Bar]) -> str:
    return table(
        ("", "measured", "bar", ""),
        [
            (bar.what, f"{bar.measured:.3g}{bar.unit}", f"{bar.limit:g}{bar.unit}", "met" if bar.is_met else "NOT met")
            for bar in found
        ],
    )


def sections() -> list[tuple[str, str]]:
    """Headings and what stands under them, for the parts that have results."""
    waits = kept("waits")
    cells = dict.fromkeys((result["triggers"], result["scheme"]) for result in waits)
    tables = [
        f"{triggers:,} triggers, {scheme}:\n\n{waits_table(waits, triggers, scheme)}" for triggers, scheme in cells
    ]
    return [
        (heading, text)
        for heading, text in (
            ("The bars", bars_table(bars())),
            ("Waiting", "\n\n".join(tables)),
            ("One scope, N tasks", queue_table(kept("queue"))),
            ("How late a job's end is noticed", lateness_table(kept("lateness"))),
            ("Poll after poll", against_bare_table(kept("polls"), "poll", "bare `aiohttp`")),
            ("Submitting", against_bare_table(kept("submissions"), "submission", "bare `requests.post`")),
            ("Importing the operators", imports_table(kept("imports"))),
        )
        if text.count("\n") > 1
    ]


_NOTES = {
    "The bars": """\
The bars for waiting are for 1,000 triggers over plain http.""",
    "Waiting": """\
Each row was measured in a fresh process against a fresh server process. Every trigger polls every 10 s (this
provider: 10 to 11 s). *Together*: all triggers start at the same moment; otherwise they start spread over 10 s, as
tasks do. *Lag* is the largest lateness of a 5 ms sleep in the same event loop. *CPU* is the client process's, over
10 s. *Connections* is the number the server saw over 12 s (together) or 26 s (spread), whichever was larger. *Memory*
is what Python holds for a trigger that sleeps between two polls, counted by `tracemalloc` and without OpenSSL's. The
floor is one `aiohttp` session for all jobs and a plain coroutine per job. It sends the same requests as this provider
and, like any plain coroutine, keeps its last reply while it sleeps; one that drops the reply holds about 2 kB. Over
TLS, this provider gets the certificate from `verify` in Extra, its peers from the environment variable
`SSL_CERT_FILE`. dbt Cloud supports only https: for plain http, the scheme in its URLs was replaced. Logging is at
WARNING, so the peers' INFO line per poll is not counted. All Connections come from the environment; in a triggerer,
each read of a Connection is a call to Airflow's API, which the peers make once per trigger.""",
    "One scope, N tasks": """\
All tasks start together and want the same scope; jobs run for 3 to 4.8 s. Triggers, hook and server are real; a
simulated worker takes 0.5 to 1 s to start or resume a task, a simulated triggerer 0.2 to 1 s to start a trigger. This
provider uses its default `poll_interval`, whose first poll comes after 8 s, so it notices the end of these short jobs
late; the end of a longer job is noticed within a tenth of its run time. The alternative posts, fails on a 409, and is
retried after 5 s; it does not wait for the job. Every POST also starts a worker. With Airflow's default `retry_delay`
of five minutes, the alternative would send fewer requests and leave the scope idle for minutes.""",
    "How late a job's end is noticed": """\
The real wait on a simulated clock: 2,000 random run times per row, `poll_interval=None`. The first poll comes after
8 s, because Airflow's LocalExecutor may fail a task that is resumed sooner.""",
    "Poll after poll": """\
Medians of alternating batches of 200, without a pause between polls: `Client.poll` over the triggerer's transport, and
`aiohttp.ClientSession.get` with the same headers whose JSON is parsed, to the same server.""",
    "Submitting": """\
Medians of alternating batches of 100: `ZilliantHook.run_workflow` on an open hook, and `requests.Session.post` with
the same body and headers, to the same server.""",
    "Importing the operators": """\
Medians of 5 fresh processes, after `from airflow.sdk import BaseOperator`. *Loads*: which of `requests` and `aiohttp`
the import loads.""",
}


def printed() -> str:
    return "\n\n".join(f"{heading}\n\n{text}" for heading, text in sections())


def write() -> None:
    """The page and the chart."""
    machine = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    parts = [
        "# Benchmarks",
        "The cost of waiting, submitting and importing, compared with a floor and with other providers. `make bench` "
        "writes this page. Look at ratios, not at milliseconds, which depend on the machine.",
        f"Measured with {packages}; {machine}.",
        "![Chart of the figures below](images/benchmarks.png)",
    ]
    for heading, text in sections():
        parts += [f"## {heading}", text] + ([_NOTES[heading]] if heading in _NOTES else [])
    PAGE.write_text("\n\n".join(parts) + "\n")
    _draw(CHART)


def _draw(file: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(2, 3, figsize=(13, 7), layout="constrained")
    of_thousand = [result for result in kept("waits") if result["triggers"] == 1000]
    plain = [result for result in of_thousand if result["scheme"] == "http"]
    waits = (
        ("CPU a poll, ms", [result["cpu_ms"] for result in plain], False),
        ("largest event-loop lag, starting together, ms", [result["start_lag_ms"] for result in plain], True),
        ("connections opened", [connections(result) for result in plain], True),
        ("memory a trigger, kB", [result["memory_kb"] for result in plain], False),
    )
    for panel, (title, values, is_log) in zip(panels.flat, waits, strict=False):
        names = [NAMES[result["row"]].strip("*") for result in plain]
        colours = ["#2a6f97" if result["row"] == "zilliant" else "#b8c0c8" for result in plain]
        drawn = panel.barh(names, values, color=colours)
        panel.bar_label(drawn, fmt=lambda value: f"{value:,.0f}" if value >= 100 else f"{value:.3g}", padding=3)
        panel.set_title(title, fontsize=10)
        panel.invert_yaxis()
        panel.margins(x=0.2)
        if is_log and plain:
            panel.set_xscale("log")
            panel.set_xlim(left=1)
    posts, gaps = panels.flat[4], panels.flat[5]
    queue = kept("queue")
    for who, colour in (("zilliant", "#2a6f97"), ("alternative", "#b8c0c8")):
        of_who = [result for result in queue if result["who"] == who]
        tasks = [result["tasks"] for result in of_who]
        name = NAMES[who].strip("*")
        posts.plot(tasks, [result["posts"] for result in of_who], "o-", color=colour, label=name)
        gaps.plot(tasks, [result["gap_median"] for result in of_who], "o-", color=colour, label=name)
    posts.set_title("POSTs for N tasks on one scope", fontsize=10)
    gaps.set_title("from a job's end to the next submission, median, s", fontsize=10)
    for panel in (posts, gaps):
        panel.set_xscale("log" if queue else "linear")
        panel.set_xticks(sorted({result["tasks"] for result in queue}))
        panel.xaxis.set_major_formatter("{x:g}")
        panel.xaxis.set_minor_formatter("")
        panel.set_xlabel("N")
        panel.legend(frameon=False)
    posts.set_yscale("log" if queue else "linear")
    gaps.set_ylim(bottom=0)
    for panel in panels.flat:
        panel.spines[["top", "right"]].set_visible(False)
    figure.suptitle("1,000 waiting triggers, a poll each 10 s, http; and N tasks on one scope")
    file.parent.mkdir(exist_ok=True)
    figure.savefig(file, dpi=110)


def _span(seconds: float) -> str:
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:g} {name}"
    return f"{seconds:g} s"
