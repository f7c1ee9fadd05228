"""Ten thousand lives in two processes: no invariant breaks, and everything that matters is met."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.simulation.lives import Result, ready
from tests.simulation.reach import required

SEED, LIVES = 1, 10_000

#: Lives that broke an invariant once, with what they showed. Other lives have other numbers when what is drawn changes;
#: tests/in_airflow/test_histories.py keeps the histories themselves.
ONCE = {
    (1, 5924): "SIGTERM while Airflow pushes the result",
    (3, 61): "a question asked after a clear, retried because its report was lost",
    (3, 186): "told on record, and killed before anything was said",
    (4, 14): "a clear of a green task whose job could not be polled at first",
    (4, 7761): "a task cleared twice during its POST",
    (6, 420): "a clear, then a telling, then a retry",
    (6, 3999): "an older process that reads a newer one's record",
    (6, 10109): "a record that changes while its job is polled",
}


def lives(half: int) -> Result:
    with ready(SEED) as runner:
        result = runner.run(range(half, LIVES, 2))
        for number, _ in result.found[:1]:
            dropped, _ = runner.shrink(number)
            print(runner.show(number, dropped))
    return result


@pytest.mark.timeout(600)
@pytest.mark.parametrize("half", [0, 1])
def test_no_life_breaks_an_invariant(half):
    result = lives(half)
    assert not result.found, f"make simulate SEED={SEED} LIFE={result.found[0][0]}"
    assert result.lives == LIVES / 2
    # Half as many lives, each thing half as often: a little leave for chance.
    result.lives = int(result.lives * 0.8)
    assert not result.missed()
    print(json.dumps({name: count(result.reached) for name, count in required().items()}))


@pytest.mark.parametrize(("seed", "number"), ONCE)
def test_a_life_that_broke_an_invariant_once(seed, number):
    with ready(seed) as runner:
        assert not runner.run([number]).found


def test_a_seed_decides_everything():
    stories = []
    for _ in range(2):
        with ready(SEED) as runner:
            stories.append([runner.show(number) for number in range(40)])
    assert stories[0] == stories[1]
    assert len({story.count("\n") for story in stories[0]}) > 10, "and the lives differ"


def test_time_is_virtual():
    with ready(SEED) as runner:
        result = runner.run(range(300))
    assert isinstance(result.reached, Counter)
    assert result.lives / result.seconds > 40, "far below what it needs; see docs/reliability.md"
