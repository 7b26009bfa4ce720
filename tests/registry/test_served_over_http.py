"""``mlflow models serve`` answers with recommendations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from coldstart.registry import packaging, runs

from .test_promotion import decision


@pytest.fixture
def address(workspace: Path, client: Any, run_mlflow: Any) -> Iterator[str]:
    """Address of a server of the workspace's model."""
    experiment, run = runs.parent(client, "coldstart-tiny", "key")
    folder = workspace / "packed"
    packaging.pack(folder, decision("a", None))
    uri = packaging.log_model(experiment, run, folder)
    serve = ["models", "serve", "--model-uri", uri, "--env-manager", "local"]
    with run_mlflow(lambda port: [*serve, "--port", str(port)], "ping") as address:
        yield address


def test_a_support_set_in_recommendations_out(address: str) -> None:
    body = {
        "inputs": [{"items": ["i1", "i2"], "ratings": [5, 1]}, {"items": [], "ratings": []}],
        "params": {"k": 4},
    }
    answer = httpx.post(f"{address}/invocations", json=body, timeout=30)
    assert answer.status_code == 200, answer.text
    first, second = answer.json()["predictions"]
    assert len(first["recommendations"]) == len(second["recommendations"]) == 4
    assert {"i1", "i2"}.isdisjoint(item["item"] for item in first["recommendations"])
    assert all(1 <= item["score"] <= 5 for item in first["recommendations"])

    body["inputs"] = [{"items": ["i1"], "ratings": [17]}]
    answer = httpx.post(f"{address}/invocations", json=body, timeout=30)
    assert answer.status_code == 400
    assert "rating 17 of item 'i1' is not on the scale from 1 to 5" in answer.json()["message"]

    for wrong, message in (
        ({"params": {"k": None}}, "k: None is not allowed: must be a whole number between 1 and"),
        ({"inputs": [{"items": ["i1"], "ratings": [True]}]}, "user 0: rating True of item 'i1'"),
        ({"inputs": [{"items": ["i1", 2], "ratings": [5, True]}]}, "user 0: rating True of item 2"),
        ({"inputs": [{"items": [["i1"]], "ratings": [5]}]}, "user 0: item ['i1'] must be"),
        ({"inputs": [{"items": [None], "ratings": [5]}]}, "user 0: item None must be"),
        ({"inputs": [{"items": ["i1"], "ratings": [5], "user": "alice"}]}, "user 0: user: 'alice'"),
    ):
        whole = {"inputs": [{"items": ["i1"], "ratings": [5]}], **wrong}
        answer = httpx.post(f"{address}/invocations", json=whole, timeout=30)
        assert answer.status_code == 400, wrong
        assert message in answer.json()["message"]
