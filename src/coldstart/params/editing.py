"""Change values in the text of ``params.yaml`` and nothing else: comments and layout stay."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import CollectionNode, MappingNode, Node

from coldstart.errors import ParamsError


def with_values(text: str, path: Sequence[str], values: Mapping[str, Any]) -> str:
    """``text`` with other values in the mapping at ``path``.

    Raises:
        ParamsError: a key is not there as it stands, for instance because it comes from an alias.
    """
    return _replaced(text, {(*path, name): value for name, value in values.items()})


def with_keys(text: str, values: Mapping[str, Any]) -> str:
    """``text`` with other values of dotted keys such as ``prepare.shots``, comments and all.

    Raises:
        ParamsError: a key is not there, or not as it stands; nothing else would have changed.
    """
    changed = _replaced(text, {tuple(key.split(".")): value for key, value in values.items()})
    wanted = yaml.safe_load(text)
    for dotted, value in values.items():
        *path, key = dotted.split(".")
        section = wanted
        for part in path:
            section[part] = section = dict(section[part])  # of its own, where it is an alias
        section[key] = value
    if not _says(changed, wanted):
        raise ParamsError(
            f"params.yaml: {', '.join(values)} cannot be changed in place, since aliases share "
            "their values; change them by hand"
        )
    return changed


def _says(text: str, wanted: Any) -> bool:
    try:
        return bool(yaml.safe_load(text) == wanted)
    except yaml.YAMLError:  # an alias has lost its anchor
        return False


def with_section(text: str, key: str, content: Mapping[str, Any]) -> str:
    """``text`` with other content under the top-level ``key``; its innermost mappings on one line.

    Raises:
        ParamsError: the key is missing.
    """
    name, value = _child(yaml.compose(text, Loader=yaml.SafeLoader), key, ())
    dumped = yaml.safe_dump(
        {key: content}, default_flow_style=None, sort_keys=False, width=10_000
    ).rstrip("\n")
    return text[: name.start_mark.index] + dumped + text[_end(value) :]


def write(path: Path, text: str) -> None:
    """Replace a file at once: whoever reads it sees the old text or the new."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    shutil.copymode(path, temporary)
    temporary.replace(path)


def read(path: Path) -> str:
    """The text as it is, line ends included."""
    with path.open(encoding="utf-8", newline="") as file:
        return file.read()


def _replaced(text: str, values: Mapping[tuple[str, ...], Any]) -> str:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    spans = []
    for path, value in values.items():
        node = root
        for depth, key in enumerate(path):
            node = _child(node, key, path[:depth])[1]
        assert node is not None, "a path has at least one key"
        spans.append((node.start_mark.index, _end(node), _on_one_line(value)))
    for start, end, new in sorted(spans, reverse=True):
        gap = " " if start == end else ""  # a key without a value has no space after it
        text = text[:start] + gap + new + text[end:]
    return text


def _child(node: Node | None, key: str, path: Sequence[str]) -> tuple[Node, Node]:
    if isinstance(node, MappingNode):
        for name, value in node.value:
            if name.value == key:
                return name, value
    where = ".".join([*path, key])
    raise ParamsError(f"params.yaml: {where}: not found in the text, so it cannot be changed there")


def _end(node: Node) -> int:
    """Where a node's text ends; that of a block has its own mark behind the comments after it."""
    if isinstance(node, CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(node, MappingNode) else last)
    return int(node.end_mark.index)


def _on_one_line(value: Any) -> str:
    dumped = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
    return str(dumped).split("\n", 1)[0]
