"""Ways to damage the files of the dataset ``tiny``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Corrupt = Callable[[Path], object]


def lines(suffix: str, change: Callable[[list[str]], list[str]]) -> Corrupt:
    """Rewrite the lines of a file, the header included."""

    def corrupt(folder: Path) -> None:
        path = folder / f"tiny.{suffix}"
        path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")

    return corrupt


def content(suffix: str, change: Callable[[bytes], bytes]) -> Corrupt:
    """Rewrite the bytes of a file."""

    def corrupt(folder: Path) -> None:
        path = folder / f"tiny.{suffix}"
        path.write_bytes(change(path.read_bytes()))

    return corrupt


def cell(suffix: str, line: int, column: int, value: str) -> Corrupt:
    """Set one field; ``line`` counts from 1, the header included."""

    def change(rows: list[str]) -> list[str]:
        fields = rows[line - 1].split("\t")
        fields[column] = value
        return [*rows[: line - 1], "\t".join(fields), *rows[line:]]

    return lines(suffix, change)


def column(suffix: str, index: int, change: Callable[[str], str]) -> Corrupt:
    """Change every value of a column."""

    def corrupt(rows: list[str]) -> list[str]:
        split = [row.split("\t") for row in rows[1:]]
        return [rows[0]] + [
            "\t".join([*f[:index], change(f[index]), *f[index + 1 :]]) for f in split
        ]

    return lines(suffix, corrupt)


def without(suffix: str, index: int) -> Corrupt:
    """Take a column out."""
    return lines(
        suffix,
        lambda rows: [
            "\t".join(v for i, v in enumerate(r.split("\t")) if i != index) for r in rows
        ],
    )


def remove(suffix: str) -> Corrupt:
    return lambda folder: (folder / f"tiny.{suffix}").unlink()
