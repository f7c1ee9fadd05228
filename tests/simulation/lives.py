"""Many lives, one after the other: run, counted, found, shrunk and shown."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.simulation.life import HELD_BACK, Life
from tests.simulation.reach import ENOUGH, RARE, required
from tests.simulation.seams import Seams
from tests.simulation.truth import Violation


@dataclass
class Result:
    """What a run came to."""

    lives: int = 0
    seconds: float = 0.0
    reached: Counter[str] = field(default_factory=Counter)
    found: list[tuple[int, Violation]] = field(default_factory=list)

    def missed(self) -> dict[str, int]:
        """What was met too rarely, and how often it was."""
        counts = {name: count(self.reached) for name, count in required().items()}
        return {name: n for name, n in counts.items() if n < RARE.get(name, ENOUGH) * (self.lives // 1000) / 10}


class Runner:
    """Runs lives with everything in place."""

    def __init__(self, seams: Seams, seed: int, held_back: frozenset[str] = HELD_BACK) -> None:
        self._seams, self._seed, self._held_back = seams, seed, held_back

    def life(self, number: int, *, dropped: frozenset[int] = frozenset(), tracing: bool = False) -> Life:
        seed = self._seed * 1_000_003 + number
        return Life(seed, self._seams, dropped=dropped, tracing=tracing, held_back=self._held_back)

    def run(self, numbers: Iterable[int], *, most: int = 1_000_000) -> Result:
        """Runs these lives, until that many violations were found."""
        result = Result()
        began = time.process_time()
        for number in numbers:
            life = self.life(number)
            try:
                life.live()
            except Violation as violation:
                result.found.append((number, violation))
            result.reached.update(life.reached)
            result.lives += 1
            if len(result.found) >= most:
                break
        result.seconds = time.process_time() - began
        return result

    def shrink(self, number: int) -> tuple[frozenset[int], Violation]:
        """Drops whatever went wrong by chance, as long as the same invariant still breaks."""
        life = self.life(number)
        violation = self._violation(life)
        assert violation is not None, "the life is not reproducible"
        dropped: frozenset[int] = frozenset()
        again = True
        while again:
            again = False
            for index, _ in reversed(life.fired):
                tried = self.life(number, dropped=dropped | {index})
                found = self._violation(tried)
                if found is not None and found.kind == violation.kind and len(tried.fired) < len(life.fired):
                    dropped, life, violation, again = dropped | {index}, tried, found, True
                    break
        return dropped, violation

    @staticmethod
    def _violation(life: Life) -> Violation | None:
        try:
            life.live()
        except Violation as violation:
            return violation
        return None

    def show(self, number: int, dropped: frozenset[int] = frozenset()) -> str:
        """The life as a story."""
        life = self.life(number, dropped=dropped, tracing=True)
        violation = self._violation(life)
        options = ", ".join(f"{name}={value!r}" for name, value in life.tis[0].options.items())
        head = f"life {number}, Airflow {life.version.name}, {life.kind}: {options}"
        return "\n".join((head, *(life.world.trace or ()), f"=> {violation}"))


@contextmanager
def ready(seed: int, held_back: frozenset[str] = HELD_BACK) -> Iterator[Runner]:
    """Puts the seams in place."""
    with Seams().installed() as seams:
        yield Runner(seams, seed, held_back)
