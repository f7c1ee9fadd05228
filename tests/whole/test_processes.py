"""What demo and tests start can be stopped again, also by another process that knows only the record."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import psutil

from tests.harness.processes import Processes, stop_recorded

RENAMED = """
import setproctitle, time
setproctitle.setproctitle("x" * 4000)
print("named", flush=True)
time.sleep(600)
"""


def test_a_process_that_renamed_itself_is_stopped_by_its_record(tmp_path):
    processes = Processes(tmp_path)
    processes.start("renamed", [sys.executable, "-c", RENAMED], {"FOLDER": str(tmp_path)})
    for _ in range(100):
        if "named" in (tmp_path / "renamed.log").read_text():
            break
        time.sleep(0.1)
    assert stop_recorded(tmp_path)
    assert "renamed" in processes.dead()
    assert not stop_recorded(tmp_path)


def test_another_process_with_a_recorded_pid_is_left_alone(tmp_path):
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        born = psutil.Process(other.pid).create_time()
        (tmp_path / "pids.json").write_text(json.dumps([[other.pid, born - 3600]]))
        assert not stop_recorded(tmp_path)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
