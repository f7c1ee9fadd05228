"""What was wrong once is found again when it is put back: the table that docs/reliability.md shows."""

from __future__ import annotations

import pytest

from tests.simulation.lives import ready
from tests.simulation.mutations import LIVES, MUTATIONS, find

#: Those that take more than a few seconds to find: ``python -m tests.simulation.mutations`` shows them all.
SLOW = {"11", "B", "C", "D", "E"}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutation", [one for one in MUTATIONS if one.item not in SLOW], ids=lambda one: one.item)
def test_it_is_found(mutation):
    assert find(mutation, seed=1, lives=LIVES) is not None


def test_every_item_is_among_them():
    # 8 is a page of the documentation.
    assert {str(number) for number in range(1, 17)} - {"8"} <= {one.item for one in MUTATIONS}


def test_what_is_put_back_is_taken_out_again():
    for mutation in MUTATIONS:
        with mutation.put_back():
            pass
    with ready(1) as runner:
        assert not runner.run(range(200)).found
