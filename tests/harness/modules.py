"""Which modules a statement loads, as a fresh process tells."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache


@cache
def modules_after(statement: str) -> set[str]:
    """The top-level names and this package's modules that a fresh process has loaded after the statement."""
    script = f"import json, sys; {statement}; print(json.dumps(sorted(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60)
    return set(json.loads(ran.stdout.splitlines()[-1]))
