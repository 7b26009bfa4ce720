"""Features of items from genres, year, knowledge graph and title. No rating is read here.

Legend: N items with the unknown one (row 0, all zeros), G features. Columns are centred over the
items that have the information; zeros mean that nothing is known.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from coldstart.data.embedding import spectral_embedding
from coldstart.data.sources import GENRE_COLUMNS, TITLE_COLUMNS, YEAR_COLUMNS, Source
from coldstart.data.title_text import TextEncoder, minilm, title_features
from coldstart.params import Feature

KG_DIMENSIONS = 16
MIN_ITEMS = 5

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class ItemColumns:
    """Which columns of the item table hold what; None where a dataset has no such column."""

    title: str | None
    year: str | None
    genres: str | None

    @classmethod
    def of(cls, items: pd.DataFrame | None) -> ItemColumns:
        """Find the columns by their usual names."""
        names = set() if items is None else set(items.columns)
        first = [
            next((name for name in candidates if name in names), None)
            for candidates in (TITLE_COLUMNS, YEAR_COLUMNS, GENRE_COLUMNS)
        ]
        return cls(*first)


def item_features(
    source: Source,
    keys: list[str],
    known_N: NDArray[np.bool_],
    chosen: Collection[Feature],
    encode: TextEncoder = minilm,
    *,
    separator: str | None = None,
) -> tuple[Floats, list[str]]:
    """Features ``[N, G]`` of the items ``keys`` (row 0 is the unknown item) and their names.

    Args:
        source: What is known of items.
        keys: Of each row.
        known_N: The items of the past, which principal components are taken from.
        chosen: Which kinds of features; one that the dataset has not is left out.
        encode: Reads titles.
        separator: Between the genres of an item; None: as :func:`genre_separator` finds it.

    Raises:
        ParamsError: titles are chosen and their encoder is not installed.
    """
    blocks: list[Floats] = [np.zeros((len(keys), 0), dtype=np.float32)]
    labels: list[str] = []
    if source.items is not None:
        table = source.items.drop_duplicates("item_id").set_index("item_id").reindex(keys)
        columns = ItemColumns.of(source.items)
        if columns.genres is not None and "genres" in chosen:
            raw = table[columns.genres].fillna("")
            block, names = _genres(raw, separator or genre_separator(raw))
            blocks.append(block)
            labels += [f"genre={name}" for name in names]
        if columns.year is not None and "year" in chosen:
            blocks.append(_year(table[columns.year]))
            labels.append("year")
        if columns.title is not None and "title" in chosen:
            block = title_features(table[columns.title].fillna("").tolist(), known_N, encode)
            blocks.append(block)
            labels += [f"title {d}" for d in range(block.shape[1])]
    if source.kg is not None and source.link is not None and "graph" in chosen:
        block = _knowledge_graph(source.kg, source.link, keys)
        blocks.append(block)
        labels += [f"kg {d}" for d in range(block.shape[1])]
    return np.hstack(blocks), labels


def genre_separator(raw: pd.Series) -> str:
    """A bar where any value has one, as MovieLens writes genres, else the format's space.

    A bar is part of no genre's name; a name between bars may hold spaces.
    """
    return "|" if raw.str.contains("|", regex=False).any() else " "


def _genres(raw: pd.Series, separator: str) -> tuple[Floats, list[str]]:
    """Multi-hot genres; those of fewer than ``MIN_ITEMS`` items are left out."""
    words = raw.str.split(separator, regex=False).explode().str.strip()
    words = words[words != ""]
    counts = words.value_counts()
    names = sorted(counts.index[counts >= MIN_ITEMS])
    rows = raw.index.get_indexer(words.index)
    codes = pd.Index(names, dtype="str").get_indexer(pd.Index(words))
    block = np.zeros((len(raw), len(names)), dtype=np.float32)
    block[rows[codes >= 0], codes[codes >= 0]] = 1
    known = (raw != "").to_numpy()
    block[known] -= block[known].mean(axis=0) if known.any() else 0
    return block, names


def _year(raw: pd.Series) -> Floats:
    """Standardised year; 0 where it is missing or no number."""
    years = pd.to_numeric(raw, errors="coerce").to_numpy(dtype="float64")
    known = np.isfinite(years)
    block = np.zeros((len(raw), 1), dtype=np.float32)
    if known.sum() > 1 and years[known].std() > 0:
        block[known, 0] = (years[known] - years[known].mean()) / years[known].std()
    return block


def _knowledge_graph(kg: pd.DataFrame, link: pd.DataFrame, keys: list[str]) -> Floats:
    """Embedding of the entities that items share: a truncated SVD of their TF-IDF incidence.

    Relations are not told apart. Entities next to one item only say nothing about others and are
    left out.
    """
    linked = link.drop_duplicates("item_id")
    rows = pd.Index(keys).get_indexer(pd.Index(linked["item_id"]))
    rows_of = pd.DataFrame({"of": linked["entity_id"].to_numpy(), "row": rows})
    rows_of = rows_of[rows_of["row"] > 0]
    sides = [kg[["head_id", "tail_id"]], kg[["tail_id", "head_id"]]]
    edges = pd.concat([side.set_axis(["of", "entity"], axis=1) for side in sides])
    pairs = rows_of.merge(edges, on="of")[["row", "entity"]].drop_duplicates()
    count = pairs["entity"].value_counts()
    pairs = pairs[pairs["entity"].map(count) >= 2]
    entities = sorted(set(pairs["entity"]))
    rank = min(KG_DIMENSIONS, len(entities) - 1, pairs["row"].nunique() - 1)
    block = np.zeros((len(keys), max(rank, 0)), dtype=np.float32)
    if rank < 1:
        return block
    row = pairs["row"].to_numpy()
    column = pd.Index(entities).get_indexer(pd.Index(pairs["entity"]))
    weight = np.log(pairs["row"].nunique() / count.reindex(entities).to_numpy(dtype="float64"))
    matrix = sp.csr_array((weight[column] + 1e-9, (row, column)), shape=(len(keys), len(entities)))
    norm = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    matrix = sp.csr_array(sp.diags_array(1 / np.maximum(norm, 1e-9)) @ matrix)
    embedding = spectral_embedding(matrix, rank)
    known = norm > 0
    embedding[known] -= embedding[known].mean(axis=0)
    block[known] = embedding[known] / embedding[known].std(axis=0).max()
    return block
