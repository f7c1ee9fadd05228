"""How pytest-xdist spreads the tests over processes: together what shares a slow fixture, first what takes longest."""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

#: What one process runs: the file, or the folder, that the tests' paths begin with. ``--dist loadgroup`` would do,
#: but xdist 3.8 does not get its groups into the ids of pytest 9.2, and says nothing.
TOGETHER = {
    "tests/whole/test_retry_clear_kill.py": "retry, clear, kill",
    "tests/whole/test_chaos.py": "chaos",
    "tests/whole/test_observability.py": "observability",
    "tests/whole/": "whole",
    "tests/browser/test_form_of_2_11.py": "browser, 2.11",
    "tests/browser/": "browser",
    "tests/packaging/test_installed.py": "wheel",
    "tests/packaging/test_typed.py": "wheel",
    "tests/packaging/test_distributions.py": "wheel",
    "tests/packaging/test_lower_bounds.py": "lower bounds",
    "tests/benchmarks/": "benchmarks",
}
#: What takes longest begins first; whole Airflows apart from each other, as their start takes all cores.
ORDER = ("whole", "retry, clear, kill", "wheel", "browser", "chaos", "lower bounds", "browser, 2.11", "observability")


def group_of(nodeid: str) -> str | None:
    """The name of what the test belongs to; ``None`` for one that can run anywhere."""
    return next((group for path, group in TOGETHER.items() if nodeid.startswith(path)), None)


def place(item: pytest.Item) -> int:
    """The key by which tests are sorted."""
    group = group_of(item.nodeid)
    return ORDER.index(group) if group in ORDER else len(ORDER)


class Scheduling(LoadScopeScheduling):
    """Hands out groups whole, and all other tests one by one."""

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid) or nodeid
