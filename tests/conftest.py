"""A small dataset with structure, and what ``prepare`` makes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coldstart.data.prepared import Prepared
from coldstart.data.sources import read_source
from coldstart.data.tables import prepare_source
from coldstart.params import DataParams, PrepareParams
from places import pipeline, project

__all__ = ["pipeline", "project"]

N_USERS, N_ITEMS = 120, 60
GENRES = ("Action", "Comedy", "Drama", "Horror", "Romance")


def write_tiny(folder: Path, n_users: int = N_USERS, seed: int = 7) -> Path:
    """Write the dataset ``tiny``: ratings of rank 2 that genres and gender partly explain."""
    rng = np.random.default_rng(seed)
    item_genre = rng.integers(0, len(GENRES), N_ITEMS)
    item_factor = np.eye(len(GENRES), 2)[item_genre] + rng.normal(0, 0.5, (N_ITEMS, 2))
    lines = {"inter": ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]}
    lines["user"] = ["user_id:token\tage:token\tgender:token\tzip_code:token"]
    for user in range(n_users):
        man = rng.random() < 0.6
        lines["user"].append(f"u{user}\t{rng.integers(16, 70)}\t{'FM'[man]}\t{user:05d}")
        factor = rng.normal(0, 0.8, 2) + (0.5 if man else -0.5)
        rated = rng.permutation(N_ITEMS)[: rng.integers(25, 46)]
        score = 3.4 + rng.normal(0, 0.3) + item_factor[rated] @ factor
        stars = np.clip(np.rint(score + rng.normal(0, 0.5, len(rated))), 1, 5).astype(int)
        start = 1_500_000_000 + 86_400 * user
        seconds = start + np.sort(rng.integers(0, 30 * 86_400, len(rated)))
        lines["inter"] += [
            f"u{user}\ti{i}\t{r}\t{s}" for i, r, s in zip(rated, stars, seconds, strict=True)
        ]
    lines["item"] = ["item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"]
    lines["link"] = ["item_id:token\tentity_id:token"]
    lines["kg"] = ["head_id:token\trelation_id:token\ttail_id:token"]
    for item in range(N_ITEMS):
        genre, other = GENRES[item_genre[item]], GENRES[item % len(GENRES)]
        classes = " ".join(dict.fromkeys((genre, other)))
        lines["item"].append(f"i{item}\tTitle {item}\t{1960 + item}\t{classes}")
        if item % 10:
            lines["link"].append(f"i{item}\te{item}")
            lines["kg"].append(f"e{item}\tdirected_by\td{item % 7}")
            lines["kg"].append(f"g{item_genre[item]}\tgenre_of\te{item}")
    folder.mkdir(parents=True)
    for suffix, content in lines.items():
        (folder / f"{folder.name}.{suffix}").write_text("\n".join(content) + "\n")
    return folder


@pytest.fixture(scope="session")
def tiny_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the atomic files ``tiny.*``; do not write to it."""
    return write_tiny(tmp_path_factory.mktemp("source") / "data" / "tiny")


@pytest.fixture(scope="session")
def data_params() -> DataParams:
    return DataParams(name="tiny", source="tiny", min_rating=1.0, max_rating=5.0, like=4.0)


@pytest.fixture(scope="session")
def prepare_params() -> PrepareParams:
    return PrepareParams(
        split="random",
        n_folds=3,
        folds=(0, 1),
        validation_share=0.2,
        temporal_quantile=0.8,
        order="random",
        min_ratings=15,
        query_size=5,
        shots=(0, 1, 3, 5, 10),
        features=("attributes", "genres", "year", "graph"),
    )


@pytest.fixture(scope="session")
def prepared(tiny_source: Path, data_params: DataParams, prepare_params: PrepareParams) -> Prepared:
    """The prepared ``tiny``: folds 0 and 1 of 3, shots up to 10, query of 5; do not change it."""
    source = read_source(tiny_source, "tiny")
    return prepare_source(source, data_params, prepare_params, seed=0, head="rating")
