"""The connection form of Airflow 2.11, which Flask-AppBuilder draws from the hook's widgets."""

from __future__ import annotations

import base64
import json
import os
import secrets as dice
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page, expect

from airflow_provider_zilliant.connection.form import FIELDS, PLACEHOLDERS, RELABELING
from airflow_provider_zilliant.sandbox import Sandbox
from airflow_provider_zilliant.sandbox.engine import OAUTH_HOST
from tests.browser.read_back import read_back
from tests.harness.environments import with_airflow
from tests.harness.processes import Processes, free_ports

USER, PASSWORD = "admin", "the-admin's-password"
PROXIES = {"https": "http://me:the-proxy-password@proxy.example:3128"}


class Webserver:
    """The webserver of an Airflow 2.11 with a database and a user of its own."""

    def __init__(self, home: Path) -> None:
        self.interpreter = with_airflow("2.11").make()
        self.home = home
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        self.processes = Processes(home)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        self.env = {
            **kept,
            "PATH": f"{self.interpreter.parent}:{os.environ.get('PATH', '')}",
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
            "AIRFLOW__WEBSERVER__SECRET_KEY": dice.token_hex(),
            "AIRFLOW__WEBSERVER__WEB_SERVER_HOST": "127.0.0.1",
            "AIRFLOW__WEBSERVER__WEB_SERVER_PORT": str(port),
            "AIRFLOW__WEBSERVER__WORKERS": "1",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "NO_PROXY": "127.0.0.1,localhost",
        }

    def __enter__(self) -> Webserver:
        self._airflow("db", "migrate")
        user = ["--username", USER, "--password", PASSWORD, "--role", "Admin"]
        self._airflow("users", "create", *user, "--firstname", "A", "--lastname", "B", "--email", "a@example.com")
        self.processes.start("webserver", [str(self.interpreter), "-m", "airflow", "webserver"], self.env)
        ends = time.monotonic() + 120
        while not self._answers():
            if self.processes.dead() or time.monotonic() > ends:
                words = (self.home / "webserver.log").read_text()[-3000:]
                self.processes.stop()
                raise RuntimeError(f"The webserver does not answer:\n{words}")
            time.sleep(0.2)
        return self

    def __exit__(self, *_: object) -> None:
        self.processes.stop()

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/health", timeout=5).ok
        except requests.RequestException:
            return False

    def _airflow(self, *arguments: str) -> None:
        command = [str(self.interpreter), "-m", "airflow", *arguments]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def webserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webserver]:
    with Webserver(tmp_path_factory.mktemp("airflow-2.11")) as running:
        yield running


@pytest.fixture
def form(webserver: Webserver, page: Page) -> Page:
    """The form of a new connection of our type, by a user who has logged in."""
    page.goto(f"{webserver.url}/login/")
    page.locator("#username").fill(USER)
    page.locator("#password").fill(PASSWORD)
    page.get_by_role("button", name="Sign In").click()
    page.wait_for_url("**/home**")
    page.goto(f"{webserver.url}/connection/add")
    page.locator("#conn_type").select_option("zilliant", force=True)  # the page puts a widget of its own over it
    expect(page.locator("label[for=password]")).to_have_text(RELABELING["password"])
    return page


def save(page: Page) -> None:
    page.locator("form#model_form button[type=submit]").click()
    expect(page.locator(".alert").filter(has_text="Added Row")).to_be_visible()


def test_the_form_says_what_goes_where(form: Page):
    page = form
    expect(page.locator("#schema")).to_be_hidden()
    for name, placeholder in PLACEHOLDERS.items():
        field = page.locator(f"#extra__zilliant__{name}" if name in FIELDS else f"#{name}")
        expect(field).to_have_attribute("placeholder", placeholder)
    for name in (f"extra__zilliant__{name}" for name, field in FIELDS.items() if field.is_secret):
        expect(page.locator(f"#{name}")).to_have_attribute("type", "password")


@pytest.mark.parametrize("flow", ["client credentials", "JWT bearer", "user and password"])
def test_each_way_to_log_in_is_filled_tested_and_saved_and_the_hook_reads_it(
    form: Page, webserver: Webserver, zilliant: Sandbox, flow: str
):
    page = form
    conn_id = flow.replace(" ", "_").lower()
    fields = zilliant.login_connection(flow)
    page.locator("#conn_id").fill(conn_id)
    page.locator("#host").fill(zilliant.url)
    for name in ("login", "password"):
        page.locator(f"#{name}").fill(fields.get(name, ""))
    extra = {**fields["extra"], "verify": "false", "proxies": json.dumps(PROXIES)}
    for name, text in extra.items():
        page.locator(f"#extra__zilliant__{name}").fill(text)  # of a key, the browser drops the newlines
    page.locator("#extra__zilliant__allow_http").check()

    page.locator("#test-connection").click()
    expect(page.locator(".container .row .alert")).to_contain_text(f"{zilliant.url} accepts this connection.")
    expect(page.locator(".container .row .alert")).to_contain_text(f"with {flow} worked.")
    save(page)

    assert read_back(webserver.interpreter, webserver.env, conn_id) == {
        "verdict": True,
        "url": zilliant.url,
        "oauth_host": OAUTH_HOST,
        "verify": False,
        "proxies": PROXIES,
    }

    page.goto(f"{webserver.url}/connection/list/")
    page.locator("tr", has_text=conn_id).locator("a[href*='/connection/edit/']").click()
    expect(page.locator("#extra__zilliant__client_id")).to_have_value(fields["extra"]["client_id"])
    values = page.locator("input, textarea").evaluate_all("all => all.map(one => one.value)")
    key = fields["extra"].get("private_key", "").splitlines()[1:-1]
    secrets = [*key, fields["extra"].get("client_secret"), fields.get("password"), "the-proxy-password"]
    shown = [*values, page.content()]
    assert [secret for secret in filter(None, secrets) for text in shown if secret in text] == []


def test_a_form_with_nothing_but_host_and_token_is_saved_as_a_connection_that_works(
    form: Page, webserver: Webserver, zilliant: Sandbox
):
    page = form
    page.locator("#conn_id").fill("token")
    page.locator("#host").fill(zilliant.url)
    page.locator("#password").fill(json.dumps(json.loads(zilliant.connection()["password"]), indent=2))
    page.locator("#extra__zilliant__oauth_host").fill("other.my.salesforce.com")
    page.locator("#test-connection").click()
    expect(page.locator(".container .row .alert")).to_contain_text(f"the token belongs to {OAUTH_HOST}")
    page.locator("#extra__zilliant__oauth_host").fill(OAUTH_HOST)
    save(page)
    found = read_back(webserver.interpreter, webserver.env, "token")
    assert (found["verdict"], found["verify"], found["proxies"]) == (True, True, {})
