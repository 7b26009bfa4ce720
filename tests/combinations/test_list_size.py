"""Which of several sizes validation users choose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from coldstart.combinations import _list_size, check_params
from coldstart.combinations._list_size import smallest_good
from coldstart.combinations.base import Ingredients
from coldstart.combinations.list import List, ListParams
from coldstart.data.choices import Choices
from coldstart.data.prepared import Prepared
from coldstart.data.spare import spare_choices
from coldstart.errors import ParamsError
from coldstart.models.recommender import Recommender
from coldstart.params import Params, parse_section
from lists_asked import assert_unjudged, lists_asked

Make = Callable[..., Recommender]


class Lists:
    """Recalls of each size, as told: ``[K, A]`` with one K."""

    def __init__(self, **recalls: list[float]) -> None:
        self.told = recalls

    def of_some(self, most: int) -> Lists:
        assert most == _list_size.MOST
        return self

    def recalls(self, size: str) -> Tensor:
        return torch.tensor([self.told[size]]).double()


def chosen(*recalls: list[float]) -> int:
    lists: Any = Lists(**{f"s{index}": row for index, row in enumerate(recalls)})
    made: Any = "s{}".format
    return smallest_good(range(len(recalls)), made, lists)


def test_the_smallest_within_one_standard_error() -> None:
    """Users lack 0, 0, 0, .4 of the best: a mean of .1 and a standard error of .1."""
    best = [0.5, 0.5, 0.5, 0.5]
    assert chosen([0.5, 0.5, 0.5, 0.1], best) == 0
    # .1 each: no doubt that it is worse
    assert chosen([0.4, 0.4, 0.4, 0.4], best) == 1
    assert chosen([0.4, 0.4, 0.4, 0.4], [0.5, 0.5, 0.5, 0.1], best) == 1
    assert chosen(best, [0.4, 0.4, 0.4, 0.4]) == 0
    assert chosen(best, best) == 0


def test_one_size_asks_nobody_and_one_user_says_nothing() -> None:
    nobody: Any = None
    assert smallest_good([7], nobody, nobody) == 7
    assert chosen([0.1], [0.9]) == 0
    assert chosen([], []) == 0


def test_what_was_chosen_is_taken_over(
    ingredients: Ingredients, prepared: Prepared, params: Params
) -> None:
    section = check_params(params)["list"]
    assert isinstance(section, ListParams)
    section = section.model_copy(update={"rating": next(iter(ingredients.methods))})
    asked = spare_choices(prepared, 0)
    first = List.make(section, replace(ingredients, validation=asked))
    size = first.signals.backbone.exposure.factors_CNE.shape[-1]
    assert asked.made["factors"] == size
    assert size in section.factors
    other = next(each for each in section.factors if each != size)
    told = Choices(made={"factors": other})
    again = List.make(section, replace(ingredients, validation=told))
    assert again.signals.backbone.exposure.factors_CNE.shape[-1] == other


def test_what_evaluation_reads_is_left_out_of_the_lists(
    make: Make, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a size would be chosen by how it ranks what its champion is judged by."""
    asked = lists_asked(monkeypatch)
    make("list")
    (lists,) = asked
    assert_unjudged(lists, prepared, 0)


@pytest.mark.parametrize("sizes", [[], [8, 4], [4, 4], [0, 4]])
def test_sizes_ascend(sizes: list[int], params: Params) -> None:
    raw = params.combine["list"] | {"factors": sizes}
    with pytest.raises(ParamsError, match="factors"):
        parse_section(ListParams, raw, "combine.list")
