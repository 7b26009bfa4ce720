"""Put what a study chose into ``params.yaml``, and notice where that no longer holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock

from coldstart import environment
from coldstart.errors import ParamsError
from coldstart.params import Params, Tuned, editing

_RECORDS = "tuned"


def digest_of(section: Mapping[str, Any]) -> str:
    """Short digest of the values of a section; their order and 5 or 5.0 make no difference."""
    same = {key: float(v) if type(v) is int else v for key, v in section.items()}
    return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()[:12]


def store(path: Path, group: str, name: str, values: Mapping[str, Any], tuned: Tuned) -> None:
    """Change the values of one section and its record; everything else in the file stays.

    Raises:
        ParamsError: the file's text does not allow it; says what to write by hand.
    """
    lock = environment.home() / "tuning" / "params.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):  # two studies may end at once
        text = editing.read(path)
        wanted = yaml.safe_load(text)
        # a new mapping: an alias of this section elsewhere in the file must keep its values
        wanted[group][name] = wanted[group][name] | values
        wanted[_RECORDS].setdefault(group, {})[name] = tuned.model_dump(mode="json")
        changed = editing.with_values(text, [group, name], values)
        changed = editing.with_section(changed, _RECORDS, wanted[_RECORDS])
        if yaml.safe_load(changed) != wanted:
            raise ParamsError(
                f"{path}: {group}.{name} cannot be changed in place; set it by hand to {values}"
            )
        editing.write(path, changed)


def warnings(params: Params, raw: Mapping[str, Any]) -> list[str]:
    """A line for each record that is not, or no longer, true.

    Args:
        params: the checked file.
        raw: the same file as it was read; digests are of its values.
    """
    lines = []
    budgets: dict[tuple[int, tuple[int, ...]], list[str]] = {}
    for group, records in params.tuned.items():
        for name, tuned in records.items():
            section = raw[group].get(name)
            again = f"run `coldstart tune`, or remove tuned.{group}.{name}"
            if section is None:
                lines.append(f"tuned.{group}.{name}: there is no section {group}.{name}; {again}")
            elif digest_of(section) != tuned.values:
                lines.append(f"{group}.{name}: edited since it was tuned; {again}")
            if group != "pretrain":
                budgets.setdefault((tuned.trials, tuned.folds), []).append(name)
    if len(budgets) > 1:
        spent = "; ".join(
            f"{trials} trials on folds {list(folds)}: {', '.join(sorted(names))}"
            for (trials, folds), names in sorted(budgets.items())
        )
        lines.append(f"tuned: methods were not tuned with the same budget: {spent}")
    return lines
