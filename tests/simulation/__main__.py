"""Lives many lives, and says what they met: ``python -m tests.simulation --lives 10000 --seed 1``."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter

from tests.simulation.life import Life
from tests.simulation.seams import Seams
from tests.simulation.truth import Violation


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lives", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--life", type=int)
    parser.add_argument("--most", type=int, default=10)
    asked = parser.parse_args()
    perf = time.process_time
    began = perf()
    reached: Counter[str] = Counter()
    found: Counter[str] = Counter()
    shown = 0
    with Seams().installed() as seams:
        numbers = [asked.life] if asked.life is not None else range(asked.lives)
        for number in numbers:
            seed = asked.seed * 1_000_000_007 + number
            life = Life(seed, seams, tracing=asked.life is not None)
            try:
                life.live()
            except Violation as violation:
                found[violation.kind] += 1
                if shown < asked.most:
                    shown += 1
                    print(f"life {number}: {violation}")
            except Exception:
                print(f"life {number}:")
                traceback.print_exc()
                break
            finally:
                reached.update(life.reached)
                if life.world.trace is not None:
                    print("\n".join(life.world.trace))
                    print(life.version, life.kind, life.tis[0].options)
    seconds = perf() - began
    print(f"{len(numbers)} lives in {seconds:.1f} s of CPU, {len(numbers) / seconds:.0f} a second")
    for name, count in sorted(found.items()):
        print(f"VIOLATION {name}: {count}")
    for name, count in sorted(reached.items()):
        print(f"  {count:7} {name}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
