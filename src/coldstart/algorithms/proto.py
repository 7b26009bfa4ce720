"""Prototypes: a user is a point of liked items and one of disliked ones, and a learned metric.

Prototypical networks (Snell et al. 2017) with two classes per user, liked and disliked. Every
support pair belongs to the class of its sign, with the size of the residual as weight, and the
score of an item is how much nearer the liked prototype is than the disliked one:

    p± = p0 + sum_s a_s relu(±t_s) (e_s - p0) / (K + c)
    score = prior + mean + 1/2 sum_x m_x ((e_x - p-_x)^2 - (e_x - p+_x)^2)

with residuals ``t`` (:mod:`~coldstart.algorithms._pairs`), learned attention ``a`` of the item,
encoding ``e`` and metric ``m``. Deviations from the paper: the loss is the head's, not a softmax
over classes; prototypes are shrunk towards a common ``p0``, so that without support both are equal
and the score is the prior's; their weights do not sum to 1, so that a strong opinion moves a
prototype further than a weak one; the metric's weights are learned, of any sign. Since
``p+ - p-`` is linear in ``t``, the start orders items as one gradient step of a linear head on the
backbone's factors does; ``(|p-|^2 - |p+|^2) / 2`` shifts all of a user's scores by the same. The
encodings of the network have weight 0 in the metric there.

Legend: B users, S support, I items, E factors, X inputs, H hidden units, P encoding = E + H.
"""

from __future__ import annotations

import torch
from torch import Tensor

from coldstart.algorithms._base import Theta
from coldstart.algorithms._pairs import Items, PairLearner, PairParams, dense, shrinkage, widths
from coldstart.data.episodes import Support
from coldstart.models.backbone import Backbone
from coldstart.models.heads import Head
from coldstart.models.recommender import Prediction, State, kept


class Proto(PairLearner[PairParams]):
    """Scores by nearness to a user's liked and disliked prototypes."""

    kind = "proto"
    Params = PairParams

    @classmethod
    def initial(cls, backbone: Backbone, params: PairParams, head: Head, seed: int) -> Theta:
        """The metric of the backbone's factors alone, and equal attention."""
        generator = torch.Generator().manual_seed(seed)
        E, X = widths(backbone)
        H = params.hidden
        return {
            "log_shrinkage_2": shrinkage(params),
            "w1_XH": dense(X, H, generator),
            "b1_H": torch.zeros(H),
            "w2_HH": dense(H, H, generator),
            "attention_X": torch.zeros(X),
            "common_P": torch.zeros(E + H),
            "metric_P": torch.cat([torch.ones(E), torch.zeros(H)]),
        }

    def adapt_with(self, theta: Theta, support: Support, *, training: bool) -> State:
        """Both prototypes, the user's mean and attributes."""
        del training  # nothing is cut off
        items = self.items(support.items_BS, support.crossfit_B, support.users_BF)
        pairs = self.pairs(theta, support, items)
        around_BSP = encode(theta, items) - theta["common_P"]
        attention_BS = 2 * torch.sigmoid(items.inputs_BIX @ theta["attention_X"])

        def prototype(weight_BS: Tensor) -> Tensor:
            total_BP = ((attention_BS * weight_BS).unsqueeze(1) @ around_BSP).squeeze(1)
            return theta["common_P"] + self.pooled(theta, support, total_BP)

        return kept(support) | {
            "mean_B": pairs.mean_B,
            "liked_BP": prototype(pairs.taste_BS.relu()),
            "disliked_BP": prototype((-pairs.taste_BS).relu()),
        }

    def score_with(
        self, theta: Theta, state: State, items_BQ: Tensor, crossfit_B: Tensor
    ) -> Prediction:
        """Half the difference of squared distances, on top of the prior and the user's mean."""
        items = self.items(items_BQ, crossfit_B, state["users_BF"])
        liked_BP, disliked_BP = state["liked_BP"], state["disliked_BP"]
        # the squares of the item cancel: what is left is linear in its encoding
        towards_BP = theta["metric_P"] * (liked_BP - disliked_BP)
        middle_B1 = (towards_BP * (liked_BP + disliked_BP)).sum(-1, keepdim=True) / 2
        nearness_BQ = (encode(theta, items) @ towards_BP.unsqueeze(-1)).squeeze(-1) - middle_B1
        return Prediction(items.prior_BI + state["mean_B"].unsqueeze(-1) + nearness_BQ)


def encode(theta: Theta, items: Items) -> Tensor:
    """The backbone's factors, and what a network makes of all that is known: ``[B, I, P]``."""
    hidden_BIH = torch.relu(items.inputs_BIX @ theta["w1_XH"] + theta["b1_H"])
    own_BIH = hidden_BIH @ theta["w2_HH"] / theta["w2_HH"].shape[0] ** 0.5
    return torch.cat([items.factors_BIE, own_BIH], -1)
