"""Print as JSON what Airflow reads from the DAG files; a script, to keep Airflow out of pytest."""

import json
import sys
import time
from pathlib import Path

FORBIDDEN = ("torch", "mlflow", "great_expectations", "dvc", "pandas", "numpy")


def main() -> None:
    from airflow.dag_processing.dagbag import DagBag

    dags = Path(sys.argv[1])
    sys.path.insert(0, str(dags))
    started = time.process_time()
    bag = DagBag(str(dags))
    seconds = time.process_time() - started
    facts = {
        "errors": {str(k): str(v) for k, v in bag.import_errors.items()},
        "seconds": seconds,
        "forbidden": [name for name in FORBIDDEN if name in sys.modules],
        "dags": {name: describe(dag) for name, dag in bag.dags.items()},
    }
    if not sys.stdin.isatty():
        facts["forms"] = [form_answer(given) for given in json.loads(sys.stdin.read() or "[]")]
    print(json.dumps(facts))


def form_answer(given: dict[str, object]) -> str:
    """The params text of a form, or why it is refused."""
    import train

    form = {name: param.value for name, param in train.FORM.items()}
    try:
        return train.params_of({**form, **given}, given)
    except train.ParamsError as error:
        return f"refused: {error}"


def describe(dag: object) -> dict[str, object]:
    return {
        "doc": dag.doc_md,
        "max_active_runs": dag.max_active_runs,
        "params": {
            k: {"value": dag.params[k], **dag.params.get_param(k).schema} for k in dag.params
        },
        "descriptions": {k: dag.params.get_param(k).description for k in dag.params},
        "tasks": {
            task.task_id: {
                "kind": task.operator_class.__name__ if task.is_mapped else type(task).__name__,
                "upstream": sorted(task.upstream_task_ids),
                "pool": task.pool,
                "queue": task.queue,
                "retries": task.retries,
                "outlets": [asset.name for asset in task.outlets],
            }
            for task in dag.tasks
        },
    }


if __name__ == "__main__":
    main()
