"""Every run of the documents can be made, and is what their tables say it is."""

from __future__ import annotations

import pytest

import documents
import tables


@pytest.mark.parametrize("run", documents.CHANGES)
def test_the_changed_keys_are_those_of_the_run(run: str) -> None:
    told = tables.RUNS[run]
    keys = dict(change.split("=", 1) for change in documents.CHANGES[run])
    assert keys.get("data.name", "ml-100k") == told["dataset"]
    assert keys.get("prepare.split", "random") == told["split"]
    assert keys.get("prepare.folds", "[0]").count(",") + 1 == told["folds"]
    assert keys.get("meta_train.seeds", "[0]").count(",") + 1 == told["training_seeds"]


def test_every_document_is_found() -> None:
    names = [name.rsplit("/", 1)[-1] for name in documents.documents()]
    assert {"README.md", "algorithms.md", "ratings.md", "dbook.md"} <= set(names)
    assert set(documents.CHANGES) == set(tables.RUNS)
