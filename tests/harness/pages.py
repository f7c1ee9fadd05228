"""What the tests and ``make screenshots`` do in Airflow's UI, as a user does it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, Locator, Page, Response, expect

from airflow_provider_zilliant.connection.form import FIELDS, RELABELING
from tests.harness.chromium import PATIENCE

SIZE = {"width": 1400, "height": 900}
EXTRA = "Extra Fields"


def open_page(browser: Browser) -> Page:
    """An empty page of a fresh profile: light, in English."""
    context = browser.new_context(viewport=SIZE, color_scheme="light", locale="en-US", timezone_id="UTC")
    context.set_default_timeout(PATIENCE * 1000)
    expect.set_options(timeout=PATIENCE * 1000)
    return context.new_page()


@dataclass
class Verdict:
    """What the Test button said.

    :param is_good: whether the icon turned green.
    :param shown: what a user reads; Airflow 3.3 shows the message of a failure only.
    :param message: what the hook answered.
    """

    is_good: bool
    shown: str
    message: str


class Connections:
    """*Admin -> Connections* of Airflow 3.

    :param page: where it is opened.
    :param url: Airflow's address.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        #: Bodies of all that the API answered about connections, in the order of arrival.
        self.answers: list[str] = []
        page.on("response", self._note)

    def _note(self, response: Response) -> None:
        if "/api/v2/connections" in response.url and response.status != 204:
            self.answers.append(response.text())

    @property
    def form(self) -> Locator:
        return self.page.get_by_role("dialog")

    def row(self, conn_id: str) -> Locator:
        cell = self.page.get_by_role("cell", name=conn_id, exact=True)
        return self.page.get_by_role("row").filter(has=cell)

    def open(self) -> None:
        self.page.goto(f"{self.url}/connections")
        expect(self.page.get_by_role("button", name="Add Connection")).to_be_visible()

    def add(self, conn_id: str) -> None:
        """Opens the form of a new connection of our type."""
        self.open()
        self.page.get_by_role("button", name="Add Connection").click()
        self.form.get_by_label("Connection ID").fill(conn_id)
        kind = self.form.get_by_role("combobox", name="Connection Type")
        kind.fill("zilliant")
        self.page.get_by_role("option", name="Zilliant", exact=True).click()
        expect(self.standard("host")).to_be_visible()

    def edit(self, conn_id: str) -> None:
        """Opens the form of an existing connection."""
        self.open()
        self.row(conn_id).get_by_role("button", name="Edit Connection").click()
        expect(self.standard("host")).to_be_visible()

    def standard(self, name: str) -> Locator:
        """The input of a standard field."""
        return self.form.get_by_label(RELABELING.get(name, name.capitalize()), exact=True)

    def unfold(self, section: str) -> None:
        """Unfolds a section of the form, which folds the others."""
        button = self.form.get_by_role("button", name=section, exact=True)
        if button.get_attribute("aria-expanded") != "true":
            button.click()
        expect(button).to_have_attribute("aria-expanded", "true")

    def extra(self, name: str) -> Locator:
        """The input of one of our own fields, its section unfolded."""
        self.unfold(FIELDS[name].section or EXTRA)
        return self.form.locator(f"#element_{name}")

    def fill(self, fields: Mapping[str, str], extra: Mapping[str, str | bool] | None = None) -> None:
        """Types into the form."""
        self.unfold("Standard Fields")
        for name, text in fields.items():
            self.standard(name).fill(text)
        for name, value in (extra or {}).items():
            if isinstance(value, bool):
                self.unfold(FIELDS[name].section or EXTRA)
                switch = self.form.get_by_role("checkbox", name=FIELDS[name].label)
                if switch.is_checked() != value:
                    switch.dispatch_event("click")  # the input itself lies hidden under the picture of a switch
                expect(switch).to_be_checked(checked=value)
            else:
                self.extra(name).fill(value)
                expect(self.extra(name)).to_have_value(value)

    def save(self, conn_id: str) -> dict[str, Any]:
        """Presses *Save*, and returns what the form sent."""
        with self.page.expect_response(
            lambda response: "/api/v2/connections" in response.url and response.request.method in ("POST", "PATCH")
        ) as saved:
            self.form.get_by_role("button", name="Save").click()
        assert saved.value.ok, saved.value.text()
        expect(self.form).to_be_hidden()
        expect(self.row(conn_id)).to_be_visible()
        sent: dict[str, Any] = json.loads(saved.value.request.post_data or "{}")
        return sent

    def test(self, conn_id: str) -> Verdict:
        """Presses *Test*, and reads the verdict."""
        self.open()
        button = self.row(conn_id).get_by_role("button", name="Test Connection")
        with self.page.expect_response(lambda response: response.url.endswith("/connections/test")) as tested:
            button.click()
        body = tested.value.json()
        if "status" not in body:
            raise AssertionError(f"Airflow refused to test: {tested.value.status} {tested.value.text()}")
        expect(button.locator("svg")).to_have_attribute("color", "green" if body["status"] else "red")
        notice = self.page.get_by_role("status").filter(has_text="Test Connection")
        if not body["status"]:
            expect(notice).to_contain_text("Test Connection Failed")
        shown = notice.inner_text() if notice.count() else ""
        return Verdict(body["status"], shown, body["message"])


class Task:
    """The page of a task instance of Airflow 3, opened by triggering its Dag."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url

    def trigger(self, dag_id: str, task_id: str) -> None:
        """Triggers the Dag from its page, and goes to the task."""
        self.page.goto(f"{self.url}/dags/{dag_id}")
        self.page.get_by_role("button", name="Trigger Dag").click()
        self.page.get_by_role("dialog").get_by_role("button", name="Trigger", exact=True).click()
        self.page.wait_for_url(f"**/dags/{dag_id}/runs/*")
        task = self.page.get_by_role("row").get_by_role("link", name=task_id, exact=True)
        task.click()
        self.page.wait_for_url(f"**/tasks/{task_id}")

    def wait_for(self, state: str) -> None:
        """Watches the state beside the task's name until it is this one."""
        badge = self.page.get_by_test_id("state-badge").filter(has_text=state)
        expect(badge.first).to_be_visible()

    def tab(self, name: str) -> None:
        self.page.get_by_role("link", name=name, exact=True).click()

    def told(self, name: str) -> Locator:
        """The row of a table that stands under this name."""
        cell = self.page.get_by_role("cell", name=name, exact=True)
        return self.page.get_by_role("row").filter(has=cell)
