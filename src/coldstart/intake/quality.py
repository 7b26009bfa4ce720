"""Great Expectations: run the suites of ``expectations/`` and say readably what failed.

The only module that imports ``great_expectations``. GX rewrites its own configuration and stores
results beside it, so it works on a temporary copy of the project; what stays is the Data Docs.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coldstart.errors import DataError
from coldstart.intake.expect import Check

MAX_EXAMPLES = 3
INDEXES = ("line", "change")  # names of the indexes of the tables in a Check


@dataclass(frozen=True)
class Outcome:
    """One expectation: passed, failed, or skipped with the reason why."""

    suite: str
    expectation: str
    column: str
    notes: str
    success: bool
    skipped: str | None = None
    unexpected: str = ""  # how many of how many, or the value observed
    examples: str = ""

    def as_json(self) -> dict[str, Any]:
        """Without counts and examples, which a passed expectation has none of."""
        fields = {"expectation": self.expectation, "column": self.column, "notes": self.notes}
        return {**fields, "result": f"skipped: {self.skipped}" if self.skipped else "passed"}


def run_suites(project: Path, check: Check, docs: Path) -> list[Outcome]:
    """Run every suite that has a table, build Data Docs in ``docs``, and return all outcomes.

    Raises:
        DataError: the project lacks a suite.
    """
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="coldstart-gx-") as scratch:
        root = Path(scratch) / "expectations"
        shutil.copytree(project, root)
        names = [name for name in check.tables if _suite_path(root, name).is_file()]
        if missing := sorted(set(check.tables) - set(names)):
            raise DataError(f"{_suite_path(project, missing[0])}: not found; a suite is missing")
        for path in (root / "suites").glob("*.json"):
            if path.stem not in names:
                path.unlink()
        for name in names:
            outcomes += _drop_unmet(_suite_path(root, name), check.unmet)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outcomes += _run(root, names, check)
        _publish(root / "uncommitted" / "data_docs" / "local_site", docs)
    return sorted(outcomes, key=lambda o: (names.index(o.suite), o.skipped is not None))


def failure_table(dataset: str, outcomes: list[Outcome], docs: Path) -> str:
    """What failed, for a person: suite, expectation, column, count and examples."""
    failed = [outcome for outcome in outcomes if not outcome.success]
    n_run = sum(outcome.skipped is None for outcome in outcomes)
    head = ("suite", "expectation", "column", "unexpected", "examples")
    rows = [(o.suite, o.expectation, o.column, o.unexpected, o.examples) for o in failed]
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(4)]
    lines = [f"{dataset}: {len(failed)} of {n_run} expectations failed", _line(head, widths)]
    for outcome, row in zip(failed, rows, strict=True):
        lines += [_line(row, widths), f"      {outcome.notes}"]
    return "\n".join([*lines, f"Data Docs: {docs / 'index.html'}"])


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    cells = [cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)]
    return ("  " + "  ".join(cells)).rstrip()


def _suite_path(root: Path, name: str) -> Path:
    return root / "suites" / f"{name}.json"


def _drop_unmet(path: Path, unmet: Mapping[str, str]) -> list[Outcome]:
    """Take out of a suite what does not apply here; add the ids that GX wants."""
    suite = json.loads(path.read_bytes())
    kept, skipped = [], []
    for expectation in suite["expectations"]:
        reason = unmet.get(expectation["meta"].get("needs", ""))
        if reason is None:
            kept.append(expectation)
        else:
            skipped.append(_outcome(path.stem, expectation, success=True, skipped=reason))
    for position, expectation in enumerate(kept):
        expectation["id"] = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{path.stem}/{position}"))
    suite["id"] = str(uuid.uuid5(uuid.NAMESPACE_OID, path.stem))
    path.write_text(json.dumps({**suite, "expectations": kept}), encoding="utf-8")
    return skipped


def _run(root: Path, names: list[str], check: Check) -> list[Outcome]:
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    import great_expectations as gx

    context = gx.get_context(mode="file", context_root_dir=root)
    source = context.data_sources.add_pandas("data")
    outcomes = []
    for name in names:
        asset = source.add_dataframe_asset(name)
        definition = context.validation_definitions.add(
            gx.ValidationDefinition(
                name=name,
                data=asset.add_batch_definition_whole_dataframe("all"),
                suite=context.suites.get(name),
            )
        )
        shown = 0 if name in check.personal else MAX_EXAMPLES
        result = definition.run(
            batch_parameters={"dataframe": check.tables[name]},
            expectation_parameters=check.parameters,
            result_format={"result_format": "SUMMARY", "partial_unexpected_count": shown},
        )
        outcomes += [_of_result(name, r.to_json_dict()) for r in result.results]
    context.build_data_docs()
    return outcomes


def _of_result(suite: str, result: dict[str, Any]) -> Outcome:
    found = result["result"]
    errors = _exceptions(result.get("exception_info") or {})
    if errors:
        unexpected = f"could not be checked: {errors[0]}"
    elif "unexpected_count" in found:
        unexpected = f"{found['unexpected_count']} of {found['element_count']} rows"
    else:
        observed = found.get("observed_value")
        shown = f"{observed:.6g}" if isinstance(observed, float) else str(observed)
        unexpected = f"observed {shown}" + _limits(result["expectation_config"]["kwargs"])
    examples = found.get("partial_unexpected_index_list") or []
    return _outcome(
        suite,
        result["expectation_config"],
        success=bool(result["success"]),
        unexpected=unexpected,
        examples="; ".join(_example(example) for example in examples[:MAX_EXAMPLES]),
    )


def _exceptions(info: Any) -> list[str]:
    if not isinstance(info, dict):
        return []
    if info.get("raised_exception"):
        return [str(info.get("exception_message")).splitlines()[0]]
    return [message for value in info.values() for message in _exceptions(value)]


def _limits(kwargs: Mapping[str, Any]) -> str:
    sides = ((kwargs.get("min_value"), "at least"), (kwargs.get("max_value"), "at most"))
    return "".join(f", allowed {word} {value:.6g}" for value, word in sides if value is not None)


def _example(cell: Mapping[str, Any]) -> str:
    values = " ".join(str(value) for key, value in cell.items() if key not in INDEXES)
    return f"{values} (line {cell['line']})" if "line" in cell else values


def _outcome(suite: str, expectation: Mapping[str, Any], *, success: bool, **found: Any) -> Outcome:
    kwargs = expectation["kwargs"]
    column = kwargs.get("column") or ", ".join(kwargs.get("column_list", [])) or "(table)"
    notes = str(expectation.get("notes") or "")
    return Outcome(suite, expectation["type"], column, notes, success, **found)


def _publish(built: Path, docs: Path) -> None:
    """Replace the Data Docs by a rename, so that a reader never sees half of them."""
    docs.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{docs.name}-", dir=docs.parent))
    shutil.copytree(built, fresh / "new")
    try:
        if docs.exists():
            docs.rename(fresh / "old")
        (fresh / "new").rename(docs)
    except OSError:  # another run published its own at this very moment: they stand
        logging.getLogger("coldstart.validate").info("%s: published by another run", docs)
    shutil.rmtree(fresh)
