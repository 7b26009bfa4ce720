"""Transfer learning: the pretrained model, then SGD on a new user's support.

No meta-training takes place: theta is the backbone with an untrained correction. It is the
yardstick for what meta-learning a starting point adds.
"""

from __future__ import annotations

from coldstart.algorithms._gradient import GradientLearner, InnerParams


class FineTune(GradientLearner[InnerParams]):
    """SGD from the pretrained weights."""

    kind = "finetune"
    Params = InnerParams
    meta_trained = False

    def outer_rate(self, step: int, max_steps: int) -> float:
        """Zero: there is no meta-update."""
        return 0.0
