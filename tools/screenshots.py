"""``make screenshots``: the README's pictures, taken in the browser that the tests drive."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, expect

from airflow_provider_zilliant.sandbox import Sandbox
from tests.harness import chromium
from tests.harness.pages import Connections, Task, open_page
from tests.harness.private_airflow import PrivateAirflow
from tests.harness.scenes import job_that_runs_on, sandbox_with_a_history

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
NAMES = ("connection-form", "deferred-task", "sandbox")
LARGEST = 300_000


def connection_form(browser: Browser, airflow: PrivateAirflow, zilliant: Sandbox) -> None:
    """The form, filled as for a real environment."""
    page = open_page(browser)
    page.set_viewport_size({"width": 1400, "height": 1100})  # the whole form, with its button
    connections = Connections(page, airflow.url)
    connections.add("zilliant_default")
    fields = {"description": "Zilliant, production", "host": "https://mycompany.zilliant.com", "port": "443"}
    connections.fill({**fields, "password": zilliant.connection()["password"]})
    connections.standard("password").blur()
    connections.form.screenshot(path=IMAGES / "connection-form.png", animations="disabled")
    page.context.close()


def deferred_task(browser: Browser, airflow: PrivateAirflow, zilliant: Sandbox) -> None:
    """A task that waits in the triggerer for its job."""
    task = Task(open_page(browser), airflow.url)
    airflow.wait_until(lambda: airflow.known("publish_list_prices"), "Airflow knows the Dag", 90)
    task.trigger("publish_list_prices", "publish")
    job_that_runs_on(airflow, zilliant)
    task.wait_for("Deferred")
    task.page.reload()
    expect(task.page.get_by_text("Waiting in the triggerer")).to_be_visible()
    task.wait_for("Deferred")
    task.page.mouse.move(700, 880)
    task.page.screenshot(path=IMAGES / "deferred-task.png", animations="disabled")
    task.page.context.close()


def sandbox(browser: Browser) -> None:
    """Two minutes of a sandbox's life."""
    with sandbox_with_a_history() as zilliant:
        page = open_page(browser)
        page.goto(zilliant.url)
        expect(page.locator(".bar").first).to_be_visible()
        page.screenshot(path=IMAGES / "sandbox.png", animations="disabled")
        page.context.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="make screenshots", description=__doc__)
    parser.add_argument("only", nargs="*", choices=[*NAMES, []], help="which pictures; all unless given")
    wanted = parser.parse_args().only or NAMES
    IMAGES.mkdir(parents=True, exist_ok=True)
    with chromium.running() as browser:
        if "sandbox" in wanted:
            sandbox(browser)
        if {"connection-form", "deferred-task"} & set(wanted):
            with (
                tempfile.TemporaryDirectory(prefix="zilliant-screenshots-") as home,
                Sandbox(seed=0) as zilliant,
                PrivateAirflow(
                    Path(home) / "airflow",
                    ROOT / "example_dags",
                    connections={"zilliant_default": zilliant.connection()},
                ) as airflow,
            ):
                connection_form(browser, airflow, zilliant)
                deferred_task(browser, airflow, zilliant)
    sizes = {name: (IMAGES / f"{name}.png").stat().st_size for name in wanted}
    for name, size in sizes.items():
        print(f"docs/images/{name}.png: {size // 1000} kB{', which is too large' if size > LARGEST else ''}")
    return 1 if max(sizes.values()) > LARGEST else 0


if __name__ == "__main__":
    sys.exit(main())
