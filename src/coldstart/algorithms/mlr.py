"""Meta-learning with regularisation: MAML, held near theta, and told to carry little in the head.

Two regularisers. L2: the inner loop descends ``L_S(phi) + lambda / 2 ||phi - theta||^2``. The
penalty is taken implicitly (its proximal step), which is stable for every lambda: as it grows a
user stays at theta. Information (MR-MAML on weights, Yin, Tucker, Zhou, Levine & Finn 2020,
equation 5): the adapted head is Gaussian, ``q = N(theta', sigma^2)`` with sigma learned, and
meta-training minimises ``E_q L_Q + beta KL(q || r)`` with r a standard normal prior around the
untrained head, which is zero and predicts as the backbone does.

No noise is drawn: scores are linear in the head, so they are Gaussian too, and the expected loss is
the mean of the losses one standard deviation above and below the mean score (Gauss-Hermite with
two points: exact for squared error, third order for clicks). Serving and validation read the mean.

Deviations: Yin et al. put q on what is not adapted, to keep it from memorising tasks, and sample
it; here it is on the adapted head, and inner steps follow the mean. KL and distance are those of
``sqrt(fan_in) w``, as in :mod:`~coldstart.algorithms._proximal`. Adam is the outer optimiser and a
rating's weight follows ``shrinkage`` as in MAML.

Legend: B users, Q query, D features, H hidden units.
"""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor

from coldstart.algorithms._base import Theta, judged
from coldstart.algorithms._gradient import GradientLearner, OuterParams
from coldstart.algorithms._inner_loop import Weights, fan_in
from coldstart.algorithms._network import hidden, subset
from coldstart.data.episodes import Episodes, Support
from coldstart.models.backbone import Backbone
from coldstart.models.heads import Head
from coldstart.params import search


class MLRParams(OuterParams):
    """MAML's, and the strength of both regularisers."""

    anchor: float = Field(
        ge=0,
        json_schema_extra=search(0.01, 10, log=True),
        description="Lambda: weight of half the squared distance to theta while adapting.",
    )
    information: float = Field(
        ge=0,
        json_schema_extra=search(1e-5, 0.1, log=True),
        description="Beta: weight of the information in the adapted head, in nats.",
    )
    spread: float = Field(
        gt=0,
        le=1,
        json_schema_extra=search(0.003, 0.3, log=True),
        description="Standard deviation of the head at the start, over that of its prior.",
    )


class AnchoredSGD:
    """A gradient step at FanInSGD's rate, then the proximal step of the L2 term."""

    def __init__(self, rate: float, anchor: float, centre: Weights) -> None:
        self.rate = rate
        self.share = 1 / (1 + rate * anchor)
        self.centre = centre

    def __call__(self, weights: Weights, gradients: Weights, loss_B: Tensor) -> Weights:
        """One step for all users."""
        after = {}
        for name, w in weights.items():
            centre, free = self.centre[name], w - self.rate / fan_in(w) * gradients[name]
            after[name] = centre + self.share * (free - centre)
        return after


class MLR(GradientLearner[MLRParams]):
    """MAML whose users stay near theta and near the backbone."""

    kind = "mlr"
    Params = MLRParams
    second_order = True

    @classmethod
    def initial(cls, backbone: Backbone, params: MLRParams, head: Head, seed: int) -> Theta:
        """The network, and the same spread for every weight of the head."""
        theta = super().initial(backbone, params, head, seed)
        start = math.log(params.spread)
        return theta | {f"log_std_{n}": torch.full_like(theta[n], start) for n in subset("head")}

    def rule(self, theta: Theta, support: Support) -> AnchoredSGD:
        """Steps that are held near ``theta``."""
        return AnchoredSGD(
            self.params.inner_rate, self.params.anchor, {n: theta[n] for n in self._adapted}
        )

    def outer_rate(self, step: int, max_steps: int) -> float:
        """Constant."""
        return self.params.outer_rate

    def query_loss(self, theta: Theta, episodes: Episodes, *, training: bool) -> Tensor:
        """Expected loss of the query and the information in the head; validation reads the mean."""
        if not training:
            return super().query_loss(theta, episodes, training=False)
        support = episodes.support
        weights = theta | self.adapt_with(theta, support, training=True)
        crossfit_B = support.crossfit_B
        mean_BQ = self.score_with(theta, weights, episodes.items_BQ, crossfit_B).mean
        deviation_BQ = self._variance(weights, episodes.items_BQ, crossfit_B).sqrt()
        high_B, low_B = (
            self.head.query_loss(score_BQ, *judged(episodes))
            for score_BQ in (mean_BQ + deviation_BQ, mean_BQ - deviation_BQ)
        )
        expected_B = 0.5 * (high_B + low_B)
        return expected_B + self.params.information * information(weights)

    def _variance(self, weights: Weights, items_BQ: Tensor, crossfit_B: Tensor) -> Tensor:
        """Variance of the scores under q: ``[B, Q]``."""
        items = self._items(items_BQ, crossfit_B)
        inputs = {
            "skip_1D": items.raw_BID,
            "w3_H1": hidden(weights, items.standard_BID, weights["users_B1F"] @ weights["w1_FH"]),
        }
        variance_BQ = (2 * weights["log_std_b3_11"]).exp().squeeze(-1)
        for name, x_BQX in inputs.items():
            square_X = (2 * weights[f"log_std_{name}"]).exp().flatten() / fan_in(weights[name])
            variance_BQ = variance_BQ + x_BQX.square() @ square_X
        return variance_BQ


def information(weights: Weights) -> Tensor:
    """``KL(q || r)`` of each user's head, in nats: ``[B]``."""
    total_B = torch.zeros(())
    for name in subset("head"):
        w, log_std = weights[name], weights[f"log_std_{name}"]
        nats = fan_in(w) * w.square() + (2 * log_std).exp() - 1 - 2 * log_std
        total_B = total_B + 0.5 * nats.sum((-2, -1))
    return total_B
