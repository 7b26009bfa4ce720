"""Model-agnostic meta-learning (Finn, Abbeel & Levine 2017), second and first order.

theta' = theta - alpha grad L_S(theta), repeated; theta follows the gradient of L_Q(theta'). MAML
differentiates through the steps, first-order MAML takes the gradient at theta' as it is.
Deviations: Adam is the outer optimiser; with ``shrinkage`` c the support loss weighs K / (K + c),
so that one rating moves a user less than twenty.
"""

from __future__ import annotations

from coldstart.algorithms._gradient import GradientLearner, OuterParams


class MAML(GradientLearner[OuterParams]):
    """MAML with the full, second-order meta-gradient."""

    kind = "maml"
    Params = OuterParams
    second_order = True

    def outer_rate(self, step: int, max_steps: int) -> float:
        """Constant."""
        return self.params.outer_rate


class FOMAML(MAML):
    """First-order MAML: inner gradients count as constants."""

    kind = "fomaml"
    second_order = False
