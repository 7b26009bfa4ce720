"""Conditional neural process whose decoder is modulated by the user, after TaNP.

An encoder turns every support pair into a vector, a mean over pairs describes the user (Garnelo et
al. 2018), and a decision network scores items while features of its layer are scaled and shifted by
that description (FiLM, a modulation of TaNP, Lin et al. 2021). Deviations: the network
adds to the backbone's prior, the user's mean and one gradient step of a linear head on the
backbone's factors, which TaNP has to learn from nothing, and starts at zero; an encoder reads the
residual against the prior instead of the rating; means are over (K + c), so that few ratings say
less than many, and none say nothing; the description is not sampled, and there is no memory of
task clusters. With the rating head the decoder also gives the variance, and training follows the
Gaussian likelihood of the query.

Legend: B users, S support, Q query, I items, E factors, X inputs, F user features, H hidden units.
"""

from __future__ import annotations

import torch
from torch import Tensor

from coldstart.algorithms._base import Theta
from coldstart.algorithms._pairs import PairLearner, PairParams, dense, shrinkage, widths
from coldstart.data.episodes import Episodes, Support
from coldstart.models.backbone import Backbone
from coldstart.models.heads import Head, RatingHead, masked_mean
from coldstart.models.recommender import Prediction, State, kept

_REACH = 4.0
"""Largest logarithm of a variance, either way."""


class CNP(PairLearner[PairParams]):
    """Decodes items with a network that the encoded support modulates."""

    kind = "cnp"
    Params = PairParams

    @classmethod
    def initial(cls, backbone: Backbone, params: PairParams, head: Head, seed: int) -> Theta:
        """Zero output of the network: only the linear step acts."""
        generator = torch.Generator().manual_seed(seed)
        E, X = widths(backbone)
        F, H = backbone.prior_FD.shape[0], params.hidden
        return {
            "log_shrinkage_2": shrinkage(params),
            "gain_E": torch.ones(E),
            "encode1_YH": dense(X + F + 2, H, generator),
            "encode1_H": torch.zeros(H),
            "encode2_HH": dense(H, H, generator),
            "decode1_YH": dense(X + F, H, generator),
            "decode1_H": torch.zeros(H),
            "scale_HH": dense(H, H, generator),
            "shift_HH": dense(H, H, generator),
            "decode2_HH": dense(H, H, generator),
            "decode2_H": torch.zeros(H),
            "out_H2": torch.zeros(H, 2),
            "out_2": torch.zeros(2),
        }

    def query_loss(self, theta: Theta, episodes: Episodes, *, training: bool) -> Tensor:
        """Gaussian negative log-likelihood of the query where there is a variance, per user.

        Selection on validation users (not training) reads the head's loss instead.
        """
        if not training or not isinstance(self.head, RatingHead):
            return super().query_loss(theta, episodes, training=training)
        support = episodes.support
        state = self.adapt_with(theta, support, training=training)
        mean_BQ, variance_BQ = self.score_with(theta, state, episodes.items_BQ, support.crossfit_B)
        assert variance_BQ is not None
        error_BQ = (episodes.targets_BQ - mean_BQ).square()
        return masked_mean(0.5 * (error_BQ / variance_BQ + variance_BQ.log()), episodes.mask_BQ)

    def adapt_with(self, theta: Theta, support: Support, *, training: bool) -> State:
        """The user's mean, one step on the factors, the aggregate and the attributes."""
        del training  # nothing is cut off
        items = self.items(support.items_BS, support.crossfit_B, support.users_BF)
        pairs = self.pairs(theta, support, items)
        weights_BE = (pairs.taste_BS.unsqueeze(1) @ items.factors_BIE).squeeze(1)
        residuals = pairs.residual_BS.unsqueeze(-1), pairs.taste_BS.unsqueeze(-1)
        users_BSF = support.users_BF.unsqueeze(1).expand(-1, support.items_BS.shape[1], -1)
        pair_BSY = torch.cat([items.inputs_BIX, users_BSF, *residuals], -1)
        encoded_BSH = torch.relu(pair_BSY @ theta["encode1_YH"] + theta["encode1_H"])
        encoded_BSH = torch.tanh(encoded_BSH @ theta["encode2_HH"])
        total_BH = encoded_BSH.masked_fill(~support.mask_BS.unsqueeze(-1), 0.0).sum(1)
        return kept(support) | {
            "mean_B": pairs.mean_B,
            "weights_BE": self.pooled(theta, support, weights_BE),
            "user_BH": self.pooled(theta, support, total_BH),
        }

    def score_with(
        self, theta: Theta, state: State, items_BQ: Tensor, crossfit_B: Tensor
    ) -> Prediction:
        """Prior, mean, linear step and decoder; a variance with the rating head."""
        items = self.items(items_BQ, crossfit_B, state["users_BF"])
        weights_BE1 = (theta["gain_E"] * state["weights_BE"]).unsqueeze(-1)
        linear_BQ = items.prior_BI + state["mean_B"].unsqueeze(-1)
        linear_BQ = linear_BQ + (items.factors_BIE @ weights_BE1).squeeze(-1)
        out_BQ2 = self._decode(theta, items.inputs_BIX, state)
        variance_BQ = None
        if isinstance(self.head, RatingHead):
            variance_BQ = (_REACH * torch.tanh(out_BQ2[..., 1] / _REACH)).exp()
        return Prediction(linear_BQ + out_BQ2[..., 0], variance_BQ)

    def _decode(self, theta: Theta, inputs_BQX: Tensor, state: State) -> Tensor:
        """The decision network, modulated after its first layer: ``[B, Q, 2]``."""
        X = inputs_BQX.shape[-1]
        # the user's part of the first layer is the same for all items: add it as a bias
        first_BH = theta["decode1_H"] + state["users_BF"] @ theta["decode1_YH"][X:]
        hidden_BQH = inputs_BQX @ theta["decode1_YH"][:X] + first_BH.unsqueeze(1)
        scale_BH = 1 + state["user_BH"] @ theta["scale_HH"]
        shift_BH = state["user_BH"] @ theta["shift_HH"]
        hidden_BQH = torch.relu(hidden_BQH * scale_BH.unsqueeze(1) + shift_BH.unsqueeze(1))
        hidden_BQH = torch.relu(hidden_BQH @ theta["decode2_HH"] + theta["decode2_H"])
        return hidden_BQH @ theta["out_H2"] + theta["out_2"]
