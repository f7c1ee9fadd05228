"""The types of the installed wheel, as a user's own ``mypy --strict`` sees them."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests.harness.environments import FOLDER
from tests.packaging.conftest import run

CONSUMER = Path(__file__).with_name("consumer.py")


def test_a_users_code_type_checks_strictly_against_the_wheel(installed, tmp_path):
    shutil.copy(CONSUMER, tmp_path)
    said = run(
        *(sys.executable, "-m", "mypy", "--strict", "--config-file=", "--python-executable", installed),
        # Kept, as all that it imports of Airflow is analysed as well, which takes a while.
        *("--cache-dir", FOLDER / "wheel-mypy-cache"),
        CONSUMER.name,
        cwd=tmp_path,
    )
    assert "Success: no issues found in 1 source file" in said
