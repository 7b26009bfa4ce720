"""Stage ``prepare``: data/ -> canonical tables, features, split and episodes."""

from __future__ import annotations

import logging

from coldstart import layout
from coldstart.data.sources import read_source
from coldstart.data.tables import prepare_source
from coldstart.data.validated import read_validated
from coldstart.params import load_params

_LOG = logging.getLogger("coldstart.prepare")


def run() -> None:
    """Read the dataset that ``validate`` passed and write ``artifacts/prepared``.

    Raises:
        ArtefactError: the data has not been validated as it is now.
        DataError: the data cannot be prepared as the params ask.
    """
    params = load_params(layout.PARAMS)
    source = read_source(layout.DATA / params.data.name, params.data.name)
    read_validated(layout.VALIDATION, source.digest)
    prepared = prepare_source(
        source, params.data, params.prepare, seed=params.seed, head=params.head
    )
    prepared.save(layout.PREPARED)
    counts = prepared.summary
    _LOG.info(
        "%s: %s users, %s items, %s ratings (%s repeated ones dropped)",
        source.name,
        counts["n_users"],
        counts["n_items"],
        counts["n_ratings"],
        counts["repeated_ratings_dropped"],
    )
    if params.data.seq_separator is None and counts["genre_separator"] == "|":
        _LOG.info("%s.item: genres are separated by '|' (data.seq_separator)", source.name)
