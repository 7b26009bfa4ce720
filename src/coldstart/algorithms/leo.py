"""Latent embedding optimisation (Rusu et al. 2019): adapt a few numbers that decode to weights.

A user's ratings are encoded to a Gaussian over a latent z; z is decoded to the user's weights,
follows the gradient of the support loss through the decoder, and is decoded again; then the weights
themselves take some steps (algorithm 1). The meta-loss adds ``kl_weight`` KL(q(z|S) || N(0, I)) and
``encoder_penalty`` ||stopgrad(z') - z||^2, z' the latent after its steps (equation 6).

Deviations: a rating is encoded from its item and from what theta's prediction misses, and codes are
summed and shrunk by ``shrinkage``: the relation network compares classes, of which a regression has
one. Encoders have no bias after the sum, so without support q(z|S) is the prior N(0, I). The linear
decoder gives the weights' difference to theta and starts at zero, so an untrained learner without
support is the backbone; it gives no variance, so weights are not sampled. Both step sizes are
parameters, not learnt; decoder orthogonality and L2 terms are left out. Adam is the outer
optimiser.

z is sampled in training only, with noise from a generator seeded by the batch's items: new for each
batch, the same whenever the batch comes again, whatever theta is. Serving and selection take the
mean of q.

Legend: B users, S support, D features, X inputs of the encoder, H hidden units, Z latents,
W adapted weights of a user, one after the other.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from coldstart.algorithms._base import Theta, judged
from coldstart.algorithms._gradient import GradientLearner, OuterParams
from coldstart.algorithms._inner_loop import SGD, Weights, descend, fan_in
from coldstart.algorithms._network import subset
from coldstart.data.episodes import Episodes, Support
from coldstart.models.backbone import Backbone
from coldstart.models.heads import Head
from coldstart.models.recommender import State
from coldstart.params import search


class LEOParams(OuterParams):
    """Latent space, its steps and its penalties."""

    latent: int = Field(ge=1, le=256, description="Dimension of the latent space.")
    latent_steps: int = Field(ge=0, le=100, description="Gradient steps on the latent.")
    latent_rate: float = Field(
        gt=0,
        le=10,
        json_schema_extra=search(0.01, 1, log=True),
        description="Step size on the latent.",
    )
    kl_weight: float = Field(ge=0, description="Weight of the KL to the prior in the meta-loss.")
    encoder_penalty: float = Field(
        ge=0, description="Weight of the squared distance between latents after and before steps."
    )


class Code(NamedTuple):
    """The Gaussian over a user's latent."""

    mean_BZ: Tensor
    log_std_BZ: Tensor


class LEO(GradientLearner[LEOParams]):
    """Adapts in a learnt latent space, then in the space of weights."""

    kind = "leo"
    Params = LEOParams
    independent_users = False  # the noise of a batch is drawn at once
    second_order = True

    @classmethod
    def initial(cls, backbone: Backbone, params: LEOParams, head: Head, seed: int) -> Theta:
        """The network, a random encoder whose spread is the prior's, and a zero decoder."""
        theta = super().initial(backbone, params, head, seed)
        D, H, Z = backbone.prior_FD.shape[1], params.hidden, params.latent
        generator = torch.Generator().manual_seed(seed + 1)  # not the numbers of the network
        width = sum(theta[name].numel() for name in subset(params.adapt))
        return theta | {
            "encoder_XH": torch.randn(D + 1, H, generator=generator) * math.sqrt(2 / (D + 1)),
            "encoder_1H": torch.zeros(1, H),
            "mean_HZ": torch.randn(H, Z, generator=generator) / math.sqrt(H),
            "log_std_HZ": torch.zeros(H, Z),
            "decoder_ZW": torch.zeros(Z, width),
        }

    def outer_rate(self, step: int, max_steps: int) -> float:
        """Constant."""
        return self.params.outer_rate

    def query_loss(self, theta: Theta, episodes: Episodes, *, training: bool) -> Tensor:
        """Mean query loss, in training with the KL and the encoder's penalty: ``[B]``."""
        if not training:
            return super().query_loss(theta, episodes, training=False)
        support, p = episodes.support, self.params
        code = self.encode(theta, support)
        before_BZ = sample(code, support)
        after_BZ = self.descend_latent(theta, support, before_BZ, training=True)
        moved_B = (after_BZ.detach() - before_BZ).square().sum(-1)
        state = self.descend_from(self.decode(theta, after_BZ), theta, support, training=True)
        score_BQ = self.score_with(theta, state, episodes.items_BQ, support.crossfit_B).mean
        loss_B = self.head.query_loss(score_BQ, *judged(episodes))
        return loss_B + p.kl_weight * kl(code) + p.encoder_penalty * moved_B

    def adapt_with(self, theta: Theta, support: Support, *, training: bool) -> State:
        """Encode, take steps on the latent, decode, take steps on the weights."""
        code = self.encode(theta, support)
        start_BZ = sample(code, support) if training else code.mean_BZ
        latent_BZ = self.descend_latent(theta, support, start_BZ, training=training)
        start = self.decode(theta, latent_BZ)
        return self.descend_from(start, theta, support, training=training)

    def encode(self, theta: Theta, support: Support) -> Code:
        """The Gaussian over each user's latent; the prior N(0, I) without support."""
        items = self._items(support.items_BS, support.crossfit_B)
        score_BS = self._score(theta, items, support.users_BF.unsqueeze(1))
        missed_BS = support.targets_BS - self.head.predict(score_BS)
        inputs_BSX = torch.cat([items.standard_BID, missed_BS.unsqueeze(-1)], -1)
        hidden_BSH = torch.relu(inputs_BSX @ theta["encoder_XH"] + theta["encoder_1H"])
        hidden_BSH = hidden_BSH.masked_fill(~support.mask_BS.unsqueeze(-1), 0.0)
        size_B = (support.mask_BS.sum(-1) + self.params.shrinkage).clamp(min=1.0)
        pooled_BH = hidden_BSH.sum(1) / size_B.unsqueeze(-1)
        return Code(pooled_BH @ theta["mean_HZ"], pooled_BH @ theta["log_std_HZ"])

    def decode(self, theta: Theta, latent_BZ: Tensor) -> Weights:
        """Each user's weights: theta's plus a linear map of the latent."""
        scale = math.sqrt(self.params.latent)  # keeps shifts small as their sum grows longer
        shift_BW = latent_BZ @ theta["decoder_ZW"] / scale
        parts = torch.split(shift_BW, [theta[name].numel() for name in self._adapted], -1)
        weights = {}
        for name, part_BW in zip(self._adapted, parts, strict=True):
            w = theta[name]
            weights[name] = w + part_BW.view(-1, *w.shape) / math.sqrt(fan_in(w))
        return weights

    def descend_latent(
        self, theta: Theta, support: Support, start_BZ: Tensor, *, training: bool
    ) -> Tensor:
        """Steps on the latent, down the support loss of the weights that it decodes to."""
        loss_of = self.inner_loss(theta, support)
        end = descend(
            lambda latent: loss_of(self.decode(theta, latent["z_BZ"])),
            {"z_BZ": start_BZ},
            self.params.latent_steps,
            SGD(self.params.latent_rate),
            second_order=training,
        )
        return end["z_BZ"]


def sample(code: Code, support: Support) -> Tensor:
    """A latent of each user, by the reparametrisation trick: ``[B, Z]``."""
    generator = torch.Generator().manual_seed(int(support.items_BS[support.mask_BS].sum()))
    noise_BZ = torch.randn(code.mean_BZ.shape, generator=generator, dtype=code.mean_BZ.dtype)
    return code.mean_BZ + code.log_std_BZ.exp() * noise_BZ.to(code.mean_BZ.device)


def kl(code: Code) -> Tensor:
    """KL divergence to N(0, I): ``[B]``, 0 for a user without support."""
    mean_BZ, log_std_BZ = code
    terms_BZ = mean_BZ.square() + (2 * log_std_BZ).exp() - 1 - 2 * log_std_BZ
    return 0.5 * terms_BZ.sum(-1)
