"""
### From raw ratings to a promoted champion

Trains every chosen method on users with a history, proves it on users without one, and promotes
the best if the gate says so. **Trigger** it with the form; every number that the form does not show
is in `params.yaml`.

| task | does |
|---|---|
| `configure` | params from the form, and the version of the data; what is not allowed ends here |
| `validate` | checks the data against the expectations; bad data stops the run |
| `prepare` | canonical tables, features, and the split into historical, validation and cold users |
| `pretrain` | backbone and baselines, from historical users only |
| `meta_train` | one task per algorithm, in the pool `gpu` |
| `combine` | blend, average and student of the methods so far |
| `evaluate` | every method on cold users: K-sweep, intervals, segments, canaries |
| `report` | `report.html` and the leaderboard |
| `ship` | the candidate's recipe learnt again from every user and every rating: what is served |
| `publish` | the results to MLflow; the run's note then links the report |
| `gate` | compares the best method with the champion, and keeps the evidence |
| `approve` | waits for a person, if the form asks for it; no answer counts as a no |
| `promote` | makes it the champion (asset `coldstart_champion`) |

Each task runs one stage of `dvc.yaml` in a scratch workspace and hands on its `dvc.lock` entry.
What anyone has computed before with the same data, params and code is fetched, not computed.

**If it fails**, the note of the run says why. Bad data or params fail at once; a task whose
worker was lost is tried again and training goes on from its checkpoint.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from airflow.sdk import Asset, Param, dag, task
from airflow.sdk.exceptions import AirflowFailException

from baton import Approval, Effect, Stage, links, note
from coldstart.errors import ParamsError
from coldstart.params import read_yaml, resolve

PROJECT = Path(__file__).resolve().parent.parent
FILE = read_yaml(PROJECT / "params.yaml")
DATA = PROJECT / "data.dvc"
CHAMPION = Asset("coldstart_champion")
GPU = {"pool": "gpu", "queue": "gpu"}
"""Of tasks that train networks."""

FORM = {
    "dataset": Param(
        FILE["data"]["name"],
        type="string",
        title="Dataset",
        description="Folder under data/ that holds its atomic files.",
    ),
    "split": Param(
        FILE["prepare"]["split"],
        type="string",
        enum=["random", "temporal"],
        title="Split",
        description="random: folds over users. temporal: users who arrive after the cut.",
    ),
    "algorithms": Param(
        list(FILE["meta_train"]["algorithms"]),
        type="array",
        items={"type": "string", "enum": sorted(FILE["algorithms"])},
        examples=sorted(FILE["algorithms"]),
        minItems=1,
        uniqueItems=True,
        title="Algorithms",
        description="Meta-learners to train, each in a task of its own. Baselines always run.",
    ),
    "goal": Param(
        FILE["goal"],
        type="string",
        enum=["list", "rating", "click"],
        title="Goal",
        description="What a champion is chosen by: its list of ten, ratings, or clicks.",
    ),
    "effort": Param(
        "standard",
        type="string",
        enum=list(FILE["effort"]),
        title="Effort",
        description="quick: a look in a minute. standard: one fold. full: all folds, three seeds.",
    ),
    "device": Param(
        FILE["device"],
        type="string",
        enum=["cpu", "cuda"],
        title="Device",
        description="Where meta-training runs. Only cpu gives the same bytes every time.",
    ),
    "seeds": Param(
        None,
        type=["null", "array"],
        items={"type": "integer", "minimum": 0, "maximum": 127},
        title="Seeds",
        description="Training seeds, for instance [0, 1, 2]. Empty: as the effort says.",
    ),
    "require_approval": Param(
        FILE["gate"]["require_approval"],
        type="boolean",
        title="Require approval",
        description="Whether a person must approve the promotion.",
    ),
    "min_improvement": Param(
        FILE["gate"]["min_improvement"],
        type="number",
        minimum=0,
        title="Least improvement",
        description="The interval of the improvement must lie above this, in the goal's unit.",
    ),
    "overrides": Param(
        {},
        type="object",
        title="Other params",
        description='Any other key of params.yaml, for instance {"gate.max_rating_loss": 0.02}.',
    ),
}
KEYS = {
    "dataset": "data.name",
    "split": "prepare.split",
    "algorithms": "meta_train.algorithms",
    "goal": "goal",
    "device": "device",
    "seeds": "meta_train.seeds",
    "require_approval": "gate.require_approval",
    "min_improvement": "gate.min_improvement",
}


def params_of(form: dict[str, Any], given: dict[str, Any]) -> str:
    """Text of the run's ``params.yaml``; ``given`` is what was sent, to refuse what is no field."""
    if unknown := sorted(set(given) - set(FORM)):
        raise ParamsError(f"form: {', '.join(unknown)}: unknown; allowed: {', '.join(FORM)}")
    empty: tuple[Any, ...] = (None, [])  # of a list field that nobody filled in
    overrides = {KEYS[name]: form[name] for name in KEYS if form[name] not in empty}
    if form["split"] == "temporal":
        overrides["prepare.folds"] = [0]
    overrides |= form["overrides"]
    return yaml.safe_dump(resolve(FILE, form["effort"], overrides), sort_keys=False)


@task(retries=0)  # type: ignore[untyped-decorator]
def configure(**context: Any) -> dict[str, str]:
    """The run's ``params.yaml`` and ``data.dvc``; what is not allowed ends the run here."""
    try:
        form = params_of(dict(context["params"]), dict(context["dag_run"].conf or {}))
        return {"params": form, "data": DATA.read_text(encoding="utf-8")}
    except (ParamsError, OSError) as error:
        missing = f"{error}; `coldstart fetch` or `import` writes it"
        reason = str(error) if isinstance(error, ParamsError) else missing
        note(context["run_id"], f"**configure: {reason}**")
        raise AirflowFailException(reason) from None


@task
def algorithms(run: dict[str, str]) -> list[str]:
    """The stages of ``meta_train``, one for each algorithm."""
    params = yaml.safe_load(run["params"])
    return [f"meta_train@{name}" for name in params["meta_train"]["algorithms"]]


@task.branch
def route(
    published: dict[str, Any], decision: dict[str, Any], run: dict[str, str], **context: Any
) -> str | None:
    """Where a decision leads: to a person, to the promotion, or nowhere."""
    note(context["run_id"], links(context["run_id"], published, decision))
    if not decision["promote"]:
        return None
    return "approve" if yaml.safe_load(run["params"])["gate"]["require_approval"] else "promote"


def computed(run: Any) -> tuple[Any, ...]:
    """The stages that compute, wired as in ``dvc.yaml``: what each is given is what it reads."""

    def stage(name: str, *upstream: Any, **options: Any) -> Any:
        return Stage(task_id=name, stage=name, run=run, upstream=list(upstream), **options).output

    validated = stage("validate")
    prepared = stage("prepare", validated)
    pretrained = stage("pretrain", prepared)
    trained = (
        Stage.partial(
            task_id="meta_train",
            run=run,
            upstream=[prepared, pretrained],
            map_index_template="{{ task.stage.partition('@')[2] }}",
            **GPU,
        )
        .expand(stage=algorithms(run))
        .output
    )
    combined = stage("combine", prepared, pretrained, trained)
    evaluated = stage("evaluate", prepared, pretrained, trained, combined)
    reported = stage("report", validated, evaluated)
    shipped = stage("ship", prepared, pretrained, trained, combined, evaluated, **GPU)
    return validated, prepared, pretrained, trained, combined, evaluated, reported, shipped


@dag(  # type: ignore[untyped-decorator]
    "coldstart_train",
    schedule=None,
    doc_md=__doc__,
    params=FORM,
    max_active_runs=4,
    catchup=False,
    is_paused_upon_creation=False,
    tags=["coldstart"],
    default_args={"retries": 2, "retry_delay": timedelta(seconds=5)},
)
def train() -> None:
    """Compute, publish, and promote what the gate, and a person if asked for, let through."""
    run = configure()
    results = computed(run)

    def effect(name: str, **options: Any) -> Effect:
        return Effect(task_id=name, stage=name, run=run, upstream=list(results), **options)

    published, decided = effect("publish"), effect("gate")
    approved = Approval(
        task_id="approve",
        run=run,
        subject="Promote the candidate of {{ run_id }}?",
        body="{{ ti.xcom_pull(task_ids='gate')['summary'] }}",
        defaults="Reject",
        retries=0,
    )
    promoted = effect(
        "promote",
        decision=decided.output,
        outlets=[CHAMPION],
        trigger_rule="none_failed_min_one_success",
    )
    route(published.output, decided.output, run) >> [approved, promoted]
    approved >> promoted


train()
