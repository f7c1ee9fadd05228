"""The chaos suite in its short form; ``make chaos`` runs the long one."""

from __future__ import annotations

from tools import chaos


def test_nothing_is_doubled_and_nothing_turns_green_without_a_job(tmp_path):
    # The same faults in every run of the gate; `make chaos` draws a seed of its own.
    count = chaos.run(588176, 16, tmp_path / "chaos", patience=240)
    print(count.table())
    assert count.is_good, count.table()
