"""A person's way through the real UI: log in, fill the form, approve, open the report."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

DAG = "coldstart_train"
pytestmark = [
    pytest.mark.stack,
    pytest.mark.xdist_group("stack"),
    pytest.mark.browser,
    pytest.mark.timeout(900),
]
OPTIONS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("chromium is not installed")
        pytest.skip("chromium is not installed")
    return found


@pytest.fixture
def page(stack: Any) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=OPTIONS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(60_000)
        yield page
        browser.close()


def shoot(page: Any, name: str) -> None:
    """Keep a screenshot, where ``COLDSTART_SCREENSHOTS`` names a folder for the README's images."""
    if folder := os.environ.get("COLDSTART_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"{name}.png")


def test_from_the_form_to_the_report(stack: Any, page: Any) -> None:
    airflow = stack.airflow()
    before = {
        run["dag_run_id"] for run in airflow.runs(DAG, "queued", "running", "success", "failed")
    }

    page.goto(stack.url)
    page.locator("input[name=username]").fill("admin")
    page.locator("input[name=password]").fill(stack.password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "/auth/login" not in url)
    page.goto(f"{stack.url}/dags/{DAG}")

    page.get_by_role("button", name="Trigger").first.click()
    dialog = page.get_by_role("dialog")
    dialog.locator("#element_algorithms [aria-label='Clear selected options']").click()
    choose(page, dialog, "algorithms", "bayes_head")
    choose(page, dialog, "algorithms", "reptile")
    choose(page, dialog, "effort", "quick")
    dialog.locator("[id='switch:element_require_approval']").click()
    dialog.locator("input[name=element_min_improvement]").fill("0")
    dialog.locator("#element_algorithms").scroll_into_view_if_needed()
    shoot(page, "trigger-form")
    dialog.get_by_role("button", name="Trigger").last.click()

    run_id = stack.wait_for(lambda: new_run(airflow, before))
    conf = airflow.run(DAG, run_id)["conf"]
    assert sorted(conf["algorithms"]) == ["bayes_head", "reptile"]
    assert conf["effort"] == "quick"
    assert conf["require_approval"] is True
    assert conf["min_improvement"] == 0

    state = stack.wait_for(lambda: approval(airflow, run_id))
    if state == "awaiting_input":
        page.goto(f"{stack.url}/dags/{DAG}/runs/{run_id}/tasks/approve/required_actions")
        approve = page.get_by_role("button", name="Approve")
        approve.wait_for()
        shoot(page, "approval")
        approve.click()
    assert stack.finish(run_id) == "success"
    assert state == "awaiting_input", airflow.run(DAG, run_id)["note"]

    page.goto(f"{stack.url}/dags/{DAG}/runs/{run_id}")
    page.get_by_text("Success").first.wait_for()
    shoot(page, "run")
    page.locator("a[href*=coldstart-report]").click()
    report = page.frame_locator("iframe").get_by_role("heading", level=1)
    report.first.wait_for()
    shoot(page, "report")


def choose(page: Any, dialog: Any, field: str, value: str) -> None:
    dialog.locator(f"#element_{field} input").first.fill(value)
    page.get_by_role("option", name=value, exact=True).click()


def new_run(airflow: Any, before: set[str]) -> str | None:
    for run in airflow.runs(DAG, "queued", "running", "success", "failed"):
        if run["dag_run_id"] not in before:
            return str(run["dag_run_id"])
    return None


def approval(airflow: Any, run_id: str) -> str | None:
    """The state of the approval once it waits or can no longer come."""
    states = {task["task_id"]: task["state"] for task in airflow.tasks(DAG, run_id)}
    if airflow.run(DAG, run_id)["state"] in ("success", "failed"):
        return states["approve"] or "none"
    return "awaiting_input" if states["approve"] in ("awaiting_input", "deferred") else None
