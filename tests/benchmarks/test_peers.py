"""The tables of peers: who is compared on what, in which direction, and where they are put."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import peer_tables
import peers
from coldstart.data.prepared import Prepared
from coldstart.evaluation.metrics import ALL_SHOTS
from coldstart.params import load_params
from peer_tables import Found, Tables, block, into_page, markdown, tables_of
from peer_trials import Context

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")
RECORD = {
    "title": "The peer",
    "package": "peer 1.0",
    "rating": False,
    "metric": "list_recall@10",
    "chosen": {"0": {"a": 1}, "1": {"a": 2}},
    "trials": [{"setting": {"a": 1}, "value": 0.1}, {"setting": {"a": 2}, "value": 0.3}],
    "data": "d",
    "folds": [0, 1],
}


def users(method: str, by_k: dict[int, tuple[float, float]]) -> pd.DataFrame:
    """Two users."""
    frames = []
    for k, values in by_k.items():
        rows = {"method": method, "user": [0, 1], "k": k, "list_recall@10": values}
        frames.append(pd.DataFrame(rows))
    frame = pd.concat(frames, ignore_index=True)
    for name in ("list_ndcg@10", "recall@10", "list_recall_tail@10"):
        frame[name] = frame["list_recall@10"] / 2
    return frame


@pytest.fixture
def tables() -> Tables:
    ours = users("ours", {0: (0.9, 0.9), 1: (0.2, 0.4), 3: (0.4, 0.6)})
    peer = users("peer", {0: (0.0, 0.0), 1: (0.1, 0.1), 3: (0.1, 0.3)})
    cells = {"method": ["ours"] * 3 + ["peer"] * 3, "k": [0, 1, 3] * 2}
    coverage = pd.DataFrame({**cells, "coverage": [0.9, 0.1, 0.3, 0.9, 0.5, 0.7]})
    found = Found(pd.concat([ours, peer]), coverage, {"peer": RECORD}, ("ours",))
    return tables_of(found, "list", PARAMS)


def test_a_difference_is_ours_minus_the_peer(tables: Tables) -> None:
    found = tables.differences
    found = found[found["metric"] == "list_recall@10"].set_index("k")["mean"]
    assert found[1] == pytest.approx(0.2)
    assert found[3] == pytest.approx(0.3)


def test_the_mean_is_over_the_shots_with_a_support(tables: Tables) -> None:
    """K=0, where ours is ahead by .9, has no part in it."""
    found = tables.differences.set_index(["metric", "k"])
    row = found.loc[("list_recall@10", ALL_SHOTS)]
    assert row["mean"] == pytest.approx(0.25)
    assert row["low"] == pytest.approx(0.2)  # user 0: .1 and .3; user 1: .3 and .3
    assert row["high"] == pytest.approx(0.3)
    level = tables.rows.set_index(["metric", "method", "k"])["mean"]
    assert level["list_recall@10", "ours", ALL_SHOTS] == pytest.approx(0.4)
    assert level["coverage", "peer", ALL_SHOTS] == pytest.approx(0.6)


def test_a_peer_has_a_line_of_levels_and_one_of_differences(tables: Tables) -> None:
    lines = list(markdown(tables, "list_recall@10"))
    assert lines[0] == "| list_recall@10 | K=0 | K=1 | K=3 | K >= 1 |"
    assert lines[2] == "| **ours** | .9000 | .3000 | .5000 | .4000 |"
    assert lines[3] == "| The peer | .0000 | .1000 | .2000 | .1500 |"
    assert lines[4].startswith("| *ours minus it* | +.9000 [+.9000, +.9000] | +.2000 [")
    assert len(lines) == 5


def test_what_has_no_interval_has_no_line_of_differences(tables: Tables) -> None:
    assert len(list(markdown(tables, "coverage"))) == 4


def test_a_rating_is_not_compared_with_a_ranker() -> None:
    ours = users("ours", {1: (0.2, 0.4)}).assign(mse=0.8, mae=0.7, **{"ndcg@5": 0.5, "auc": 0.5})
    peer = users("peer", {1: (0.1, 0.1)}).assign(**{"ndcg@5": 0.4, "auc": 0.4})
    none = pd.DataFrame({"method": [], "k": [], "coverage": []})
    found = Found(pd.concat([ours, peer]), none, {"peer": RECORD}, ("ours",))
    assert set(tables_of(found, "rating", PARAMS).differences["metric"]) == {"ndcg@5", "auc"}


def test_the_block_says_what_was_chosen(tables: Tables, prepared: Prepared) -> None:
    text = block(tables, Context(prepared, PARAMS, "d"), 12)
    assert "| The peer | peer 1.0 | 2 | .3000 to .1000 | a 1 (0); a 2 (1) |" in text
    for metric in (
        "list_recall@10",
        "list_ndcg@10",
        "recall@10",
        "list_recall_tail@10",
        "coverage",
    ):
        assert f"| {metric} | K=0 |" in text


def test_a_page_keeps_what_is_not_of_this_data(tmp_path: Path) -> None:
    page = tmp_path / "lists.md"
    page.write_text("# Lists\n\nWords.\n")
    for text in ("first", "second"):
        into_page(page, f"<!-- peers a random: begin -->\n{text}\n<!-- peers a random: end -->")
        into_page(page, f"<!-- peers b random: begin -->\n{text} b\n<!-- peers b random: end -->")
    content = page.read_text()
    assert content.startswith("# Lists\n\nWords.\n\n<!-- peers a random: begin -->\nsecond\n")
    assert "first" not in content
    assert content.count("begin -->") == 2
    assert "second b" in content


def test_results_of_other_data_are_refused(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "RESULTS", tmp_path)
    context = Context(prepared, PARAMS, "d")
    record = RECORD | {"folds": list(PARAMS.prepare.folds)}
    (tmp_path / "als.json").write_text(json.dumps(record))
    assert peers.peers_found(["als"], context) == {"als": record}
    for change in ({"data": "other"}, {"folds": [4]}):
        (tmp_path / "als.json").write_text(json.dumps(record | change))
        with pytest.raises(peers.ParamsError, match="als: its results are of other data"):
            peers.peers_found(["als"], context)


def test_every_peer_of_a_goal_has_a_module() -> None:
    folder = Path(peers.__file__).parent / "peer_libraries"
    for name, module in peers.MODULES.items():
        assert f'"{name}": Peer(' in (folder / f"{module}.py").read_text()
    assert set(peer_tables.SHOWN) == set(peers.GOALS)
