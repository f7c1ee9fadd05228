"""A user's first steps with the wheel: an environment of its own, an empty directory, and Airflow's command line."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from airflow_provider_zilliant import __version__
from airflow_provider_zilliant.get_provider_info import get_provider_info
from tests.harness.environments import PROJECT
from tests.harness.processes import free_ports
from tests.packaging.conftest import run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty directory: what is imported from it comes from the wheel."""
    return tmp_path_factory.mktemp("empty")


@pytest.fixture(scope="module")
def env(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON", "VIRTUAL"))}
    home = tmp_path_factory.mktemp("home")
    return {
        **kept,
        "PATH": f"{installed.parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "AIRFLOW_HOME": str(home / "airflow"),
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "True",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "NO_PROXY": "127.0.0.1,localhost",
        "NO_COLOR": "1",
        "COLUMNS": "400",
    }


@pytest.fixture(scope="module")
def sandbox(installed: Path, place: Path, env: dict[str, str]) -> Iterator[str]:
    """The wheel's own sandbox as a process of its own; its URL."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    command = [str(installed), "-m", "airflow_provider_zilliant.sandbox", "--port", str(port)]
    with subprocess.Popen(command, cwd=place, env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            ends = time.monotonic() + 60
            while True:
                try:
                    requests.get(f"{url}/sandbox/jobs", timeout=1)
                    break
                except requests.ConnectionError:
                    assert process.poll() is None, "the sandbox ended by itself"
                    assert time.monotonic() < ends, "the sandbox does not answer"
                    time.sleep(0.1)
            yield url
        finally:
            process.send_signal(signal.SIGINT)
    assert process.returncode == 0, "Ctrl-C ends it in order"


@pytest.fixture(scope="module")
def airflow(installed: Path, place: Path, env: dict[str, str]) -> Callable[..., str]:
    def airflow(*arguments: str, only_output: bool = False) -> str:
        return run(installed.parent / "airflow", *arguments, cwd=place, env=env, only_output=only_output)

    airflow("db", "migrate")
    return airflow


def test_the_package_comes_from_the_wheel(installed, place, env):
    script = "import airflow_provider_zilliant as package; print(package.__file__)"
    found = Path(run(installed, "-c", script, cwd=place, env=env).strip())
    assert installed.parents[1] in found.parents
    assert PROJECT / "airflow_provider_zilliant" not in found.parents


def test_every_module_is_importable(installed, place, env):
    """The example Dags included, as each is a module of the wheel."""
    script = """
import importlib, json, pathlib
import airflow_provider_zilliant as package

folder = pathlib.Path(package.__file__).parent
names = sorted(".".join(path.relative_to(folder.parent).with_suffix("").parts) for path in folder.rglob("*.py"))
names = [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]
for name in names:
    importlib.import_module(name)
print(json.dumps(names))
"""
    names = json.loads(run(installed, "-c", script, cwd=place, env=env).splitlines()[-1])
    assert "airflow_provider_zilliant.example_dags.publish_list_prices" in names
    assert "airflow_provider_zilliant.operators.zilliant" in names


def test_the_sandbox_serves_its_page(sandbox):
    page = requests.get(sandbox, timeout=10)
    assert page.headers["Content-Type"].startswith("text/html")
    assert page.content == (PROJECT / "airflow_provider_zilliant/sandbox/page.html").read_bytes()


def test_airflow_lists_the_provider(airflow):
    providers = json.loads(airflow("providers", "list", "--output", "json", only_output=True))
    (ours,) = [provider for provider in providers if provider["package_name"] == "airflow-provider-zilliant"]
    assert ours["version"] == __version__
    assert ours["description"].startswith("Run Zilliant job workflows")


def test_airflow_tells_all_of_the_provider(airflow):
    said = airflow("providers", "get", "airflow-provider-zilliant", "--full", "--output", "json", only_output=True)
    (told,) = json.loads(said)
    info = get_provider_info()
    # Airflow takes the full stop off, and adds a documentation-url of its own making.
    assert {key: told[key] for key in info} == {**info, "description": info["description"].strip(".")}


def test_the_readmes_command_adds_a_connection_that_passes_its_test_and_an_installed_example_runs(
    airflow, sandbox, place, env
):
    (command,) = re.findall(
        r"```bash\n(airflow connections add .*?)```", (PROJECT / "README.md").read_text(), re.DOTALL
    )
    for there, here in {
        "https://mycompany.zilliant.com": sandbox,
        "mycompany-dev.my.salesforce.com": "sandbox.my.salesforce.com",
    }.items():
        assert there in command
        command = command.replace(there, here)
    answer = requests.post(
        f"{sandbox}/services/oauth2/token",
        data={
            "grant_type": "password",
            **dict.fromkeys(("client_id", "client_secret", "username", "password"), "any"),
        },
        timeout=10,
    )
    assert answer.status_code == 200
    assert urlsplit(answer.json()["instance_url"]).hostname == "sandbox.my.salesforce.com"
    token = place / "token-response.json"
    token.write_text(answer.text)
    try:
        said = run("bash", "-ec", command, cwd=place, env=env)
    finally:
        token.unlink()
    assert "zilliant_default" in said
    assert answer.json()["access_token"] not in said

    assert "Connection success" in airflow("connections", "test", "zilliant_default")

    # Airflow 3.3 makes a bundle of the folder example_dags of every provider, when it is to load examples.
    bundle = ("--bundle-name", "airflow-provider-zilliant-example-dags")
    ran = airflow("dags", "test", "publish_list_prices", *bundle)
    (job,) = requests.get(f"{sandbox}/sandbox/jobs", timeout=10).json()
    assert (job["workflow"], job["scope"]) == ("PublishListPrices", "list-prices")
    assert (job["executionStatus"], job["closeStatus"]) == ("CLOSED", "COMPLETED")
    assert job["jobId"] in ran
