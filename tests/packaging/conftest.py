"""The wheel and the sdist, built once, and an environment that has nothing but Airflow and that wheel."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness.environments import AIRFLOWS, FOLDER, PROJECT, Environment


def run(
    *command: str | Path,
    cwd: Path,
    env: dict[str, str] | None = None,
    timeout: float = 240,
    only_output: bool = False,
) -> str:
    """What the command says, its errors and warnings included unless told otherwise; it must end with 0."""
    ran = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if only_output else subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )
    assert ran.returncode == 0, (
        f"{command} ended with {ran.returncode}:\n{ran.stdout[-6000:]}{(ran.stderr or '')[-3000:]}"
    )
    return ran.stdout


def build(source: Path, folder: Path, *kinds: str) -> Path:
    """``make dist``'s way of building, into a folder of its own."""
    run(sys.executable, "-m", "build", "--installer", "uv", "--outdir", folder, *kinds, source, cwd=folder.parent)
    return folder


@dataclass(frozen=True)
class Distributions:
    folder: Path

    @property
    def wheel(self) -> Path:
        (wheel,) = self.folder.glob("*.whl")
        return wheel

    @property
    def sdist(self) -> Path:
        (sdist,) = self.folder.glob("*.tar.gz")
        return sdist


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """The sdist, and the wheel that is built from that sdist, as ``python -m build`` does it."""
    return Distributions(build(PROJECT, tmp_path_factory.mktemp("dist") / "dist"))


@pytest.fixture(scope="session")
def installed(distributions: Distributions) -> Path:
    """The interpreter of an environment in which the wheel is installed, with what it asks for itself."""
    kept = FOLDER / "wheel-for-tests"
    kept.mkdir(parents=True, exist_ok=True)
    wheel = Path(shutil.copy(distributions.wheel, kept))
    # The digest makes the environment anew when the wheel changes, and only then.
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    requirement = f"airflow-provider-zilliant @ {wheel.as_uri()}#sha256={digest}"
    return Environment("wheel", (*AIRFLOWS["3.3"], requirement)).make()
