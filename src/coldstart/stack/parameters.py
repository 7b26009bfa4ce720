"""The params of a run: resolved, checked to the last key, explained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from rich.table import Table

from coldstart import layout
from coldstart.errors import ParamsError
from coldstart.params import Params, Section, parse_section, read_yaml, resolve


def resolved(effort: str, overrides: Mapping[str, Any]) -> str:
    """Text of ``params.yaml`` with a preset and overrides applied.

    Raises:
        ParamsError: a key or value is refused.
    """
    return yaml.safe_dump(resolve(read_yaml(layout.PARAMS), effort, overrides), sort_keys=False)


def check_all(text: str) -> Params:
    """Check also the sections of single methods, by their owners.

    Raises:
        ParamsError: a key or value is refused, or a section belongs to no method.
    """
    from coldstart.combinations import check_params as check_combinations

    params = parse_section(Params, yaml.safe_load(text), "params.yaml")
    for group, owners in _owners().items():
        for name, raw in getattr(params, group).items():
            if name not in owners:
                allowed = ", ".join(sorted(owners))
                raise ParamsError(f"params.yaml: {group}.{name}: unknown key; allowed: {allowed}")
            parse_section(owners[name], raw, f"params.yaml: {group}.{name}")
    check_combinations(params)
    return params


def explanation() -> Table:
    """A table of every key, its value in ``params.yaml``, what is allowed and what it means."""
    table = Table("key", "value", "allowed", "meaning", title="params.yaml", row_styles=["", "dim"])
    for row in _rows(Params, read_yaml(layout.PARAMS), ""):
        table.add_row(*row)
    raw = read_yaml(layout.PARAMS)
    for group, owners in _owners().items():
        for name, kind in sorted(owners.items()):
            for row in _rows(kind, raw[group].get(name, {}), f"{group}.{name}."):
                table.add_row(*row)
    return table


def _owners() -> dict[str, dict[str, type[Section]]]:
    from coldstart.algorithms import ALGORITHMS
    from coldstart.baselines import BASELINES
    from coldstart.combinations import COMBINATIONS

    return {
        "baselines": {name: kind.Params for name, kind in BASELINES.items()},
        "algorithms": {name: kind.Params for name, kind in ALGORITHMS.items()},
        "combine": {name: kind.Params for name, kind in COMBINATIONS.items()},
    }


def _rows(
    kind: type[Section], values: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, str, str, str]]:
    schema = kind.model_json_schema(by_alias=True)["properties"]
    for name, field in kind.model_fields.items():
        key = field.alias or name
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from _rows(field.annotation, values[key], f"{prefix}{key}.")
            continue
        value = values.get(key)
        shown = "{...}" if isinstance(value, dict) and value else str(value)
        yield f"{prefix}{key}", shown, _allowed(schema[key]), field.description or ""


def _allowed(schema: Mapping[str, Any]) -> str:
    """The bounds in a JSON schema, in few characters."""
    if "anyOf" in schema:
        return " or ".join(_allowed(part) for part in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if schema.get("type") == "array" and "items" in schema:
        return f"list of {_allowed(schema['items'])}"
    bounds = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    limits = [f"{sign} {schema[word]}" for word, sign in bounds.items() if word in schema]
    return " ".join([str(schema.get("type", "")), *limits])
