"""Tables of the documents: what they say of known results, and where they go."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tables
from coldstart import layout
from coldstart.errors import ArtefactError, ParamsError
from coldstart.evaluation.leaderboard import TABLE, USERS, leaderboard
from coldstart.evaluation.summary import Candidate, Summary
from coldstart.params import load_params

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LEVELS = [("bias", 0, 1.21), ("bias", 5, 1.0), ("b", 0, 1.21), ("b", 5, 0.81)]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """40 users; in mean b has an RMSE of .9 at K=5, where bias has 1, and both have 1.1 at K=0.

    At K=5 the errors of b differ between users, so that the interval has a width.
    """
    evaluate = load_params(ROOT / "params.yaml").evaluate
    others = {"seed": 0, "fold": 0, "role": "cold", "ndcg@5": 0.5, "list_recall@10": 0.25}
    spread = np.tile([-0.5, 0.5], 20)
    frames = []
    for method, k, mse in LEVELS:
        errors = mse + (spread if (method, k) == ("b", 5) else 0)
        frame = pd.DataFrame({"user": np.arange(40), "k": k, "method": method, "mse": errors})
        frames.append(frame.assign(**others))
    users = pd.concat(frames, ignore_index=True)
    folder = tmp_path / layout.EVALUATION
    folder.mkdir(parents=True)
    users.to_parquet(folder / USERS)
    leaderboard(users, pd.DataFrame(), evaluate, 0).to_parquet(folder / TABLE)
    Summary(
        dataset="ml-100k", split="random", head="rating", goal="list", seed=0,
        training_seeds=(0, 1, 2), folds=(0, 1, 2, 3, 4), shots=(0, 5), query_size=5, like=4.0,
        n_users={"cold": 40}, methods=("bias", "b"), canary_methods=(),
        candidate=Candidate(method="b", fold=0, seed=0), evaluate=evaluate, canaries=(), data={},
    ).save(folder)  # fmt: skip
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("run")
def test_ratings_mark_what_prints_as_the_best_of_its_column() -> None:
    assert tables.table_of(["ratings"]) == [
        "| method | rmse K=0 | rmse K=5 | ndcg@5 K=5 | list_recall@10 K=5 |",
        "|---|--:|--:|--:|--:|",
        "| bias | **1.100** | 1.000 | **0.500** | **0.250** |",
        "| b | **1.100** | **0.900** | **0.500** | **0.250** |",
    ]


def test_the_board_is_ordered_by_the_goal_and_marks_the_candidate(run: Path) -> None:
    path = run / layout.EVALUATION / TABLE
    table = pd.read_parquet(path)
    of_b = table["method"].eq("b") & table["metric"].eq("list_recall@10")
    table.loc[of_b, "mean"] = [0.3, 0.25, 0.35]  # over all K, at 0 and at 5
    table.to_parquet(path)
    assert tables.table_of(["board"]) == [
        "| list_recall@10 | K=0 | K=5 | all K | rmse |",
        "|---|--:|--:|--:|--:|",
        "| **b** | .250 | .350 | .300 | 1.000 |",
        "| bias | .250 | .250 | .250 | 1.050 |",
    ]
    assert len(tables.table_of(["board", "--top", "1"])) == 3


@pytest.mark.usefixtures("run")
def test_differences_have_their_interval() -> None:
    row = tables.table_of(["minus", "b", "bias"])[-1]
    equal, better, _ = row.removeprefix("| bias | ").removesuffix(" |").split(" | ")
    assert equal == "+.0000 [+.0000, +.0000]"
    mean, low, high = (
        float(part) for part in better.translate(str.maketrans("[],", "   ")).split()
    )
    assert low < mean < high < 0
    # the mean of 40 errors of .81 +- .5 has a standard deviation of .5 / sqrt(40)
    assert mean == pytest.approx(-0.1, abs=1e-4)
    assert high - low == pytest.approx(2 * 1.96 * 0.5 / 40**0.5 / (2 * 0.9), rel=0.1)
    assert tables.table_of(["rows", "b", "bias"])[2:] == [
        f"| b | 1.1000 | .9000 | {better} |",
        "| bias | 1.1000 | 1.0000 |  |",
    ]


def test_who_validates_in_another_fold_can_be_left_out(run: Path) -> None:
    path = run / layout.EVALUATION / USERS
    users = pd.read_parquet(path)
    odd = users[(users["user"] % 2 == 1) & (users["k"] == 5)]
    pd.concat([users, odd.assign(fold=1, role="validation")]).to_parquet(path)
    row = tables.table_of(["minus", "b", "bias", "--never-validated"])[-1]
    difference = f"{0.31**0.5 - 1:+.4f}".replace("0.", ".")  # every even user has the same error
    assert f"| {difference} [{difference}, {difference}] | " in row

    pd.concat([users, users.assign(fold=1, role="validation")]).to_parquet(path)
    with pytest.raises(ParamsError, match="every cold user validates in another fold"):
        tables.table_of(["minus", "b", "bias", "--never-validated"])


def test_refreshing_changes_the_tables_of_the_run_and_nothing_else(run: Path) -> None:
    document = run / "doc.md"
    before = (
        "a\n\n<!-- table folds: rows b -->\n| old |\n| 1 |\n\n"
        "<!-- table dbook: board -->\n| x |\n\n| y |\n\n<!-- table folds: board -->\n| end |"
    )
    document.write_text(before, encoding="utf-8")
    tables.main(["refresh", "folds", str(document)])
    after = document.read_text(encoding="utf-8")
    made = ["\n".join(tables.table_of(words)) for words in (["rows", "b"], ["board"])]
    expected = before.replace("| old |\n| 1 |", made[0]).replace("| end |", made[1] + "\n")
    assert after == expected
    tables.main(["refresh", "folds", str(document)])
    assert document.read_text(encoding="utf-8") == after


@pytest.mark.parametrize(
    ("run_name", "text", "message"),
    [
        ("temporal", "<!-- table temporal: board -->\n| x |\n", "temporal is .* what lies here"),
        ("folds", "<!-- table temporal: board -->\n| x |\n", "none of the documents"),
        ("folds", "<!-- table folds: board -->\n\n| x |\n", "no table right below"),
        ("folds", "<!-- table folds: poem -->\n| x |\n", "b.md.*poem"),
        ("folds", "<!-- table folds: minus b nobody -->\n| x |\n", "b.md.*nobody"),
    ],
)
def test_where_one_table_cannot_be_made_no_document_changes(
    run: Path, run_name: str, text: str, message: str
) -> None:
    good, bad = run / "a.md", run / "b.md"
    table = "" if "none" in message else f"<!-- table {run_name}: rows b -->\n| x |\n"
    good.write_text(table, encoding="utf-8")
    bad.write_text(text, encoding="utf-8")
    before = [path.read_bytes() for path in (good, bad)]
    with pytest.raises(ParamsError, match=message):
        tables.main(["refresh", run_name, str(good), str(bad)])
    assert [path.read_bytes() for path in (good, bad)] == before


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(
    "words",
    [
        *(
            "poem",
            "",
            "minus b",
            "board b",
            "ratings b",
            "rows",
            "rows nobody",
            "minus b bias --metric poem",
        ),
        *("minus b nobody", "refresh", "refresh poem README.md", "refresh folds"),
    ],
)
def test_what_is_no_table_is_refused(words: str) -> None:
    with pytest.raises(ParamsError):
        tables.main(words.split())


def test_without_an_evaluation_it_is_said_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArtefactError, match="dvc repro"):
        tables.main(["board"])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_marked_table_is_one_that_can_be_made(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    found = list(tables.MARKED.finditer(text))
    assert len(found) == text.count("<!-- table ")
    for match in found:
        assert match["run"] in tables.RUNS
        options = tables.parser().parse_args(match["how"].split())
        first = [line.split(" | ")[0].removeprefix("| ") for line in match["table"].splitlines()]
        if options.kind == "minus":
            assert first[2:] == options.others
        if options.kind == "rows":
            assert first[2:] == options.methods
