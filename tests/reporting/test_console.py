"""Tables of results for a person at a terminal."""

from __future__ import annotations

import pandas as pd
import pytest

from coldstart.evaluation.metrics import ALL_SHOTS
from coldstart.reporting.console import leaderboard_tables, show


def _rows(shots: int) -> pd.DataFrame:
    k = [*range(shots), ALL_SHOTS]
    mean = [0.1 + n / 10_000 for n in range(len(k))]
    constant = {"dataset": "d", "split": "random", "metric": "rmse", "n_users": 9}
    rows = pd.DataFrame({"k": k, "mean": mean, "low": 0.1, "high": 0.3, **constant})
    return pd.concat([rows.assign(method=name) for name in ("ridge", "vbpmf_implicit")])


@pytest.mark.parametrize("columns", [20, 80])
@pytest.mark.parametrize("shots", [6, 14])
def test_every_number_is_whole_however_narrow_the_terminal(
    columns: int, shots: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    show(leaderboard_tables(_rows(shots)))
    shown = capsys.readouterr().out
    for mean in _rows(shots)["mean"]:
        assert f" {mean:.4f} " in shown
    assert "…" not in shown
    if shots == 6:  # the usual K fit into the usual width
        assert max(map(len, shown.splitlines())) <= 80
