"""What the gate asks of a product and of its data, beside which recipe is better.

- ``as served``: the same recipe on more data is no worse than the champion, as it is served, for
  users who are new to both.
- ``shipped``: what was learnt from everybody answers as its proof does. It has seen the users that
  the proof is judged by, so it is not to be worse for them.
- ``new ratings agree with what is known``: the champion predicts users who are new to it about as
  well as it once predicted its cold users. Where it does not, the newest ratings are not what they
  were: turned round, in another unit, or made up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from coldstart.evaluation.gate import Check, Contest, Rules, error_guard, gain, require_same_users
from coldstart.evaluation.metrics import ERROR, Metric

AS_SERVED = "as served"
SHIPPED = "shipped"
AGREEMENT = "new ratings agree with what is known"
SIGMAS = 2.33
"""Standard errors beyond the limit at which data is refused: by chance alone in 1% of deliveries
whose ratings are exactly as bad as the limit allows."""


class Moments(NamedTuple):
    """Of the errors of users, each user's averaged over the query."""

    mean: float
    variance: float
    n_users: int

    @property
    def noise(self) -> float:
        """Squared standard error of the mean."""
        return self.variance / self.n_users


def as_served(contest: Contest | None, rules: Rules, n_users: int) -> tuple[Check, ...]:
    """Not worse than the champion as it is served; None: too few users are new to both."""
    if contest is None:
        text = (
            f"not applicable: {n_users} users are new to both, "
            f"{rules.evaluate.min_segment} are needed"
        )
        return (Check(AS_SERVED, True, None, None, text),)
    return (_not_worse(AS_SERVED, contest, rules), *error_guard(contest, rules))


def shipped(contest: Contest, rules: Rules) -> Check:
    """What ships (the candidate of the contest) against its proof (the incumbent)."""
    check = _not_worse(SHIPPED, contest, rules)
    worse = [guard.text for guard in error_guard(contest, rules) if not guard.passed]
    if worse:
        return Check(SHIPPED, False, check.value, check.limit, "; ".join([check.text, *worse]))
    return check


def _not_worse(name: str, contest: Contest, rules: Rules) -> Check:
    require_same_users(contest)
    found, of = gain(contest, rules.primary, rules), rules.primary
    n_users = contest.rows["user"].nunique()
    text = (
        f"{of.name} over all K of {contest.candidate} differs from that of {contest.incumbent} by "
        f"{found['mean']:+.4f} [{found['low']:.4f}, {found['high']:.4f}] for {n_users} users; the "
        "interval may not lie below 0"
    )
    return Check(name, found["high"] >= 0, found["high"], 0.0, text)


def errors_by_shots(users: pd.DataFrame, head: str) -> dict[int, Moments]:
    """Moments of per-user errors at each K; empty where the head or the method predicts none."""
    column = _column(head)
    if column is None or column not in users:
        return {}
    known = users[users[column].notna()]
    by_user = known.groupby(["k", "user"])[column].mean().groupby("k")
    found = by_user.agg(["mean", "var", "size"])
    return {
        int(str(k)): Moments(float(row["mean"]), float(row["var"]), int(row["size"]))
        for k, row in found.iterrows()
        if row["size"] > 1
    }


def _column(head: str) -> str | None:
    error: Metric | None = ERROR.get(head)
    return None if error is None else error.per_user_column


def agreement(
    newcomers: Mapping[int, Moments], known: Mapping[int, Moments], rules: Rules
) -> Check:
    """A one-sided z-test of the ratio of mean errors against ``1 + gate.max_new_error``.

    At the largest K that both have: there the champion knows a user best.

    Args:
        newcomers: errors of the champion, as served, on users who are new to it.
        known: errors of its proof on its cold users, when it was decided on.
        rules: the limit, and how many users are needed.
    """
    allowed, least = 1 + rules.gate.max_new_error, rules.evaluate.min_segment
    both = [k for k in newcomers if k in known]
    n_users = newcomers[max(both)].n_users if both else 0
    if n_users < least:
        text = f"not applicable: ratings of {n_users} new users can be predicted, {least} needed"
        return Check(AGREEMENT, True, None, None, text)
    new, old = newcomers[max(both)], known[max(both)]
    ratio = new.mean / old.mean if old.mean > 0 else math.inf if new.mean > 0 else 1.0
    noise = math.sqrt(new.noise + allowed**2 * old.noise)
    passed = new.mean <= allowed * old.mean + SIGMAS * noise
    text = (
        f"the champion's mean error on {n_users} users who are new to it is {ratio:.2f} times that "
        f"on its cold users ({new.mean:.4f} against {old.mean:.4f}, K = {max(both)}); at most "
        f"{allowed:.2f} beyond chance"
    )
    if not passed:
        text += ": look into the newest ratings before they are learnt from"
    return Check(AGREEMENT, passed, ratio, allowed, text)
