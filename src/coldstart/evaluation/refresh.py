"""What the gate asks of a product and of its data, beside which recipe is better.

- ``as served``: the same recipe on more data is no worse than the champion, as it is served, for
  users who are new to both.
- ``shipped``: what was learnt from everybody answers as its proof does. It has seen the users that
  the proof is judged by, so it is not to be worse for them.
- ``new ratings agree with what is known``: of users who are new to the champion no more ratings
  look turned round than of its cold users once. Where more do, the newest ratings are not what
  ratings were: turned round, mixed up, or made up.
"""

from __future__ import annotations

import math

from coldstart.evaluation.gate import Check, Contest, Rules, error_guard, gain, require_same_users
from coldstart.evaluation.turned import Turned

AS_SERVED = "as served"
SHIPPED = "shipped"
AGREEMENT = "new ratings agree with what is known"
SIGMAS = 2.33
"""Standard errors beyond the limit at which data is refused: by chance alone, one delivery in a
hundred of those that are just as bad as the limit allows."""


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


def agreement(new: Turned | None, known: Turned | None, rules: Rules) -> Check:
    """A one-sided z-test that no more than ``gate.max_turned`` of the new ratings were turned.

    Args:
        new: by the champion as it is served, of users who are new to it; None: nobody is.
        known: by its proof, of its cold users, when it was decided on; None: it predicts no rating.
        rules: the limit, and how many users are needed.
    """
    least, limit = rules.evaluate.min_segment, rules.gate.max_turned
    if new is None or known is None or new.n_users < least:
        n_users = 0 if new is None else new.n_users
        text = f"not applicable: ratings of {n_users} new users can be judged, {least} needed"
        return Check(AGREEMENT, True, None, None, text)
    excess, noise = new.share - known.share, math.hypot(new.error, known.error)
    passed = excess <= limit + SIGMAS * noise
    text = (
        f"{new.share:.1%} of the ratings of {new.n_users} users who are new to the champion look "
        f"turned round, of its cold users {known.share:.1%}; at most {limit:.1%} more are allowed, "
        f"beyond chance ({SIGMAS * noise:.1%})"
    )
    if not passed:
        text += ": look into the newest ratings before they are learnt from"
    return Check(AGREEMENT, passed, excess, limit, text)
