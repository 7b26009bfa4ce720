"""What the gate looks at: results of both recipes on the same users, the product, the data."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import pandas as pd

from coldstart import layout
from coldstart.data.choices import Choices
from coldstart.data.prepared import Prepared
from coldstart.data.spare import spare_episodes
from coldstart.errors import ArtefactError, EvaluationError, ParamsError, TrainingDiverged
from coldstart.evaluation.as_served import (
    as_it_sees,
    evaluate_served,
    new_to,
    newcomers,
    with_all_ratings,
)
from coldstart.evaluation.evaluation_set import EvaluationSet, evaluation_set
from coldstart.evaluation.gate import (
    Check,
    Contest,
    Findings,
    Rules,
    compare_recipes,
    conditions,
    per_user,
)
from coldstart.evaluation.leaderboard import SEGMENTS, USERS, read_table
from coldstart.evaluation.metrics import ERROR, REFERENCE
from coldstart.evaluation.protocol import evaluate
from coldstart.evaluation.refresh import agreement, as_served, shipped
from coldstart.evaluation.summary import Summary
from coldstart.evaluation.turned import Turned, turned_share
from coldstart.methods import bundle_folder, load_method, method_names
from coldstart.params import Params
from coldstart.recipe import Learning, Recipe
from coldstart.registry.champion import Champion
from coldstart.registry.cost import adapt_ms
from coldstart.registry.decision import Candidate, Kind
from coldstart.served import Served


class Ruling(NamedTuple):
    """All checks of one candidate."""

    kind: Kind
    against: str
    checks: tuple[Check, ...]
    evidence: dict[str, Any]


class Hearing:
    """One candidate on the data of one workspace."""

    def __init__(
        self, candidate: Candidate, product: Served, prepared: Prepared, params: Params
    ) -> None:
        """Read the results of the run.

        Raises:
            ArtefactError: nothing was evaluated here.
        """
        self._candidate, self._product = candidate, product
        self._prepared, self._params = prepared, params
        self._summary = Summary.load(layout.EVALUATION)
        users = read_table(USERS)
        self._users = users[users["role"] == "cold"]
        self._rules = Rules(params.goal, params.gate, params.evaluate, params.seed)

    def rule(self, champion: Champion | str | None, *, validation_ok: bool) -> Ruling:
        """Check everything.

        Args:
            champion: what is served; why it cannot be compared with; or None: there is none.
            validation_ok: whether the data passed validation.

        Raises:
            GateError: two sides were evaluated on different users.
        """
        kind, against, found = self._compare(champion)
        checks = [*found.checks, self._shipped()]
        if isinstance(champion, Champion):
            checks.append(self._agreement(champion))
        support = as_it_sees(self._product, self._cold, self._prepared).episodes.support
        checks += conditions(
            canaries_ok=self._summary.canaries_ok,
            validation_ok=validation_ok,
            adapt_ms=adapt_ms(self._product.method, support),
            rules=self._rules,
        )
        return Ruling(kind, against, tuple(checks), found.evidence | {"turned": self._turned()})

    def _compare(self, champion: Champion | str | None) -> tuple[Kind, str, Findings]:
        if isinstance(champion, Champion):
            if champion.recipe.digest == self._candidate.recipe:
                return "refresh", champion.name, Findings(self._refresh(champion), {})
            try:
                rows = self._results_of(champion.recipe)
            except (ArtefactError, EvaluationError, ParamsError, TrainingDiverged) as error:
                champion = f"the recipe of {champion.name} cannot be learnt by this code ({error})"
            else:
                return "challenge", champion.name, self._contest(champion.name, rows, True)
        reference = REFERENCE[self._params.goal]
        rows = self._users[self._users["method"] == reference]
        found = self._contest(reference, rows, False)
        if isinstance(champion, str):
            text = (
                f"{champion}: the candidate is held against {reference} instead and replaces it "
                "if it passes; `coldstart rollback` returns to it"
            )
            comparable = Check("comparable", True, None, None, text)
            found = found._replace(checks=(comparable, *found.checks))
        return "first", reference, found

    def _contest(self, incumbent: str, rows: pd.DataFrame, champion: bool) -> Findings:
        """All folds and seeds in which both were evaluated."""
        own = self._users[self._users["method"] == self._candidate.method]
        own = own[own["fold"].isin(rows["fold"].unique())]
        sides = {incumbent: rows, self._candidate.method: own}
        contest = self._between(self._candidate.method, incumbent, sides, champion=champion)
        return compare_recipes(contest, self._rules)

    def _between(
        self, candidate: str, incumbent: str, sides: dict[str, pd.DataFrame], *, champion: bool
    ) -> Contest:
        rows = [per_user(name, users, self._params.goal) for name, users in sides.items()]
        together = pd.concat(rows, ignore_index=True)
        segments = self._segments[self._segments["user"].isin(together["user"])]
        return Contest(candidate, incumbent, champion, together, segments)

    def _results_of(self, recipe: Recipe) -> pd.DataFrame:
        """Per-user results of a recipe on this run's cold users.

        Those of the run where it has a method of the same recipe; else it is learnt here, from the
        historical users of the candidate's fold, and validation users choose for it as for others.
        """
        for name in method_names(self._params):
            seed = self._candidate.seed
            if Recipe.of(self._params, name, seed).digest == recipe.digest:
                return self._users[self._users["method"] == name]
        fold = self._candidate.fold
        choices = Choices(spare_episodes(self._prepared, fold))
        learning = Learning(recipe, self._params, self._prepared.history(fold), choices)
        found = evaluate(learning.learn(), self._cold, self._params.prepare.shots, catalogue=True)
        return found.users.assign(fold=fold)

    def _refresh(self, champion: Champion) -> tuple[Check, ...]:
        """The proof against the champion as it is served, on users who are new to both."""
        new_B = new_to(champion.known_U, self._prepared)[self._cold.episodes.users_B]
        n_new = int(new_B.sum())
        if n_new < self._params.evaluate.min_segment:
            return as_served(None, self._rules, n_new)
        target = self._cold.rows(new_B.nonzero()[:, 0])
        rows = self._served(champion.served, target)
        own = self._proof[self._proof["user"].isin(rows["user"])]
        sides = {champion.name: rows, "the candidate": own}
        contest = self._between("the candidate", champion.name, sides, champion=True)
        return as_served(contest, self._rules, n_new)

    def _shipped(self) -> Check:
        """What ships against its proof, on the users whom the proof has not seen."""
        rows = self._served(self._product, self._cold)
        sides = {"its proof": self._proof, "what ships": rows}
        return shipped(self._between("what ships", "its proof", sides, champion=True), self._rules)

    def _agreement(self, champion: Champion) -> Check:
        known, new_U = champion.turned, new_to(champion.known_U, self._prepared)
        data = newcomers(self._prepared, new_U, self._params, self._candidate.fold)
        if known is None or data is None:
            return agreement(None, known, self._rules)
        served = champion.served
        target = evaluation_set(data, self._params, self._candidate.fold, "cold")
        seen = as_it_sees(served, with_all_ratings(target, data), data)
        new = turned_share(
            served.method, seen.episodes, served.facts.unit, self._scale, known.variance
        )
        return agreement(new, known, self._rules)

    def _turned(self) -> Turned | None:
        """What later deliveries are held against."""
        if self._params.head not in ERROR:
            return None
        chosen = self._candidate
        proof = load_method(bundle_folder(chosen.method, chosen.fold, chosen.seed))
        target = with_all_ratings(self._cold, self._prepared)
        return turned_share(proof, target.episodes, target.unit, self._scale)

    @property
    def _scale(self) -> tuple[float, float] | None:
        data = self._params.data
        if self._params.head != "rating" or data.min_rating is None or data.max_rating is None:
            return None
        return data.min_rating, data.max_rating

    def _served(self, served: Served, target: EvaluationSet) -> pd.DataFrame:
        return evaluate_served(served, target, self._prepared, self._params)

    @cached_property
    def _cold(self) -> EvaluationSet:
        """The cold users of the candidate's fold."""
        return evaluation_set(self._prepared, self._params, self._candidate.fold, "cold")

    @cached_property
    def _proof(self) -> pd.DataFrame:
        """Results of the one bundle that was chosen."""
        rows, chosen = self._users, self._candidate
        mine = (rows["method"] == chosen.method) & (rows["fold"] == chosen.fold)
        return rows[mine & (rows["seed"] == chosen.seed)]

    @cached_property
    def _segments(self) -> pd.DataFrame:
        return read_table(SEGMENTS)
