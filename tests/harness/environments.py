"""Environments with other Airflows and Pythons than ``.venv``'s: made by ``uv`` under ``.environments/``, and kept."""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
FOLDER = PROJECT / ".environments"

#: The newest release of each supported Airflow, and what it needs beside itself: newer versions of
#: these packages break it, which its own requirements do not say.
AIRFLOWS: dict[str, tuple[str, ...]] = {
    "2.11": ("apache-airflow==2.11.2",),
    "3.0": ("apache-airflow==3.0.6", "fastapi<0.118", "pyjwt<2.11"),
    "3.1": ("apache-airflow==3.1.8",),
    "3.2": ("apache-airflow==3.2.2", "fastapi<0.137", "svcs<26"),
    "3.3": ("apache-airflow==3.3.2",),
    # Not released yet: with this line it is in the matrix, and what the pages say of 3.4 is to be tried there.
    # "3.4": ("apache-airflow>=3.4,<3.5",),
}
PYTHONS = ("3.11", "3.12", "3.13")


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Only one process at a time makes what has this name; others wait until it is there."""
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class Environment:
    """One environment of its own.

    :param name: its folder's name under ``.environments/``.
    :param requirements: what to install.
    :param python: version of the interpreter.
    :param options: further options of ``uv pip install``.
    """

    name: str
    requirements: tuple[str, ...]
    python: str = "3.11"
    options: tuple[str, ...] = ()

    @property
    def interpreter(self) -> Path:
        return FOLDER / self.name / "bin" / "python"

    def make(self) -> Path:
        """Makes it, unless it is there as described already, and returns its interpreter."""
        described = json.dumps([self.requirements, self.python, self.options, _declared()])
        stamp = FOLDER / self.name / ".made"
        with locked(self.name):
            if stamp.exists() and stamp.read_text() == described:
                return self.interpreter
            shutil.rmtree(FOLDER / self.name, ignore_errors=True)
            found = interpreter(self.python)
            if found is None:
                raise RuntimeError(f"There is no Python {self.python} on this machine.")
            _uv("venv", "--quiet", "--python", str(found), str(FOLDER / self.name))
            _uv("pip", "install", "--quiet", "--python", str(self.interpreter), *self.options, *self.requirements)
            stamp.write_text(described)
        return self.interpreter


def with_airflow(airflow: str, python: str = "3.11") -> Environment:
    """The provider from this folder, its tests' requirements, and that Airflow (``"2.11"`` ... ``"3.3"``)."""
    requirements = (*AIRFLOWS[airflow], "--editable", f"{PROJECT}[test]")
    return Environment(f"airflow-{airflow}-python-{python}", requirements, python)


def interpreter(python: str) -> Path | None:
    """An interpreter of that version which starts, or ``None``: first uv's finding, then pyenv's folder."""
    if sys.version_info[:2] == tuple(int(part) for part in python.split(".")):
        return Path(sys.base_prefix) / "bin" / f"python{python}"
    candidates = [Path(found) for found in [shutil.which(f"python{python}")] if found]
    candidates += sorted(Path.home().glob(f".pyenv/versions/{python}.*/bin/python{python}"), reverse=True)
    for candidate in candidates:
        if _starts(candidate):
            return candidate
    return None


def _starts(candidate: Path) -> bool:
    # A pyenv shim is there for every version, and fails for those that are not chosen.
    return subprocess.run([candidate, "-c", ""], capture_output=True).returncode == 0


def _declared() -> list[str]:
    """What ``pyproject.toml`` asks for: an editable installation follows the code, but not this."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["test"], json.dumps(project["entry-points"])]


def _uv(*arguments: str) -> None:
    command = [sys.executable, "-m", "uv", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
