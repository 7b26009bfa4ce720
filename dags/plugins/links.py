"""Tabs of Airflow's UI: the report beside each run; MLflow and the Data Docs in the menu."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from coldstart import environment

_REPORTS = environment.REPORTS_URL.text()


class ColdstartLinks(AirflowPlugin):  # type: ignore[misc]
    """Read by Airflow at start."""

    name = "coldstart"
    external_views = [  # noqa: RUF012
        {
            "name": "Report",
            "href": f"{_REPORTS}/reports/{{RUN_ID}}/report.html",
            "destination": "dag_run",
            "url_route": "coldstart-report",
        },
        {
            "name": "MLflow",
            "href": environment.TRACKING_URI.text() or "http://127.0.0.1:5000",
            "destination": "nav",
        },
        {
            "name": "Data Docs",
            "href": f"{_REPORTS}/data-docs/",
            "destination": "nav",
        },
    ]
