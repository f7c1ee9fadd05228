"""A browser and a whole Airflow 3.3 for this folder; both end with it, before other layers start theirs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from airflow_provider_zilliant.sandbox import Sandbox
from tests.harness import chromium, pages
from tests.harness.private_airflow import PrivateAirflow

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parents[1] / "example_dags"
_running: list[Browser] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.whole)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[Any]:
    return (yield from _with_evidence(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[Any]:
    return (yield from _with_evidence(item))


def _with_evidence(item: pytest.Item) -> Iterator[Any]:
    """A failure names the folder that holds what the browser showed."""
    try:
        return (yield)
    except Exception as error:
        for browser in _running:
            folder = chromium.evidence(browser, item.name)
            if folder is not None:
                error.add_note(f"What the browser showed (picture and HTML): {folder}")
        raise


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium.running() as running:
        _running.append(running)
        yield running
        _running.clear()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    opened = pages.open_page(browser)
    yield opened
    opened.context.close()


@pytest.fixture(scope="package")
def zilliant() -> Iterator[Sandbox]:
    with Sandbox(seed=0) as running:
        yield running


@pytest.fixture(scope="package")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateAirflow]:
    """Without any Connection: they come through the form."""
    with PrivateAirflow(tmp_path_factory.mktemp("browser") / "airflow", EXAMPLES, connections={}) as running:
        yield running


@pytest.fixture
def connections(page: Page, airflow: PrivateAirflow) -> pages.Connections:
    return pages.Connections(page, airflow.url)
