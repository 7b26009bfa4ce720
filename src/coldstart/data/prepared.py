"""The prepared data: canonical tables, features, split and episodes, and how to read them.

Legend: U users, N items with the unknown one, F user features, G item features, B users of a batch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from coldstart import layout
from coldstart.data.episodes import Episodes, History, Support
from coldstart.data.features import UserEncoder
from coldstart.data.units import Unit, like_border, tensor_of
from coldstart.errors import ArtefactError

TABLES = ("users", "items", "ratings", "split", "episodes")
ATTRIBUTE = "attribute:"
"""Before the name of a raw attribute in users.parquet; no name in a source holds a colon."""
FILES = (
    *(f"{name}.parquet" for name in TABLES),
    "features.safetensors",
    "encoder.json",
    "summary.json",
)


@dataclass(frozen=True)
class Prepared:
    """What ``prepare`` writes and everything downstream reads."""

    users: pd.DataFrame  # schema.USERS and the raw attributes
    items: pd.DataFrame  # schema.ITEMS
    ratings: pd.DataFrame  # schema.RATINGS
    split: pd.DataFrame  # schema.SPLIT
    episodes: pd.DataFrame  # schema.EPISODES
    item_features_NG: Tensor  # float32, row 0 zeros; G may be 0
    user_features_UF: Tensor  # float32; F may be 0
    encoder: UserEncoder
    summary: dict[str, Any]  # digest, counts, what was dropped and why, cut, names of features

    @property
    def n_users(self) -> int:
        """Rows of ``users``: ``U``."""
        return len(self.users)

    @property
    def n_items(self) -> int:
        """Rows of ``items``, the unknown item included: ``N``."""
        return len(self.items)

    @cached_property
    def attributes(self) -> pd.DataFrame:
        """Raw attributes by their names in the source; ``U`` rows, the index is the row."""
        return raw_attributes(self.users)

    @property
    def folds(self) -> tuple[int, ...]:
        """The folds that were prepared."""
        return tuple(self.summary["folds"])

    @property
    def shots(self) -> tuple[int, ...]:
        """Support sizes of the sweep, ascending."""
        return tuple(self.summary["shots"])

    def role_users(self, fold: int, role: str) -> NDArray[np.int64]:
        """Rows of the users who play ``role`` in ``fold``, ascending, episode or not."""
        rows = (self.split["fold"] == fold) & (self.split["role"] == role)
        return self.split.loc[rows, "user"].to_numpy(dtype="int64")

    def history_rows(self, fold: int) -> pd.DataFrame:
        """All that may be learnt from in ``fold``: ratings of historical users, before the cut."""
        historical = np.zeros(self.n_users, dtype=bool)
        historical[self.role_users(fold, "historical")] = True
        rows = historical[self.ratings["user"].to_numpy()]
        if self.summary["cut"] is not None:
            rows &= self.ratings["timestamp"].to_numpy() <= self.summary["cut"]
        table: pd.DataFrame = self.ratings[rows]
        return table

    def cold_items(self, fold: int) -> Tensor:
        """Which items no history of the fold has a rating of, the unknown one aside: bool ``[N]``.

        All that a method can know of one is its side information.
        """
        cold_N = torch.ones(self.n_items, dtype=torch.bool)
        cold_N[self.history_rows(fold)["item"].unique().tolist()] = False
        cold_N[0] = False
        return cold_N

    def history(self, fold: int) -> History:
        """:meth:`history_rows` as tensors."""
        return self.as_history(self.history_rows(fold), fold)

    def as_history(self, table: pd.DataFrame, fold: int) -> History:
        """Rows of ``ratings``, sorted by user and item, as tensors in the unit of ``fold``."""
        return History(
            users_R=torch.from_numpy(table["user"].to_numpy(dtype="int64")),
            items_R=torch.from_numpy(table["item"].to_numpy(dtype="int64")),
            targets_R=self.targets(table, fold),
            n_users=self.n_users,
            n_items=self.n_items,
            user_features_UF=self.user_features_UF,
            item_features_NG=self.item_features_NG,
            like=self._like(table["rating"].to_numpy("float64"), fold),
        )

    def unit(self, fold: int) -> Unit:
        """What targets are measured in, from the ratings of :meth:`history`; likes are as they are.

        The same for all that is handed out of a fold, so that no cold user has a say in it.
        """
        return self._units[fold]

    def targets(self, table: pd.DataFrame, fold: int) -> Tensor:
        """Column ``target`` in the unit of ``fold``: float32, a number per row."""
        return self.unit(fold).inside(tensor_of(table["target"].to_numpy()))

    @cached_property
    def _units(self) -> dict[int, Unit]:
        folds = [int(fold) for fold in self.split["fold"].unique()]
        if self.summary["head"] != "rating":
            return dict.fromkeys(folds, Unit())
        return {f: Unit.of(self.history_rows(f)["rating"].to_numpy("float64")) for f in folds}

    def _like(self, ratings_R: NDArray[np.float64], fold: int) -> float:
        """Border of likes among targets."""
        if self.summary["head"] != "rating":
            return 0.5
        scale = (self.summary["min_rating"], self.summary["max_rating"])
        return self.unit(fold).target(like_border(ratings_R, self.summary["like"], scale))

    def eval_episodes(self, fold: int, role: Literal["validation", "cold"]) -> Episodes:
        """Episodes of the users of ``role`` who have enough ratings, by ascending user.

        The support is the whole pool in its order: ``support.first(k)`` is the support of K shots.
        """
        rows = self._episode_rows
        table = rows[(rows["fold"] == fold) & (rows["role"] == role)]
        users = np.unique(table["user"].to_numpy(dtype="int64"))
        items, targets = {}, {}
        for part in ("support", "query"):
            of_part = table[table["part"] == part]  # sorted by user and position, all complete
            width = len(of_part) // max(len(users), 1)
            rows_of_items = of_part["item"].to_numpy(dtype="int64", copy=True)
            items[part] = torch.from_numpy(rows_of_items).reshape(len(users), width)
            targets[part] = self.targets(of_part, fold).reshape(len(users), width)
        users_B = torch.from_numpy(users)
        support = Support(
            items_BS=items["support"],
            targets_BS=targets["support"],
            mask_BS=torch.ones_like(items["support"], dtype=torch.bool),
            users_BF=self.user_features_UF[users_B],
            crossfit_B=torch.zeros_like(users_B),
        )
        mask_BQ = torch.ones_like(items["query"], dtype=torch.bool)
        return Episodes(support, items["query"], targets["query"], mask_BQ, users_B)

    @cached_property
    def _episode_rows(self) -> pd.DataFrame:
        return self.episodes.merge(self.split, on=["fold", "user"], how="left")

    def save(self, folder: Path) -> None:
        """Write everything below ``folder``; the same content gives the same bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in TABLES:
            getattr(self, name).to_parquet(folder / f"{name}.parquet", index=False)
        features = {"items_NG": self.item_features_NG, "users_UF": self.user_features_UF}
        save_file(features, folder / "features.safetensors")
        _write_json(folder / "encoder.json", self.encoder.model_dump(mode="json"))
        _write_json(folder / "summary.json", self.summary)

    @classmethod
    def load(cls, folder: Path = layout.PREPARED) -> Prepared:
        """The inverse of :meth:`save`.

        Raises:
            ArtefactError: a file is missing.
        """
        for name in FILES:
            if not (folder / name).is_file():
                raise ArtefactError(f"{folder / name}: not found; run `coldstart prepare`")
        tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in TABLES}
        features = load_file(folder / "features.safetensors")
        encoder = UserEncoder.model_validate_json((folder / "encoder.json").read_bytes())
        summary = json.loads((folder / "summary.json").read_bytes())
        return cls(
            **tables,
            item_features_NG=features["items_NG"],
            user_features_UF=features["users_UF"],
            encoder=encoder,
            summary=summary,
        )


def raw_attributes(users: pd.DataFrame) -> pd.DataFrame:
    """The attribute columns of a ``users`` table, by their names in the source."""
    own = [column for column in users.columns if column.startswith(ATTRIBUTE)]
    return users[own].rename(columns=lambda column: column.removeprefix(ATTRIBUTE))


def _write_json(path: Path, content: Any) -> None:
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
