"""Nothing that is learnt has read a rating that judges it.

Everything is learnt twice: from the prepared data, and from the same data in which the ratings of
cold users are gone and those of the evaluated validation queries are turned upside down.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml

from coldstart import layout
from coldstart.data.prepared import Prepared
from coldstart.params import read_yaml
from coldstart.stages import combine, meta_train, pretrain

ROOT = Path(__file__).parents[2]
ALGORITHMS = ("maml", "reptile", "bayes_head", "multitask")


def unjudged(prepared: Prepared) -> Prepared:
    """Other ratings wherever fold 0 is evaluated."""
    roles = prepared.split[prepared.split["fold"] == 0].set_index("user")["role"]

    def turned(table: pd.DataFrame, judged: pd.Series) -> pd.DataFrame:
        columns = ["rating", "target"]
        values = table[columns].where(~judged, 6 - table[columns])
        return table.assign(**{c: values[c].astype(table[c].dtype) for c in columns})

    episodes = prepared.episodes
    query = (
        (episodes["fold"] == 0)
        & (episodes["part"] == "query")
        & (episodes["user"].map(roles) == "validation")
    )
    ratings = prepared.ratings[prepared.ratings["user"].map(roles) != "cold"]
    keys = pd.MultiIndex.from_frame(episodes.loc[query, ["user", "item"]])
    rated = pd.MultiIndex.from_frame(ratings[["user", "item"]]).isin(keys)
    assert rated.sum() == query.sum() > 0
    return replace(
        prepared,
        ratings=turned(ratings, pd.Series(rated, ratings.index)).reset_index(drop=True),
        episodes=turned(episodes, query),
    )


def learnt(prepared: Prepared, folder: Path, home: Path) -> dict[str, str]:
    """Digest of every bundle of fold 0 of a project in ``folder``, by its place."""
    with pytest.MonkeyPatch.context() as patch:
        folder.mkdir()
        patch.chdir(folder)
        patch.setenv("COLDSTART_HOME", str(home))
        prepared.save(layout.PREPARED)
        raw = read_yaml(ROOT / "params.yaml")
        raw["threads"] = 1
        raw["prepare"].update(n_folds=3, folds=[0], min_ratings=15, query_size=5)
        raw["prepare"]["shots"] = [0, 1, 3, 5, 10]
        for name in ("mf", "vbpmf", "vbpmf_audience"):
            raw["pretrain"][name].update(factors=3, sweeps=3, crossfit=3)
        raw["baselines"]["deepfm"].update(epochs=4, factors=3, hidden=4)
        raw["meta_train"].update(algorithms=list(ALGORITHMS), seeds=[0])
        raw["meta_train"]["loop"].update(max_steps=40, batch_size=8, eval_every=5, patience=1)
        raw["combine"]["blend"]["members"] = ["bayes_head", "ridge"]
        raw["combine"]["student"].update(factors=4, steps=20)
        layout.PARAMS.write_text(yaml.safe_dump(raw))
        pretrain.run()
        for name in ALGORITHMS:
            meta_train.run(name)
        combine.run()
        return {
            str(path.parent): hashlib.sha256(path.read_bytes()).hexdigest()
            for root in (layout.BACKBONE, layout.BASELINES, layout.MODELS, layout.COMBINATIONS)
            for path in sorted(root.rglob("*.safetensors"))
            if "fold-0" in path.parts
        }


def test_what_judges_is_never_learnt_from(prepared: Prepared, tmp_path: Path) -> None:
    first = learnt(prepared, tmp_path / "a", tmp_path / "home_a")
    other = learnt(unjudged(prepared), tmp_path / "b", tmp_path / "home_b")
    assert len(first) > 15
    assert {place for place, digest in first.items() if other[place] != digest} == set()


def test_what_may_be_read_is(prepared: Prepared, tmp_path: Path) -> None:
    """The same with other spare ratings: what is calibrated or stopped early sees them."""
    roles = prepared.split[prepared.split["fold"] == 0].set_index("user")["role"]
    used = pd.MultiIndex.from_frame(
        prepared.episodes.loc[prepared.episodes["fold"] == 0, ["user", "item"]]
    )
    ratings = prepared.ratings
    spare = (ratings["user"].map(roles) == "validation") & ~pd.MultiIndex.from_frame(
        ratings[["user", "item"]]
    ).isin(used)
    turned = ratings.assign(target=ratings["target"].where(~spare, 6 - ratings["target"]))
    first = learnt(prepared, tmp_path / "a", tmp_path / "home_a")
    other = learnt(replace(prepared, ratings=turned), tmp_path / "b", tmp_path / "home_b")
    changed = {Path(place).parts[2] for place, digest in first.items() if other[place] != digest}
    assert {"vbpmf_implicit", "deepfm", "blend"} <= changed
    assert changed & set(ALGORITHMS)
