"""Changes that passed every test when they were found, and their kin.

Each names what goes wrong, the text to replace, which occurs once in the package, and the tests
that must fail.
"""

from __future__ import annotations

from tests.mutants.mutant import PACKAGE, ROOT, Mutant, for_pytest

CHANGES: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    (
        "a cross-fitted table of mf keeps its own group",
        "tables.append(model.item_step(gram - gram_g, moment - moment_g))",
        "tables.append(model.item_step(gram, moment))",
        ("test_mf.py",),
    ),
    (
        "a cross-fitted table of vbpmf keeps its own group",
        "rest = total.less(model.item_moments(rows))",
        "rest = total",
        ("test_vbpmf.py",),
    ),
    (
        "tables of vbpmf leave out another group than their own",
        "rows = np.flatnonzero(group == g)\n        rest = total",
        "rows = np.flatnonzero(group == g % group.max() + 1)\n        rest = total",
        ("test_vbpmf.py",),
    ),
    (
        "a cross-fitted table of exposure keeps its own group",
        "rest = group_U != group",
        "rest = group_U >= 0",
        ("test_exposure.py",),
    ),
    (
        "user_prior reads ratings with table 0",
        "items = _read(backbone, items_P, backbone.group_U[history.users_R[part]])",
        "items = _read(backbone, items_P, 0 * history.users_R[part])",
        ("test_user_prior.py",),
    ),
    (
        "user_prior reads the choice of items with table 0",
        "group_U=backbone.group_U,\n        generator=torch.Generator().manual_seed(seed),",
        "group_U=0 * backbone.group_U,\n        generator=torch.Generator().manual_seed(seed),",
        ("test_user_prior.py",),
    ),
    (
        "baselines are fitted on the evaluated query",
        "        validation = spare_episodes(prepared, fold)\n        if not len",
        '        validation = prepared.eval_episodes(fold, "validation")\n        if not len',
        ("test_unread.py::test_what_judges_is_never_learnt_from",),
    ),
    (
        "early stopping reads the evaluated query",
        "choices, what = spare_choices(prepared, fold), f",
        (
            "choices = spare_choices(prepared, fold)\n"
            '                choices = type(choices)(prepared.eval_episodes(fold, "validation"))\n'
            "                what = f"
        ),
        ("test_unread.py::test_what_judges_is_never_learnt_from",),
    ),
    (
        "what strangers like counts the user who is asked",
        "stranger_BN, known_BN = crowd.without(users_B)",
        (
            "stranger_BN, known_BN = crowd.strangers.liked(support.users_BF), "
            "crowd.strangers.known_N"
        ),
        ("test_list_lessons.py",),
    ),
    (
        "the company of a list has seen the user who is asked",
        'state = signals.adapt(support) | {"company_BM": company.without(users_B, weights_BM)}',
        "state = signals.adapt(support)",
        ("test_list_lessons.py",),
    ),
    (
        "the map of attributes of a cross-fitted table has seen its users",
        "_map_of_attributes(features_UF[rest], z_UE[rest], params.penalty)",
        "_map_of_attributes(features_UF, z_UE, params.penalty)",
        ("test_exposure.py",),
    ),
    (
        "combinations are fitted on the evaluated query",
        "\n    history, asked = prepared.history(fold), spare_choices(prepared, fold)",
        (
            "\n    history, asked = prepared.history(fold), spare_choices(prepared, fold)"
            '\n    asked = type(asked)(prepared.eval_episodes(fold, "validation"))'
        ),
        ("test_unread.py::test_what_judges_is_never_learnt_from",),
    ),
    (
        "lists that combinations are chosen by keep what evaluation reads",
        "choices = Choices(asked.validation, judged_BX=asked.judged_BX)",
        "choices = Choices(asked.validation, judged_BX=0 * asked.judged_BX)",
        ("test_combine.py::test_lists_leave_out_what_evaluation_reads",),
    ),
    (
        "combinations do not say what evaluation reads",
        "choices = Choices(asked.validation, judged_BX=asked.judged_BX)",
        "choices = Choices(asked.validation)",
        ("test_combine.py::test_lists_leave_out_what_evaluation_reads",),
    ),
    (
        "a size of a list is chosen by lists that keep what evaluation reads",
        "return Lists(users, judged_BX, self.history.like, self.params.prepare.shots)",
        "return Lists(users, 0 * judged_BX, self.history.like, self.params.prepare.shots)",
        ("test_list_size.py",),
    ),
    (
        "lists of a part keep what evaluation reads",
        "return Choices(self.validation, self.made.setdefault(name, {}), self.judged_BX)",
        "return Choices(self.validation, self.made.setdefault(name, {}))",
        ("test_recipe.py::test_lists_leave_out_what_evaluation_reads",),
    ),
    (
        "lists that a trial is made by keep what it is judged by",
        "asked = spare_choices(self._prepared, number)",
        "asked = Choices(spare_choices(self._prepared, number).validation)",
        ("test_objective.py::test_lists_of_a_combination_leave_out_what_a_trial_is_judged_by",),
    ),
    (
        "history holds the cold users",
        'historical[self.role_users(fold, "historical")] = True',
        (
            'historical[self.role_users(fold, "historical")] = True\n'
            '        historical[self.role_users(fold, "cold")] = True'
        ),
        ("test_prepared.py",),
    ),
    (
        "the user encoder is fitted on everybody",
        "known = users if cut is None else users[first_seen <= cut]",
        "known = users",
        ("test_past.py",),
    ),
    (
        "the components of titles are fitted on everybody",
        'past = ratings["item"] if cut is None else ratings["item"][times <= cut]',
        'past = ratings["item"]',
        ("test_past.py",),
    ),
    (
        "the gate learns the champion's recipe from the users that it is judged by",
        "learning = Learning(recipe, self._params, self._prepared.history(fold), choices)",
        (
            "history = self._prepared.as_history(self._prepared.ratings, fold)\n"
            "        learning = Learning(recipe, self._params, history, choices)"
        ),
        ("test_gating.py::test_a_champion_of_another_split_is_learnt_on_this_one",),
    ),
    (
        "a refresh is compared on users that the served champion has seen",
        "target = self._cold.rows(new_B.nonzero()[:, 0])",
        "target = self._cold",
        ("test_gating.py::test_the_same_recipe_on_other_data_is_a_refresh",),
    ),
    (
        "what ships is learnt from the historical users alone",
        "history = prepared.as_history(prepared.ratings, fold)._replace",
        "history = prepared.history(fold)._replace",
        ("test_recipe.py::test_everyone_is_everybody",),
    ),
    (
        "what ships asks again instead of repeating what was chosen",
        '    n_epochs = choose(validation, "epochs", until_stale)',
        "    n_epochs = params.epochs",
        ("test_recipe.py::test_so_does_a_backbone_that_stops_early",),
    ),
    (
        "the gate takes the mean for the lower end of the interval",
        'passed = found["low"] > gate.min_improvement',
        'passed = found["mean"] > gate.min_improvement',
        ("test_gate.py",),
    ),
    (
        "the worst seed is put forward",
        "seeds.idxmax()",
        "seeds.idxmin()",
        ("test_experiment.py",),
    ),
    (
        "the shuffled canary is not called",
        "    checks.append(_shuffled_check(",
        "    str(_shuffled_check(",
        ("test_evaluate.py::test_shuffled_labels_that_are_true_stop_the_stage",),
    ),
    (
        "the shuffled canary reads the first fold alone",
        "gains.append(shuffled_gains(model, target, params.prepare.shots, error, params.seed))",
        (
            "if not gains:\n"
            "            shots = params.prepare.shots\n"
            "            gains.append(shuffled_gains(model, target, shots, error, params.seed))"
        ),
        ("test_evaluate.py::test_the_shuffled_candidate_is_the_one_of_every_fold",),
    ),
    (
        "the canaries are not required to hold",
        "    canaries.require(checks)\n",
        "    del canaries\n",
        ("test_evaluate.py::test_shuffled_labels_that_are_true_stop_the_stage",),
    ),
)


def named_mutants() -> list[Mutant]:
    """Every change, at its only place.

    Raises:
        SystemExit: a text does not occur once: the code has moved on, and the list must follow.
    """
    texts = {p: p.read_text(encoding="utf-8") for p in (ROOT / PACKAGE).rglob("*.py")}
    made = []
    for name, old, new, tests in CHANGES:
        places = [path for path, text in texts.items() for _ in range(text.count(old))]
        if len(places) != 1:
            raise SystemExit(f"{name}: {old!r} occurs {len(places)} times in the package, not once")
        path = places[0]
        at = texts[path].index(old)
        place = path.relative_to(ROOT)
        made.append(Mutant(name, place, texts[path], at, old, new, for_pytest(tests)))
    return made
