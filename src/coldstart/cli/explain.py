"""What every key of ``params.yaml`` means, as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from coldstart import layout
from coldstart.methods import owners
from coldstart.params import Params, Section, read_yaml


def explanation() -> Table:
    """A table of every key, its value in ``params.yaml``, what is allowed and what it means."""
    table = Table("key", "value", "allowed", "meaning", title="params.yaml", row_styles=["", "dim"])
    raw = read_yaml(layout.PARAMS)
    for row in _rows(Params, raw, ""):
        table.add_row(*row)
    for group, known in owners().items():
        for name, kind in sorted(known.items()):
            for row in _rows(kind, raw[group].get(name, {}), f"{group}.{name}."):
                table.add_row(*row)
    return table


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
