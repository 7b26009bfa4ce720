"""Whether a member is worth adding: errors of blends, their differences and the rule."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

import blend_members
from coldstart.data.episodes import Episodes, Support


def episodes(targets_BQ: torch.Tensor, users: list[int]) -> Episodes:
    B, Q = targets_BQ.shape
    support = Support(
        items_BS=torch.ones(B, 1, dtype=torch.int64),
        targets_BS=torch.zeros(B, 1),
        mask_BS=torch.ones(B, 1, dtype=torch.bool),
        users_BF=torch.zeros(B, 0),
        crossfit_B=torch.zeros(B, dtype=torch.int64),
    )
    items_BQ = torch.ones(B, Q, dtype=torch.int64)
    return Episodes(support, items_BQ, targets_BQ, items_BQ.bool(), torch.tensor(users))


def test_errors_are_the_mean_over_spare_and_query_of_users_who_have_both() -> None:
    """A member that is right gets all of the weight; one that is off by 2 has an error of 4."""
    spare = episodes(torch.tensor([[3.0, 1.0]] * 10), users=list(range(10)))
    query = episodes(torch.tensor([[2.0]] * 11), users=list(range(11)))
    right, off = torch.tensor([3.0, 1.0]).expand(2, 10, 2), torch.full((2, 11, 1), 2.0)
    case = blend_members.Judged(
        spare=spare,
        query=query,
        range=(0.0, 4.5),
        on_spare={"right": right, "off": right + 2},
        on_query={"right": off, "off": off + 2},
    )
    torch.testing.assert_close(
        case.errors(["right", "off"], [0, 1], shrinkage=1e-9), torch.zeros(2, 10).double()
    )
    # on the scale, 5 is 4.5: errors of 1.5 and 2 on the spare ratings, 2 on the query
    expected = ((1.5**2 + 2**2) / 2 + 2**2) / 2
    torch.testing.assert_close(
        case.errors(["off"], [1], shrinkage=1e-9), torch.full((1, 10), expected).double()
    )


def test_the_difference_is_in_rmse_and_its_error_over_users() -> None:
    without = pd.DataFrame({0: [1.0, 1.0, 1.0, 1.0]})
    with_it = pd.DataFrame({0: [0.8, 1.0, 0.8, 1.0]})
    found = blend_members.difference(with_it, without)
    assert found.loc[0, "mean"] == pytest.approx(-0.05)
    assert found.loc[0, "error"] == pytest.approx((0.05**2 * 4 / 3) ** 0.5 / 2)


@pytest.mark.parametrize(
    ("means", "passes"),
    [([-0.3, 0.1], True), ([-0.3, 0.11], False), ([-0.2, 0.0], False), ([-0.1, -0.1], False)],
)
def test_the_rule_asks_for_two_standard_errors_and_forbids_to_lose_one(
    means: list[float], passes: bool
) -> None:
    found = pd.DataFrame({"mean": means, "error": [0.1, 0.1]})
    assert blend_members.passes(found) is passes
