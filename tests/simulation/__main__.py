"""Lives many lives, and says what they met: ``make simulate LIVES=10000 SEED=1 LIFE=``."""

from __future__ import annotations

import argparse
import sys

from tests.simulation.lives import Result, Runner, ready
from tests.simulation.reach import required


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--lives", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first life")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--life", type=int, help="replay this one, and tell its story")
    parser.add_argument("--counters", action="store_true", help="show everything that was counted")
    asked = parser.parse_args()
    with ready(asked.seed) as runner:
        if asked.life is not None:
            print(runner.show(asked.life))
            return 0
        result = runner.run(range(asked.first, asked.first + asked.lives), most=20)
        return report(runner, asked.seed, result, all_counters=asked.counters)


def report(runner: Runner, seed: int, result: Result, *, all_counters: bool = False) -> int:
    rate = result.lives / max(result.seconds, 0.001)
    print(f"seed {seed}: {result.lives} lives, {result.seconds:.0f} s of CPU, {rate:.0f} lives a second")
    for name, count in required().items():
        print(f"{count(result.reached):9}  {name}")
    for name, count in sorted(result.reached.items()):
        if all_counters or name.startswith("held back"):
            print(f"{count:9}  {name}")
    missed = result.missed()
    for name, count in missed.items():
        print(f"met too rarely: {count} times: {name}")
    kinds = {}
    for number, violation in result.found:
        print(f"VIOLATION in life {number}: {violation}")
        kinds.setdefault(violation.kind, number)
    for number in kinds.values():
        dropped, _ = runner.shrink(number)
        print(f"\nShrunk by {len(dropped)} events: {runner.show(number, dropped)}")
    print(f"{len(result.found)} violations in {result.lives} lives")
    return 1 if result.found or missed else 0


if __name__ == "__main__":
    sys.exit(main())
