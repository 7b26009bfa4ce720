"""The table of peers: who is compared on what, and in which direction."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import peers
from coldstart.data.prepared import Prepared
from coldstart.params import load_params

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")


def users(method: str, mse: tuple[float, float], recall: tuple[float, float]) -> pd.DataFrame:
    """Two users at K=3."""
    rows = {"method": method, "user": [0, 1], "k": 3, "mse": mse, "mae": 1.0, "ndcg@5": 0.5}
    return pd.DataFrame({**rows, "auc": 0.5, "recall@10": recall})


@pytest.fixture
def found() -> pd.DataFrame:
    ours = users("ours", (0.16, 0.20), (0.1, 0.3))
    rater = users("rater", (0.36, 0.62), (0.0, 0.0))
    ranker = users("ranker", (0.0, 0.0), (0.5, 0.7)).drop(columns=["mse", "mae"])
    return peers.differences(
        pd.concat([ours, rater, ranker]), "ours", {"rater": True, "ranker": False}, PARAMS
    )


def test_a_difference_is_ours_minus_the_peer(found: pd.DataFrame) -> None:
    means = found.set_index(["metric", "b"])["mean"]
    assert means["rmse", "rater"] == pytest.approx(0.18**0.5 - 0.7, abs=1e-6)
    assert means["recall@10", "ranker"] == pytest.approx(-0.4, abs=1e-6)


def test_a_ranker_is_not_compared_in_rating_points(found: pd.DataFrame) -> None:
    by_peer = found.groupby("b")["metric"].agg(set)
    assert by_peer["rater"] == {"rmse", "mae", "ndcg@5", "auc"}
    assert by_peer["ranker"] == {"ndcg@5", "auc", "recall@10"}


def test_results_of_other_data_are_refused(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "RESULTS", tmp_path)
    record = {"data": peers.identity(prepared)}
    (tmp_path / "cornac_mf.json").write_text(json.dumps(record))
    assert peers.fitted(prepared) == {"cornac_mf": record}
    record["data"] |= {"folds": [4]}
    (tmp_path / "cornac_mf.json").write_text(json.dumps(record))
    with pytest.raises(SystemExit, match="fit cornac_mf again"):
        peers.fitted(prepared)
