"""The few calls of Airflow's REST API that are needed."""

from __future__ import annotations

import logging
import time
from typing import Any

import httpx

from coldstart.errors import ServiceError

ATTEMPTS = 9
"""Within 40 seconds, in which a server that was killed runs again."""


class Airflow:
    """A client that logs in by itself."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._login = {"username": user, "password": password}
        logging.getLogger("httpx").setLevel(logging.WARNING)  # a line per call, several a second
        self._http = httpx.Client(base_url=url, timeout=30)

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def has_dag(self, dag: str) -> bool:
        """Whether Airflow has read the DAG."""
        return self._call("GET", f"/api/v2/dags/{dag}", missing=True) is not None

    def is_scheduling(self) -> bool:
        """Whether scheduler and DAG processor are alive."""
        health = self._call("GET", "/api/v2/monitor/health") or {}
        parts = ("scheduler", "dag_processor")
        return all((health.get(part) or {}).get("status") == "healthy" for part in parts)

    def set_pool(self, name: str, slots: int, description: str) -> None:
        """Create the pool or change its size."""
        body = {"name": name, "slots": slots, "description": description}
        found = self._call("GET", f"/api/v2/pools/{name}", missing=True)
        if found is None:
            self._call("POST", "/api/v2/pools", {**body, "include_deferred": False})
        elif found["slots"] != slots:
            self._call("PATCH", f"/api/v2/pools/{name}", {"slots": slots}, update_mask="slots")

    def trigger(self, dag: str, conf: dict[str, Any]) -> str:
        """Start a run; returns its id."""
        body = {"conf": conf, "logical_date": None}
        return str(self._need("POST", f"/api/v2/dags/{dag}/dagRuns", body)["dag_run_id"])

    def run(self, dag: str, run_id: str) -> dict[str, Any]:
        """One run."""
        return self._need("GET", f"/api/v2/dags/{dag}/dagRuns/{run_id}")

    def runs(self, dag: str, *states: str) -> list[dict[str, Any]]:
        """The newest runs in any of ``states``."""
        found = self._need("GET", f"/api/v2/dags/{dag}/dagRuns", order_by="-start_date", limit=50)
        return [run for run in found["dag_runs"] if run["state"] in states]

    def tasks(self, dag: str, run_id: str) -> list[dict[str, Any]]:
        """Task instances of a run, mapped ones each."""
        path = f"/api/v2/dags/{dag}/dagRuns/{run_id}/taskInstances"
        return list(self._need("GET", path, limit=200)["task_instances"])

    def xcom(self, dag: str, run_id: str, task: str, map_index: int = -1) -> Any:
        """What a task returned, or None."""
        path = f"/api/v2/dags/{dag}/dagRuns/{run_id}/taskInstances/{task}/xcomEntries/return_value"
        found = self._call(
            "GET", path, missing=True, map_index=map_index, deserialize=False, stringify=False
        )
        return None if found is None else found["value"]

    def set_note(self, dag: str, run_id: str, text: str) -> None:
        """Write the note that the UI shows on a run (Markdown, 1000 characters)."""
        body = {"note": text[:1000]}
        self._call("PATCH", f"/api/v2/dags/{dag}/dagRuns/{run_id}", body, update_mask="note")

    def _need(self, method: str, path: str, body: Any = None, **query: Any) -> dict[str, Any]:
        answer = self._call(method, path, body, **query)
        assert answer is not None
        return answer

    def _call(
        self, method: str, path: str, body: Any = None, *, missing: bool = False, **query: Any
    ) -> dict[str, Any] | None:
        """One call, tried again while the server is away or busy; None where ``missing`` may be."""
        for attempt in range(ATTEMPTS):
            try:
                answer = self._authorised(method, path, body, query)
            except httpx.TransportError as error:
                if attempt == ATTEMPTS - 1:
                    raise ServiceError(f"Airflow at {self._http.base_url}: {error}") from error
            else:
                if missing and answer.status_code == 404:
                    return None
                if answer.is_success:
                    return dict(answer.json()) if answer.content else {}
                if answer.status_code < 500 or attempt == ATTEMPTS - 1:
                    raise ServiceError(f"Airflow: {method} {path}: {_detail(answer)}")
            time.sleep(min(0.5 * 2**attempt, 8.0))
        raise AssertionError

    def _authorised(self, method: str, path: str, body: Any, query: Any) -> httpx.Response:
        if "Authorization" not in self._http.headers:
            self._log_in()
        answer = self._http.request(method, path, json=body, params=query)
        if answer.status_code == 401:
            self._log_in()
            answer = self._http.request(method, path, json=body, params=query)
        return answer

    def _log_in(self) -> None:
        answer = self._http.post("/auth/token", json=self._login)
        if not answer.is_success:
            raise ServiceError(f"Airflow refuses the login: {_detail(answer)}")
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


def _detail(answer: httpx.Response) -> str:
    try:
        return f"{answer.status_code} {answer.json().get('detail', answer.text)}"
    except ValueError:
        return f"{answer.status_code} {answer.text[:300]}"
