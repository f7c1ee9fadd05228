"""Processes that can be stopped again, even after the run that started them was killed, and ports for them."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

#: Below those that the kernel hands out to whoever connects: one of those might be taken before it is listened on.
PORTS = range(20_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on, drawn so that two processes hardly draw the same."""
    found: list[int] = []
    while len(found) < count:
        port = secrets.choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in found:
                found.append(port)
    return found


class Processes:
    """Processes in sessions of their own, on record in a file, so that even a killed run's can be stopped.

    :param folder: where the record and the logs are kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._record = folder / "pids.json"
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: list[str], env: Mapping[str, str]) -> None:
        """Starts a process that writes to ``NAME.log``."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                command, env=dict(env), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        # With the time of its birth, as a pid may be another process's by the time that somebody reads this.
        born = []
        for process in self._running.values():
            with contextlib.suppress(psutil.NoSuchProcess):  # it has ended by itself
                born.append((process.pid, psutil.Process(process.pid).create_time()))
        self._record.write_text(json.dumps(born))

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends a signal to the process and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._running[name].pid, number)

    def dead(self) -> list[str]:
        """The names of processes that have ended."""
        return [name for name, process in self._running.items() if process.poll() is not None]

    def stop(self) -> None:
        """Ends them all: politely, then not."""
        stop_groups([process.pid for process in self._running.values()])
        for process in self._running.values():
            process.wait()
        self._running.clear()
        self._record.unlink(missing_ok=True)


def stop_recorded(folder: Path) -> bool:
    """Ends what an earlier run left running on record in the folder; whether there was anything."""
    record = folder / "pids.json"
    if not record.exists():
        return False
    found = [pid for pid, born in json.loads(record.read_text()) if _is_the_one(pid, born)]
    stop_groups(found)
    record.unlink()
    return bool(found)


def _is_the_one(pid: int, born: float) -> bool:
    try:
        return bool(abs(psutil.Process(pid).create_time() - born) < 1.0)
    except psutil.NoSuchProcess:
        return False


def stop_groups(pids: list[int]) -> None:
    """Sends TERM to the process groups, and KILL to what is left after ten seconds."""
    for number, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, number)
        ends = time.monotonic() + patience
        while any(map(_group_lives, pids)) and time.monotonic() < ends:
            time.sleep(0.1)


def _group_lives(pid: int) -> bool:
    try:
        while os.waitpid(-pid, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        pass
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    return True
