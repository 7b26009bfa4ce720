"""Reading, checking and overlaying ``params.yaml``; errors in the words of the file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from coldstart.errors import ParamsError
from coldstart.params.changed import GONE, NEW
from coldstart.params.section import Section
from coldstart.params.whole import Params

S = TypeVar("S", bound=Section)


def parse_section(kind: type[S], raw: Any, where: str) -> S:
    """Check one section.

    Raises:
        ParamsError: names every key at fault as ``where.key``, with its value and what is allowed.
    """
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise ParamsError("\n".join(_explain(kind, e, where) for e in error.errors())) from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a mapping.

    Raises:
        ParamsError: the file is missing or is not YAML with a mapping at the top.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path}: not found; run this in the root of the project") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ParamsError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(raw, dict):
        raise ParamsError(f"{path}: must hold a mapping of sections")
    return raw


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check ``params.yaml`` except the sections of single algorithms and baselines.

    Raises:
        ParamsError: as :func:`parse_section`.
    """
    return parse_section(Params, read_yaml(path), str(path))


def resolve(
    raw: Mapping[str, Any], effort: str = "standard", overrides: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Apply an effort preset, then dotted ``overrides`` such as ``{"data.name": "dbook"}``.

    Raises:
        ParamsError: an unknown preset or key, or a result that :class:`Params` refuses.
    """
    presets = raw.get("effort", {})
    if effort not in presets:
        raise ParamsError(f"effort: {effort!r} is not one of {sorted(presets)}")
    merged = _merge(dict(raw), presets[effort], f"effort.{effort}")
    for dotted, value in (overrides or {}).items():
        overlay: Any = value
        for part in reversed(dotted.split(".")):
            overlay = {part: overlay}
        merged = _merge(merged, overlay, "")
    parse_section(Params, merged, "params.yaml")
    return merged


def resolved(effort: str, overrides: Mapping[str, Any], path: Path = Path("params.yaml")) -> str:
    """Text of ``params.yaml`` with a preset and overrides applied.

    Raises:
        ParamsError: a key or value is refused.
    """
    return yaml.safe_dump(resolve(read_yaml(path), effort, overrides), sort_keys=False)


def _merge(base: Mapping[str, Any], overlay: Mapping[str, Any], where: str) -> dict[str, Any]:
    merged = dict(base)
    for key, value in overlay.items():
        path = f"{where}.{key}".lstrip(".")
        if key not in base:
            raise ParamsError(
                f"{path}: unknown key; allowed here: {', '.join(sorted(map(str, base)))}"
            )
        old = base[key]
        merged[key] = (
            _merge(old, value, path) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return merged


def _explain(kind: type[BaseModel], error: Any, where: str) -> str:
    """One pydantic error in the words of ``params.yaml``."""
    path = ".".join(str(part) for part in error["loc"])
    key = f"{where}: {path}" if path else where
    whole = f"{where.rpartition(': ')[2]}.{path}" if kind is not Params else path
    if error["type"] == "extra_forbidden" and whole in GONE:
        return f"{key}: is no longer read; {GONE[whole]}"
    if error["type"] == "missing" and whole in NEW:
        return f"{key}: is missing; {NEW[whole]}"
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown key; allowed here: {', '.join(_keys(kind, error['loc'][:-1]))}"
    if error["type"] == "missing":
        return f"{key}: is missing"
    message = error["msg"].removeprefix("Value error, ")
    if not path or isinstance(error["input"], dict):
        return f"{key}: {message}"
    return f"{key}: {error['input']!r} is not allowed: {message[0].lower()}{message[1:]}"


def _keys(kind: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    for part in loc:
        field = next(f for name, f in kind.model_fields.items() if part in (name, f.alias))
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return []
        kind = field.annotation
    return sorted(f.alias or name for name, f in kind.model_fields.items())
