"""Tables of the documents: what they say of known results, and where they go."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tables
from coldstart import layout
from coldstart.errors import ParamsError
from coldstart.evaluation.leaderboard import TABLE, USERS, leaderboard
from coldstart.params import load_params

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """40 users, on whom b is exactly .1 of RMSE better than bias at K=5 and level at K=0."""
    params = load_params(ROOT / "params.yaml")
    columns = {"seed": 0, "fold": 0, "role": "cold", "ndcg@5": 0.5, "recall@10": 0.25}
    frames = [
        pd.DataFrame({"user": np.arange(40), "k": k, "method": method, "mse": mse}).assign(
            **columns
        )
        for method, k, mse in [("bias", 0, 1.21), ("bias", 5, 1.0), ("b", 0, 1.21), ("b", 5, 0.81)]
    ]
    users = pd.concat(frames, ignore_index=True)
    folder = tmp_path / layout.EVALUATION
    folder.mkdir(parents=True)
    users.to_parquet(folder / USERS)
    leaderboard(users, pd.DataFrame(), params.evaluate, 0).to_parquet(folder / TABLE)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text("utf-8"), "utf-8")
    monkeypatch.chdir(tmp_path)
    tables.means.cache_clear()
    return tmp_path


@pytest.mark.usefixtures("run")
def test_the_board_marks_the_best_of_each_column() -> None:
    assert tables.table_of(["board"]) == [
        "| method | rmse K=0 | rmse K=5 | ndcg@5 K=5 | recall@10 K=5 |",
        "|---|--:|--:|--:|--:|",
        "| bias | **1.100** | 1.000 | **0.500** | **0.250** |",
        "| b | 1.100 | **0.900** | 0.500 | 0.250 |",
    ]


@pytest.mark.usefixtures("run")
def test_differences_have_their_interval() -> None:
    assert tables.table_of(["minus", "b", "bias"])[-1] == (
        "| bias | +.0000 [+.0000, +.0000] | -.1000 [-.1000, -.1000] |"
    )
    assert tables.table_of(["rows", "b", "bias"])[2:] == [
        "| b | 1.1000 | .9000 | -.1000 [-.1000, -.1000] |",
        "| bias | 1.1000 | 1.0000 |  |",
    ]


def test_refreshing_changes_the_tables_of_the_run_and_nothing_else(run: Path) -> None:
    document = run / "doc.md"
    before = (
        "a\n\n<!-- table folds: rows b -->\n| old |\n| 1 |\n\n"
        "<!-- table other: board -->\n| x |\n\n| y |\n"
    )
    document.write_text(before, encoding="utf-8")
    tables.main(["refresh", "folds", str(document)])
    after = document.read_text(encoding="utf-8")
    made = "\n".join(tables.table_of(["rows", "b"]))
    assert after == before.replace("| old |\n| 1 |", made)
    tables.main(["refresh", "folds", str(document)])
    assert document.read_text(encoding="utf-8") == after


@pytest.mark.usefixtures("run")
def test_an_unknown_method_or_table_is_named() -> None:
    with pytest.raises(ParamsError, match="nobody"):
        tables.table_of(["minus", "b", "nobody"])
    with pytest.raises(ParamsError, match="poem"):
        tables.table_of(["poem"])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_marked_table_can_be_made_and_is_there(document: Path) -> None:
    for match in tables.MARKED.finditer(document.read_text(encoding="utf-8")):
        tables.parsed(match["how"].split())
        assert match["table"].count("\n") > 2, match[0]
